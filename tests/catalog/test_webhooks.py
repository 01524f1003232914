"""Notification webhooks in the catalog: opened once, and not felled by one that can't be read."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import Connection

from crossdock.catalog import Catalog
from crossdock.model.outcome import Json
from crossdock.outbound.connection import BearerToken
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.store.secrets import CREDENTIALS, SecretRow, all_secrets
from crossdock.store.webhooks import WebhookChange, WebhookRow, add_webhook, save_webhook
from crossdock.vault import Vault
from tests.support.held import START

VAULT = Vault([bytes(32)])
OTHER_VAULT = Vault([b"k" * 32])
SECRETS = {"authentication.token": "the-token", "secrets.routing_key": "the-key", "signing_secret": "whsec_c2VjcmV0"}


def webhook(name: str = "slack", revision: int = 1, vault: Vault = VAULT, **document: Json) -> WebhookChange:
    """A webhook with a bearer token, a secret in its body and a signature."""
    row = WebhookRow(
        id=f"nwh_{name}",
        workspace_id="wsp_1",
        workspace="default",
        name=name,
        active=True,
        document={
            "url": "https://hooks.example/1",
            "method": "PUT",
            "authentication": {"type": "bearer_token", "token": "[set]"},
            "timeout_seconds": 7,
            "body_template": '{"key": "{{ secrets.routing_key }}"}',
            "response_validators": [{"json_path": "$.data.ok", "expected_values": [True]}],
            **document,
        },
        revision=revision,
        created_at=START,
        updated_at=START,
    )
    sealed = vault.seal(json.dumps(SECRETS).encode(), f"{row.id}/{CREDENTIALS}")
    return WebhookChange(row, SecretRow(row.id, CREDENTIALS, sealed.key_id, sealed.sealed))


@pytest.fixture
async def catalog(store: Store) -> Catalog:
    await store.write(ensure_workspace, "wsp_1", "default", START)
    return Catalog(store, VAULT)


async def test_a_webhook_is_there_with_its_secrets_and_shows_none(store: Store, catalog: Catalog) -> None:
    await store.write(add_webhook, webhook())

    await catalog.reload()

    made = catalog.snapshot.webhooks["nwh_slack"]
    assert (made.workspace, made.name, made.method, made.url) == ("default", "slack", "PUT", "https://hooks.example/1")
    assert made.connection.authentication == BearerToken("the-token")
    assert (made.connection.timeout, made.signing_key, made.validators[0].expected) == (7.0, b"secret", (True,))
    assert made.template is not None
    assert made.template.render({}, made.secrets) == b'{"key":"the-key"}'
    assert not any(secret in repr(made) for secret in ("the-token", "the-key", "secret'"))


async def test_only_a_webhook_that_changed_is_built_anew(store: Store, catalog: Catalog) -> None:
    await store.write(add_webhook, webhook("slack"))
    await store.write(add_webhook, webhook("teams"))
    await catalog.reload()
    before = catalog.snapshot

    await store.write(save_webhook, webhook("teams", 2, url="https://hooks.example/2"), 1)
    await catalog.reload()

    assert catalog.snapshot.webhooks["nwh_slack"] is before.webhooks["nwh_slack"]
    assert catalog.snapshot.webhooks["nwh_teams"].url == "https://hooks.example/2"
    assert before.webhooks["nwh_teams"].url == "https://hooks.example/1"


async def test_rows_and_secrets_of_one_moment_are_read(
    store: Store, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = webhook(authentication={"type": "none"}, body_template=None)  # of the secrets only the signing one counts

    def read_secrets_and_let_another_node_in(connection: Connection) -> list[SecretRow]:
        found = all_secrets(connection)
        asyncio.run_coroutine_threadsafe(store.write(add_webhook, change), loop).result(10)
        return found

    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patched:
        patched.setattr("crossdock.store.live_configuration.all_secrets", read_secrets_and_let_another_node_in)
        await catalog.reload()
    assert catalog.snapshot.webhooks == {}

    assert await catalog.reload_if_changed()
    assert catalog.snapshot.webhooks["nwh_slack"].signing_key == b"secret"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (webhook("odd", vault=OTHER_VAULT), "key"),
        (webhook("odd", body_template='{"key": "{{ secrets.gone }}"}'), "there is no secret 'gone'"),
        (webhook("odd", response_validators=[{"json_path": "status"}]), "this is no JSONPath"),
        (webhook("odd", authentication={"type": "oauth", "client_id": "1", "token_endpoint_url": ""}), "is missing"),
    ],
)
async def test_one_that_cant_be_read_leaves_the_others(
    store: Store, catalog: Catalog, change: WebhookChange, reason: str
) -> None:
    await store.write(add_webhook, webhook("slack"))
    await store.write(add_webhook, change)

    await catalog.reload()

    assert list(catalog.snapshot.webhooks) == ["nwh_slack"]
    assert reason in catalog.snapshot.broken_webhooks["nwh_odd"]
