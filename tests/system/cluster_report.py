"""The figures of many rounds together: kept after each, so that a measurement can be broken off and gone on with."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.system.cluster_rounds import RoundReport

SUMS = (
    "faults",
    "acknowledged",
    "refused",
    "unclear",
    "runs",
    "effects",
    "repeated_in_flight",
    "late_under_way",
    "fenced",
)
FOUND = ("lost", "unfinished", "out_of_order", "repeated", "late", "stale")
"""Findings whose number is shown even when it is 0: that is what the measurement is about."""


@dataclass(slots=True)
class Statistics:
    """Sums over rounds. `measured` holds every figure that was taken, by name."""

    fault: str
    rounds: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    measured: dict[str, list[float]] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, report: RoundReport, label: str = "") -> None:
        """Take a round in; `label` tells its figures apart from those of other rounds."""
        self.rounds += 1
        self.sums.update({name: getattr(report, name) for name in SUMS})
        self.counts.update(report.counts)
        for name, found in asdict(report.findings).items():
            if found:
                self.found[name] += len(found)
                self.examples[name] = [*self.examples.get(name, []), *found][:5]
        for name, values in report.measured.items():
            key = f"{name} {label}".strip()
            self.measured.setdefault(key, []).extend(round(value, 4) for value in values)

    def problems(self) -> dict[str, list[str]]:
        return self.examples

    def document(self) -> dict[str, Any]:
        return {
            "fault": self.fault,
            "rounds": self.rounds,
            **{name: self.sums[name] for name in SUMS},
            **{name: self.found[name] for name in FOUND},
            "counts": dict(self.counts),
            "figures": {name: summary(values) for name, values in sorted(self.measured.items())},
        }

    # --- going on later ---

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({name: getattr(self, name) for name in self.__slots__}), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Statistics:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            kept["fault"],
            kept["rounds"],
            Counter(kept["sums"]),
            Counter(kept["counts"]),
            Counter(kept["found"]),
            kept["measured"],
            kept["examples"],
        )


def summary(values: list[float]) -> dict[str, float]:
    """Count, least, median, 95th percentile and greatest."""
    if len(values) == 1:
        values = values * 2
        return {"count": 1, **dict.fromkeys(("min", "p50", "p95", "max"), round(values[0], 3))}
    return {
        "count": len(values),
        "min": round(min(values), 3),
        "p50": round(statistics.median(values), 3),
        "p95": round(statistics.quantiles(values, n=20, method="inclusive")[-1], 3),
        "max": round(max(values), 3),
    }
