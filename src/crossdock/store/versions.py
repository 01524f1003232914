"""Workflow versions: written once, never changed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.store.schema import workflow_version


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of an integration's workflow, as it was written."""

    integration_id: str
    number: int
    document: Json
    created_at: Instant
    created_by: str


def add_version(connection: Connection, row: VersionRow) -> None:
    connection.execute(
        insert(workflow_version).values(
            integration_id=row.integration_id,
            number=row.number,
            document=json.dumps(row.document),
            created_at=row.created_at,
            created_by=row.created_by,
        )
    )


def last_number(connection: Connection, integration_id: str) -> int:
    """The highest number that was given so far; 0 when there is no version."""
    highest = select(func.max(workflow_version.c.number)).where(workflow_version.c.integration_id == integration_id)
    return connection.execute(highest).scalar() or 0


def version(connection: Connection, integration_id: str, number: int) -> VersionRow | None:
    row = connection.execute(
        select(workflow_version).where(
            workflow_version.c.integration_id == integration_id, workflow_version.c.number == number
        )
    ).first()
    if row is None:
        return None
    return VersionRow(row.integration_id, row.number, json.loads(row.document), row.created_at, row.created_by)


def versions_page(connection: Connection, integration_id: str, *, below: int | None, limit: int) -> list[VersionRow]:
    """The newest versions first, those with a number below `below`."""
    query = select(workflow_version).where(workflow_version.c.integration_id == integration_id)
    if below is not None:
        query = query.where(workflow_version.c.number < below)
    rows = connection.execute(query.order_by(workflow_version.c.number.desc()).limit(limit))
    return [
        VersionRow(row.integration_id, row.number, json.loads(row.document), row.created_at, row.created_by)
        for row in rows
    ]
