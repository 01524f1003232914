"""Traffic of the last minutes, which nobody has counted yet: counted when somebody looks, and kept in memory.

Time is cut into chunks of 15 s. A chunk that is over, and all of whose runs have ended, is never read again, so that a
look costs the rows of the last few seconds. All who look share one look.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic

from crossdock.clock import Clock
from crossdock.model.time import SECOND, Instant
from crossdock.model.traffic import SLOT, Counts, floor_to
from crossdock.store import Store
from crossdock.store.traffic import Place, count_runs, counted_to

CHUNK: Instant = 15 * SECOND
SETTLED: Instant = 10 * SECOND
"""How long after its end a chunk may still get calls whose commit takes its time."""
LONGEST: Instant = 4 * SLOT
"""Older calls are left to the count of slots, even where it is behind."""
BITE: Instant = 60 * SECOND
FRESH_SECONDS = 1.0
RESTING_SHARE = 10
"""A look is shared at least so many times as long as it took."""


@dataclass(slots=True)
class OpenTraffic:
    """What came since `since`, by integration and chunk."""

    store: Store
    clock: Clock
    since: Instant = 0
    chunks: dict[Place, Counts] = field(default_factory=dict)
    _settled_to: Instant = 0
    _fresh_until: float = float("-inf")
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self) -> None:
        """Bring it up to date, unless somebody has just done so."""
        async with self._turn:
            if monotonic() < self._fresh_until:
                return
            began = monotonic()
            await self._look()
            took = monotonic() - began
            self._fresh_until = monotonic() + max(FRESH_SECONDS, RESTING_SHARE * took)

    def expire(self) -> None:
        """Let the next look read anew, however fresh the last one is."""
        self._fresh_until = float("-inf")

    async def _look(self) -> None:
        now = self.clock()
        to = await self.store.read(counted_to) or 0
        since = max(to, floor_to(now - LONGEST, SLOT))
        start = max(self._settled_to, since)
        found: dict[Place, Counts] = {}
        end = floor_to(now, CHUNK) + 2 * CHUNK  # another node's clock may be ahead
        for first in range(start, end, BITE):
            part = await self.store.read(count_runs, first, min(first + BITE, end), CHUNK)
            for place, counts in part.items():
                found.setdefault(place, Counts()).add(counts)
        kept = {place: counts for place, counts in self.chunks.items() if since - SLOT <= place[1] < start}
        self.since, self.chunks = since, {**kept, **found}
        self._settled_to = self._settled(start, now)

    def _settled(self, start: Instant, now: Instant) -> Instant:
        """Up to when everything is over: what is read again begins there."""
        over = floor_to(now - SETTLED, CHUNK)
        unfinished = [place[1] for place, counts in self.chunks.items() if place[1] >= start and counts.unfinished]
        return max(start, min([over, *unfinished]))

    def slots(self, width: Instant, since: Instant) -> dict[Place, Counts]:
        """What came since an instant, by integration and slot of this width: a whole number of chunks."""
        found: dict[Place, Counts] = {}
        for (integration_id, chunk), counts in self.chunks.items():
            if chunk >= since:
                found.setdefault((integration_id, floor_to(chunk, width)), Counts()).add(counts)
        return found
