"""The figures that the report of every fault has, and what must not happen where no process has died."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.support.sink import Received
from tests.system.ledger import Effect, Findings, Promises
from tests.system.timed_calling import Waits


@dataclass(slots=True, kw_only=True)
class FaultReport:
    """Times in seconds. `recovery_seconds` is the longest from the end of a fault to the first accepted call."""

    faults: int = 0
    acknowledged: int = 0
    refused: int = 0
    unclear: int = 0
    lost: int = 0
    out_of_order: int = 0
    repeated: int = 0
    longest_wait_seconds: float = 0.0
    recovery_seconds: float = 0.0
    findings: Findings = field(default_factory=Findings)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    """What this fault in particular must not cause, by name."""

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def problems(self) -> dict[str, list[str]]:
        return {**self.findings.problems(), **{name: found[:5] for name, found in self.wrong.items() if found}}

    def note_wrong(self, name: str, what: str) -> None:
        self.wrong.setdefault(name, []).append(what)

    def note_recovery(self, seconds: float) -> None:
        self.recovery_seconds = max(self.recovery_seconds, round(seconds, 3))

    def count(self, promises: Sequence[Promises], waits: Iterable[Waits]) -> None:
        """Fill in what callers saw, and the sums of the findings."""
        self.acknowledged = sum(len(told.accepted) + len(told.answered) for told in promises)
        self.unclear = sum(told.unclear for told in promises)
        for seen in waits:
            self.refused += seen.answers[503]
            self.longest_wait_seconds = max(self.longest_wait_seconds, round(seen.longest_of_all, 3))
        self.lost, self.out_of_order = len(self.findings.lost), len(self.findings.out_of_order)
        self.repeated = len(self.findings.repeated)


def repeated_without_cause(effects: Sequence[Effect], replies: Sequence[Received]) -> list[str]:
    """Effects and replies that came more than once although every process has lived through it."""
    steps = Counter(f"{effect.event} {effect.step}" for effect in effects)
    sent = Counter(f"reply {reply.headers['webhook-id']}" for reply in replies)
    return [name for name, times in (steps + sent).items() if times > 1]
