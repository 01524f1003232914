"""Health as it is written down: its row, with the window and the marks as JSON, and its open issues."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Executable, Subquery, select, update
from sqlalchemy.sql.dml import Insert
from sqlalchemy.types import BigInteger, String, Text

from crossdock.model.errors import StoreUnavailable
from crossdock.model.health import (
    Cause,
    FailedRun,
    Health,
    HealthChange,
    HealthStatus,
    Issue,
    Marks,
    Refusals,
    ToldIssue,
    new_health,
)
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.statements import RowInsert, RowUpdate

health, health_issue, health_change = schema.health, schema.health_issue, schema.health_change

READ_AT_ONCE = 5_000
"""Ids in one statement: PostgreSQL takes 65,535 parameters at most."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Kept:
    """A health as it was read, and its row's revision."""

    health: Health
    revision: int


# --- reading ---------------------------------------------------------------------------------------------------------


def read_kept(connection: Connection, integration_ids: Sequence[str]) -> dict[str, Kept]:
    """What is known of integrations; those that were never judged are left out."""
    rows = connection.execute(select(health).where(health.c.integration_id.in_(integration_ids))).all()
    return _with_issues(connection, rows)


def lock_kept(
    connection: Connection, integration_ids: Sequence[str], now: Instant, *, skips_locked: bool
) -> dict[str, Kept]:
    """What is known of integrations, locked until the end of the transaction; new where nothing was.

    With `skips_locked` those that others are judging at this moment are left out. Locks are taken by id.
    """
    ids = sorted(integration_ids)
    known = set(connection.execute(select(health.c.integration_id).where(health.c.integration_id.in_(ids))).scalars())
    _begin.execute(connection, [_new_row(i, now) for i in ids if i not in known])
    query = select(health).where(health.c.integration_id.in_(ids)).order_by(health.c.integration_id)
    rows = connection.execute(query.with_for_update(skip_locked=skips_locked)).all()
    return _with_issues(connection, rows)


def _with_issues(connection: Connection, rows: Sequence[Any]) -> dict[str, Kept]:
    issues: dict[str, list[Issue]] = {row.integration_id: [] for row in rows}
    wanted = (health_issue.c.integration_id.in_(list(issues)), health_issue.c.resolved_at.is_(None))
    if issues:
        for row in connection.execute(select(health_issue).where(*wanted).order_by(health_issue.c.key)):
            issues[row.integration_id].append(issue_of(row))
    return {row.integration_id: Kept(_health_of(row, issues[row.integration_id]), row.revision) for row in rows}


def _health_of(row: Any, issues: list[Issue]) -> Health:
    outcomes = _decode(row.outcomes)
    return Health(
        status=HealthStatus(row.status),
        since=row.since,
        window=tuple(entry if isinstance(entry, int) else FailedRun(*entry) for entry in outcomes["window"]),
        causes={key: Cause(*cause) for key, cause in outcomes["causes"].items()},
        marks=_marks_of(_decode(row.marks)),
        issues=tuple(sorted(issues, key=lambda issue: issue.key)),
    )


def _marks_of(written: Json) -> Marks:
    return Marks(
        enabled_since=written.get("enabled_since"),
        last_event_at=written.get("last_event_at"),
        forgiven_at=written.get("forgiven_at"),
        refusals=tuple(Refusals(at, totals) for at, totals in written.get("refusals", ())),
    )


def issue_of(row: Any) -> Issue:
    values = dict(row._mapping)
    del values["integration_id"]
    return Issue(**{**values, "status": HealthStatus(row.status)})


def change_of(row: Any) -> HealthChange:
    issues = tuple(ToldIssue(HealthStatus(one["status"]), one["message"]) for one in _decode(row.issues))
    return HealthChange(
        row.id, row.integration_id, row.at, HealthStatus(row.status), HealthStatus(row.previous_status), issues
    )


def read_changes(connection: Connection, change_ids: Collection[str]) -> dict[str, HealthChange]:
    """Changes by their ids; those that are gone are left out."""
    ids, found = sorted(change_ids), dict[str, HealthChange]()
    for start in range(0, len(ids), READ_AT_ONCE):
        some = health_change.c.id.in_(ids[start : start + READ_AT_ONCE])
        found |= {row.id: change_of(row) for row in connection.execute(select(health_change).where(some))}
    return found


# --- writing ---------------------------------------------------------------------------------------------------------


def write_health(connection: Connection, states: Mapping[str, tuple[Health, int]], now: Instant) -> None:
    """Write healths by integration, each with the revision it was read at; StoreUnavailable when one was changed since,
    which only happens to whoever did not lock it: nothing of the transaction may stay then.
    """
    rows = [(*_row(integration_id, kept, now), revision) for integration_id, (kept, revision) in states.items()]
    if len(_write.execute(connection, rows)) < len(rows):
        raise StoreUnavailable("an integration's health was changed at the same time; try again")


def write_issues(connection: Connection, issues: Iterable[tuple[str, Issue]]) -> None:
    """Write issues with the ids of their integrations: first those that are over, so that keys are free again."""
    rows = [(integration_id, issue) for integration_id, issue in issues]
    for is_open in (False, True):
        some = [_issue_row(i, issue) for i, issue in rows if (issue.resolved_at is None) is is_open]
        _put_issues.execute(connection, some)


def write_changes(connection: Connection, changes: Sequence[HealthChange]) -> None:
    _insert_changes.execute(connection, [_change_row(change) for change in changes])


def _new_row(integration_id: str, now: Instant) -> tuple[Any, ...]:
    return (*_row(integration_id, new_health(now), now)[:5], 0, now)


def _row(integration_id: str, kept: Health, now: Instant) -> tuple[Any, ...]:
    window = [entry if isinstance(entry, int) else (entry.key, entry.at) for entry in kept.window]
    causes = {key: (one.kind, one.step, one.message, one.event_id) for key, one in kept.causes.items()}
    outcomes = _encode({"window": window, "causes": causes}).decode()
    return integration_id, kept.status.value, kept.since, outcomes, _encode(_marks(kept.marks)).decode(), now


def _marks(marks: Marks) -> Json:
    written = {
        "enabled_since": marks.enabled_since,
        "last_event_at": marks.last_event_at,
        "forgiven_at": marks.forgiven_at,
        "refusals": [(sample.at, sample.totals) for sample in marks.refusals],
    }
    return {name: known for name, known in written.items() if known}


def _issue_row(integration_id: str, issue: Issue) -> tuple[Any, ...]:
    given = {"integration_id": integration_id, "status": issue.status.value}
    return tuple(given.get(c.name) or getattr(issue, c.name) for c in health_issue.columns)


def _change_row(change: HealthChange) -> tuple[Any, ...]:
    issues = _encode([{"status": one.status.value, "message": one.message} for one in change.issues]).decode()
    return change.id, change.integration_id, change.at, change.status.value, change.previous_status.value, issues


def _if_new(statement: Insert) -> Executable:
    return statement.on_conflict_do_nothing(index_elements=["integration_id"])  # type: ignore[attr-defined, no-any-return]


_begin = RowInsert(health, _if_new)


def _build_write(v: Subquery) -> Executable:
    new = {name: v.c[name] for name in ("status", "since", "outcomes", "marks", "checked_at")}
    return (
        update(health)
        .where(health.c.integration_id == v.c.integration_id, health.c.revision == v.c.revision)
        .values(**new, revision=health.c.revision + 1)
        .returning(health.c.integration_id)
    )


_write = RowUpdate(
    {
        "integration_id": String(),
        "status": String(),
        "since": BigInteger(),
        "outcomes": Text(),
        "marks": Text(),
        "checked_at": BigInteger(),
        "revision": BigInteger(),
    },
    _build_write,
)


def _or_replace(statement: Insert) -> Executable:
    new = statement.excluded  # type: ignore[attr-defined]
    changing = {c.name: new[c.name] for c in health_issue.columns if c.name not in ("id", "integration_id", "key")}
    return statement.on_conflict_do_update(index_elements=["id"], set_=changing)  # type: ignore[attr-defined, no-any-return]


_put_issues = RowInsert(health_issue, _or_replace)
_insert_changes = RowInsert(health_change)
