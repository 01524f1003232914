"""Rows of integrations and workflow versions: what is guarded holds on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crossdock.model.outcome import Json
from crossdock.store import Store
from crossdock.store.configuration import configuration_number, ensure_workspace, workspaces
from crossdock.store.integrations import (
    IntegrationChange,
    IntegrationFilter,
    IntegrationRow,
    Stale,
    Taken,
    add_integration,
    delete_integration,
    integration_by_id,
    integrations_page,
    save_integration,
)
from crossdock.store.keys import KeyRow, add_key, all_keys
from crossdock.store.secrets import SecretRow, all_secrets
from crossdock.store.versions import last_number, version
from tests.support.held import START

pytestmark = pytest.mark.anyio


def row(name: str, revision: int = 1, workspace_id: str = "wsp_1", **more: Json) -> IntegrationRow:
    made = IntegrationRow(
        id=f"int_{name}",
        workspace_id=workspace_id,
        workspace="default",
        name=name,
        type="webhook-trigger",
        enabled=True,
        path=name,
        document={"trigger": {}},
        workflow_number=0,
        revision=revision,
        created_at=START,
        updated_at=START,
    )
    return replace(made, **more)


@pytest.fixture
async def home(store: Store) -> Store:
    await store.write(ensure_workspace, "wsp_1", "default", START)
    return store


async def test_a_workspace_is_made_once(store: Store) -> None:
    assert await store.write(ensure_workspace, "wsp_1", "default", START) == "wsp_1"
    assert await store.write(ensure_workspace, "wsp_2", "default", START) == "wsp_1"
    assert await store.read(workspaces) == {"default": "wsp_1"}


async def test_a_row_comes_back_as_it_was_kept(home: Store) -> None:
    kept = row("orders", document={"trigger": {"text": "\u0000 ü 🦀 ${x}"}})
    await home.write(add_integration, IntegrationChange(kept))

    found = await home.read(integration_by_id, "wsp_1", "int_orders", START)

    assert found is not None
    assert found.row == kept


async def test_a_save_from_an_old_revision_does_not_land(home: Store) -> None:
    await home.write(add_integration, IntegrationChange(row("orders")))
    await home.write(save_integration, IntegrationChange(row("orders", 2, enabled=False)), 1)

    answer = await home.write(save_integration, IntegrationChange(row("orders", 2, path="late")), 1)

    assert isinstance(answer, Stale)
    found = await home.read(integration_by_id, "wsp_1", "int_orders", START)
    assert found is not None
    assert (found.row.path, found.row.enabled) == ("orders", False)


async def test_a_late_save_writes_no_secret_and_no_version(home: Store) -> None:
    await home.write(add_integration, IntegrationChange(row("orders", 2)))
    change = IntegrationChange(row("orders", 3), (SecretRow("int_orders", "x", "mk_1", b"x"),), (), {"steps": []})

    await home.write(save_integration, change, 1)

    assert await home.read(all_secrets) == []
    assert await home.read(last_number, "int_orders") == 0


async def test_a_taken_name_or_path_names_its_owner(home: Store) -> None:
    await home.write(add_integration, IntegrationChange(row("orders")))
    await home.write(add_integration, IntegrationChange(row("prices")))

    same_name = await home.write(add_integration, IntegrationChange(replace(row("x"), name="orders")))
    same_path = await home.write(save_integration, IntegrationChange(row("prices", 2, path="orders")), 1)

    assert same_name == Taken(name_by="orders", path_by=None)
    assert same_path == Taken(name_by=None, path_by="orders")


async def test_every_change_is_counted(home: Store) -> None:
    numbers = [await home.read(configuration_number)]
    for change, *arguments in (
        (add_integration, IntegrationChange(row("orders"))),
        (save_integration, IntegrationChange(row("orders", 2)), 1),
        (add_key, KeyRow("key_1", "int_orders", "a", "hint", b"h", False, START)),
        (delete_integration, "wsp_1", "int_orders"),
    ):
        await home.write(change, *arguments)
        numbers.append(await home.read(configuration_number))

    assert numbers == [0, 1, 2, 3, 4]


async def test_versions_are_numbered_one_after_the_other(home: Store) -> None:
    made = await home.write(add_integration, IntegrationChange(row("orders"), workflow={"steps": [1]}, author="alice"))
    saved = await home.write(save_integration, IntegrationChange(row("orders", 2), workflow={"steps": [2]}), 1)

    assert isinstance(made, IntegrationRow)
    assert isinstance(saved, IntegrationRow)
    assert (made.workflow_number, saved.workflow_number) == (1, 2)
    first = await home.read(version, "int_orders", 1)
    assert first is not None
    assert (first.document, first.created_by) == ({"steps": [1]}, "alice")


async def test_a_deletion_takes_along_what_belongs_to_the_integration(home: Store) -> None:
    secret = SecretRow("int_orders", "x", "mk_1", b"x")
    other = SecretRow("int_prices", "x", "mk_1", b"x")
    await home.write(add_integration, IntegrationChange(row("orders"), (secret,), (), {"steps": []}))
    await home.write(add_integration, IntegrationChange(row("prices"), (other,)))
    await home.write(add_key, KeyRow("key_1", "int_orders", "a", "hint", b"h", False, START))

    assert await home.write(delete_integration, "wsp_1", "int_orders")

    assert await home.read(all_secrets) == [other]
    assert await home.read(all_keys) == []
    assert await home.read(last_number, "int_orders") == 0
    assert not await home.write(delete_integration, "wsp_1", "int_orders")


async def test_another_workspace_can_not_save_or_delete(home: Store) -> None:
    await home.write(ensure_workspace, "wsp_2", "away", START)
    await home.write(add_integration, IntegrationChange(row("orders")))

    stolen = await home.write(save_integration, IntegrationChange(row("orders", 2, workspace_id="wsp_2")), 1)

    assert isinstance(stolen, Stale)
    assert not await home.write(delete_integration, "wsp_2", "int_orders")


async def test_a_search_takes_wildcards_as_they_stand(home: Store) -> None:
    for name in ("a_b", "axb", "a%b"):
        await home.write(add_integration, IntegrationChange(row(name)))

    async def names(search: str) -> list[str]:
        wanted = IntegrationFilter(search)
        page = await home.read(integrations_page, "wsp_1", wanted, START, after_name=None, limit=9)
        return [stored.row.name for stored in page]

    assert await names("A_B") == ["a_b"]
    assert await names("%") == ["a%b"]
    assert len(await names("")) == 3
