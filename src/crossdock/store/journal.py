"""A run's history: one row for each commit that added to it, never updated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.sql.dml import Insert

from crossdock.model.outcome import Failure, Result
from crossdock.model.run import JournalEntry, StepRecord, StepStatus
from crossdock.store import schema
from crossdock.store.statements import RowInsert


def _keep_first(statement: Insert) -> Any:
    return statement.on_conflict_do_nothing().returning(  # type: ignore[attr-defined]
        schema.journal.c.event_id, schema.journal.c.position
    )


insert_entries = RowInsert(schema.journal, _keep_first)
"""Gives back the entries that were not there. One that is there was recorded before, and its answer was lost."""

_encode = msgspec.json.Encoder().encode


def entry_row(event_id: str, entry: JournalEntry) -> tuple[Any, ...]:
    """The row of an entry, for `insert_entries`."""
    steps = _encode(entry.steps).decode() if entry.steps else "[]"
    if entry.result is None:
        return (event_id, entry.position, steps, None, None, None)
    result = entry.result
    return (event_id, entry.position, steps, result.status, _encode(result.headers).decode(), result.body)


class _Failure(msgspec.Struct):
    kind: str
    message: str
    step: str | None = None
    permanent: bool = False
    retry_after: float | None = None


class _Step(msgspec.Struct):
    id: str
    kind: str
    status: StepStatus
    started_at: int
    finished_at: int
    attempts: int
    input: Any = None
    output: Any = None
    error: _Failure | None = None
    until: int | None = None
    start: int = 1
    reused: bool = False


_decode_steps = msgspec.json.Decoder(tuple[_Step, ...]).decode
_decode_headers = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


def entry_of(row: Any) -> JournalEntry:
    """The entry of a row of `journal`."""
    steps = tuple(
        StepRecord(
            step.id,
            step.kind,
            step.status,
            step.started_at,
            step.finished_at,
            step.attempts,
            step.input,
            step.output,
            Failure(**msgspec.structs.asdict(step.error)) if step.error else None,
            step.until,
            step.start,
            step.reused,
        )
        for step in _decode_steps(row.steps)
    )
    return JournalEntry(row.position, steps, result_of(row))


def result_of(row: Any) -> Result | None:
    """The result that a row of `journal` carries, if it carries one."""
    if row.result_status is None:
        return None
    return Result(row.result_status, _decode_headers(row.result_headers), bytes(row.result_body))


def read_entries(connection: Connection, event_ids: Sequence[str]) -> dict[str, tuple[JournalEntry, ...]]:
    """The histories of the runs of these events, in order; runs without one are missing."""
    if not event_ids:
        return {}
    table = schema.journal
    query = select(table).where(table.c.event_id.in_(event_ids)).order_by(table.c.event_id, table.c.position)
    histories: dict[str, list[JournalEntry]] = {}
    for row in connection.execute(query):
        histories.setdefault(row.event_id, []).append(entry_of(row))
    return {event_id: tuple(entries) for event_id, entries in histories.items()}


def read_results(connection: Connection, event_ids: Sequence[str]) -> dict[str, Result]:
    """The first result that was decided for each event; the histories themselves are not read."""
    table = schema.journal
    query = (
        select(table)
        .where(table.c.event_id.in_(event_ids), table.c.result_status.is_not(None))
        .order_by(table.c.event_id, table.c.position.desc())
    )
    found = ((row.event_id, result_of(row)) for row in connection.execute(query))
    return {event_id: result for event_id, result in found if result is not None}


def first_result(entries: Iterable[JournalEntry]) -> Result | None:
    """The run's result: the first one that was decided."""
    return next((entry.result for entry in entries if entry.result is not None), None)
