"""Drafts of workflows: at most one for each integration. A change names the revision that it was made from."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.store.integrations import IntegrationChange, IntegrationRow, Stale, Taken, save_integration
from crossdock.store.schema import workflow_draft as draft

NO_DRAFT = 0
"""The revision where there is no draft."""


@dataclass(frozen=True, slots=True)
class DraftRow:
    """What somebody is working on. `revision` is another one after each save, and of no draft before this one."""

    integration_id: str
    document: Json
    based_on: int
    """The version that was published when it was begun; 0 for none."""
    revision: int
    updated_at: Instant
    updated_by: str


def draft_of(connection: Connection, integration_id: str) -> DraftRow | None:
    row = connection.execute(select(draft).where(draft.c.integration_id == integration_id)).first()
    if row is None:
        return None
    return DraftRow(**{**row._mapping, "document": json.loads(row.document)})


def save_draft(connection: Connection, row: DraftRow, read_revision: int) -> bool:
    """Keep the draft if it is still at `read_revision`, or if there is still none; whether it landed."""
    values = {name: getattr(row, name) for name in draft.c.keys()} | {"document": json.dumps(row.document)}  # noqa: SIM118
    if read_revision == NO_DRAFT:
        insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
        added = insert(draft).values(values).on_conflict_do_nothing().returning(draft.c.revision)
        return connection.execute(added).first() is not None
    guarded = update(draft).where(draft.c.integration_id == row.integration_id, draft.c.revision == read_revision)
    return connection.execute(guarded.values(values)).rowcount == 1


def drop_draft(connection: Connection, integration_id: str, read_revision: int) -> bool:
    """Forget the draft if it is still at `read_revision`; whether it landed."""
    guarded = delete(draft).where(draft.c.integration_id == integration_id, draft.c.revision == read_revision)
    return connection.execute(guarded).rowcount == 1


def publish_draft(
    connection: Connection, change: IntegrationChange, read_revision: int, draft_revision: int
) -> IntegrationRow | Taken | Stale:
    """Save the integration with the draft as its next version, and forget the draft; Stale when either has changed."""
    held = select(draft.c.revision).where(draft.c.integration_id == change.row.id).with_for_update()
    if connection.execute(held).scalar() != draft_revision:
        return Stale()
    saved = save_integration(connection, change, read_revision)
    if isinstance(saved, IntegrationRow):
        drop_draft(connection, change.row.id, draft_revision)
    return saved
