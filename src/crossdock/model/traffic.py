"""Traffic: how many calls came in a stretch of time, what became of them, and how long they took.

Time is cut into slots of five minutes, and into hours. A call belongs to the slot in which it was accepted, whenever
it ends; a refused one to the slot in which it was counted. How long runs took, from acceptance to their end, is kept
as a histogram of a few dozen buckets whose bounds are a factor of 1.7 apart at most, so that histograms can be added.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil

from crossdock.model.states import RunState
from crossdock.model.time import SECOND, Instant

SLOT: Instant = 300 * SECOND
HOUR: Instant = 3_600 * SECOND

BOUNDS_MS: tuple[float, ...] = tuple(
    round(step * 10.0**power, 3) for power in range(8) for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
)
"""Where the buckets after the first one begin, in milliseconds: from 1 ms to 70,000 s."""


@dataclass(slots=True)
class Counts:
    """Calls of some stretch of time. What was accepted and has not ended yet is `unfinished`."""

    accepted: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    rejected: int = 0
    durations: dict[int, int] = field(default_factory=dict)
    """How many ended runs (not canceled ones) took how long, by bucket: 0 is below the first of BOUNDS_MS."""

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.canceled

    @property
    def unfinished(self) -> int:
        return max(0, self.accepted - self.ended)

    def add(self, other: Counts) -> None:
        self.accepted += other.accepted
        self.succeeded += other.succeeded
        self.failed += other.failed
        self.canceled += other.canceled
        self.rejected += other.rejected
        self.add_durations(other.durations)

    def add_durations(self, durations: Mapping[int, int]) -> None:
        own = self.durations
        for bucket, count in durations.items():
            own[bucket] = own.get(bucket, 0) + count

    def add_runs(self, state: str, bucket: int, count: int) -> None:
        """So many accepted runs in a state; `bucket` counts for those that succeeded or failed."""
        self.accepted += count
        match state:
            case RunState.SUCCEEDED:
                self.succeeded += count
            case RunState.FAILED:
                self.failed += count
            case RunState.CANCELED:
                self.canceled += count
        if state in _TIMED:
            self.durations[bucket] = self.durations.get(bucket, 0) + count


_TIMED = frozenset({RunState.SUCCEEDED.value, RunState.FAILED.value})


def total(counts: Iterable[Counts]) -> Counts:
    """All of them together."""
    whole = Counts()
    durations = whole.durations
    for one in counts:
        whole.accepted += one.accepted
        whole.succeeded += one.succeeded
        whole.failed += one.failed
        whole.canceled += one.canceled
        whole.rejected += one.rejected
        for bucket, count in one.durations.items():  # not `add`: pages sum thousands of histograms
            durations[bucket] = durations.get(bucket, 0) + count
    return whole


def bucket_of(milliseconds: float) -> int:
    return bisect_right(BOUNDS_MS, milliseconds)


def percentile_ms(durations: Mapping[int, int], rank: int) -> float | None:
    """About how many milliseconds `rank` percent of the runs took at most; None without runs.

    It is read off a straight line through the bucket that holds the run of that rank (nearest rank).
    """
    runs = sum(durations.values())
    if runs == 0:
        return None
    wanted = max(1, ceil(runs * rank / 100))
    before = 0
    for bucket in sorted(durations):
        count = durations[bucket]
        if before + count >= wanted:
            return _within(bucket, (wanted - before) / count)
        before += count
    raise AssertionError("the ranks of all buckets are those of all runs")


def _within(bucket: int, part: float) -> float:
    if bucket >= len(BOUNDS_MS):
        return BOUNDS_MS[-1]
    low = BOUNDS_MS[bucket - 1] if bucket > 0 else 0.0
    return round(low + (BOUNDS_MS[bucket] - low) * part, 3)


def floor_to(moment: Instant, width: Instant) -> Instant:
    """The beginning of the slot of this width that holds a moment."""
    return moment // width * width


def is_newer(new: Counts, kept: Counts) -> bool:
    """Whether a count may take the place of another one of the same slot: runs only come and end.

    One that knows of less is older, or its events have begun to be forgotten.
    """
    return new.accepted >= kept.accepted and new.ended >= kept.ended
