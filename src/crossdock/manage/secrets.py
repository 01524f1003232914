"""Sealing what integrations keep secret, and new random credentials."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable
from hashlib import sha256

from crossdock.clock import Clock
from crossdock.store import Store
from crossdock.store.audit import AuditEntry, audited
from crossdock.store.secrets import SecretRow, seal_all_again
from crossdock.vault import Sealed, Vault

PLATFORM_TOKEN = "platform_token"
BASIC_PASSWORD = "basic_password"
SIGNING_SECRET = "signing_secret"
REPLY_HEADERS = "reply_headers"
"""The names of an integration's secrets."""

SIGNING_PREFIX = "whsec_"
"""How Standard Webhooks writes a symmetric secret: this, then base64."""


def seal(vault: Vault, owner_id: str, name: str, plain: bytes) -> SecretRow:
    sealed = vault.seal(plain, f"{owner_id}/{name}")
    return SecretRow(owner_id, name, sealed.key_id, sealed.sealed)


def unseal(vault: Vault, row: SecretRow) -> bytes:
    """The secret's bytes; VaultError when its master key is missing."""
    return vault.open(Sealed(row.key_id, row.sealed), row.associated)


async def seal_everything_again(
    store: Store, vault: Vault, now: Clock, entry_for: Callable[[int], AuditEntry | None]
) -> int:
    """Seal every stored secret with the vault's current key, in one transaction; how many there were.

    `entry_for` is given that number, and gives the row of the audit log.
    """

    def renew(row: SecretRow) -> SecretRow:
        return seal(vault, row.owner_id, row.name, unseal(vault, row))

    return await store.write(audited(seal_all_again, entry_for), renew, now())


SIGNING_BYTES = (24, 64)
"""How long such a secret is at least and at most, by the same source."""


def write_signing_secret(secret: bytes) -> str:
    return SIGNING_PREFIX + base64.b64encode(secret).decode()


def check_signing_secret(text: str) -> str:
    """A secret as Standard Webhooks writes it; ValueError says how to make one."""
    shortest, longest = SIGNING_BYTES
    try:
        size = len(base64.b64decode(text.removeprefix(SIGNING_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not text.startswith(SIGNING_PREFIX) or not shortest <= size <= longest:
        raise ValueError(
            f"must be {SIGNING_PREFIX} and {shortest} to {longest} random bytes in base64, as "
            f'echo "{SIGNING_PREFIX}$(openssl rand -base64 32)" makes it'
        )
    return text


def new_credential(prefix: str) -> str:
    """`prefix` and 32 random bytes in base64url."""
    return prefix + secrets.token_urlsafe(32)


def hash_credential(text: str) -> bytes:
    """What is stored of a key or token. Plain SHA-256 is right for long random text."""
    return sha256(text.encode()).digest()


def hint_of(text: str) -> str:
    """The end of a credential, so that people can tell which one it is."""
    return text[-4:]
