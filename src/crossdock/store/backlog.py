"""How much waits, for the door, the metrics and the overview; and the counts that are kept at the door."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, select, union_all
from sqlalchemy.sql.dml import Insert

from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.claims import IS_FREE, IS_UNFINISHED
from crossdock.store.statements import RowInsert

run = schema.run


def count_backlog(connection: Connection, integration_ids: Iterable[str], limit: int) -> dict[str, tuple[int, Instant]]:
    """For each integration with waiting runs: how many (counted up to `limit`) and since when the oldest waits."""
    counts: dict[str, tuple[int, Instant]] = {}
    for integration_id in integration_ids:
        in_lanes = (run.c.lane_id >= f"{integration_id}:", run.c.lane_id < f"{integration_id};", IS_UNFINISHED)
        waiting = union_all(
            select(run.c.accepted_at).where(run.c.integration_id == integration_id, IS_FREE),
            select(run.c.accepted_at).where(*in_lanes),
        )
        counted = waiting.limit(limit).subquery()
        row = connection.execute(select(func.count(), func.min(counted.c.accepted_at)).select_from(counted)).one()
        if row[0]:
            counts[integration_id] = (int(row[0]), int(row[1]))
    return counts


def blocked_lanes(connection: Connection) -> dict[str, int]:
    """For each integration: how many of its lanes wait for an operator."""
    query = (
        select(run.c.integration_id, func.count())
        .where(run.c.state == "waiting", run.c.waiting_for == "operator")
        .group_by(run.c.integration_id)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def _add_rejections(statement: Insert) -> Any:
    table, new = schema.rejection.c, statement.excluded  # type: ignore[attr-defined]
    return statement.on_conflict_do_update(  # type: ignore[attr-defined]
        index_elements=["integration_id", "reason"],
        set_={"count": table.count + new.count, "last_at": new.last_at},
    )


_insert_rejections = RowInsert(schema.rejection, _add_rejections)


def add_rejections(connection: Connection, rows: list[tuple[str, str, int, Instant]]) -> None:
    """Add refused calls to their counts: (integration id, reason, how many, last at)."""
    _insert_rejections.execute(connection, rows)
