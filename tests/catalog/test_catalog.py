"""The catalog: a snapshot that is swapped whole, compiled once, and not felled by one integration."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from crossdock.catalog import BODY_ERRORS, Catalog, CheckBody, compile_body_schema
from crossdock.model.outcome import Json
from crossdock.outbound.connection import BearerToken, HttpConnection
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.store.connections import ConnectionChange, ConnectionRow, add_connection
from crossdock.store.integrations import IntegrationChange, IntegrationRow, add_integration, save_integration
from crossdock.store.keys import KeyRow, add_key
from crossdock.store.secrets import CREDENTIALS, SecretRow
from crossdock.vault import Vault
from tests.support.held import START

VAULT = Vault([bytes(32)])


def row(name: str = "orders", revision: int = 1, **trigger: Json) -> IntegrationRow:
    settings = {
        "methods": ["POST"],
        "authentication": {"mode": "none", "username": None},
        "response_mode": "async",
        **trigger,
    }
    return IntegrationRow(
        id=f"int_{name}",
        workspace_id="wsp_1",
        workspace="default",
        name=name,
        type="webhook-trigger",
        enabled=True,
        path=name,
        document={"trigger": settings, "reply": None},
        workflow_number=0,
        revision=revision,
        created_at=START,
        updated_at=START,
    )


def secret(owner_id: str, name: str, plain: bytes, vault: Vault = VAULT) -> SecretRow:
    sealed = vault.seal(plain, f"{owner_id}/{name}")
    return SecretRow(owner_id, name, sealed.key_id, sealed.sealed)


def connection(name: str, secrets: dict[str, str], vault: Vault = VAULT) -> ConnectionChange:
    """A connection with a bearer token."""
    made = ConnectionRow(
        id=f"con_{name}",
        workspace_id="wsp_1",
        workspace="default",
        name=name,
        kind="http",
        document={"base_url": "https://erp.example", "authentication": {"type": "bearer_token", "token": "[set]"}},
        revision=1,
        created_at=START,
        updated_at=START,
    )
    return ConnectionChange(made, secret(made.id, CREDENTIALS, json.dumps(secrets).encode(), vault))


async def add(store: Store, made: IntegrationRow, *secrets: SecretRow, workflow: Json = None) -> None:
    signing = secret(made.id, "signing_secret", b"s" * 32)
    answer = await store.write(add_integration, IntegrationChange(made, (signing, *secrets), workflow=workflow))
    assert isinstance(answer, IntegrationRow)


@pytest.fixture
async def catalog(store: Store) -> Catalog:
    await store.write(ensure_workspace, "wsp_1", "default", START)
    return Catalog(store, VAULT)


pytestmark = pytest.mark.anyio


async def test_an_integration_is_found_by_its_exact_path(store: Store, catalog: Catalog) -> None:
    await add(store, row("orders"))
    await catalog.reload()

    assert catalog.snapshot.by_path["default", "orders"].signing_secret == b"s" * 32
    assert ("default", "Orders") not in catalog.snapshot.by_path
    assert catalog.snapshot.workspaces == {"default": "wsp_1"}


async def test_old_rows_without_newer_fields_take_the_defaults(store: Store, catalog: Catalog) -> None:
    await add(store, row())
    await catalog.reload()

    integration = catalog.snapshot.by_id["int_orders"].integration
    assert (integration.trigger.concurrency, integration.retention) == (16, 30 * 86_400.0)


async def test_only_what_changed_is_built_anew(store: Store, catalog: Catalog) -> None:
    await add(store, row("orders"))
    await add(store, row("prices"))
    await catalog.reload()
    before = catalog.snapshot

    await store.write(save_integration, IntegrationChange(row("prices", 2, concurrency=3)), 1)
    await catalog.reload()

    assert catalog.snapshot.by_id["int_orders"] is before.by_id["int_orders"]
    assert catalog.snapshot.by_id["int_prices"].integration.trigger.concurrency == 3
    assert before.by_id["int_prices"].integration.trigger.concurrency == 16


async def test_a_new_key_is_known_after_a_reload(store: Store, catalog: Catalog) -> None:
    await add(store, row())
    await catalog.reload()
    digest = sha256(b"the-key").digest()

    await store.write(add_key, KeyRow("key_1", "int_orders", "erp", "-key", digest, False, START))

    assert await catalog.reload_if_changed()
    live = catalog.snapshot.by_id["int_orders"]
    assert live.find_key(b"the-key") is not None
    assert live.find_key(b"another") is None


async def test_nothing_is_read_again_when_nothing_changed(store: Store, catalog: Catalog) -> None:
    await add(store, row())
    await catalog.reload()
    before = catalog.snapshot

    assert not await catalog.reload_if_changed()
    assert catalog.snapshot is before


async def test_an_integration_whose_secret_can_not_be_opened_does_not_fail_the_others(
    store: Store, catalog: Catalog
) -> None:
    stranger = Vault([b"x" * 32])
    await add(store, row("orders"), secret("int_orders", "platform_token", b"t", stranger))
    await add(store, row("prices"))
    await catalog.reload()

    assert catalog.snapshot.by_id.keys() == {"int_prices"}
    assert "master key" in catalog.snapshot.broken["int_orders"]
    assert catalog.snapshot.broken_paths == {("default", "orders")}


async def test_a_broken_integration_comes_back_when_it_is_mended(store: Store, catalog: Catalog) -> None:
    await add(store, row("orders", ordering_key="{{ body. }}"))
    await catalog.reload()
    assert catalog.snapshot.broken.keys() == {"int_orders"}

    await store.write(save_integration, IntegrationChange(row("orders", 2, ordering_key="{{ body.id }}")), 1)
    await catalog.reload()

    key = catalog.snapshot.by_id["int_orders"].ordering_key
    assert key is not None
    assert key.evaluate({"body": {"id": 7}}) == 7
    assert not catalog.snapshot.broken


async def test_platform_token_and_password_are_accepted_as_they_are_only(store: Store, catalog: Catalog) -> None:
    basic = {"mode": "basic", "username": "erp"}
    secrets = (secret("int_orders", "platform_token", b"token"), secret("int_orders", "basic_password", b"word"))
    await add(store, row("orders", authentication=basic), *secrets)
    await add(store, row("prices"))
    await catalog.reload()

    orders, prices = catalog.snapshot.by_id["int_orders"], catalog.snapshot.by_id["int_prices"]
    assert [orders.accepts_token(text) for text in (b"token", b"Token", b"")] == [True, False, False]
    assert [orders.accepts_basic(*pair) for pair in ((b"erp", b"word"), (b"erp", b""), (b"x", b"word"))] == [
        True,
        False,
        False,
    ]
    assert not prices.accepts_token(b"")
    assert not prices.accepts_basic(b"", b"")


async def test_a_connection_is_found_by_name_in_the_workspace_of_the_integration(
    store: Store, catalog: Catalog
) -> None:
    await add(store, row())
    await store.write(add_connection, connection("ERP", {"authentication.token": "word"}))
    await catalog.reload()

    found = catalog.connection("int_orders", "ERP")

    assert isinstance(found, HttpConnection)
    assert found.authentication == BearerToken("word")
    for integration_id, name in (("int_orders", "erp"), ("int_gone", "ERP")):
        with pytest.raises(LookupError, match=f"there is no connection '{name}'"):
            catalog.connection(integration_id, name)


async def test_a_connection_whose_secret_can_not_be_opened_says_so_and_does_not_fail_the_others(
    store: Store, catalog: Catalog
) -> None:
    await add(store, row())
    lost = Vault([bytes(31) + b"x"])
    await store.write(add_connection, connection("ERP", {"authentication.token": "word"}, lost))
    await store.write(add_connection, connection("Shop", {}))
    await store.write(add_connection, connection("Stock", {"authentication.token": "word"}))
    await catalog.reload()

    with pytest.raises(LookupError, match="'ERP' can't be used: .* enter the secret again"):
        catalog.connection("int_orders", "ERP")
    with pytest.raises(LookupError, match=r"'Shop' can't be used: its secret authentication.token is missing"):
        catalog.connection("int_orders", "Shop")
    assert catalog.connection("int_orders", "Stock").name == "Stock"


async def test_a_workflow_version_is_read_once(store: Store, catalog: Catalog) -> None:
    await add(store, row(), workflow={"steps": [{"id": "a"}]})

    document = await catalog.workflow("int_orders", 1)

    assert document == {"steps": [{"id": "a"}]}
    assert await catalog.workflow("int_orders", 1) is document
    with pytest.raises(LookupError):
        await catalog.workflow("int_orders", 2)


@pytest.fixture
def check() -> CheckBody:
    return compile_body_schema(
        {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "integer"}, "lines": {"items": {"minimum": 1}}},
        }
    )


def test_a_body_is_told_where_it_is_wrong(check: CheckBody) -> None:
    assert check({"id": 1}) == []
    assert check({"id": "1", "lines": [1, 0]}) == [
        'id: "1" is not of type "integer"',
        "lines[1]: 0 is less than the minimum of 1",
    ]
    assert check([]) == ['[] is not of type "object"']


def test_a_body_with_many_errors_is_told_the_first_ones(check: CheckBody) -> None:
    assert len(check({"id": 1, "lines": [0] * 1_000})) == BODY_ERRORS


def test_a_body_that_can_not_be_checked_is_refused(check: CheckBody) -> None:
    deep: Json = {}
    for _ in range(5_000):
        deep = {"lines": [deep]}

    assert "can't be checked" in check(deep)[-1]
    assert "can't be checked" in check({"id": "\ud800"})[-1]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://schemas.example/x.json"},
        {"$ref": "file:///etc/hostname"},
        {"$schema": "https://schemas.example/own", "type": "object"},
        {"pattern": "("},
        {"pattern": "(?=look)ahead"},
        {"type": 7},
    ],
    ids=["remote", "file", "own dialect", "broken pattern", "look-around", "wrong type"],
)
def test_a_schema_that_is_none_or_fetches_something_is_refused(schema: Json) -> None:
    with pytest.raises(ValueError, match="is not a JSON Schema"):
        compile_body_schema(schema)


def test_a_hostile_pattern_takes_no_time() -> None:
    check = compile_body_schema({"pattern": "^(a+)+$"})

    assert check("a" * 50_000 + "b")
