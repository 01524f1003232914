"""The secret store: what it seals only it opens, and its key file is guarded."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.errors import Misconfigured
from crossdock.vault import KEY_FILE, Sealed, Vault, VaultError, load_vault, local_secret, new_signing_secret

KEY = bytes(range(32))
OTHER_KEY = bytes(range(32, 64))


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@given(plain=st.binary(max_size=2000), associated=st.text(max_size=100))
def test_what_was_sealed_opens_again(plain: bytes, associated: str) -> None:
    vault = Vault([KEY])

    assert vault.open(vault.seal(plain, associated), associated) == plain


def test_the_same_secret_is_never_sealed_alike() -> None:
    vault = Vault([KEY])

    assert vault.seal(b"secret", "a").sealed != vault.seal(b"secret", "a").sealed


def test_a_secret_moved_to_another_owner_does_not_open() -> None:
    vault = Vault([KEY])
    sealed = vault.seal(b"secret", "int_1/platform_token")

    with pytest.raises(VaultError, match="int_2/platform_token was damaged or moved"):
        vault.open(sealed, "int_2/platform_token")


@given(at=st.integers(min_value=0, max_value=33), bit=st.integers(min_value=0, max_value=7))
def test_a_changed_bit_is_noticed(at: int, bit: int) -> None:
    vault = Vault([KEY])
    sealed = vault.seal(b"secret", "a")
    damaged = bytearray(sealed.sealed)
    damaged[at] ^= 1 << bit

    with pytest.raises(VaultError):
        vault.open(Sealed(sealed.key_id, bytes(damaged)), "a")


def test_a_truncated_secret_is_noticed() -> None:
    vault = Vault([KEY])

    with pytest.raises(VaultError):
        vault.open(Sealed(vault.current_key_id, b"short"), "a")


def test_a_secret_of_an_unknown_key_names_the_key() -> None:
    sealed = Vault([OTHER_KEY]).seal(b"secret", "a")

    with pytest.raises(VaultError, match=f"{sealed.key_id}, which is not among the keys here"):
        Vault([KEY]).open(sealed, "a")


def test_older_keys_still_open() -> None:
    sealed = Vault([OTHER_KEY]).seal(b"secret", "a")
    vault = Vault([KEY, OTHER_KEY])

    assert vault.open(sealed, "a") == b"secret"
    assert vault.seal(b"secret", "a").key_id == Vault([KEY]).current_key_id


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    first = load_vault(tmp_path / "data", None)
    second = load_vault(tmp_path / "data", None)

    assert first.key_ids == second.key_ids
    assert (tmp_path / "data" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert os.listdir(tmp_path / "data") == [KEY_FILE]


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    load_vault(tmp_path, None)
    (tmp_path / KEY_FILE).chmod(0o640)

    with pytest.raises(Misconfigured, match="mode 0640.*chmod 600"):
        load_vault(tmp_path, None)


def test_the_setting_wins_over_the_key_file(tmp_path: Path) -> None:
    vault = load_vault(tmp_path, f"{encoded(KEY)},{encoded(OTHER_KEY)}")

    assert vault.key_ids == Vault([KEY, OTHER_KEY]).key_ids
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["", "short", encoded(KEY[:16]), "not base64 at all!", encoded(KEY) + "=="])
def test_a_key_of_another_form_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured, match="openssl rand -base64 32") as refused:
        load_vault(tmp_path, text)

    assert not text or text not in str(refused.value)


@pytest.mark.anyio
async def test_rotation_seals_anew_and_a_second_one_forgets_the_old_key(tmp_path: Path) -> None:
    vault = load_vault(tmp_path, None)
    old_key_id = vault.current_key_id
    stored = {"a": vault.seal(b"one", "a"), "b": vault.seal(b"two", "b")}

    async def seal_again() -> int:
        for name, sealed in stored.items():
            stored[name] = vault.seal(vault.open(sealed, name), name)
        return len(stored)

    assert await vault.rotate(seal_again) == 2
    assert {sealed.key_id for sealed in stored.values()} == {vault.current_key_id}
    assert old_key_id in vault.key_ids

    assert await vault.rotate(seal_again) == 2
    reloaded = load_vault(tmp_path, None)
    assert old_key_id not in reloaded.key_ids
    assert reloaded.open(stored["a"], "a") == b"one"
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.anyio
async def test_a_rotation_that_breaks_off_keeps_both_keys(tmp_path: Path) -> None:
    vault = load_vault(tmp_path, None)
    before = vault.seal(b"one", "a")

    async def fails() -> int:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        await vault.rotate(fails)
    reloaded = load_vault(tmp_path, None)
    assert reloaded.open(before, "a") == b"one"
    assert reloaded.open(vault.seal(b"two", "b"), "b") == b"two"


def test_a_local_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    first = local_secret(tmp_path / "data" / "admin.token")

    assert len(first) >= 40
    assert local_secret(tmp_path / "data" / "admin.token") == first
    assert (tmp_path / "data" / "admin.token").stat().st_mode & 0o777 == 0o600


def test_signing_secrets_are_long_and_differ() -> None:
    assert len(new_signing_secret()) == 32
    assert new_signing_secret() != new_signing_secret()
