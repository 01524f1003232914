"""Secrets at rest: AES-256-GCM under a master key.

Rules that hold here:

- A sealed secret names the key that sealed it, so that keys can change while old secrets stay readable.
- The associated data (whose secret it is, and which) is authenticated: a sealed value copied to another row can't be
  opened there.
- The master keys come from the setting `master_key`, or from the key file in the data folder, which only its owner
  may read. In both places the first key seals and the others only open.

The nonce is random and 96 bits long, as NIST SP 800-38D section 8.2.2 allows for far more secrets than one
installation ever seals under one key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crossdock.model.errors import CrossdockError, Misconfigured

KEY_FILE = "master.key"
LOCAL_TOKEN_FILE = "admin.token"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class VaultError(CrossdockError):
    """A secret can't be opened; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """`sealed` is the nonce followed by the ciphertext and its tag."""

    key_id: str
    sealed: bytes


class Vault:
    """Seals with the first of its keys and opens with any of them."""

    def __init__(self, keys: Sequence[bytes], key_file: Path | None = None) -> None:
        if not keys:
            raise Misconfigured("the secret store has no master key")
        self._keys = list(keys)
        self._key_file = key_file
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}

    @property
    def current_key_id(self) -> str:
        return key_id(self._keys[0])

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(key_id(key) for key in self._keys)

    def seal(self, plain: bytes, associated: str) -> Sealed:
        """Encrypt `plain`; only `open` with the same `associated` (such as `int_1/platform_token`) gives it back."""
        current = self.current_key_id
        nonce = os.urandom(_NONCE_BYTES)
        return Sealed(current, nonce + self._ciphers[current].encrypt(nonce, plain, associated.encode()))

    def open(self, sealed: Sealed, associated: str) -> bytes:
        """The secret's text; VaultError when its key is not here, or when it was changed or moved."""
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise VaultError(
                f"the secret {associated} was sealed with master key {sealed.key_id}, which is not among the keys here "
                f"({', '.join(self.key_ids)}); put that key back, or enter the secret again"
            )
        nonce, encrypted = sealed.sealed[:_NONCE_BYTES], sealed.sealed[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, encrypted, associated.encode())
        except (InvalidTag, ValueError):
            raise VaultError(
                f"the secret {associated} was damaged or moved since it was sealed; enter it again, or restore a backup"
            ) from None

    @property
    def has_key_file(self) -> bool:
        """Whether the keys are this process's own, in a file; else they come from the setting."""
        return self._key_file is not None

    async def rotate(self, seal_again: Callable[[], Awaitable[int]]) -> int:
        """Make a new key, seal every secret with it, then forget the older keys; how many secrets there were.

        `seal_again` opens and seals all stored secrets with this vault, durably. The new key is on disk before it is
        first used, so a crash at any moment loses nothing. The last key before it stays until the next rotation: a
        change that is under way may still bring a secret that was sealed with it. Keys that came from the setting are
        not ours to change: their first one is already the new one, and only the sealing is done.
        """
        if self._key_file is None:
            return await seal_again()
        self._use([secrets.token_bytes(_KEY_BYTES), *self._keys])
        count = await seal_again()
        self._use(self._keys[:2])
        return count

    def _use(self, keys: list[bytes]) -> None:
        assert self._key_file is not None
        _replace_key_file(self._key_file, keys)
        self._keys = keys
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}


def load_vault(data: Path, master_key: str | None) -> Vault:
    """The vault of an installation: keys from the setting, else from the key file, which is made when missing.

    Misconfigured when a key is not 32 bytes in base64, or when others than the owner may read the key file.
    """
    if master_key is not None:
        return Vault(parse_keys(master_key.replace(",", "\n"), "the setting master_key"))
    path = data / KEY_FILE
    if not path.exists():
        _create_private_file(path, _key_file_text([secrets.token_bytes(_KEY_BYTES)]))
    check_private_file(path)
    return Vault(parse_keys(path.read_text(encoding="utf-8"), str(path)), path)


def local_secret(path: Path) -> str:
    """The random token in a file that only its owner may read; made at the first time.

    For whoever may read the data folder: the command line on the server's own machine.
    """
    if not path.exists():
        _create_private_file(path, secrets.token_urlsafe(32) + "\n")
    check_private_file(path)
    return path.read_text(encoding="utf-8").strip()


def check_private_file(path: Path) -> None:
    """Misconfigured when anyone but its owner may read or change the file."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise Misconfigured(f"{path} may be read or changed by others (mode {mode:04o}); run: chmod 600 {path}")


def parse_keys(text: str, origin: str) -> list[bytes]:
    """The keys in `text`, one a line; blank lines and lines that begin with # are passed over."""
    lines = [line.strip() for line in text.splitlines()]
    keys = [_parse_key(line, origin) for line in lines if line and not line.startswith("#")]
    if not keys:
        raise Misconfigured(f"{origin} holds no key; make one with: openssl rand -base64 32")
    return keys


def key_id(key: bytes) -> str:
    """A short public name of a key, derived from it, so that the same key has the same name everywhere."""
    return "mk_" + hashlib.sha256(b"crossdock master key id:" + key).hexdigest()[:12]


def new_signing_secret() -> bytes:
    """A secret for signing replies: 32 random bytes, as Standard Webhooks asks for (24 to 64)."""
    return secrets.token_bytes(32)


def _parse_key(text: str, origin: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise Misconfigured(
            f"a key in {origin} is not 32 bytes written in base64; make one with: openssl rand -base64 32"
        )
    return key


def _key_file_text(keys: Sequence[bytes]) -> str:
    head = (
        "# Master keys of this Crossdock installation. The first one seals, the others only open. Keep a copy apart.\n"
    )
    return head + "".join(base64.b64encode(key).decode() + "\n" for key in keys)


def _create_private_file(path: Path, text: str) -> None:
    """Make the file; when another process made it in the same moment, its text stands."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _write_draft(path, text)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _replace_key_file(path: Path, keys: Sequence[bytes]) -> None:
    _write_draft(path, _key_file_text(keys)).replace(path)
    _sync_folder(path.parent)


def _write_draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable; without it a power loss could bring the old file back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
