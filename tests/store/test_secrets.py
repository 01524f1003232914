"""Rows of sealed secrets, and sealing all of them again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crossdock.manage.secrets import seal, seal_everything_again, unseal
from crossdock.store import Store
from crossdock.store.secrets import SecretRow, all_secrets, drop_secrets, put_secrets, seal_all_again, secrets_by_owner
from crossdock.vault import Vault, VaultError
from tests.support.held import START, HeldClock

pytestmark = pytest.mark.anyio

OLD, NEW = b"o" * 32, b"n" * 32


async def test_a_secret_replaces_the_one_of_the_same_name(store: Store) -> None:
    await store.write(
        put_secrets, [SecretRow("int_1", "a", "mk_1", b"1"), SecretRow("int_1", "b", "mk_1", b"2")], START
    )
    await store.write(put_secrets, [SecretRow("int_1", "a", "mk_1", b"3")], START)
    await store.write(drop_secrets, "int_1", ("b", "c"))

    assert await store.read(secrets_by_owner, ["int_1", "int_2"]) == {
        "int_1": {"a": SecretRow("int_1", "a", "mk_1", b"3")},
        "int_2": {},
    }


async def test_all_secrets_are_sealed_again_with_the_new_key(store: Store) -> None:
    old = Vault([OLD])
    await store.write(put_secrets, [seal(old, "int_1", str(number), b"plain") for number in range(3)], START)

    assert await seal_everything_again(store, Vault([NEW, OLD]), HeldClock(), lambda _: None) == 3

    assert [unseal(Vault([NEW]), row) for row in await store.read(all_secrets)] == [b"plain"] * 3


async def test_one_secret_that_can_not_be_opened_leaves_all_as_they_were(store: Store) -> None:
    rows = [seal(Vault([OLD]), "int_1", "a", b"plain"), seal(Vault([b"x" * 32]), "int_1", "b", b"plain")]
    await store.write(put_secrets, rows, START)

    with pytest.raises(VaultError):
        await seal_everything_again(store, Vault([NEW, OLD]), HeldClock(), lambda _: None)

    assert await store.read(all_secrets) == rows


async def test_a_secret_that_was_moved_to_another_owner_can_not_be_opened(store: Store) -> None:
    vault = Vault([OLD])
    await store.write(put_secrets, [replace(seal(vault, "int_1", "a", b"plain"), owner_id="int_2")], START)

    with pytest.raises(VaultError):
        await store.write(seal_all_again, lambda row: seal(vault, row.owner_id, row.name, unseal(vault, row)), START)
