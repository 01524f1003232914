"""Turns that are taken once for all nodes: each time by whoever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crossdock import observe
from crossdock.clock import Sources
from crossdock.model.errors import StoreUnavailable
from crossdock.store import Store
from crossdock.store.duties import due_in, keep_duty, take_duty
from crossdock.watch.turns import Turn

KEEPS_WITHIN_INTERVAL = 3
"""How often, while the work of an interval goes on, the others are told that it does."""
LONG_SECONDS = 1.0
"""After work that took longer, the next interval begins at its end."""


def once_for_all(turn: Turn, store: Store, sources: Sources, taken: Callable[[str], None] = lambda _: None) -> Turn:
    """The turn as a duty: of all nodes, one takes it every so many seconds. `taken` is told when it is this one."""
    assert isinstance(turn.seconds, int | float)
    duty = _Duty(turn, turn.seconds, store, sources, taken)
    return Turn(turn.name, lambda: duty.rest_seconds, duty.look)


class _Duty:
    """Asks when the duty is due, and not before again, so that waiting costs the database next to nothing."""

    def __init__(
        self, turn: Turn, every_seconds: float, store: Store, sources: Sources, taken: Callable[[str], None]
    ) -> None:
        self._name = turn.name
        self._every = every_seconds
        self._work = turn.work
        self._taken = taken
        self._store = store
        self._sources = sources
        self.rest_seconds = every_seconds

    async def look(self) -> None:
        """Do what is due, unless another node does it."""
        self.rest_seconds = self._every
        wait = await self._store.read(due_in, self._name, self._every, self._sources.now())
        if wait > 0:
            self.rest_seconds = wait
        elif await self._store.write(take_duty, *self._held()):
            self._taken(self._name)
            await self._carry_out()

    async def _carry_out(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        keeping = asyncio.create_task(self._keep())
        try:
            await self._work()
        finally:
            keeping.cancel()
        if loop.time() - began > min(LONG_SECONDS, self._every):
            await self._store.write(keep_duty, *self._held())

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._every / KEEPS_WITHIN_INTERVAL)
            try:
                await self._store.write(keep_duty, *self._held())
            except StoreUnavailable as error:  # another node may do the same meanwhile: that does no harm
                observe.emit(observe.STORE_LOST, during=self._name, reason=str(error))
            except Exception as error:
                observe.emit(observe.WATCH_FAILED, error=error, turn=self._name)

    def _held(self) -> tuple[str, float, str, int]:
        return self._name, self._every, self._sources.node_id, self._sources.now()
