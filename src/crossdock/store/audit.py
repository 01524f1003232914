"""The audit log: who changed what, when, and how it was before and after.

A row is written in the transaction of the change that it tells of (`audited`): there is no change without its row, and
no row without its change. Rows are never changed; `forget_audit` deletes them when their time is over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection, Select, delete, insert, or_, select

from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.store.accept import Accept, AcceptAnswer, Accepted
from crossdock.store.events import CLOCK_STEP, first_id_at
from crossdock.store.schema import audit

T = TypeVar("T")
Seen = TypeVar("Seen")
P = ParamSpec("P")

ID_PREFIX = "aud"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change. `before` and `after` are documents without secrets, None where there was nothing to tell.

    `actor_id` is that of a user or a token; '' for the server itself, and for tokens that are not stored. Names are as
    they were at that moment: what they stand for may be gone, or be called otherwise, when somebody reads this.
    """

    id: str
    workspace_id: str
    at: Instant
    actor_id: str
    actor_name: str
    action: str
    subject_id: str
    subject_name: str
    before: Json = None
    after: Json = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What a list shows. `action` is a whole one, or what stands before one of its dots. `search` is looked for in
    names, actions, notes and documents. `until` itself is not included.
    """

    subject_id: str | None = None
    actor_id: str | None = None
    action: str | None = None
    search: str = ""
    since: Instant | None = None
    until: Instant | None = None

    @property
    def looks_into_entries(self) -> bool:
        """Whether no index leads to what matches, so that entries are looked at one after the other."""
        return bool(self.actor_id or self.action or self.search)


# --- writing ---------------------------------------------------------------------------------------------------------


def audited(
    change: Callable[Concatenate[Connection, P], T], entry_for: Callable[[T], AuditEntry | None]
) -> Callable[Concatenate[Connection, P], T]:
    """`change` for `Store.write`, together with the row that tells of it.

    `entry_for` is given what the change answered, and gives None where it did not land.
    """

    def change_and_tell(connection: Connection, /, *arguments: P.args, **named: P.kwargs) -> T:
        answer = change(connection, *arguments, **named)
        _record_one(connection, entry_for(answer))
        return answer

    return change_and_tell


def audited_with(
    look: Callable[[Connection], Seen],
    change: Callable[Concatenate[Connection, P], T],
    entry_for: Callable[[Seen, T], AuditEntry | None],
) -> Callable[Concatenate[Connection, P], T]:
    """As `audited`, where the row tells of what only `look` sees, in the same transaction and before the change."""

    def look_change_and_tell(connection: Connection, /, *arguments: P.args, **named: P.kwargs) -> T:
        seen = look(connection)
        answer = change(connection, *arguments, **named)
        _record_one(connection, entry_for(seen, answer))
        return answer

    return look_change_and_tell


@dataclass(frozen=True, slots=True)
class AuditedAccept:
    """A call that somebody hands in again (see `Accept`), together with the row that tells of it."""

    rank: ClassVar[int] = Accept.rank

    accept: Accept
    entry: AuditEntry

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[AcceptAnswer]:
        answers = Accept.record(connection, [change.accept for change in changes])
        landed = [isinstance(answer, Accepted) for answer in answers]
        record(connection, *(change.entry for change, lands in zip(changes, landed, strict=True) if lands))
        return answers


def record(connection: Connection, *entries: AuditEntry) -> None:
    """Write rows of the log: with a change that is made of several, or for what is told though nothing changes."""
    if entries:
        connection.execute(insert(audit), [_values(entry) for entry in entries])


def _record_one(connection: Connection, entry: AuditEntry | None) -> None:
    if entry is not None:
        record(connection, entry)


def _values(entry: AuditEntry) -> dict[str, Any]:
    values = {column.name: getattr(entry, column.name) for column in audit.columns}
    return {**values, "before": _text(entry.before), "after": _text(entry.after)}


def _text(document: Json) -> str | None:
    return None if document is None else json.dumps(document)


# --- reading ---------------------------------------------------------------------------------------------------------


def audit_page(
    connection: Connection,
    workspace_id: str,
    wanted: AuditFilter,
    *,
    after_id: str | None = None,
    down_to: str | None = None,
    limit: int,
) -> list[AuditEntry]:
    """The newest entries first: those older than `after_id`, and none older than `down_to`."""
    query = _filtered(_in_order(select(audit), workspace_id, after_id), wanted)
    if down_to is not None:
        query = query.where(audit.c.id >= down_to)
    return [_entry(row) for row in connection.execute(query.limit(limit))]


def audit_stretch(
    connection: Connection, workspace_id: str, wanted: AuditFilter, *, after_id: str | None = None, most: int
) -> str | None:
    """How far a look at `most` entries goes: the id of the last of them; None when it comes to the end of the log."""
    newest = _between(_in_order(select(audit.c.id), workspace_id, after_id), wanted)
    return connection.execute(newest.offset(most - 1).limit(1)).scalar()


def _in_order(query: Select[Any], workspace_id: str, after_id: str | None) -> Select[Any]:
    query = query.where(audit.c.workspace_id == workspace_id)
    return (query if after_id is None else query.where(audit.c.id < after_id)).order_by(audit.c.id.desc())


def audit_entry(connection: Connection, workspace_id: str, entry_id: str) -> AuditEntry | None:
    """One entry; None when the workspace has no such one."""
    query = select(audit).where(audit.c.id == entry_id, audit.c.workspace_id == workspace_id)
    row = connection.execute(query).first()
    return None if row is None else _entry(row)


def _filtered(query: Select[Any], wanted: AuditFilter) -> Select[Any]:
    if wanted.subject_id is not None:
        query = query.where(audit.c.subject_id == wanted.subject_id)
    if wanted.actor_id is not None:
        query = query.where(audit.c.actor_id == wanted.actor_id)
    if wanted.action is not None:
        group = audit.c.action.startswith(f"{wanted.action}.", autoescape=True)
        query = query.where((audit.c.action == wanted.action) | group)
    if wanted.search:
        places = (audit.c.subject_name, audit.c.subject_id, audit.c.actor_name, audit.c.action, audit.c.note)
        written = json.dumps(wanted.search)[1:-1]  # as it stands in documents
        found = [place.icontains(wanted.search, autoescape=True) for place in places]
        found += [side.icontains(written, autoescape=True) for side in (audit.c.before, audit.c.after)]
        query = query.where(or_(*found))
    return _between(query, wanted)


def _between(query: Select[Any], wanted: AuditFilter) -> Select[Any]:
    # the ids, which begin with the time, bound what is looked at
    if wanted.since is not None:
        query = query.where(audit.c.at >= wanted.since, audit.c.id >= first_id_at(wanted.since - CLOCK_STEP, ID_PREFIX))
    if wanted.until is not None:
        query = query.where(audit.c.at < wanted.until, audit.c.id < first_id_at(wanted.until + CLOCK_STEP, ID_PREFIX))
    return query


def _entry(row: Any) -> AuditEntry:
    values = dict(row._mapping)
    for side in ("before", "after"):
        values[side] = None if values[side] is None else json.loads(values[side])
    return AuditEntry(**values)


# --- forgetting ------------------------------------------------------------------------------------------------------


def forget_audit(connection: Connection, before: Instant, limit: int) -> int:
    """Delete up to `limit` entries of before an instant, the oldest first; how many."""
    is_old = (audit.c.id < first_id_at(before, ID_PREFIX), audit.c.at < before)
    oldest = select(audit.c.id).where(*is_old).order_by(audit.c.id).limit(limit)
    return connection.execute(delete(audit).where(audit.c.id.in_(oldest))).rowcount
