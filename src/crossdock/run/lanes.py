"""The lanes that this node owns: each runs its head, then the next, and nothing else in between.

A lane in memory knows the next runs; what does not fit waits in the store and is read when its turn is near. The
lane's own order is never trusted to timing: a run is taken by a change that the lane's token guards, and only after
the end of the one before it is durable (see `store.lanes`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from crossdock.clock import Sources, new_token
from crossdock.model.errors import Unrecordable
from crossdock.model.run import LeasedRun
from crossdock.model.states import RunState
from crossdock.model.time import Instant, later, seconds_between
from crossdock.run.compile import CompiledWorkflow
from crossdock.run.settling import Ending, Settling
from crossdock.store import Store
from crossdock.store.lanes import LaneBurst, LaneClaim, LaneTurn, QueuedRun, owns_lane, read_lane, reclaim_head
from crossdock.store.patience import until_recorded

IN_MEMORY = 256
"""Runs of one lane that are kept in memory."""
IDLE_SECONDS = 30.0
"""How long an empty lane is kept before it is given up."""
BURST = 64
"""Runs of one lane that may share a commit when their workflow has no side effects."""


class LaneLost(Exception):
    """The lane is another node's by now."""


@dataclass(slots=True)
class OwnedLane:
    """A lane of this node. `tail` is the last sequence number that is in `queue` or was taken from it."""

    id: str
    integration_id: str
    token: str
    queue: deque[QueuedRun] = field(default_factory=deque)
    tail: int = 0
    has_more: bool = True
    """The store may have runs behind `tail`."""
    times_forgotten: int = 0
    """What was read before the last time is out of date."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    is_idle: bool = False
    is_engaged: bool = False
    """A run of it is worked on, or is being taken: what drives the lane has to come to the end of it."""
    is_idle_for_long: bool = False
    is_wanted_elsewhere: bool = False
    """It is to be handed on, or was lost, as soon as the run that is worked on has ended."""

    def add(self, run: LeasedRun, due_at: Instant) -> None:
        """A freshly recorded run. One that is not the very next, or does not fit, is left to be read."""
        assert run.lane is not None
        if self.has_more or run.lane.sequence != self.tail + 1 or len(self.queue) >= IN_MEMORY:
            self.has_more = True
        else:
            self.queue.append(QueuedRun(run, RunState.QUEUED, due_at))
            self.tail = run.lane.sequence
        if len(self.queue) <= 1:  # a run behind others changes nothing for the head
            self.changed.set()

    def grow(self) -> None:
        """Another node recorded runs at the end of the lane."""
        self.has_more = True
        if not self.queue:
            self.changed.set()

    def leave(self) -> None:
        """Begin no other run of the lane."""
        self.is_wanted_elsewhere = True
        self.changed.set()

    def forget(self) -> None:
        """Somebody changed the lane in the store: read it again."""
        self.queue.clear()
        self.tail = 0
        self.has_more = True
        self.times_forgotten += 1
        self.changed.set()


class LaneDriver:
    """Drives owned lanes. `perform` works on one taken run and says how it ended; it raises only when cancelled."""

    def __init__(
        self,
        store: Store,
        settling: Settling,
        perform: Callable[[LeasedRun], Coroutine[Any, Any, Ending]],
        workflow_of: Callable[[LeasedRun], Awaitable[CompiledWorkflow | None]],
        landed: Callable[[Ending, bool], None],
        *,
        sources: Sources,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._store = store
        self._settling = settling
        self._perform = perform
        self._workflow_of = workflow_of
        self._landed = landed
        self._sources = sources
        self._idle_seconds = idle_seconds
        self.stopping = False

    async def drive(self, lane: OwnedLane) -> None:
        """Run the lane's runs in order until this node stops or gives the lane up."""
        taken: LeasedRun | None = None
        while taken is not None or not (self.stopping or lane.is_idle_for_long or lane.is_wanted_elsewhere):
            lane.is_engaged = taken is not None
            if taken is not None:
                taken = await self._work(lane, taken)
                continue
            head = await self._head(lane)
            if head is None:
                continue
            is_quick = await self._is_quick(head)
            if not lane.queue or lane.queue[0] is not head:
                continue  # forgotten meanwhile
            lane.is_engaged = True
            if is_quick:
                await self._burst(lane)
            else:
                taken = await self._turn(lane, None, head)

    async def _work(self, lane: OwnedLane, taken: LeasedRun) -> LeasedRun | None:
        """Work on the taken run, record its end and take the next one, if that may start."""
        ending = await asyncio.create_task(self._perform(taken))  # a task of its own: it may be cancelled alone
        may_go_on = ending.verdict.is_final and not self.stopping and not lane.is_wanted_elsewhere
        following = self._next_ready(lane) if may_go_on else None
        if not ending.verdict.is_final:
            lane.forget()
        return await self._turn(lane, ending, following)

    # --- the head --------------------------------------------------------------------------------------------------

    async def _head(self, lane: OwnedLane) -> QueuedRun | None:
        """The lane's next run if it may start now; None after a wait for something to change."""
        lane.changed.clear()
        if not lane.queue and lane.has_more:
            await self._refill(lane)
        if self.stopping or lane.is_wanted_elsewhere:
            return None
        if lane.queue and self._may_start(lane.queue[0]):
            return lane.queue[0]
        # An empty lane, a blocked head and one that waits for its next attempt differ only in how long to wait.
        head = lane.queue[0] if lane.queue else None
        if head is None or head.is_held:
            idle_until = later(self._sources.now(), self._idle_seconds)
            lane.is_idle_for_long = not await self._changed_before(lane, idle_until)
        elif head.state is RunState.RUNNING:
            await self._store.write(reclaim_head, head.run.event.id, lane.token, self._sources.now())
            lane.forget()
        elif not await self._changed_before(lane, head.due_at):
            lane.forget()
        return None

    def _may_start(self, queued: QueuedRun) -> bool:
        if queued.state is RunState.RETRYING:
            return queued.due_at <= self._sources.now()
        return queued.state is RunState.QUEUED  # whatever the clock says that it came at: it waits for nobody

    async def _changed_before(self, lane: OwnedLane, until: Instant) -> bool:
        """Wait for a change of the lane, or for an instant; whether it was the change."""
        lane.is_idle = True
        try:
            async with asyncio.timeout(max(0.001, seconds_between(self._sources.now(), until))):
                await lane.changed.wait()
        except TimeoutError:
            return False
        finally:
            lane.is_idle = False
        return True

    async def _refill(self, lane: OwnedLane) -> None:
        async def read() -> list[QueuedRun]:
            return await self._store.read(read_lane, lane.id, lane.tail, IN_MEMORY)

        version = lane.times_forgotten
        lane.has_more = False  # `add` says so again for a run that comes meanwhile and is not the very next
        found = await until_recorded(read, self._sources.fraction)
        if lane.times_forgotten != version:
            return
        lane.has_more = lane.has_more or len(found) == IN_MEMORY
        for queued in found:
            assert queued.run.lane is not None
            if queued.run.lane.sequence > lane.tail:
                lane.queue.append(queued)
                lane.tail = queued.run.lane.sequence

    def _next_ready(self, lane: OwnedLane) -> QueuedRun | None:
        """The run behind the one that just ended, if it is known and may start."""
        if not lane.queue or lane.queue[0].state is not RunState.QUEUED:
            return None
        return lane.queue[0]

    async def _is_quick(self, queued: QueuedRun) -> bool:
        workflow = await self._workflow_of(queued.run)
        return workflow is not None and workflow.is_quick

    # --- changes ---------------------------------------------------------------------------------------------------

    async def _turn(self, lane: OwnedLane, ending: Ending | None, following: QueuedRun | None) -> LeasedRun | None:
        """Record the head's end and take the next run in one commit; the run that was taken."""
        taken = self._leased(following) if following is not None else None
        change = LaneTurn(ending.settle if ending else None, self._claim(lane, taken) if taken else None)
        if following is not None:
            lane.queue.popleft()
        try:
            settled, claimed = await until_recorded(
                lambda: self._store.submit(change),
                self._sources.fraction,
                gives_up=lambda: ending is None and self.stopping,  # then no work is lost
            )
        except Unrecordable as error:
            if ending is None or ending.is_substitute:
                raise
            lane.forget()
            return await self._turn(lane, self._settling.unrecordable(ending, error), None)
        if ending is not None:
            self._landed(ending, settled)
        if not settled or (taken is not None and not claimed):
            await self._look_again(lane)
        return taken if claimed else None

    async def _look_again(self, lane: OwnedLane) -> None:
        """Something else changed the lane's runs: an operator, or another node that owns the lane now (LaneLost)."""
        lane.forget()

        async def read() -> bool:
            return await self._store.read(owns_lane, lane.id, lane.token)

        if not await until_recorded(read, self._sources.fraction, gives_up=lambda: self.stopping):
            raise LaneLost

    async def _burst(self, lane: OwnedLane) -> None:
        """Work out the runs at the front while they succeed, and record them together."""
        ends: list[tuple[LaneClaim, Ending]] = []
        following = lane.queue[0] if lane.queue else None
        while following is not None and len(ends) < BURST and await self._is_quick(following):
            if not lane.queue or lane.queue[0] is not following:
                break  # forgotten meanwhile
            lane.queue.popleft()
            taken = self._leased(following)
            ending = await self._perform(taken)
            ends.append((self._claim(lane, taken), ending))
            following = self._next_ready(lane) if ending.verdict.is_final else None
        if ends and not await self._record_burst(ends):
            await self._look_again(lane)

    async def _record_burst(self, ends: list[tuple[LaneClaim, Ending]]) -> bool:
        """Record the ends in one commit, or one by one where the record refuses one; whether the lane goes on."""
        change = LaneBurst(tuple((claim, ending.settle) for claim, ending in ends))
        try:
            landed = await until_recorded(lambda: self._store.submit(change), self._sources.fraction)
        except Unrecordable as error:
            if len(ends) == 1:
                ((claim, ending),) = ends
                if ending.is_substitute:
                    raise
                return await self._record_burst([(claim, self._settling.unrecordable(ending, error))])
            for end in ends:
                if not await self._record_burst([end]):
                    return False
            return True
        for (_, ending), has_landed in zip(ends, landed, strict=True):
            self._landed(ending, has_landed)
        return all(landed) and ends[-1][1].verdict.is_final

    def _leased(self, queued: QueuedRun) -> LeasedRun:
        return replace(queued.run, lease_token=new_token(), attempts=queued.run.attempts + 1)

    def _claim(self, lane: OwnedLane, taken: LeasedRun) -> LaneClaim:
        return LaneClaim(taken.event.id, taken.lease_token, self._sources.node_id, self._sources.now(), lane.token)
