"""Who is busiest and who is slowest: the same for everybody who looks at a workspace, and reckoned once for all.

The histograms of all integrations have to be summed for it, and a day hardly changes in seconds: an answer is good for
ten seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from crossdock.manage.traffic import Traffic
from crossdock.model.traffic import Counts, percentile_ms

RANKED = 5
"""How many of the busiest and slowest integrations are told."""
COMPARED = 200
"""Of so many integrations, those with the most calls, the slowest are told."""
GOOD_SECONDS = 10.0


@dataclass(slots=True)
class Ranking:
    """The busiest and the slowest of the last 24 hours, first ones first, with their counts."""

    busiest: Sequence[tuple[str, Counts]] = ()
    slowest: Sequence[tuple[str, Counts]] = ()
    _good_until: float = float("-inf")
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def bring_up_to_date(self, traffic: Traffic, integration_ids: Sequence[str]) -> None:
        async with self._turn:  # whoever comes meanwhile is served by the same reckoning
            if monotonic() < self._good_until:
                return
            lines = await traffic.lines(integration_ids)
            busy = [(one, line.total) for one, line in lines.items() if line.total.accepted]
            busy.sort(key=lambda item: (-item[1].accepted, item[0]))
            self.busiest, self.slowest = busy[:RANKED], _slowest(busy[:COMPARED])
            self._good_until = monotonic() + GOOD_SECONDS


def _slowest(some: Sequence[tuple[str, Counts]]) -> Sequence[tuple[str, Counts]]:
    tails = [(percentile_ms(counts.durations, 95), one, counts) for one, counts in some]
    timed = [(tail, one, counts) for tail, one, counts in tails if tail is not None]
    timed.sort(key=lambda item: (-item[0], item[1]))
    return [(one, counts) for _, one, counts in timed[:RANKED]]


@dataclass(frozen=True, slots=True)
class Rankings:
    """A ranking for each workspace that somebody has looked at."""

    traffic: Traffic
    _known: dict[str, Ranking] = field(default_factory=dict)

    async def of(self, workspace_id: str, integration_ids: Sequence[str]) -> Ranking:
        """`integration_ids` are all of the workspace. One that is told may have been deleted since."""
        ranking = self._known.setdefault(workspace_id, Ranking())
        await ranking.bring_up_to_date(self.traffic, integration_ids)
        return ranking

    def expire(self) -> None:
        """Let the next look reckon anew, however fresh the last one is."""
        self._known.clear()
