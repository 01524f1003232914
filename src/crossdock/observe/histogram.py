"""How often a value was how large."""

from __future__ import annotations

from bisect import bisect_left
from typing import TypeAlias

from crossdock.observe.metrics import MetricSpec

Labels: TypeAlias = tuple[str, ...]


class Histogram:
    """Counts by upper bounds, and the sum of all values."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, spec: MetricSpec) -> None:
        self.bounds = spec.bounds
        self.counts = [0] * (len(spec.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """How many values do not exceed each bound."""
        rows, total = [], 0
        for bound, count in zip((*self.bounds, float("inf")), list(self.counts), strict=True):
            total += count
            rows.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
        return rows
