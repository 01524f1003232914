"""The counter of what people set up, and the workspaces.

Every change of the configuration ends with `touch` in its own transaction, so that another node that sees a new
number also sees the change.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, text

from crossdock.model.time import Instant
from crossdock.store.schema import setting, workspace

_TOUCH = text(
    "INSERT INTO setting (name, value) VALUES ('configuration', '1') "
    "ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(setting.value AS BIGINT) + 1 AS TEXT)"
)
_ADD_WORKSPACE = text(
    "INSERT INTO workspace (id, slug, name, created_at) VALUES (:id, :slug, :name, :created_at) "
    "ON CONFLICT (slug) DO NOTHING"
)


def touch(connection: Connection) -> None:
    """Count one more change of the configuration."""
    connection.execute(_TOUCH)


def configuration_number(connection: Connection) -> int:
    """How many changes there were; 0 in a new database."""
    value = connection.execute(select(setting.c.value).where(setting.c.name == "configuration")).scalar()
    return int(value) if value is not None else 0


def workspaces(connection: Connection) -> dict[str, str]:
    """The ids of all workspaces by their slugs."""
    return {row.slug: row.id for row in connection.execute(select(workspace.c.slug, workspace.c.id))}


def ensure_workspace(connection: Connection, new_id: str, slug: str, now: Instant) -> str:
    """The id of the workspace with this slug; it is made, with `new_id`, when there is none."""
    connection.execute(_ADD_WORKSPACE, {"id": new_id, "slug": slug, "name": slug, "created_at": now})
    return str(connection.execute(select(workspace.c.id).where(workspace.c.slug == slug)).scalar_one())
