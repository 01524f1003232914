"""Rows of API keys."""

from __future__ import annotations

import pytest

from crossdock.store import Store
from crossdock.store.configuration import configuration_number, ensure_workspace
from crossdock.store.integrations import IntegrationChange, add_integration
from crossdock.store.keys import (
    KeyRow,
    KeyUse,
    add_key,
    change_key,
    delete_key,
    key_by_id,
    record_use,
    usable_key_counts,
)
from tests.store.test_integrations import row
from tests.support.held import START

pytestmark = pytest.mark.anyio


def key(number: int, integration: str = "int_orders", text: bytes | None = None, **more: object) -> KeyRow:
    values: dict[str, object] = {"disabled": False, "created_at": START, **more}
    return KeyRow(f"key_{number}", integration, f"label {number}", "hint", text or bytes([number]), **values)  # type: ignore[arg-type]


@pytest.fixture
async def keys(store: Store) -> Store:
    await store.write(ensure_workspace, "wsp_1", "default", START)
    for name in ("orders", "prices"):
        await store.write(add_integration, IntegrationChange(row(name)))
    await store.write(add_key, key(1))
    return store


async def test_a_value_is_taken_once_on_each_integration(keys: Store) -> None:
    assert await keys.write(add_key, key(2, text=bytes([1]))) == "label 1"
    assert await keys.write(add_key, key(3, "int_prices", bytes([1]))) is None
    assert await keys.read(key_by_id, "int_orders", "key_2") is None


async def test_uses_add_up_and_the_latest_stands(keys: Store) -> None:
    before = await keys.read(configuration_number)

    await keys.write(record_use, [KeyUse("key_1", 3, START + 9), KeyUse("key_gone", 1, START)])
    await keys.write(record_use, [KeyUse("key_1", 2, START + 5)])
    await keys.write(record_use, [])

    found = await keys.read(key_by_id, "int_orders", "key_1")
    assert found is not None
    assert (found.calls, found.last_used_at) == (5, START + 9)
    assert await keys.read(configuration_number) == before


async def test_a_key_is_changed_and_deleted_by_its_integration_only(keys: Store) -> None:
    assert not await keys.write(change_key, "int_prices", "key_1", {"disabled": True})
    assert not await keys.write(delete_key, "int_prices", "key_1")
    assert await keys.write(change_key, "int_orders", "key_1", {"disabled": True})
    assert await keys.write(delete_key, "int_orders", "key_1")


async def test_only_keys_that_open_something_are_counted(keys: Store) -> None:
    await keys.write(add_key, key(2, disabled=True))
    await keys.write(add_key, key(3, expires_at=START))
    await keys.write(add_key, key(4, expires_at=START + 1))

    assert await keys.read(usable_key_counts, ["int_orders", "int_prices"], START) == {"int_orders": 2}
