"""API keys of integrations: their SHA-256, never their text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, update

from crossdock.model.integration import ApiKey
from crossdock.model.time import Instant
from crossdock.store.configuration import touch
from crossdock.store.schema import api_key


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key with what is told about it. `hint` is the end of its text."""

    id: str
    integration_id: str
    label: str
    hint: str
    hash: bytes
    disabled: bool
    created_at: Instant
    expires_at: Instant | None = None
    last_used_at: Instant | None = None
    calls: int = 0

    def as_key(self) -> ApiKey:
        return ApiKey(self.id, self.label, self.hash, self.disabled, self.expires_at)


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How often a key was used since the last record, and when last."""

    key_id: str
    calls: int
    last_used_at: Instant


def add_key(connection: Connection, row: KeyRow) -> str | None:
    """Keep a new key; the label of the key that already has this value on the integration when it is refused."""
    same = select(api_key.c.label).where(api_key.c.integration_id == row.integration_id, api_key.c.hash == row.hash)
    label: str | None = connection.execute(same).scalar()
    if label is not None:
        return label
    values = {column.name: getattr(row, column.name) for column in api_key.columns}
    connection.execute(insert(api_key).values(values))
    touch(connection)
    return None


def change_key(connection: Connection, integration_id: str, key_id: str, values: Mapping[str, Any]) -> bool:
    """Set the label, whether it is disabled, or when it expires; False when the integration has no such key."""
    change = update(api_key).where(api_key.c.integration_id == integration_id, api_key.c.id == key_id)
    landed = connection.execute(change.values(dict(values))).rowcount == 1
    if landed:
        touch(connection)
    return landed


def delete_key(connection: Connection, integration_id: str, key_id: str) -> bool:
    removal = delete(api_key).where(api_key.c.integration_id == integration_id, api_key.c.id == key_id)
    landed = connection.execute(removal).rowcount == 1
    if landed:
        touch(connection)
    return landed


def key_by_id(connection: Connection, integration_id: str, key_id: str) -> KeyRow | None:
    query = select(api_key).where(api_key.c.integration_id == integration_id, api_key.c.id == key_id)
    row = connection.execute(query).first()
    return None if row is None else KeyRow(**row._mapping)


def keys_page(connection: Connection, integration_id: str, *, after_id: str | None, limit: int) -> list[KeyRow]:
    """The keys of an integration, oldest first, those after `after_id`."""
    query = select(api_key).where(api_key.c.integration_id == integration_id)
    if after_id is not None:
        query = query.where(api_key.c.id > after_id)
    return [KeyRow(**row._mapping) for row in connection.execute(query.order_by(api_key.c.id).limit(limit))]


def all_keys(connection: Connection) -> list[KeyRow]:
    return [KeyRow(**row._mapping) for row in connection.execute(select(api_key).order_by(api_key.c.id))]


def usable_key_counts(connection: Connection, integration_ids: Iterable[str], now: Instant) -> dict[str, int]:
    """How many keys of each integration open it now; integrations without one are left out."""
    usable = select(api_key.c.integration_id, func.count().label("usable")).where(
        api_key.c.integration_id.in_(list(integration_ids)),
        api_key.c.disabled.is_(False),
        (api_key.c.expires_at.is_(None)) | (api_key.c.expires_at > now),
    )
    return {row.integration_id: row.usable for row in connection.execute(usable.group_by(api_key.c.integration_id))}


_RECORD_USE = (
    update(api_key)
    .where(api_key.c.id == bindparam("key_id"))
    .values(
        calls=api_key.c.calls + bindparam("more_calls"),
        # two nodes record on their own times: the later use stands, whoever writes last
        last_used_at=case(
            (api_key.c.last_used_at > bindparam("used_at"), api_key.c.last_used_at), else_=bindparam("used_at")
        ),
    )
)


def record_use(connection: Connection, uses: Iterable[KeyUse]) -> None:
    """Add to the counts of used keys. Not a change of the configuration. Deleted keys are passed over.

    In the order of their ids, so that two nodes take the row locks in the same order.
    """
    rows = [
        {"key_id": use.key_id, "more_calls": use.calls, "used_at": use.last_used_at}
        for use in sorted(uses, key=lambda use: use.key_id)
    ]
    if rows:
        connection.execute(_RECORD_USE, rows)
