"""How much waits, for the door, the metrics and the overview; and the counts that are kept at the door."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, String, bindparam, func, select, text
from sqlalchemy.sql.dml import Insert

from crossdock.model.states import WaitingFor
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.claims import IS_HELD
from crossdock.store.statements import RowInsert

run = schema.run


_BACKLOG = text(
    # One pass over the index entries of what waits, for all integrations in one statement; both answers in one text,
    # because a second pass would cost as much again. The words of the conditions are those of the indexes.
    """
    SELECT integration.id, (
        SELECT count(*) || ' ' || min(waiting.accepted_at) FROM (
            SELECT run.accepted_at FROM run
            WHERE run.state IN ('queued', 'retrying') AND run.lane_id IS NULL AND run.integration_id = integration.id
            UNION ALL
            SELECT run.accepted_at FROM run
            WHERE run.lane_id >= integration.id || ':' AND run.lane_id < integration.id || ';'
                AND run.lane_id IS NOT NULL AND run.state NOT IN ('succeeded', 'failed', 'canceled')
            LIMIT :most
        ) AS waiting
    )
    FROM integration WHERE integration.id IN :ids
    """
).bindparams(bindparam("ids", expanding=True, type_=String()))  # an empty list tells no type by itself


def count_backlog(connection: Connection, integration_ids: Iterable[str], limit: int) -> dict[str, tuple[int, Instant]]:
    """For each integration with waiting runs: how many (counted up to `limit`) and since when the oldest waits."""
    rows = connection.execute(_BACKLOG, {"ids": list(integration_ids), "most": limit})
    found = [(row[0], row[1].split()) for row in rows if row[1] is not None]
    return {integration_id: (int(count), int(oldest)) for integration_id, (count, oldest) in found}


def blocked_lanes(connection: Connection) -> dict[str, int]:
    """For each integration: how many of its lanes wait for an operator."""
    query = (
        select(run.c.integration_id, func.count())
        .where(IS_HELD, run.c.waiting_for == WaitingFor.OPERATOR.value)
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
