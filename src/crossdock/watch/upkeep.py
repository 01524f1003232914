"""Counts, gauges and retention."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from crossdock import observe
from crossdock.catalog import Catalog
from crossdock.clock import Clock
from crossdock.model.tally import Tally
from crossdock.model.time import Instant, later, seconds_between
from crossdock.observe import Observe
from crossdock.store import Store
from crossdock.store.audit import forget_audit
from crossdock.store.backlog import add_rejections, blocked_lanes, count_backlog
from crossdock.store.deliveries import cancel_deliveries_of
from crossdock.store.keys import KeyUse, record_use
from crossdock.store.notice_deliveries import shorten_lines
from crossdock.store.permits import forget_permits
from crossdock.store.retention import (
    cancel_runs_of,
    forget_dedupe_keys,
    forget_events,
    forget_health,
    forget_health_of_removed,
    forget_lanes,
    forget_notifications,
    oldest_health,
    removed_integrations,
)
from crossdock.store.traffic import Place, add_refused, counted_to

SLICE = 500
"""Events looked at, and deleted, in one transaction."""
SLICES_A_TURN = 200
"""Of each integration: the next turn goes on where this one stopped."""
COUNTING_SHARE = 20
"""How many times as long as it took is waited after counting what waits: a long backlog is counted less often."""
HEALTH_KEPT_SECONDS = 90 * 86_400.0
"""How long changes of health, and issues that are over, are kept at least; longer where the events are."""
LANE_KEPT_SECONDS = 86_400.0
"""How long an empty lane's numbering is remembered."""


class Upkeep:
    """`take_counts` gives what was counted at the door since it was last asked."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        metrics: Observe,
        take_counts: Callable[[], Tally],
        *,
        clock: Clock,
        queue_limit: int,
        retention_seconds: float,
        audit_retention_seconds: float,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._metrics = metrics
        self._take_counts = take_counts
        self._clock = clock
        self._queue_limit = queue_limit
        self._retention = retention_seconds
        self._audit_retention = audit_retention_seconds
        self._full: frozenset[str] = frozenset()
        self._forgotten_to: dict[str, str] = {}

    def is_full(self, integration_id: str) -> bool:
        """Whether so many of the integration's runs wait that no more are taken in."""
        return integration_id in self._full

    async def write_counts(self) -> None:
        """Refused calls and calls by key. What can't be written now is lost: they are statistics."""
        counted = self._take_counts()
        rejections = [(*place, count.calls, count.last_at) for place, count in counted.rejections.items()]
        if rejections:
            await self._store.write(add_rejections, rejections)
            await self._store.write(add_refused, _by_moment(counted))
        if counted.keys:
            uses = [KeyUse(key_id, count.calls, count.last_at) for key_id, count in counted.keys.items()]
            await self._store.write(record_use, uses)

    async def measure(self) -> None:
        """Look at what waits, for the door and the metrics."""
        now = self._clock()
        ids = list(self._catalog.snapshot.by_id)
        began = monotonic()
        backlog = await self._store.read(count_backlog, ids, self._queue_limit)
        self._full = frozenset(i for i, (count, _) in backlog.items() if count >= self._queue_limit)
        self._metrics.set_backlog(
            {i: count for i, (count, _) in backlog.items()},
            {i: seconds_between(oldest, now) for i, (_, oldest) in backlog.items()},
        )
        self._metrics.set_blocked_lanes(await self._store.read(blocked_lanes))
        await asyncio.sleep(COUNTING_SHARE * (monotonic() - began))

    async def cancel_orphans(self) -> None:
        """End the runs and replies of integrations that were removed: nobody would work on them any more."""
        for integration_id in await self._store.read(removed_integrations):
            for cancel in (cancel_runs_of, cancel_deliveries_of):
                while await self._store.write(cancel, integration_id, self._clock(), SLICE) == SLICE:
                    continue

    async def forget(self) -> None:
        """Delete what is past its time, slice by slice, so that nobody waits long for the writer."""
        now = self._clock()
        removed = 0
        counted = await self._store.read(counted_to)  # what is not counted as traffic yet stays until it is
        periods = {i: live.integration.retention for i, live in self._catalog.snapshot.by_id.items()}
        for integration_id in await self._store.read(removed_integrations):
            periods[integration_id] = self._retention
        for integration_id, seconds in periods.items():
            before = later(now, -seconds)
            removed += await self._forget_events_of(integration_id, before if counted is None else min(before, counted))
        while await self._store.write(forget_dedupe_keys, now, SLICE) == SLICE:
            continue
        after: str | None = ""
        while after is not None:
            after = (await self._store.write(forget_lanes, later(now, -LANE_KEPT_SECONDS), SLICE, after)).after
        await self._forget_notifications(later(now, -self._retention))
        while await self._store.write(forget_audit, later(now, -self._audit_retention), SLICE) == SLICE:
            continue
        if removed:
            observe.emit(observe.RETENTION_SWEPT, events=removed)

    async def _forget_notifications(self, before: Instant) -> None:
        after: str | None = ""
        while after is not None:
            after = (await self._store.write(forget_notifications, before, SLICE, after)).after
        while await self._store.write(shorten_lines, self._clock(), SLICE) == SLICE:
            continue

    async def forget_health(self) -> None:
        """Delete what tells of health long ago, and all that tells of that of removed integrations."""
        now = self._clock()
        while await self._store.write(forget_health_of_removed, SLICE):
            continue
        for integration_id, oldest in (await self._store.read(oldest_health)).items():
            live = self._catalog.snapshot.by_id.get(integration_id)
            own_seconds = live.integration.retention if live is not None else self._retention
            before = later(now, -max(HEALTH_KEPT_SECONDS, own_seconds))
            while oldest < before and await self._store.write(forget_health, integration_id, before, SLICE) >= SLICE:
                continue

    async def forget_permits(self) -> None:
        """Delete counts of calls that no rate limit looks at any more."""
        limits = {i: live.integration.trigger.rate_limit for i, live in self._catalog.snapshot.by_id.items()}
        await self._store.write(forget_permits, {i: limit.per for i, limit in limits.items() if limit is not None})

    async def _forget_events_of(self, integration_id: str, before: Instant) -> int:
        """Slice by slice, with as long a pause after each as it took: half of the writer is everybody else's."""
        removed = 0
        after: str | None = self._forgotten_to.pop(integration_id, "")
        for _ in range(SLICES_A_TURN):
            began = monotonic()
            done = await self._store.write(forget_events, integration_id, before, SLICE, after or "")
            removed += done.deleted
            after = done.after
            if after is None:
                return removed
            await asyncio.sleep(monotonic() - began)
        self._forgotten_to[integration_id] = after or ""
        return removed


def _by_moment(counted: Tally) -> dict[Place, int]:
    """Refused calls by integration and when the last of them came."""
    found: dict[Place, int] = {}
    for (integration_id, _), count in counted.rejections.items():
        place = (integration_id, count.last_at)
        found[place] = found.get(place, 0) + count.calls
    return found
