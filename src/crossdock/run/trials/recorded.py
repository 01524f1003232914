"""What is known of the steps of a run, by their paths."""

from __future__ import annotations

from collections.abc import Mapping

from crossdock.model.history import blocks_around
from crossdock.model.run import StepRecord, StepStatus


def _matters_to_others(record: StepRecord) -> bool:
    """A failure stops the lists beside its own, and the first answer counts."""
    return record.status is StepStatus.FAILED or record.kind == "respond"


class Recorded:
    """What steps ended in, and the order in which they did."""

    def __init__(self, records: Mapping[str, StepRecord]) -> None:
        self._last = records
        self._blocks = {block for path in self._last for block in blocks_around(path)}
        self._order = {path: position for position, path in enumerate(self._last)}
        self.has_order = any("." in path and _matters_to_others(record) for path, record in records.items())
        """Whether it makes a difference which of the steps that stood side by side ended first."""

    def find(self, path: str, kind: str) -> StepRecord | None:
        """What came of the step, if it was of this kind and was performed."""
        record = self._last.get(path)
        if record is None or record.kind != kind or record.status is StepStatus.SKIPPED:
            return None
        return record

    def start_of(self, path: str) -> int | None:
        """The start of the run that the step's record is from."""
        record = self._last.get(path)
        return None if record is None else record.start

    def has_begun(self, path: str) -> bool:
        """Whether the step, or one inside it, is known."""
        return path in self._last or path in self._blocks

    def has_steps(self, path: str) -> bool:
        """Whether steps inside it are known."""
        return path in self._blocks

    def position(self, path: str) -> int | None:
        """Where the step's end stands among all ends; None when it did not end."""
        return self._order.get(path)

    def has_failed(self, path: str) -> bool:
        record = self._last.get(path)
        return record is not None and record.status is StepStatus.FAILED
