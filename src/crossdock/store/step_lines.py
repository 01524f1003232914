"""The steps of one run as people look at them: the last that is known of each, its input and output left as text.

A loop over ten thousand items records tens of thousands of steps. Only what is shown of them is taken apart.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, select

from crossdock.model.outcome import Result
from crossdock.model.run import StepStatus
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.journal import result_of

_NULL = msgspec.Raw(b"null")


class StepFailure(msgspec.Struct):
    kind: str
    message: str
    step: str | None = None


class StepLine(msgspec.Struct):
    """A `StepRecord` as it was written."""

    id: str
    """The step's path."""
    kind: str
    status: StepStatus
    started_at: Instant
    finished_at: Instant
    attempts: int
    input: msgspec.Raw = _NULL
    output: msgspec.Raw = _NULL
    error: StepFailure | None = None
    until: Instant | None = None
    reused: bool = False


_decode = msgspec.json.Decoder(list[StepLine]).decode


def read_step_lines(connection: Connection, event_id: str) -> tuple[list[StepLine], Result | None]:
    """The last that is known of each step, in the order in which they were first heard of, and the run's result.

    A step that waits, or is tried again, is recorded several times.
    """
    table = schema.journal
    found: dict[str, StepLine] = {}
    result: Result | None = None
    for row in connection.execute(select(table).where(table.c.event_id == event_id).order_by(table.c.position)):
        found.update((line.id, line) for line in _decode(row.steps))
        result = result or result_of(row)
    return list(found.values()), result
