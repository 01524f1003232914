"""Which lanes this node owns: how it comes by them, and when it lets them go.

A lane comes with the event that woke it, or is adopted because it has work and no owner. It is given up when nothing
can start in it, handed on between two runs when this node has more than its share, and mended when it waits without
cause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from crossdock.clock import Sources, new_token
from crossdock.model.errors import StoreUnavailable
from crossdock.model.run import LeasedRun
from crossdock.model.states import RunState
from crossdock.model.time import later, seconds_between
from crossdock.observe import LANE_MENDED, LANE_STUMBLED, LANES_HANDED_ON, LANES_LEFT, LOOK_FAILED, Observe, emit
from crossdock.run.lanes import LaneDriver, LaneLost, OwnedLane
from crossdock.run.walk import LeaseLost
from crossdock.store import Store
from crossdock.store.accept import Accepted
from crossdock.store.lanes import (
    LaneRelease,
    StalledLane,
    acquire_lanes,
    count_lanes_by_node,
    dormant_lanes_in_use,
    has_orphan_lanes,
    owns_lane,
    release_lanes,
    stalled_lanes,
    wake_forgotten_lanes,
)
from crossdock.store.signals import Signals, Topic

LANES_AT_ONCE = 256
PAUSE_SECONDS = 1.0
"""After a fault, before the lane is gone on with."""
STALLED_SECONDS = 10.0
"""A head that was due so long ago and was not begun waits without cause."""
UNEVEN = 1.25
"""How much more than its share a node owns before it hands lanes on; a few more do not matter."""
UNEVEN_LANES = 4
HANDED_ON_AT_ONCE = 64
WOKEN_AT_ONCE = 500
ORPHAN_SECONDS = 2.0
"""How long lanes without an owner are left to those who were told of them."""


class OwnedLanes:
    """The lanes of this node by their ids. `track` keeps the tasks that drive them until they end."""

    def __init__(
        self,
        store: Store,
        driver: LaneDriver,
        signals: Signals,
        observe: Observe,
        track: Callable[[asyncio.Future[Any]], None],
        *,
        sources: Sources,
        unreadable: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`unreadable` are the integrations that this node can't work for: their lanes are left to others."""
        self._unreadable = unreadable
        self._store = store
        self._driver = driver
        self._signals = signals
        self._observe = observe
        self._track = track
        self._sources = sources
        self._lanes: dict[str, OwnedLane] = {}
        self._seeks = True
        self._orphans_since: float | None = None

    def add(self, accepted: Accepted) -> bool:
        """A freshly recorded event in its lane; False when that has no owner.

        The owner may be another node, which hears of it.
        """
        lane = accepted.lane
        assert lane is not None
        if accepted.lane_token is not None and accepted.node_id == self._sources.node_id:
            waiting = LeasedRun(
                event=accepted.event,
                workflow_number=accepted.workflow_number,
                attempts=0,
                losses=0,
                lease_token="",
                lane=lane,
                journal=accepted.journal,
                caller_node=accepted.caller_node,
            )
            owned = self._own(lane.id, accepted.event.integration_id, accepted.lane_token)
            owned.add(waiting, accepted.event.received_at)
        elif accepted.node_id is not None:
            self._signals.tell(Topic.LANE_GROWN, lane.id, node=accepted.node_id)
        else:
            self._signals.tell(Topic.LANES)
        return accepted.node_id is not None

    def changed(self, lane_id: str) -> bool:
        """The lane was changed in the store; whether it is owned here."""
        lane = self._lanes.get(lane_id)
        if lane is not None:
            lane.forget()
        return lane is not None

    def changes_told(self, lane_ids: Sequence[str]) -> None:
        """Another node changed lanes in the store; none named: any of them."""
        for lane_id in lane_ids or list(self._lanes):
            self.changed(lane_id)

    def growth_told(self, lane_ids: Sequence[str]) -> None:
        """Another node recorded events in lanes; none named: in any of them."""
        for lane_id in lane_ids or list(self._lanes):
            lane = self._lanes.get(lane_id)
            if lane is not None:
                lane.grow()

    def _own(self, lane_id: str, integration_id: str, token: str) -> OwnedLane:
        lane = self._lanes.get(lane_id)
        if lane is None or lane.token != token:
            if lane is not None and lane.task is not None:
                lane.task.cancel()
            lane = self._lanes[lane_id] = OwnedLane(lane_id, integration_id, token)
            lane.task = asyncio.get_running_loop().create_task(self._drive(lane))
            self._track(lane.task)
        return lane

    async def _drive(self, lane: OwnedLane) -> None:
        while not self._driver.stopping:
            try:
                await self._driver.drive(lane)
                if lane.is_wanted_elsewhere:
                    await self._hand_on(lane)
                    return
                if lane.is_idle_for_long and await self._give_up(lane):
                    return
            except LeaseLost:
                lane.forget()
            except LaneLost:
                self._observe.lease_lost("lane")
                self._disown(lane)
                return
            except StoreUnavailable as error:
                emit(LOOK_FAILED, reason=str(error))
                lane.forget()
                lane.is_engaged = False
                await asyncio.sleep(0.0 if self._driver.stopping else PAUSE_SECONDS)
            except Exception as error:
                emit(LANE_STUMBLED, error=error, lane=lane.id)
                lane.forget()
                await asyncio.sleep(PAUSE_SECONDS)

    async def _give_up(self, lane: OwnedLane) -> bool:
        """Let go of a lane in which nothing can start; False when something came in the meantime."""
        lane.is_idle_for_long = False
        if not await self._store.submit(LaneRelease(lane.id, lane.token)):
            lane.forget()
            return False
        self._disown(lane)
        return True

    async def _hand_on(self, lane: OwnedLane) -> None:
        if self._lanes.get(lane.id) is not lane:
            return  # it was abandoned
        await self._store.write(release_lanes, [(lane.id, lane.token)])
        self._disown(lane)
        self._signals.tell(Topic.LANES)

    def _disown(self, lane: OwnedLane) -> None:
        if self._lanes.get(lane.id) is lane:
            del self._lanes[lane.id]

    # --- finding, sharing, mending ---------------------------------------------------------------------------------

    def seek(self) -> None:
        """There are lanes without an owner, as far as somebody knows."""
        self._seeks = True

    def are_wanted(self, has_orphans: bool) -> bool:
        """Whether to adopt lanes: when this node was told of them, or those who were do not do it."""
        is_told, self._seeks = self._seeks, False
        now = asyncio.get_running_loop().time()
        self._orphans_since = (self._orphans_since or now) if has_orphans else None
        return self._orphans_since is not None and (is_told or now - self._orphans_since >= ORPHAN_SECONDS)

    async def look(self) -> None:
        """Find what was changed in lanes of this node while nobody tells of it."""
        if self._signals.is_healthy or not self._lanes:
            return
        for waiting in await self._store.read(stalled_lanes, self._sources.node_id, self._sources.now()):
            lane = self._lanes.get(waiting.id)
            if lane is not None and lane.is_idle:
                lane.forget()

    async def adopt(self) -> None:
        """Own the lanes that have work and no owner: after a start, and after another node was lost or let go."""
        while self._sources.epoch.may_act() and await self._store.read(has_orphan_lanes):
            node_id = self._sources.node_id
            tokens = [new_token() for _ in range(LANES_AT_ONCE)]
            adopted = await self._store.write(acquire_lanes, node_id, tokens, tuple(self._unreadable()))
            if not adopted or node_id != self._sources.node_id:
                return
            for lane_id, integration_id, token in adopted:
                self._own(lane_id, integration_id, token)

    def leave_those_of(self, integration_id: str) -> None:
        """Hand on the lanes of an integration."""
        for lane in self._lanes.values():
            if lane.integration_id == integration_id:
                lane.leave()

    async def share(self) -> None:
        """Hand some lanes on where this node owns clearly more than its share."""
        runners = {m.node_id for m in self._sources.epoch.members if "run" in m.roles and not m.is_leaving}
        if len(runners) < 2 or len(self._lanes) <= UNEVEN_LANES:
            return
        surplus = _surplus(await self._store.read(count_lanes_by_node), self._sources.node_id, runners)
        if surplus <= 0:
            return
        leaving = [lane for lane in self._lanes.values() if not lane.is_wanted_elsewhere][:surplus]
        for lane in leaving:
            lane.leave()
        emit(LANES_HANDED_ON, count=len(leaving))
        self._observe.lanes_handed_on(len(leaving))

    async def mend(self) -> None:
        """Find lanes of this node that wait without cause, and set them going."""
        if not self._sources.epoch.may_act():
            return  # that is the cause
        node_id, before = self._sources.node_id, later(self._sources.now(), -STALLED_SECONDS)
        for stalled in await self._store.read(stalled_lanes, node_id, before):
            lane = self._lanes.get(stalled.id)
            if lane is None and await self._store.read(owns_lane, stalled.id, stalled.token):
                self._own(stalled.id, stalled.integration_id, stalled.token)
                self._say_mended(stalled, "its owner knew nothing of it")
            elif lane is not None and lane.token == stalled.token and lane.is_idle:
                lane.forget()
                self._say_mended(stalled, "its owner had not seen its head")

    def _say_mended(self, stalled: StalledLane, cause: str) -> None:
        waited = seconds_between(stalled.head_due_at, self._sources.now())
        if stalled.head_state is RunState.RUNNING:
            cause = "its head was marked as running, and nobody worked on it"
        emit(LANE_MENDED, lane=stalled.id, cause=cause, waited_seconds=round(waited, 1))
        self._observe.lane_mended()

    async def wake_forgotten(self) -> None:
        """Wake lanes that nobody would look for although a run could start in them."""
        before = later(self._sources.now(), -STALLED_SECONDS)
        asleep = await self._store.read(dormant_lanes_in_use)
        woken: list[str] = []
        for start in range(0, len(asleep), WOKEN_AT_ONCE):
            woken += await self._store.write(wake_forgotten_lanes, asleep[start : start + WOKEN_AT_ONCE], before)
        for lane_id in woken:
            emit(LANE_MENDED, lane=lane_id, cause="it was taken for empty", waited_seconds=None)
            self._observe.lane_mended()
        if woken:
            self._signals.tell(Topic.LANES)
            await self.adopt()

    # --- the end ---------------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """The lanes are others' now."""
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            lane.leave()
            if lane.task is not None:
                lane.task.cancel()

    def cancel_idle(self) -> None:
        """Wake nobody any more, and ask the store for nothing; lanes with a run in work go on to its end."""
        for lane in self._lanes.values():
            if lane.task is not None and not lane.is_engaged:
                lane.task.cancel()

    async def release(self) -> None:
        """Give all lanes up, for others to adopt. With the database away they do that when they see this node dead."""
        if not self._lanes:
            return
        try:
            await self._store.write(release_lanes, [(lane.id, lane.token) for lane in self._lanes.values()])
        except StoreUnavailable as error:
            emit(LANES_LEFT, count=len(self._lanes), reason=str(error))
            return
        self._signals.tell(Topic.LANES)

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def busy(self) -> int:
        """How many of them have a run in work."""
        return sum(not lane.is_idle for lane in self._lanes.values())


def _surplus(owned: Mapping[str, int], node_id: str, runners: set[str]) -> int:
    """How many lanes a node should hand on; 0 when it is near its share."""
    mine = owned.get(node_id, 0)
    share = -(-sum(owned.get(runner, 0) for runner in runners) // len(runners))
    if mine <= share * UNEVEN + UNEVEN_LANES:
        return 0
    return min(mine - share, HANDED_ON_AT_ONCE)
