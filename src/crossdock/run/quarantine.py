"""Runs that were lost with a node are worked on one at a time: the one that kills processes dies alone.

They count for their integration's limit as all others do, so one whose integration has no room waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crossdock.clock import Sources, new_token
from crossdock.model.run import LeasedRun
from crossdock.run.limits import Limits
from crossdock.run.slots import Slots
from crossdock.store import Store
from crossdock.store.claims import claim_quarantined, return_runs


class Quarantine:
    """`start` works on a run whose slot is taken; `wake` has the stage look again."""

    def __init__(
        self,
        store: Store,
        slots: Slots,
        limits: Limits,
        start: Callable[[LeasedRun], asyncio.Task[None]],
        wake: Callable[[], None],
        *,
        sources: Sources,
    ) -> None:
        self._store = store
        self._slots = slots
        self._limits = limits
        self._start = start
        self._wake = wake
        self._sources = sources
        self._is_busy = False
        self._waits_for_room = False

    async def work(self) -> None:
        """Begin with the first that is due, unless there is one in work, or no room."""
        if self._is_busy:
            return
        full = [one for one in self._slots.by_integration if self._is_full(one)]
        self._waits_for_room = bool(full)
        now = self._sources.now()
        run = await self._store.write(claim_quarantined, self._sources.node_id, new_token(), now, full)
        if run is None:
            return
        if self._is_full(run.event.integration_id):  # another run took the room during the claim
            self._waits_for_room = True
            await self._store.write(return_runs, [run.lease_token], self._sources.now())
            return
        self._is_busy = True
        self._slots.take_extra(run.event.integration_id)
        self._start(run).add_done_callback(lambda _: self._leave())

    def room_came(self) -> None:
        """A slot was given back."""
        if self._waits_for_room and not self._is_busy:
            self._wake()

    def _is_full(self, integration_id: str) -> bool:
        in_work = self._slots.by_integration.get(integration_id, 0)
        return in_work > 0 and in_work >= self._limits.of(integration_id)

    def _leave(self) -> None:
        self._is_busy = False
        self._wake()
