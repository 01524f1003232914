"""What a finished run's records say of its end.

A step that is tried again, in its place, with the block around it or with the whole run, leaves a record each time.
The last one counts, with one exception: when lists of steps stand side by side, the failure of one stops the others.
A step that had failed in the try before, and was stopped before its turn came again, has not ended at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from crossdock.model.run import StepRecord, StepStatus


def blocks_around(path: str) -> list[str]:
    """The paths of the blocks that a step stands in: `a[3].b.c` stands in `a` and `a[3].b`."""
    found, place = [], ""
    for part in path.split(".")[:-1]:
        found.append(place + part.partition("[")[0])
        place += part + "."
    return found


def ends_of_steps(
    records: Sequence[StepRecord], lenient: Collection[str] = (), starts: int = 1
) -> Mapping[str, StepRecord]:
    """The last record of each step by its path, in their order, without those of steps that were stopped later.

    `lenient` are the ids of steps whose failure lets their list go on, `starts` the number of the run's last start.
    """
    last: dict[str, StepRecord] = {}
    for record in records:
        last.pop(record.id, None)
        last[record.id] = record
    failed = [path for path, record in last.items() if not _is_finished(record, lenient)]
    if failed:
        history = _History(records, lenient, starts)
        for path in failed:
            if history.was_begun_again(path):
                del last[path]
    return last


def _is_finished(record: StepRecord, lenient: Collection[str]) -> bool:
    """Whether it counts for good. What failed is begun again with the list that it stands in."""
    is_given_up = record.until is None and record.id.rpartition(".")[2] in lenient
    return record.status is not StepStatus.FAILED or is_given_up


class _History:
    """Where in the records the last try of each block began."""

    def __init__(self, records: Sequence[StepRecord], lenient: Collection[str], starts: int) -> None:
        self._records = records
        self._lenient = lenient
        self._starts = starts
        self._ends: dict[str, list[int]] = {}
        self._last_inside: dict[str, int] = {}
        for position, record in enumerate(records):
            self._ends.setdefault(record.id, []).append(position)
            for block in blocks_around(record.id):
                self._last_inside[block] = position

    def was_begun_again(self, path: str) -> bool:
        """Whether the step failed in an earlier try than the last one of a block around it, or of itself as a block.

        A block that has finished, or waits for its next try, is not begun again, whatever becomes of those around it.
        """
        end = self._ends[path][-1]
        if self._last_inside.get(path, -1) > end:
            return True
        if self._records[end].until is not None:
            return False  # who waits for the next try stops nobody
        for block in reversed(blocks_around(path)):
            later = [position for position in self._ends.get(block, ()) if position > end]
            if len(later) != 1 or self._last_inside[block] > later[0]:
                return True
            ended = self._records[later[0]]
            if ended.until is not None or _is_finished(ended, self._lenient):
                return False
        return self._records[end].start != self._starts
