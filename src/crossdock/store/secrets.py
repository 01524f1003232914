"""Sealed secrets, by whose they are and which. Only sealed bytes come here; the vault opens them elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from crossdock.model.time import Instant
from crossdock.store.schema import secret

CREDENTIALS = "credentials"
"""The name of the one sealed secret of a connection or a notification webhook: JSON with all its secret values by their
places in the document."""


@dataclass(frozen=True, slots=True)
class SecretRow:
    """One sealed secret. `key_id` names the master key that sealed it."""

    owner_id: str
    name: str
    key_id: str
    sealed: bytes

    @property
    def associated(self) -> str:
        """What the sealing authenticates beside the secret: a row copied to another place can't be opened there."""
        return f"{self.owner_id}/{self.name}"


def put_secrets(connection: Connection, rows: Iterable[SecretRow], now: Instant) -> None:
    """Keep these secrets, in the place of older ones with the same owner and name."""
    for row in rows:
        drop_secrets(connection, row.owner_id, (row.name,))
        connection.execute(
            insert(secret).values(
                owner_id=row.owner_id, name=row.name, key_id=row.key_id, sealed=row.sealed, updated_at=now
            )
        )


def drop_secrets(connection: Connection, owner_id: str, names: Sequence[str]) -> None:
    connection.execute(delete(secret).where(secret.c.owner_id == owner_id, secret.c.name.in_(names)))


def drop_secrets_of(connection: Connection, owner_id: str) -> None:
    """Forget everything that belongs to one owner."""
    connection.execute(delete(secret).where(secret.c.owner_id == owner_id))


def secrets_by_owner(connection: Connection, owner_ids: Sequence[str]) -> dict[str, dict[str, SecretRow]]:
    """The secrets of each of these owners, by name."""
    found: dict[str, dict[str, SecretRow]] = {owner_id: {} for owner_id in owner_ids}
    for row in connection.execute(select(secret).where(secret.c.owner_id.in_(owner_ids))):
        found[row.owner_id][row.name] = SecretRow(row.owner_id, row.name, row.key_id, row.sealed)
    return found


def all_secrets(connection: Connection) -> list[SecretRow]:
    rows = connection.execute(select(secret).order_by(secret.c.owner_id, secret.c.name))
    return [SecretRow(row.owner_id, row.name, row.key_id, row.sealed) for row in rows]


def seal_all_again(connection: Connection, seal_again: Callable[[SecretRow], SecretRow], now: Instant) -> int:
    """Put every secret through `seal_again` in one transaction; how many there were.

    What `seal_again` raises undoes all of it: secrets are never left half under one key and half under another.
    """
    # locked: what another node writes in the meantime must not be overwritten with what was there before
    found = connection.execute(select(secret).order_by(secret.c.owner_id, secret.c.name).with_for_update())
    rows = [SecretRow(row.owner_id, row.name, row.key_id, row.sealed) for row in found]
    for row in rows:
        sealed = seal_again(row)
        connection.execute(
            update(secret)
            .where(secret.c.owner_id == row.owner_id, secret.c.name == row.name, secret.c.sealed == row.sealed)
            .values(key_id=sealed.key_id, sealed=sealed.sealed, updated_at=now)
        )
    return len(rows)
