"""Rows of connections: what is guarded holds on both databases, whoever comes first."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from crossdock.model.errors import Conflict
from crossdock.model.outcome import Json
from crossdock.model.workflow import connections_named
from crossdock.store import Store, open_store
from crossdock.store.configuration import configuration_number, ensure_workspace
from crossdock.store.connections import (
    ConnectionChange,
    ConnectionRow,
    Use,
    Used,
    add_connection,
    connection_by_id,
    connection_kinds,
    connection_uses,
    delete_connection,
    hold_connections,
    save_connection,
)
from crossdock.store.integrations import IntegrationChange, IntegrationRow, add_integration
from crossdock.store.named import NameTaken, Overtaken
from crossdock.store.secrets import CREDENTIALS, SecretRow, all_secrets
from tests.support.held import START

pytestmark = pytest.mark.anyio

CALLING: Json = {"steps": [{"id": "call", "http": {"connection": "ERP"}}]}


def row(name: str = "ERP", revision: int = 1) -> ConnectionRow:
    return ConnectionRow(
        id=f"con_{name}",
        workspace_id="wsp_1",
        workspace="default",
        name=name,
        kind="http",
        document={"base_url": "https://erp.example"},
        revision=revision,
        created_at=START,
        updated_at=START,
    )


def change(name: str = "ERP", revision: int = 1) -> ConnectionChange:
    return ConnectionChange(row(name, revision), SecretRow(f"con_{name}", CREDENTIALS, "mk_1", b"sealed"))


def integration(name: str, workflow: Json, connections: frozenset[str] = frozenset()) -> IntegrationChange:
    made = IntegrationRow(
        id=f"int_{name}",
        workspace_id="wsp_1",
        workspace="default",
        name=name,
        type="webhook-trigger",
        enabled=True,
        path=name,
        document={},
        workflow_number=0,
        revision=1,
        created_at=START,
        updated_at=START,
    )
    return IntegrationChange(made, workflow=workflow, author="alice", connections=connections)


@pytest.fixture
async def home(store: Store) -> Store:
    await store.write(ensure_workspace, "wsp_1", "default", START)
    await store.write(add_connection, change())
    return store


async def test_a_change_counts_and_lands_only_on_the_revision_that_was_read(home: Store) -> None:
    before = await home.read(configuration_number)

    assert isinstance(await home.write(save_connection, change(revision=2), 1), ConnectionRow)
    assert isinstance(await home.write(save_connection, change(revision=2), 1), Overtaken)

    stored = await home.read(connection_by_id, "wsp_1", "con_ERP")
    assert stored is not None
    assert stored.row.revision == 2
    assert await home.read(configuration_number) == before + 1


async def test_a_taken_name_is_told(home: Store) -> None:
    twin = replace(row("SAP"), name="ERP")

    assert isinstance(await home.write(add_connection, ConnectionChange(twin)), NameTaken)
    await home.write(add_connection, change("SAP"))
    assert isinstance(await home.write(save_connection, ConnectionChange(twin), 1), NameTaken)
    assert await home.read(connection_kinds, "wsp_1") == {"ERP": "http", "SAP": "http"}


async def test_deleting_forgets_the_secrets(home: Store) -> None:
    assert await home.write(delete_connection, "wsp_2", "con_ERP") is False
    assert await home.write(delete_connection, "wsp_1", "con_ERP") is True
    assert await home.write(delete_connection, "wsp_1", "con_ERP") is False
    assert await home.read(all_secrets) == []


async def test_what_a_published_workflow_uses_stays_under_its_name(home: Store) -> None:
    await home.write(add_integration, integration("orders", CALLING, frozenset({"ERP"})))
    used = Used((Use("int_orders", "orders", True, False),))

    assert await home.write(delete_connection, "wsp_1", "con_ERP") == used
    renamed = ConnectionChange(replace(row(revision=2), name="SAP"))
    assert await home.write(save_connection, renamed, 1) == used
    assert isinstance(await home.write(save_connection, change(revision=2), 1), ConnectionRow)


async def test_a_workflow_whose_connection_is_gone_is_not_published(home: Store) -> None:
    await home.write(delete_connection, "wsp_1", "con_ERP")

    with pytest.raises(Conflict, match="ERP was deleted or renamed"):
        await home.write(add_integration, integration("orders", CALLING, frozenset({"ERP"})))

    assert await home.read(connection_uses, "wsp_1") == {}


async def test_of_a_deletion_and_a_publication_at_once_one_gives_way(home: Store, database_url: str) -> None:
    """Two nodes, where the database allows two writers: neither deletes what the other has just begun to use."""
    if database_url.startswith("sqlite"):
        order = [home.write(delete_connection, "wsp_1", "con_ERP"), home.write(hold_connections, "wsp_1", {"ERP"})]
        deleted, held = await asyncio.gather(*order, return_exceptions=True)
        assert (deleted, isinstance(held, Conflict)) == (True, True)
        return
    async with open_store(database_url) as other:
        answers = await asyncio.gather(
            home.write(add_integration, integration("orders", CALLING, frozenset({"ERP"}))),
            other.write(delete_connection, "wsp_1", "con_ERP"),
            return_exceptions=True,
        )
    published, deleted = isinstance(answers[0], IntegrationRow), answers[1] is True
    assert published is not deleted
    assert isinstance(answers[1], Used) is published


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (None, set()),
        ({"steps": [{"id": "a", "sql": {"connection": "A"}}, {"id": "b", "http": {"url": "https://x"}}]}, {"A"}),
        ({"steps": [{"id": "s", "switch": {"cases": [{"when": "1", "steps": [CALLING["steps"][0]]}]}}]}, {"ERP"}),
        ({"steps": [{"id": "s", "switch": {"cases": [], "default": CALLING["steps"]}}]}, {"ERP"}),
        ({"steps": [{"id": "p", "parallel": {"branches": {"http": CALLING["steps"], "id": []}}}]}, {"ERP"}),
        ({"steps": [{"id": "f", "for_each": {"over": [], "steps": CALLING["steps"]}}]}, {"ERP"}),
        ({"steps": [{"id": "t", "transform": {"id": "x", "http": {"connection": "A"}}}]}, set()),
        ({"steps": [{"id": "h", "http": {"connection": 7}}, "text", None]}, set()),
        ({"steps": "none"}, set()),
    ],
)
def test_the_connections_of_a_workflow_are_found_in_its_steps(document: Json, named: set[str]) -> None:
    assert connections_named(document) == named
