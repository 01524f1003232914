"""Counting traffic: each slot of time once it is over, and anew while some of its runs have not ended.

It is a duty: one node does it for all, slot by slot, with pauses. What a dead node left uncounted is counted by the
next one, from the same rows.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from crossdock.clock import Clock
from crossdock.model.time import SECOND, Instant, later
from crossdock.model.traffic import HOUR, SLOT, Counts, floor_to, is_newer, total
from crossdock.store import Store
from crossdock.store.traffic import (
    Place,
    close_slot,
    count_runs,
    count_unfinished_runs,
    counted_to,
    forget_traffic,
    integrations_with_traffic,
    next_acceptance,
    open_slots,
    put_traffic,
    read_slots,
)

LATE_SECONDS = 30.0
"""How long after its end a slot is counted: what was accepted in its last moment is committed by then."""
FINE_HOURS = 50
"""Slots of five minutes are kept as long; hours are all that is left of older ones."""
KEPT_SECONDS = 400 * 86_400.0
"""How long hours are kept, whatever becomes of their events."""
LONGEST_BITE: Instant = HOUR
SHORTEST_BITE: Instant = 15 * SECOND
"""Runs of so much time are counted in one read: longer where they are few, so that no reader is kept for long."""
LONG_SECONDS, SHORT_SECONDS = 0.1, 0.03
"""A bite that takes longer is halved, one that takes less is doubled."""
RESTING_SHARE = 1
"""How many times as long as it took is rested after a count: half of the writer is everybody else's."""

LOOK_RESTING_SHARE = 20
"""The same after a look at all unfinished runs, of which there may be very many where lanes are blocked."""


@dataclass(frozen=True, slots=True)
class _Changed:
    """A slot in which runs have ended since it was counted: whose, and how many have not."""

    width: Instant
    start: Instant
    unfinished: Mapping[str, int]
    in_hour: Mapping[Place, int]
    """How many have not ended of those of whole hours."""


class TrafficCount:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._bite: Instant = 60 * SECOND

    async def count(self) -> None:
        """Count what is over and was not counted, and what has changed since it was."""
        await self._count_closed()
        await self._count_anew()

    # --- slots that are over ---------------------------------------------------------------------------------------

    async def _count_closed(self) -> None:
        end = floor_to(later(self._clock(), -LATE_SECONDS), SLOT)
        cursor = await self._store.read(counted_to)
        while cursor is None or cursor < end:
            began = monotonic()
            # The slot before is counted once more: a commit that took longer than a slot waits is in it by now.
            came_at = await self._store.read(next_acceptance, max(0, (cursor or 0) - SLOT))
            if came_at is None or came_at >= end:
                await self._store.write(put_traffic, {}, end)
                return
            cursor = await self._count_next(max(cursor or 0, floor_to(came_at, SLOT)), end)
            await asyncio.sleep(RESTING_SHARE * (monotonic() - began))

    async def _count_next(self, start: Instant, end: Instant) -> Instant:
        """Count what is over of the hour that holds an instant; up to when all is counted now."""
        fine_since = self._fine_since()
        if start < fine_since:
            hour = floor_to(start, HOUR)
            counts = await self._count(hour, hour + HOUR, HOUR)
            await self._store.write(put_traffic, {HOUR: counts}, min(hour + HOUR, end))
            return hour + HOUR
        to = min(floor_to(start, HOUR) + HOUR, end)
        counts = await self._count(max(start - SLOT, fine_since), to, SLOT)
        await self._store.write(put_traffic, await self._with_hours(counts), to)
        return to

    def _fine_since(self) -> Instant:
        return floor_to(self._clock() - FINE_HOURS * HOUR, HOUR)

    async def _count(
        self, start: Instant, end: Instant, width: Instant, integration_ids: Sequence[str] | None = None
    ) -> dict[Place, Counts]:
        """Bite by bite."""
        found: dict[Place, Counts] = {}
        first = start
        while first < end:
            began, last = monotonic(), min(first + self._bite, end)
            part = await self._store.read(count_runs, first, last, width, integration_ids)
            for place, counts in part.items():
                found.setdefault(place, Counts()).add(counts)
            self._bite = _next_bite(self._bite, monotonic() - began)
            first = last
        return found

    async def _with_hours(self, slots: Mapping[Place, Counts]) -> dict[Instant, dict[Place, Counts]]:
        """Counts of slots, and those of the hours that they are in."""
        by_hour: dict[Instant, set[str]] = defaultdict(set)
        for integration_id, slot in slots:
            by_hour[floor_to(slot, HOUR)].add(integration_id)
        hours: dict[Place, Counts] = {}
        for hour, ids in by_hour.items():
            kept = await self._store.read(read_slots, sorted(ids), SLOT, hour, hour + HOUR)
            for place, counts in slots.items():
                if floor_to(place[1], HOUR) == hour and (place not in kept or is_newer(counts, kept[place])):
                    kept[place] = counts
            for integration_id in ids:
                hours[integration_id, hour] = total(one for place, one in kept.items() if place[0] == integration_id)
        return {SLOT: dict(slots), HOUR: hours}

    # --- slots that have changed -----------------------------------------------------------------------------------

    async def _count_anew(self) -> None:
        looked = monotonic()
        found = await self._changed()
        took = monotonic() - looked
        for changed in found:
            began = monotonic()
            await self._count_changed(changed)
            await asyncio.sleep(RESTING_SHARE * (monotonic() - began))
        await asyncio.sleep(LOOK_RESTING_SHARE * took)

    async def _changed(self) -> list[_Changed]:
        """Slots in which runs have ended since they were counted, the newest first."""
        to, fine_since = await self._store.read(counted_to), self._fine_since()
        fine = await self._store.read(open_slots, SLOT, fine_since)
        coarse = await self._store.read(open_slots, HOUR, 0)
        coarse = {place: count for place, count in coarse.items() if place[1] < fine_since}
        if to is None or not (fine or coarse):
            return []
        unfinished = await self._store.read(count_unfinished_runs, to)
        in_hours: dict[Place, int] = defaultdict(int)
        for (integration_id, slot), count in unfinished.items():
            in_hours[integration_id, floor_to(slot, HOUR)] += count
        return [
            *(_Changed(SLOT, start, left, in_hours) for start, left in _differing(fine, unfinished)),
            *(_Changed(HOUR, start, left, in_hours) for start, left in _differing(coarse, in_hours)),
        ]

    async def _count_changed(self, changed: _Changed) -> None:
        ids, start, width = sorted(changed.unfinished), changed.start, changed.width
        kept = await self._store.read(read_slots, ids, width, start, start + 1)
        counts = await self._count(start, start + width, width, ids)
        for place, before in kept.items():
            if counts.get(place, Counts()).accepted < before.accepted:  # its events have begun to be forgotten
                counts.pop(place, None)
                await self._close(changed, place)
        grown = await self._with_hours(counts) if width == SLOT else {HOUR: counts}
        await self._store.write(put_traffic, grown)

    async def _close(self, changed: _Changed, place: Place) -> None:
        integration_id, start = place
        await self._store.write(close_slot, changed.width, place, changed.unfinished[integration_id])
        if changed.width == SLOT:
            hour = (integration_id, floor_to(start, HOUR))
            await self._store.write(close_slot, HOUR, hour, changed.in_hour.get(hour, 0))

    # --- forgetting ------------------------------------------------------------------------------------------------

    async def forget(self) -> None:
        """Delete slots whose time is over."""
        now = self._clock()
        fine_before, before = self._fine_since() - HOUR, later(now, -KEPT_SECONDS)
        for integration_id in await self._store.read(integrations_with_traffic):
            for width, oldest in ((SLOT, fine_before), (HOUR, before)):
                await self._store.write(forget_traffic, width, integration_id, oldest)


def _next_bite(bite: Instant, took_seconds: float) -> Instant:
    if took_seconds > LONG_SECONDS:
        return max(SHORTEST_BITE, bite // 2)
    return min(LONGEST_BITE, 2 * bite) if took_seconds < SHORT_SECONDS else bite


def _differing(
    known: Mapping[Place, int], unfinished: Mapping[Place, int]
) -> Iterable[tuple[Instant, Mapping[str, int]]]:
    """Beginnings of slots, the newest first, each with the integrations whose runs have ended since they were counted,
    and how many have not.
    """
    by_start: dict[Instant, dict[str, int]] = defaultdict(dict)
    for place, count in known.items():
        left = unfinished.get(place, 0)
        if left != count:
            by_start[place[1]][place[0]] = left
    return [(start, by_start[start]) for start in sorted(by_start, reverse=True)]
