"""What the status URL tells a caller: read by one event's id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from crossdock.model.outcome import Failure, Result
from crossdock.model.states import RunState
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.journal import read_results

run = schema.run


@dataclass(frozen=True, slots=True)
class EventStatus:
    event_id: str
    integration_id: str
    state: RunState
    received_at: Instant
    finished_at: Instant | None
    result: Result | None
    failure: Failure | None
    is_blocked: bool
    """Its attempts are used up and its lane waits for an operator."""


def read_status(connection: Connection, event_id: str) -> EventStatus | None:
    """The event's state and, once there is one, its result; None when there is no such event."""
    return read_statuses(connection, [event_id]).get(event_id)


def read_statuses(connection: Connection, event_ids: Sequence[str]) -> dict[str, EventStatus]:
    """As `read_status`, for many events at once; those that there are not are missing."""
    rows = connection.execute(select(run).where(run.c.event_id.in_(event_ids))).all()
    results = read_results(connection, [row.event_id for row in rows]) if rows else {}
    return {row.event_id: _status_of(row, results.get(row.event_id)) for row in rows}


def _status_of(row: Any, result: Result | None) -> EventStatus:
    failure = None
    if row.error_kind is not None:
        failure = Failure(row.error_kind, row.error_message or "", row.error_step)
    return EventStatus(
        event_id=row.event_id,
        integration_id=row.integration_id,
        state=RunState(row.state),
        received_at=row.accepted_at,
        finished_at=row.finished_at,
        result=result,
        failure=failure,
        is_blocked=row.waiting_for == "operator",
    )
