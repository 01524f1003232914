"""One time for all accounts: microseconds since the machine started, its sleep included.

Processes whose wall clock is stepped, and a machine whose wall clock is slewed, agree on it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass


def moment() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000


@dataclass(frozen=True, slots=True)
class WallClock:
    """Turns wall times into moments: how far the two are apart was looked at twice."""

    first: tuple[int, int]
    last: tuple[int, int]

    def moment_of(self, wall: int) -> int:
        """The moment of a wall time in microseconds."""
        (first_at, first_apart), (last_at, last_apart) = self.first, self.last
        share = (wall - first_apart - first_at) / max(1, last_at - first_at)
        return wall - first_apart - round((last_apart - first_apart) * share)


def look_at_clocks() -> tuple[int, int]:
    """The moment, and how many microseconds the wall clock is ahead of it."""
    before = moment()
    wall = time.time_ns() // 1_000
    between = (before + moment()) // 2
    return between, wall - between
