"""Traffic of whole workspaces that is over, remembered for a minute.

A chart of a day is the sum of a slot for each five minutes of each integration: tens of thousands of rows, of which
those that are more than an hour old hardly ever change. They are read once a minute for all who look, what is younger
with every look. A run that ends more than an hour after its call is seen in the charts of a workspace a minute late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeAlias

from crossdock.clock import Clock
from crossdock.model.time import Instant
from crossdock.model.traffic import HOUR, Counts, floor_to
from crossdock.store import Store
from crossdock.store.traffic import KeptSums, kept_sums

REMEMBERED_SECONDS = 60.0
YOUNG: Instant = HOUR
"""What came within is read with every look."""
MOST_REMEMBERED = 200
"""Charts of so many kinds and workspaces: one holds a few hundred small numbers."""

Kind: TypeAlias = tuple[str, Instant, Instant]
"""A workspace's id, the width of the slots, and the step in which they are summed."""


@dataclass(slots=True)
class _Past:
    """Steps from `since` up to `to`, as they were read last."""

    since: Instant = 0
    to: Instant = 0
    sums: Mapping[Instant, Counts] = field(default_factory=dict)
    good_until: float = float("-inf")
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def has(self, start: Instant) -> bool:
        return self.since <= start and monotonic() < self.good_until


@dataclass(frozen=True, slots=True)
class PastTraffic:
    store: Store
    clock: Clock
    _known: dict[Kind, _Past] = field(default_factory=dict)

    async def sums(self, workspace_id: str, width: Instant, step: Instant, times: tuple[Instant, Instant]) -> KeptSums:
        """As `kept_sums` tells them. Nobody changes the sums of steps that are over: others are shown them, too."""
        past = self._past((workspace_id, width, step))
        async with past.turn:  # whoever comes meanwhile is served by the same read
            if not past.has(times[0]):
                kept = await self.store.read(kept_sums, workspace_id, width, step, times)
                self._remember(past, kept, step, times)
                return kept
            to, known = past.to, past.sums
        start = max(times[0], to)
        young = await self.store.read(kept_sums, workspace_id, width, step, (start, max(start, times[1])))
        over = {at: counts for at, counts in known.items() if times[0] <= at < times[1]}
        return KeptSums(young.counted_to, {**over, **young.sums}, young.names)

    def expire(self) -> None:
        """Let the next look read anew, however fresh the last one is."""
        self._known.clear()

    def _past(self, kind: Kind) -> _Past:
        """What is known of a kind, which from now on is the one that was used last."""
        past = self._known.pop(kind, None) or _Past()
        self._known[kind] = past
        if len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        return past

    def _remember(self, past: _Past, kept: KeptSums, step: Instant, times: tuple[Instant, Instant]) -> None:
        """All steps that are over and were counted; calls that nobody has counted yet are never in them."""
        to = floor_to(min(self.clock() - YOUNG, kept.counted_to, times[1]), step)
        past.since, past.to = times[0], max(times[0], to)
        past.sums = {at: counts for at, counts in kept.sums.items() if at < past.to}
        past.good_until = monotonic() + REMEMBERED_SECONDS
