"""Work that a clock far ahead has queued for later than it should be."""

from __future__ import annotations

from crossdock import observe
from crossdock.clock import Clock
from crossdock.store import Store
from crossdock.store.claims import pull_back_runs
from crossdock.store.deliveries import pull_back_deliveries


class Skew:
    """Pulls such work back. A small difference of clocks is no matter: what is queued is taken up to a minute early."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def pull_back(self) -> None:
        now = self._clock()
        runs = await self._store.write(pull_back_runs, now)
        deliveries = await self._store.write(pull_back_deliveries, now)
        if runs or deliveries:
            observe.emit(observe.CLOCK_WAS_AHEAD, runs=runs, deliveries=deliveries)
