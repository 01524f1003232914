"""What rows of connections and of notification webhooks share: a name that is theirs alone in the workspace, a
revision that guards their changes, and one sealed secret with all that they keep secret."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, Table, select

from crossdock.model.errors import Conflict
from crossdock.model.time import Instant
from crossdock.store.configuration import touch
from crossdock.store.secrets import CREDENTIALS, SecretRow, drop_secrets, put_secrets


class NameTaken:
    """Another one of the workspace has the name."""


class Overtaken:
    """It was changed or deleted since it was read."""


def lock_named(connection: Connection, table: Table, workspace_id: str, row_id: str) -> Row[Any] | None:
    """The row; nobody else changes, deletes or begins to use it until the transaction ends."""
    query = select(table).where(table.c.workspace_id == workspace_id, table.c.id == row_id)
    return connection.execute(query.with_for_update()).first()


def is_name_taken(connection: Connection, table: Table, workspace_id: str, name: str, row_id: str) -> bool:
    """Whether another row than this one has the name."""
    other = select(table.c.id).where(table.c.workspace_id == workspace_id, table.c.name == name, table.c.id != row_id)
    return connection.execute(other).first() is not None


def page_by_name(query: Select[Any], table: Table, search: str, *, after_name: str | None, limit: int) -> Select[Any]:
    """The rows whose names contain `search`, upper and lower case alike, by name, those after `after_name`."""
    if search:
        query = query.where(table.c.name.icontains(search, autoescape=True))
    if after_name is not None:
        query = query.where(table.c.name > after_name)
    return query.order_by(table.c.name).limit(limit)


def keep_credentials(
    connection: Connection, owner_id: str, credentials: SecretRow | None, now: Instant, *, drops: bool
) -> None:
    """The rest of a save whose row landed. Without `credentials` those that are kept stay, unless they are dropped."""
    if drops:
        drop_secrets(connection, owner_id, (CREDENTIALS,))
    if credentials is not None:
        put_secrets(connection, (credentials,), now)
    touch(connection)


def lost_race() -> Conflict:
    """The database refused a name that was free a moment ago."""
    # PostgreSQL only: on SQLite this process is the single writer and `is_name_taken` has already looked
    return Conflict("another node took the same name in the same moment; read the list and try again")
