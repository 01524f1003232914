"""What the metrics tell of this node's own state, and of what waits for all nodes.

What concerns the whole installation is measured by each node, and each shows the same: a node that shows what another
one measured would go on showing it when that one is gone. So that it costs the database little, however much waits,
each node pauses after it for a hundred times as long as it took.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from crossdock.clock import Sources
from crossdock.model.time import seconds_between
from crossdock.observe import Observe
from crossdock.store import Store
from crossdock.store.fleet import count_bulk_jobs, count_waiting_deliveries, deepest_lanes
from crossdock.store.notice_deliveries import failing_webhooks

DEEPEST_LANES = 20
LANE_SHOWN_AFTER_SECONDS = 60.0
"""Lanes that come and go would be a new time series each."""
LANE_NAME_CHARACTERS = 80
SHORTEST_PAUSE_SECONDS = 15.0
MEASURING_SHARE = 100
NAP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Held:
    """What a node holds at the moment: leases by kind, how many of its lanes are busy, and changes that wait."""

    leases: Mapping[str, int]
    busy_lanes: int
    changes_waiting: int


class Measuring:
    """`held` is asked whenever somebody reads the metrics."""

    def __init__(self, store: Store, metrics: Observe, held: Callable[[], Held], *, sources: Sources) -> None:
        self._store = store
        self._metrics = metrics
        self._held = held
        self._sources = sources
        self.pause_seconds = SHORTEST_PAUSE_SECONDS
        """How long to wait until what waits is looked at again."""
        metrics.when_asked(self._tell)

    def _tell(self) -> None:
        held, epoch = self._held(), self._sources.epoch
        self._metrics.set_work(held.leases, held.busy_lanes, held.changes_waiting)
        if not epoch.is_alone:
            self._metrics.set_lease(epoch.seconds_left)

    async def measure(self) -> None:
        """Look at what waits for all nodes: deliveries, failing webhooks, bulk jobs, the deepest lanes."""
        began = monotonic()
        now = self._sources.now()
        deliveries = await self._store.read(count_waiting_deliveries)
        self._metrics.set_deliveries(
            {i: count for i, (count, _) in deliveries.items()},
            {i: max(0.0, seconds_between(due_at, now)) for i, (_, due_at) in deliveries.items()},
        )
        self._metrics.set_webhook_failures(await self._store.read(failing_webhooks))
        self._metrics.set_bulk_jobs(await self._store.read(count_bulk_jobs))
        lanes: dict[tuple[str, str], tuple[int, float]] = {}
        for deep in await self._store.read(deepest_lanes, DEEPEST_LANES):
            place = (deep.integration_id, deep.state.key[:LANE_NAME_CHARACTERS])
            age = seconds_between(deep.state.head_since, now)
            if age >= LANE_SHOWN_AFTER_SECONDS:
                lanes.setdefault(place, (deep.state.depth, age))
        self._metrics.set_deepest_lanes(lanes)
        self.pause_seconds = max(SHORTEST_PAUSE_SECONDS, MEASURING_SHARE * (monotonic() - began))

    async def feel_the_loop(self) -> None:
        """How late the event loop wakes somebody who sleeps."""
        loop = asyncio.get_running_loop()
        due = loop.time() + NAP_SECONDS
        await asyncio.sleep(NAP_SECONDS)
        self._metrics.loop_lag(max(0.0, loop.time() - due))
