"""What came of runs and replies, left for the health of their integrations to be taken in.

A row tells of one integration's runs, or replies, that ended in one commit, and is written in that commit: one row,
however many they were, because it is on the way of every event. Whoever takes a row in deletes it in the same
transaction, so that each outcome counts once, whatever ends when.

The content is JSON, in the order in which things ended. Of runs a number is so many that went well, a list one that
failed: [event id, error kind, step, message]. Of replies "d" is one delivered, a list one that was lost:
["failed" or "expired", event id, message].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Executable, String, Subquery, delete, select, text, tuple_

from crossdock.model.health import Outcome, ReplyDelivered, ReplyLost, RunFailed, RunsSucceeded
from crossdock.model.states import DeliveryState
from crossdock.model.time import Instant
from crossdock.model.value import value
from crossdock.store import schema
from crossdock.store.statements import RowInsert, RowUpdate

outcome = schema.outcome

MESSAGE_CHARACTERS = 300
"""How much of a message is left: an issue tells it in a line."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@value
class EndedRun:
    """A run that has ended, or stands still at the head of its lane."""

    integration_id: str
    event_id: str
    lease_token: str
    failure: tuple[str, str | None, str] | None
    """Error kind, step and message, in text that every database takes; None when it went well."""
    at: Instant


@value
class EndedReply:
    """A reply that was delivered, failed for good or expired."""

    integration_id: str
    delivery_id: str
    event_id: str
    state: DeliveryState
    """DELIVERED, FAILED or EXPIRED."""
    message: str
    """Why it was lost, in text that every database takes."""
    at: Instant


def leave_runs(connection: Connection, ended: Iterable[EndedRun]) -> None:
    """Leave what came of runs for their integrations' health."""
    rows: dict[str, list[Any]] = {}
    for run in ended:
        row = rows.get(run.integration_id)
        if row is None:
            # The lease's token alone would not do: runs that were lost with their node too often share one.
            row = rows[run.integration_id] = [
                run.integration_id,
                f"{run.event_id} {run.lease_token}",
                "run",
                run.at,
                [],
            ]
        content, failure = row[4], run.failure
        row[3] = run.at
        if failure is not None:
            content.append((run.event_id, *failure))
        elif content and isinstance(content[-1], int):
            content[-1] += 1
        else:
            content.append(1)
    _leave(connection, rows.values())


def leave_replies(connection: Connection, ended: Iterable[EndedReply]) -> None:
    """Leave what came of replies for their integrations' health."""
    rows: dict[str, list[Any]] = {}
    for reply in ended:
        row = rows.get(reply.integration_id)
        if row is None:
            row = rows[reply.integration_id] = [reply.integration_id, reply.delivery_id, "reply", reply.at, []]
        row[3] = reply.at
        if reply.state is DeliveryState.DELIVERED:
            row[4].append("d")
        else:
            row[4].append((reply.state.value, reply.event_id, reply.message))
    _leave(connection, rows.values())


_insert_outcomes = RowInsert(outcome)


def _leave(connection: Connection, rows: Iterable[list[Any]]) -> None:
    _insert_outcomes.execute(connection, [(*row[:4], _encode(row[4]).decode()) for row in rows])


# --- taking in -------------------------------------------------------------------------------------------------------

_WAITING = text(
    # Hops from one integration to the next in the index, however many rows each of them has.
    """
    WITH RECURSIVE waiting(id) AS (
        SELECT min(integration_id) FROM outcome
        UNION ALL
        SELECT (SELECT min(integration_id) FROM outcome WHERE integration_id > waiting.id)
        FROM waiting WHERE waiting.id IS NOT NULL
    )
    SELECT id FROM waiting WHERE id IS NOT NULL
    """
)


def integrations_with_outcomes(connection: Connection) -> list[str]:
    """For which integrations something waits to be taken in."""
    return list(connection.execute(_WAITING).scalars())


@dataclass(frozen=True, slots=True)
class Taken:
    """Outcomes by integration, in the order in which things ended; whether there may be more of them."""

    outcomes: Mapping[str, Sequence[Outcome]]
    has_more: bool


def take_outcomes(connection: Connection, integration_ids: Sequence[str], limit: int) -> Taken:
    """Take up to `limit` rows of these integrations out.

    Whoever calls holds the lock of their health, so that nobody else takes the same.
    """
    query = select(outcome).where(outcome.c.integration_id.in_(integration_ids))
    rows = connection.execute(query.order_by(outcome.c.at, outcome.c.token).limit(limit)).all()
    _delete_outcomes.execute(connection, [(row.integration_id, row.token) for row in rows])
    taken: dict[str, list[Outcome]] = {}
    for row in rows:
        taken.setdefault(row.integration_id, []).extend(read_outcomes(row.kind, row.content, row.at))
    return Taken(taken, has_more=len(rows) == limit)


def _build_delete(v: Subquery) -> Executable:
    place = tuple_(outcome.c.integration_id, outcome.c.token)
    return delete(outcome).where(place.in_(select(v.c.integration_id, v.c.token)))


_delete_outcomes = RowUpdate({"integration_id": String(), "token": String()}, _build_delete)


def read_outcomes(kind: str, content: str, at: Instant) -> list[Outcome]:
    """The outcomes of a row."""
    entries = _decode(content)
    return [_read_run(entry, at) if kind == "run" else _read_reply(entry, at) for entry in entries]


def _read_run(entry: Any, at: Instant) -> Outcome:
    if isinstance(entry, int):
        return RunsSucceeded(entry, at)
    event_id, error_kind, step, message = entry
    return RunFailed(event_id, error_kind, step, message, at)


def _read_reply(entry: Any, at: Instant) -> Outcome:
    if entry == "d":
        return ReplyDelivered(at)
    state, event_id, message = entry
    return ReplyLost(event_id, state == DeliveryState.EXPIRED.value, message, at)
