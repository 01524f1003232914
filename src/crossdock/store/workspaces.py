"""Workspaces as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from crossdock.model.errors import Conflict
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.audit import AuditEntry, record
from crossdock.store.configuration import touch
from crossdock.store.people import hold_administration, set_role
from crossdock.store.schema import bulk_job, membership, session, workspace


@dataclass(frozen=True, slots=True)
class WorkspaceRow:
    """A workspace with how many members and integrations it has."""

    id: str
    slug: str
    name: str
    created_at: Instant
    members: int = 0
    integrations: int = 0


@dataclass(frozen=True, slots=True)
class Filled:
    """What keeps a workspace from being deleted: how many of each kind, none of them 0."""

    contents: tuple[tuple[str, int], ...]


CONTENTS: tuple[tuple[str, Table], ...] = (
    ("integration", schema.integration),
    ("connection", schema.connection),
    ("notification webhook", schema.notification_webhook),
)
"""What people set up in a workspace, and would miss."""


def workspaces_page(
    connection: Connection, *, only: str | None = None, after_slug: str | None = None, limit: int
) -> list[WorkspaceRow]:
    """Workspaces by slug, those after `after_slug`; with `only` the one of this id."""
    query = _rows().order_by(workspace.c.slug).limit(limit)
    if only is not None:
        query = query.where(workspace.c.id == only)
    if after_slug is not None:
        query = query.where(workspace.c.slug > after_slug)
    return [WorkspaceRow(**row._mapping) for row in connection.execute(query)]


def workspace_by_slug(connection: Connection, slug: str) -> WorkspaceRow | None:
    row = connection.execute(_rows().where(workspace.c.slug == slug)).first()
    return None if row is None else WorkspaceRow(**row._mapping)


def add_workspace(
    connection: Connection, row: WorkspaceRow, admin_id: str | None, entries: Sequence[AuditEntry]
) -> bool:
    """Keep a new workspace, with a user as its first admin; False when the slug is taken."""
    if connection.execute(select(workspace.c.id).where(workspace.c.slug == row.slug)).first() is not None:
        return False
    values = {"id": row.id, "slug": row.slug, "name": row.name, "created_at": row.created_at}
    try:
        connection.execute(insert(workspace).values(values))
    except IntegrityError:
        raise Conflict("somebody took the same slug in the same moment; read the list and try again") from None
    if admin_id is not None:
        set_role(connection, admin_id, row.id, "admin")
    record(connection, *entries)
    touch(connection)
    return True


def rename_workspace(connection: Connection, workspace_id: str, name: str, entries: Sequence[AuditEntry]) -> bool:
    """Give a workspace another name; False when there is none of this id."""
    changed = update(workspace).where(workspace.c.id == workspace_id).values(name=name)
    landed = connection.execute(changed).rowcount == 1
    if landed:
        record(connection, *entries)
        touch(connection)
    return landed


def delete_workspace(connection: Connection, workspace_id: str, entries: Sequence[AuditEntry]) -> bool | Filled:
    """Forget an empty workspace with its memberships, API tokens and past bulk jobs; False when there is none."""
    default_id = hold_administration(connection)
    # Whoever adds something to it now waits for this transaction, and finds no workspace then
    there = select(workspace.c.id).where(workspace.c.id == workspace_id).with_for_update()
    if connection.execute(there).first() is None:
        return False
    if contents := _contents(connection, workspace_id):
        return Filled(contents)
    members = list(
        connection.execute(select(membership.c.user_id).where(membership.c.workspace_id == workspace_id)).scalars()
    )
    for user_id in members:
        set_role(connection, user_id, workspace_id, None)
    # which workspace a session shows first; whoever is no member of that one sees another one
    connection.execute(update(session).where(session.c.workspace_id == workspace_id).values(workspace_id=default_id))
    for table in (schema.api_token, bulk_job):
        connection.execute(delete(table).where(table.c.workspace_id == workspace_id))
    connection.execute(delete(workspace).where(workspace.c.id == workspace_id))
    record(connection, *entries)
    touch(connection)
    return True


def _contents(connection: Connection, workspace_id: str) -> tuple[tuple[str, int], ...]:
    counts = []
    for name, table in CONTENTS:
        counted = select(func.count()).select_from(table).where(table.c.workspace_id == workspace_id)
        counts.append((name, int(connection.execute(counted).scalar_one())))
    unfinished = (bulk_job.c.workspace_id == workspace_id, bulk_job.c.finished_at.is_(None))
    counted = select(func.count()).select_from(bulk_job).where(*unfinished)
    counts.append(("unfinished bulk job", int(connection.execute(counted).scalar_one())))
    return tuple((name, count) for name, count in counts if count)


def _rows() -> Select[Any]:
    def count(table: Table) -> Any:
        counted = select(func.count()).select_from(table).where(table.c.workspace_id == workspace.c.id)
        return counted.correlate(workspace).scalar_subquery()

    return select(
        workspace.c.id,
        workspace.c.slug,
        workspace.c.name,
        workspace.c.created_at,
        count(membership).label("members"),
        count(schema.integration).label("integrations"),
    )
