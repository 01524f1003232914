"""API tokens of workspaces: their SHA-256, never their text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from crossdock.model.time import Instant
from crossdock.store.configuration import touch
from crossdock.store.schema import api_token, workspace


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token with what is told about it. `workspace` is the slug; `hint` is the end of its text."""

    id: str
    workspace_id: str
    workspace: str
    name: str
    role: str
    hint: str
    hash: bytes
    created_at: Instant
    expires_at: Instant | None = None
    last_used_at: Instant | None = None


def add_token(connection: Connection, row: TokenRow) -> bool:
    """Keep a new token; False when the workspace has one of that name."""
    same = select(api_token.c.id).where(api_token.c.workspace_id == row.workspace_id, api_token.c.name == row.name)
    if connection.execute(same).first() is not None:
        return False
    values = {column.name: getattr(row, column.name) for column in api_token.columns}
    connection.execute(insert(api_token).values(values))
    touch(connection)
    return True


def delete_token(connection: Connection, workspace_id: str, token_id: str) -> bool:
    removal = delete(api_token).where(api_token.c.workspace_id == workspace_id, api_token.c.id == token_id)
    landed = connection.execute(removal).rowcount == 1
    if landed:
        touch(connection)
    return landed


def token_by_id(connection: Connection, workspace_id: str, token_id: str) -> TokenRow | None:
    query = _TOKENS.where(api_token.c.workspace_id == workspace_id, api_token.c.id == token_id)
    row = connection.execute(query).first()
    return None if row is None else TokenRow(**row._mapping)


_TOKENS = select(api_token, workspace.c.slug.label("workspace")).join_from(api_token, workspace)


def tokens_page(connection: Connection, workspace_id: str, *, after_id: str | None, limit: int) -> list[TokenRow]:
    """The tokens of a workspace, oldest first, those after `after_id`."""
    query = _TOKENS.where(api_token.c.workspace_id == workspace_id)
    if after_id is not None:
        query = query.where(api_token.c.id > after_id)
    return [TokenRow(**row._mapping) for row in connection.execute(query.order_by(api_token.c.id).limit(limit))]


def all_tokens(connection: Connection) -> list[TokenRow]:
    return [TokenRow(**row._mapping) for row in connection.execute(_TOKENS)]


def record_token_use(connection: Connection, last_used: Mapping[str, Instant]) -> None:
    """Keep when tokens were last used. Not a change of the configuration."""
    for token_id, used_at in sorted(last_used.items()):
        connection.execute(update(api_token).where(api_token.c.id == token_id).values(last_used_at=used_at))
