"""Changing the master key."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossdock.manage.actor import Actor
from crossdock.manage.master_key import MasterKey
from crossdock.model.errors import Conflict
from crossdock.store import Store
from crossdock.store.nodes import NodeRow, register_node
from crossdock.vault import Vault, load_vault
from tests.support.held import HeldClock

ALICE = Actor("alice", "wsp_1", "default", "admin")


async def register(store: Store, clock: HeldClock, *names: str) -> None:
    for name in names:
        await store.write(register_node, NodeRow(name, "host", 1, "0", clock.now, clock.now))


async def test_a_new_key_file_is_refused_while_other_nodes_have_the_old_key(
    store: Store, clock: HeldClock, tmp_path: Path
) -> None:
    vault = load_vault(tmp_path, None)
    await register(store, clock, "node_a", "node_b")
    before = vault.current_key_id

    with pytest.raises(Conflict, match="other nodes"):
        await MasterKey(store, vault, clock).rotate(ALICE)

    assert vault.current_key_id == before


async def test_one_node_makes_a_new_key(store: Store, clock: HeldClock, tmp_path: Path) -> None:
    vault = load_vault(tmp_path, None)
    await register(store, clock, "node_a")
    before = vault.current_key_id

    assert (await MasterKey(store, vault, clock).rotate(ALICE))["key_id"] != before


async def test_keys_of_the_setting_are_sealed_with_whoever_else_is_there(store: Store, clock: HeldClock) -> None:
    await register(store, clock, "node_a", "node_b")

    assert (await MasterKey(store, Vault([bytes(32)]), clock).rotate(ALICE))["secrets"] == 0
