"""Integrations as rows. Every change carries the revision that it was made from and says whether it landed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from crossdock.model.errors import Conflict
from crossdock.model.health import HealthStatus
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.store.configuration import touch
from crossdock.store.connections import hold_connections
from crossdock.store.health import effective_status
from crossdock.store.keys import usable_key_counts
from crossdock.store.publications import add_publication
from crossdock.store.schema import api_key, integration, workflow_version, workspace
from crossdock.store.secrets import SecretRow, drop_secrets, drop_secrets_of, put_secrets, secrets_by_owner
from crossdock.store.versions import VersionRow, add_version, last_number, version


@dataclass(frozen=True, slots=True)
class IntegrationRow:
    """An integration with its settings as a document. `workspace` is the slug; workflow 0 means none."""

    id: str
    workspace_id: str
    workspace: str
    name: str
    type: str
    enabled: bool
    path: str
    document: Json
    workflow_number: int
    revision: int
    created_at: Instant
    updated_at: Instant


@dataclass(frozen=True, slots=True)
class IntegrationChange:
    """All that one save writes: the new row, secrets set and dropped, and a new workflow where there is one."""

    row: IntegrationRow
    secrets: tuple[SecretRow, ...] = ()
    dropped_secrets: tuple[str, ...] = ()
    workflow: Json = None
    """Becomes the next version and is published; None leaves the row's `workflow_number` as it is."""
    author: str = ""
    connections: frozenset[str] = frozenset()
    """The names of those that the workflow uses which is published by this: they have to be there still."""
    returns_to: int | None = None
    """The position of the publication that a rollback goes back to."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Another integration of the workspace has the name or the path."""

    name_by: str | None
    path_by: str | None


class Stale:
    """The integration was changed or deleted since it was read."""


def add_integration(connection: Connection, change: IntegrationChange) -> IntegrationRow | Taken:
    """Keep a new integration with its workflow and secrets; Taken when its name or path is in use.

    Conflict when a connection that the workflow uses is gone.
    """
    taken = _find_taken(connection, change.row)
    if taken is not None:
        return taken
    try:
        connection.execute(insert(integration).values(_values(change.row)))
    except IntegrityError:
        raise _lost_race() from None
    return _finish(connection, change, 0)


def save_integration(
    connection: Connection, change: IntegrationChange, read_revision: int
) -> IntegrationRow | Taken | Stale:
    """Write the row if it is still at `read_revision`; Conflict when a connection that the workflow uses is gone."""
    taken = _find_taken(connection, change.row)
    if taken is not None:
        return taken
    published = select(integration.c.workflow_number).where(integration.c.id == change.row.id)
    was_published = connection.execute(published).scalar() or 0
    guarded = update(integration).where(
        integration.c.id == change.row.id,
        integration.c.workspace_id == change.row.workspace_id,
        integration.c.revision == read_revision,
    )
    try:
        landed = connection.execute(guarded.values(_values(change.row))).rowcount == 1
    except IntegrityError:
        raise _lost_race() from None
    return _finish(connection, change, was_published) if landed else Stale()


def delete_integration(connection: Connection, workspace_id: str, integration_id: str) -> bool:
    """Forget the integration with its keys, workflows and secrets; its events stay until their time is over."""
    own = select(integration.c.id).where(integration.c.workspace_id == workspace_id, integration.c.id == integration_id)
    if connection.execute(own.with_for_update()).first() is None:  # locked: a save under way may be adding secrets
        return False
    drop_secrets_of(connection, integration_id)
    connection.execute(delete(api_key).where(api_key.c.integration_id == integration_id))
    connection.execute(delete(workflow_version).where(workflow_version.c.integration_id == integration_id))
    connection.execute(delete(integration).where(integration.c.id == integration_id))
    touch(connection)
    return True


@dataclass(frozen=True, slots=True)
class StoredIntegration:
    """An integration with what belongs to it. `workflow` is the published version; lists leave it out."""

    row: IntegrationRow
    secrets: Mapping[str, SecretRow]
    usable_keys: int
    workflow: Json = None


def integration_by_id(
    connection: Connection, workspace_id: str, integration_id: str, now: Instant
) -> StoredIntegration | None:
    query = _ROWS.where(integration.c.workspace_id == workspace_id, integration.c.id == integration_id)
    return _one(connection, query, now)


def integration_by_name(connection: Connection, workspace_id: str, name: str, now: Instant) -> StoredIntegration | None:
    query = _ROWS.where(integration.c.workspace_id == workspace_id, integration.c.name == name)
    return _one(connection, query, now)


def integration_exists(connection: Connection, workspace_id: str, integration_id: str) -> bool:
    query = select(integration.c.id).where(integration.c.workspace_id == workspace_id)
    return connection.execute(query.where(integration.c.id == integration_id)).first() is not None


@dataclass(frozen=True, slots=True)
class IntegrationFilter:
    """What a list shows. `search` is looked for in names and paths, upper and lower case alike."""

    search: str = ""
    type: str | None = None
    enabled: bool | None = None
    health: frozenset[HealthStatus] = frozenset()
    """Any of these states; empty for all."""


def integrations_page(
    connection: Connection,
    workspace_id: str,
    wanted: IntegrationFilter,
    now: Instant,
    *,
    after_name: str | None,
    limit: int,
) -> list[StoredIntegration]:
    """The integrations of a workspace by name, those after `after_name`."""
    query = narrowed(_ROWS.where(integration.c.workspace_id == workspace_id), wanted)
    if after_name is not None:
        query = query.where(integration.c.name > after_name)
    rows = [_row(row) for row in connection.execute(query.order_by(integration.c.name).limit(limit))]
    return _with_belongings(connection, rows, now)


def narrowed(query: Select[Any], wanted: IntegrationFilter) -> Select[Any]:
    """A query of integrations for those that a filter leaves."""
    if wanted.search:
        query = query.where(
            integration.c.name.icontains(wanted.search, autoescape=True)
            | integration.c.path.icontains(wanted.search, autoescape=True)
        )
    if wanted.type is not None:
        query = query.where(integration.c.type == wanted.type)
    if wanted.enabled is not None:
        query = query.where(integration.c.enabled.is_(wanted.enabled))
    if wanted.health:
        query = query.where(effective_status().in_(sorted(wanted.health)))
    return query


def integrations_by_ids(
    connection: Connection, workspace_id: str, integration_ids: Sequence[str], now: Instant
) -> dict[str, StoredIntegration]:
    """Integrations of a workspace without their workflows; those that are gone are left out."""
    query = _ROWS.where(integration.c.workspace_id == workspace_id, integration.c.id.in_(integration_ids))
    rows = [_row(row) for row in connection.execute(query)]
    return {stored.row.id: stored for stored in _with_belongings(connection, rows, now)}


def workspace_integrations(connection: Connection, workspace_id: str, now: Instant) -> list[StoredIntegration]:
    """All integrations of a workspace by name, with their published workflows."""
    query = _ROWS.where(integration.c.workspace_id == workspace_id).order_by(integration.c.name)
    rows = [_row(row) for row in connection.execute(query)]
    return [_with_workflow(connection, stored) for stored in _with_belongings(connection, rows, now)]


def all_integrations(connection: Connection) -> list[IntegrationRow]:
    return [_row(row) for row in connection.execute(_ROWS.order_by(integration.c.id))]


_ROWS = select(integration, workspace.c.slug.label("workspace")).join_from(integration, workspace)


def _one(connection: Connection, query: Select[*tuple[object, ...]], now: Instant) -> StoredIntegration | None:
    row = connection.execute(query).first()
    if row is None:
        return None
    return _with_workflow(connection, _with_belongings(connection, [_row(row)], now)[0])


def _with_workflow(connection: Connection, stored: StoredIntegration) -> StoredIntegration:
    published = version(connection, stored.row.id, stored.row.workflow_number)
    return replace(stored, workflow=published.document) if published is not None else stored


def _with_belongings(connection: Connection, rows: list[IntegrationRow], now: Instant) -> list[StoredIntegration]:
    ids = [row.id for row in rows]
    secrets, keys = secrets_by_owner(connection, ids), usable_key_counts(connection, ids, now)
    return [StoredIntegration(row, secrets[row.id], keys.get(row.id, 0)) for row in rows]


def _row(row: Row[*tuple[object, ...]]) -> IntegrationRow:
    values = dict(row._mapping)
    return IntegrationRow(**{**values, "document": json.loads(values["document"])})


def _values(row: IntegrationRow) -> dict[str, object]:
    values = {column.name: getattr(row, column.name) for column in integration.columns}
    return {**values, "document": json.dumps(row.document)}


def _find_taken(connection: Connection, row: IntegrationRow) -> Taken | None:
    others = select(integration.c.name, integration.c.path).where(
        integration.c.workspace_id == row.workspace_id,
        integration.c.id != row.id,
        (integration.c.name == row.name) | (integration.c.path == row.path),
    )
    found = connection.execute(others).all()
    if not found:
        return None
    return Taken(
        name_by=next((other.name for other in found if other.name == row.name), None),
        path_by=next((other.name for other in found if other.path == row.path), None),
    )


def _finish(connection: Connection, change: IntegrationChange, was_published: int) -> IntegrationRow:
    """The rest of a save whose row landed: secrets, the new workflow version, its publication, the count of changes."""
    row = change.row
    hold_connections(connection, row.workspace_id, change.connections)
    if change.dropped_secrets:
        drop_secrets(connection, row.id, change.dropped_secrets)
    put_secrets(connection, change.secrets, row.updated_at)
    if change.workflow is not None:
        number = last_number(connection, row.id) + 1
        add_version(connection, VersionRow(row.id, number, change.workflow, row.updated_at, change.author))
        connection.execute(update(integration).where(integration.c.id == row.id).values(workflow_number=number))
        row = replace(row, workflow_number=number)
    if row.workflow_number != was_published:
        add_publication(
            connection,
            row.id,
            row.workflow_number,
            at=row.updated_at,
            by=change.author,
            returns_to=change.returns_to,
        )
    touch(connection)
    return row


def _lost_race() -> Conflict:
    # PostgreSQL only: on SQLite this process is the single writer and `_find_taken` has already looked
    return Conflict("another node took the same name or path in the same moment; read the list and try again")
