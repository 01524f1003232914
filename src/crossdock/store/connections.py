"""Connections as rows, and who uses them.

A connection that a published workflow or a draft names can be neither deleted nor renamed: that is asked in the
transaction of the change, which locks the row first, and whoever publishes a workflow holds the rows that it names
(`hold_connections`). So neither of the two can slip past the other, on whichever nodes they are.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from crossdock.model.errors import Conflict
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.model.workflow import connections_named
from crossdock.store.configuration import touch
from crossdock.store.named import (
    NameTaken,
    Overtaken,
    is_name_taken,
    keep_credentials,
    lock_named,
    lost_race,
    page_by_name,
)
from crossdock.store.schema import connection as connections
from crossdock.store.schema import integration, workflow_draft, workflow_version, workspace
from crossdock.store.secrets import CREDENTIALS, SecretRow, drop_secrets_of, secrets_by_owner


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """A connection with its settings as a document, without secrets. `workspace` is the slug."""

    id: str
    workspace_id: str
    workspace: str
    name: str
    kind: str
    document: Json
    revision: int
    created_at: Instant
    updated_at: Instant


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """A connection with its sealed secret, where it has one."""

    row: ConnectionRow
    credentials: SecretRow | None


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """All that one save writes. Without `credentials` those that are kept stay, unless they are dropped."""

    row: ConnectionRow
    credentials: SecretRow | None = None
    drops_credentials: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """An integration that names a connection: in its published workflow, in its draft, or in both."""

    integration_id: str
    integration: str
    published: bool
    draft: bool


@dataclass(frozen=True, slots=True)
class Used:
    """The change would leave these without their connection."""

    uses: tuple[Use, ...]


def add_connection(connection: Connection, change: ConnectionChange) -> ConnectionRow | NameTaken:
    """Keep a new connection with its secrets."""
    if _is_taken(connection, change.row):
        return NameTaken()
    try:
        connection.execute(insert(connections).values(_values(change.row)))
    except IntegrityError:
        raise lost_race() from None
    return _finish(connection, change)


def save_connection(
    connection: Connection, change: ConnectionChange, read_revision: int
) -> ConnectionRow | NameTaken | Overtaken | Used:
    """Write the row if it is still at `read_revision`; Used when a name would be taken from those who use it."""
    row = change.row
    before = lock_named(connection, connections, row.workspace_id, row.id)
    if before is None or before.revision != read_revision:
        return Overtaken()
    if before.name != row.name:
        if _is_taken(connection, row):
            return NameTaken()
        if uses := connection_uses(connection, row.workspace_id).get(before.name):
            return Used(uses)
    try:
        connection.execute(update(connections).where(connections.c.id == row.id).values(_values(row)))
    except IntegrityError:
        raise lost_race() from None
    return _finish(connection, change)


def delete_connection(connection: Connection, workspace_id: str, connection_id: str) -> bool | Used:
    """Forget the connection with its secrets; False when there is none, Used when somebody needs it."""
    before = lock_named(connection, connections, workspace_id, connection_id)
    if before is None:
        return False
    if uses := connection_uses(connection, workspace_id).get(before.name):
        return Used(uses)
    drop_secrets_of(connection, connection_id)
    connection.execute(delete(connections).where(connections.c.id == connection_id))
    touch(connection)
    return True


def hold_connections(connection: Connection, workspace_id: str, names: Collection[str]) -> None:
    """Conflict when one of these connections is not there. Until the end of the transaction none of them can go."""
    if not names:
        return
    there = select(connections.c.name).where(
        connections.c.workspace_id == workspace_id, connections.c.name.in_(sorted(names))
    )
    # Differs: PostgreSQL locks the rows; SQLite has one writer and needs no lock
    found = set(connection.execute(there.with_for_update(read=True)).scalars())
    if missing := sorted(set(names) - found):
        raise Conflict(
            f"the connection {missing[0]} was deleted or renamed in the same moment; read the connections again"
        )


# --- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConnectionFilter:
    """What a list shows. `search` is looked for in names, upper and lower case alike."""

    search: str = ""
    kind: str | None = None


def connection_by_id(connection: Connection, workspace_id: str, connection_id: str) -> StoredConnection | None:
    query = _ROWS.where(connections.c.workspace_id == workspace_id, connections.c.id == connection_id)
    return next(_stored(connection, [_row(row) for row in connection.execute(query)]), None)


def connections_page(
    connection: Connection, workspace_id: str, wanted: ConnectionFilter, *, after_name: str | None, limit: int
) -> list[StoredConnection]:
    """The connections of a workspace by name, those after `after_name`."""
    query = _ROWS.where(connections.c.workspace_id == workspace_id)
    if wanted.kind is not None:
        query = query.where(connections.c.kind == wanted.kind)
    page = page_by_name(query, connections, wanted.search, after_name=after_name, limit=limit)
    return list(_stored(connection, [_row(row) for row in connection.execute(page)]))


def workspace_connections(connection: Connection, workspace_id: str) -> list[StoredConnection]:
    """All connections of a workspace by name."""
    query = _ROWS.where(connections.c.workspace_id == workspace_id).order_by(connections.c.name)
    return list(_stored(connection, [_row(row) for row in connection.execute(query)]))


def all_connections(connection: Connection) -> list[ConnectionRow]:
    return [_row(row) for row in connection.execute(_ROWS.order_by(connections.c.id))]


def connection_kinds(connection: Connection, workspace_id: str) -> dict[str, str]:
    """The kinds of a workspace's connections by name."""
    query = select(connections.c.name, connections.c.kind).where(connections.c.workspace_id == workspace_id)
    return {row.name: row.kind for row in connection.execute(query)}


def connection_uses(connection: Connection, workspace_id: str) -> dict[str, tuple[Use, ...]]:
    """Who uses the connections of a workspace, by their names; integrations by name. Nobody: the name is missing."""
    published = (
        select(integration.c.id, integration.c.name, workflow_version.c.document)
        .join_from(integration, workflow_version, workflow_version.c.integration_id == integration.c.id)
        .where(workflow_version.c.number == integration.c.workflow_number)
    )
    drafts = select(integration.c.id, integration.c.name, workflow_draft.c.document).join_from(
        integration, workflow_draft
    )
    found: dict[str, dict[tuple[str, str], set[str]]] = defaultdict(lambda: defaultdict(set))
    for place, query, document in (
        ("published", published, workflow_version.c.document),
        ("draft", drafts, workflow_draft.c.document),
    ):
        # most workflows use none: they need not be read as JSON
        naming = query.where(integration.c.workspace_id == workspace_id, document.contains('"connection"'))
        for row in connection.execute(naming):
            for name in connections_named(json.loads(row.document)):
                found[name][row.name, row.id].add(place)
    return {name: _uses(places) for name, places in found.items()}


def _uses(places: Mapping[tuple[str, str], set[str]]) -> tuple[Use, ...]:
    return tuple(
        Use(integration_id, name, "published" in found, "draft" in found)
        for (name, integration_id), found in sorted(places.items())
    )


_ROWS = select(connections, workspace.c.slug.label("workspace")).join_from(connections, workspace)


def _stored(connection: Connection, rows: list[ConnectionRow]) -> Iterator[StoredConnection]:
    secrets = secrets_by_owner(connection, [row.id for row in rows])
    return (StoredConnection(row, secrets[row.id].get(CREDENTIALS)) for row in rows)


def _row(row: Row[*tuple[object, ...]]) -> ConnectionRow:
    values = dict(row._mapping)
    return ConnectionRow(**{**values, "document": json.loads(values["document"])})


def _values(row: ConnectionRow) -> dict[str, object]:
    values = {column.name: getattr(row, column.name) for column in connections.columns}
    return {**values, "document": json.dumps(row.document)}


def _is_taken(connection: Connection, row: ConnectionRow) -> bool:
    return is_name_taken(connection, connections, row.workspace_id, row.name, row.id)


def _finish(connection: Connection, change: ConnectionChange) -> ConnectionRow:
    """The rest of a save whose row landed."""
    row = change.row
    keep_credentials(connection, row.id, change.credentials, row.updated_at, drops=change.drops_credentials)
    return row
