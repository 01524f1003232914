"""Connections: what a document may say, what becomes of its secrets, who uses them, and trying one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from crossdock.catalog import Catalog
from crossdock.manage.placeholders import placeholder_names
from crossdock.manage.secrets import seal_everything_again
from crossdock.model.errors import Conflict, Forbidden, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import later, parse_instant
from crossdock.outbound.connection import BasicCredentials, BearerToken, CustomHeaders, HttpConnection, OAuthClient
from crossdock.outbound.connection import SqlConnection as LiveSql
from crossdock.outbound.trying import ConnectionTest
from crossdock.store.secrets import all_secrets
from crossdock.vault import Vault
from tests.manage.conftest import Desk, trigger, wrong
from tests.server.certificates import make_certificate
from tests.support.connections import SQLITE_FOLDER, connections_of, http_document, sql_document
from tests.support.held import HeldClock

pytestmark = pytest.mark.anyio

BEARER = {"type": "bearer_token", "token": "hunter2-token"}
OAUTH = {
    "type": "oauth",
    "client_id": "crossdock",
    "client_secret": "hunter2-secret",
    "token_endpoint_url": "https://login.example/token",
    "scopes": ["orders.read", "orders.write"],
}

OAUTH_OPENED = OAuthClient(
    "crossdock", "hunter2-secret", "https://login.example/token", ("orders.read", "orders.write")
)


def live(desk: Desk, name: str = "ERP") -> HttpConnection:
    found = desk.catalog.snapshot.connections["default", name]
    assert isinstance(found, HttpConnection)
    return found


def calling(name: str, kind: str = "http") -> Json:
    """A workflow with a step that uses a connection, inside of blocks."""
    step = {"id": "call", kind: {"connection": name}}
    return {"steps": [{"id": "each", "for_each": {"over": "{{ body }}", "steps": [step]}}]}


async def make(desk: Desk, document: Json | None = None) -> Json:
    return await desk.connections.create(desk.alice, document or http_document(authentication=BEARER))


async def draft_with(desk: Desk, connection: str, name: str = "Orders") -> str:
    """An integration whose draft uses a connection; its id."""
    integration_id: str = (await desk.integrations.create(desk.alice, trigger(name)))["id"]
    await desk.drafts.save(desk.alice, integration_id, calling(connection))
    return integration_id


async def test_a_connection_shows_its_defaults_and_no_secret(desk: Desk) -> None:
    made = await make(desk)

    assert made == {
        "id": made["id"],
        "name": "ERP",
        "kind": "http",
        "base_url": "https://erp.example/api",
        "authentication": {"type": "bearer_token", "token": "[set]"},
        "headers": {},
        "timeout": "PT30S",
        "verify_tls": True,
        "ca_certificate": None,
        "client_certificate": None,
        "certificate_expires_at": None,
        "follow_redirects": False,
        "test_path": None,
        "used_by": [],
        "warnings": [],
        "revision": 1,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert made["id"].startswith("con_")
    assert live(desk).authentication == BearerToken("hunter2-token")


async def test_a_database_url_is_shown_without_its_password(desk: Desk) -> None:
    made = await make(desk, sql_document(url="postgresql://erp:p%40ss@db.example:5433/stock?sslmode=require"))

    assert made["url"] == "postgresql://erp:***@db.example:5433/stock?sslmode=require"
    assert (made["read_only"], made["pool_size"], made["statement_timeout"]) == (False, 5, "PT30S")
    found = desk.catalog.snapshot.connections["default", "Stock"]
    assert isinstance(found, LiveSql)
    assert found.url == "postgresql+psycopg://erp:p%40ss@db.example:5433/stock?sslmode=require"
    assert "p%40ss" not in repr(found)


async def test_a_database_file_becomes_an_absolute_path_in_its_folder(desk: Desk) -> None:
    await make(desk, sql_document(url="sqlite:///stock/items.db"))

    found = desk.catalog.snapshot.connections["default", "Stock"]
    assert isinstance(found, LiveSql)
    assert found.url == f"sqlite:///{SQLITE_FOLDER}/stock/items.db"


@pytest.mark.parametrize(
    ("written", "shown", "opened"),
    [
        (OAUTH, {**OAUTH, "client_secret": "[set]"}, OAUTH_OPENED),
        (
            {"type": "basic", "username": "erp", "password": "pass word"},
            {"type": "basic", "username": "erp", "password": "[set]"},
            BasicCredentials("erp", "pass word"),
        ),
        (
            {"type": "custom", "headers": {"X-Tenant": "north"}},
            {"type": "custom", "headers": {"X-Tenant": "[set]"}},
            CustomHeaders((("X-Tenant", "north"),)),
        ),
    ],
    ids=["oauth", "basic", "custom"],
)
async def test_every_authentication_keeps_its_secrets(desk: Desk, written: Json, shown: Json, opened: object) -> None:
    made = await make(desk, http_document(authentication=written))

    assert made["authentication"] == shown
    assert live(desk).authentication == opened
    assert [row for row in await desk.store.read(all_secrets) if b"hunter2" in row.sealed] == []


async def test_headers_that_look_like_credentials_are_secrets(desk: Desk) -> None:
    made = await make(desk, http_document(headers={"X-Api-Key": "hunter2", "X-Site": "12"}))

    assert made["headers"] == {"X-Api-Key": "[set]", "X-Site": "12"}
    assert live(desk).headers == (("X-Api-Key", "hunter2"), ("X-Site", "12"))


# --- changing --------------------------------------------------------------------------------------------------------


async def test_the_document_as_it_is_shown_changes_nothing_when_it_is_sent_back(desk: Desk) -> None:
    made = await make(desk, http_document(authentication=OAUTH, headers={"X-Api-Key": "hunter2"}))

    assert await desk.connections.change(desk.alice, made["id"], made) == made


async def test_a_change_keeps_secrets_and_is_live_at_once(desk: Desk) -> None:
    made = await make(desk)

    changed = await desk.connections.change(desk.alice, made["id"], {"timeout": "PT5S", "follow_redirects": True})

    assert (changed["revision"], changed["timeout"]) == (2, "PT5S")
    found = live(desk)
    assert (found.timeout, found.follow_redirects, found.revision) == (5.0, True, 2)
    assert found.authentication == BearerToken("hunter2-token")


async def test_another_node_sees_a_change_by_its_number(desk: Desk) -> None:
    made = await make(desk)
    other = Catalog(desk.store, desk.vault)
    await other.reload()

    await desk.connections.change(desk.alice, made["id"], {"timeout": "PT5S"})

    assert await other.reload_if_changed()
    assert other.snapshot.connections["default", "ERP"].revision == 2


async def test_another_type_of_authentication_forgets_the_secrets_before(desk: Desk) -> None:
    made = await make(desk)

    await desk.connections.change(desk.alice, made["id"], {"authentication": {"type": "none"}})

    assert [row for row in await desk.store.read(all_secrets) if row.owner_id == made["id"]] == []
    with pytest.raises(Invalid) as error:
        await desk.connections.change(desk.alice, made["id"], {"authentication": {"type": "bearer_token"}})
    assert wrong(error).keys() == {"authentication.token"}


async def test_an_old_revision_is_a_conflict(desk: Desk) -> None:
    made = await make(desk)
    await desk.connections.change(desk.alice, made["id"], {"timeout": "PT5S", "revision": 1})

    with pytest.raises(Conflict, match="revision 1"):
        await desk.connections.change(desk.alice, made["id"], {"timeout": "PT6S", "revision": 1})


@pytest.mark.parametrize(
    ("document", "change", "field"),
    [
        (http_document(authentication=BEARER), {"base_url": "https://mine.example/api"}, "authentication.token"),
        (http_document(authentication=BEARER), {"base_url": "https://erp.example:8443"}, "authentication.token"),
        (http_document(headers={"X-Api-Key": "k"}), {"base_url": "https://mine.example"}, "headers.X-Api-Key"),
        (
            http_document(authentication=OAUTH),
            {"authentication": {"token_endpoint_url": "https://mine.example/token"}},
            "authentication.client_secret",
        ),
        (sql_document(), {"url": "postgresql://erp:***@mine.example/stock"}, "url"),
    ],
    ids=["host", "port", "header", "token endpoint", "database"],
)
async def test_a_kept_secret_goes_to_no_other_place(desk: Desk, document: Json, change: Json, field: str) -> None:
    made = await make(desk, document)

    with pytest.raises(Invalid) as error:
        await desk.connections.change(desk.alice, made["id"], change)

    assert "has to be written again" in wrong(error)[field]


async def test_a_path_may_change_with_secrets_kept(desk: Desk) -> None:
    made = await make(desk)
    database = await make(desk, sql_document())

    await desk.connections.change(desk.alice, made["id"], {"base_url": "https://erp.example/v2"})
    changed = await desk.connections.change(desk.alice, database["id"], {"url": "postgresql://erp:***@db.example/x"})

    assert live(desk).authentication == BearerToken("hunter2-token")
    assert changed["url"] == "postgresql://erp:***@db.example/x"


async def test_a_name_is_unique_in_its_workspace_and_case_counts(desk: Desk) -> None:
    await make(desk)
    await make(desk, http_document("erp"))
    await desk.connections.create(desk.dora, http_document())

    with pytest.raises(Invalid) as error:
        await make(desk)

    assert wrong(error) == {"name": "is taken by another connection: ERP"}


async def test_a_secret_whose_master_key_is_lost_is_told_and_can_be_entered_again(desk: Desk, clock: HeldClock) -> None:
    made = await make(desk)
    other = connections_of(desk.store, Vault([bytes(31) + b"x"]), desk.catalog, clock)

    shown = await other.show(desk.charlie, made["id"])
    tested = await other.test(desk.bob, made["id"])
    with pytest.raises(Invalid) as error:
        await other.change(desk.alice, made["id"], {"timeout": "PT5S"})
    changed = await other.change(desk.alice, made["id"], {"authentication": {"token": "entered-again"}})

    assert "enter the secret again" in shown["warnings"][0]
    assert (tested["outcome"], "master key" in tested["error"]) == ("failed", True)
    assert "can't be kept" in wrong(error)["authentication.token"]
    assert changed["warnings"] == []


async def test_a_new_master_key_seals_the_secrets_of_connections_too(desk: Desk, clock: HeldClock) -> None:
    await make(desk)
    vault = Vault([bytes(31) + b"x", bytes(32)])

    assert await seal_everything_again(desk.store, vault, clock, lambda _: None) == 1

    await desk.catalog.reload()
    assert ("default", "ERP") in desk.catalog.snapshot.broken_connections


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"name": "ERP"}, "kind"),
        ({"name": "ERP", "kind": "ftp"}, "kind"),
        ({"name": "ERP", "kind": ["http"]}, "kind"),
        (http_document("a/b"), "name"),
        (http_document("a\nb"), "name"),
        (http_document("a\u200bb"), "name"),
        (http_document("x" * 101), "name"),
        (http_document(" "), "name"),
        (http_document("{{ body.x }}"), "name"),
        (http_document(base_url="http://erp.example"), "base_url"),
        (http_document(base_url="https://user:word@erp.example"), "base_url"),
        (http_document(base_url="https://10.0.0.1"), "base_url"),
        (http_document(base_url="https://erp.example?key=1"), "base_url"),
        (http_document(base_url=7), "base_url"),
        (http_document(url="https://erp.example"), "url"),
        (http_document(timeout="PT2H"), "timeout"),
        (http_document(timeout="PT0S"), "timeout"),
        (http_document(verify_tls="no"), "verify_tls"),
        (http_document(headers={"X\nY": "1"}), "headers"),
        (http_document(headers={"X": "1\r\nHost: y"}), "headers"),
        (http_document(headers={"X": "1", "x": "2"}), "headers"),
        (http_document(headers={"Host": "x"}), "headers"),
        (http_document(authentication="bearer"), "authentication"),
        (http_document(authentication={"type": "ntlm"}), "authentication.type"),
        (http_document(authentication={"token": "x"}), "authentication.type"),
        (http_document(authentication={"type": "bearer_token"}), "authentication.token"),
        (http_document(authentication={"type": "bearer_token", "token": "[set]"}), "authentication.token"),
        (http_document(authentication={"type": "bearer_token", "token": "a b"}), "authentication.token"),
        (http_document(authentication={**BEARER, "tokn": 1}), "authentication.tokn"),
        (http_document(authentication={"type": "custom", "headers": {}}), "authentication.headers"),
        (http_document(authentication={"type": "custom", "headers": {"X": "a\nb"}}), "authentication.headers"),
        (
            http_document(authentication={**OAUTH, "token_endpoint_url": "http://login.example/token"}),
            "authentication.token_endpoint_url",
        ),
        (http_document(authentication={**OAUTH, "scopes": ["a b"]}), "authentication.scopes[0]"),
        (http_document(authentication=BEARER, headers={"Authorization": "x"}), "headers"),
        (http_document(ca_certificate="-----BEGIN CERTIFICATE-----\nnone"), "ca_certificate"),
        (http_document(client_certificate={"certificate": "x", "key": "y"}), "client_certificate.certificate"),
        (http_document(test_path="https://other.example"), "test_path"),
        (sql_document(pool_size=0), "pool_size"),
        (sql_document(pool_size=33), "pool_size"),
        (sql_document(statement_timeout="PT61M"), "statement_timeout"),
        (sql_document(base_url="https://x.example"), "base_url"),
        ({"id": "con_1", **http_document()}, "id"),
    ],
)
async def test_a_wrong_document_is_refused_at_its_field(desk: Desk, document: Json, field: str) -> None:
    with pytest.raises(Invalid) as error:
        await make(desk, document)

    assert field in wrong(error)
    assert (await desk.connections.page(desk.alice)).items == []


@pytest.mark.parametrize(
    "url",
    [
        "stock",
        "oracle://erp:secret@db/x",
        "postgresql+asyncpg://erp:secret@db/x",
        "postgresql://erp:sec@ret@db/x",
        "postgresql://erp:secret@db",
        "postgresql://erp:secret@db:99999/x",
        "postgresql://erp:secret@db/x?host=/tmp",
        "postgresql://erp:secret@db/x?service=mine",
        "mysql://erp:secret@db/x?read_default_file=/etc/passwd",
        "mysql://erp:secret@db/x?local_infile=1",
        "postgresql://erp:secret%0a@db/x",
        "postgresql://erp:secret@db/x?sslmode=sometimes",
        "mysql://erp:secret@db/x?charset=latin1",
        "postgresql://db/x",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:stock.db?mode=memory&uri=true",
        "sqlite:///stock.db?uri=true",
        "sqlite:///../crossdock.db",
        "sqlite:///a/../../crossdock.db",
        "sqlite:////etc/stock.db",
        "sqlite:///%2e%2e/crossdock.db",
        "sqlite://db/stock.db",
        "postgresql://" + "x" * 3_000 + "/d",
    ],
)
async def test_a_database_url_that_leads_astray_is_refused(desk: Desk, url: str) -> None:
    with pytest.raises(Invalid) as error:
        await make(desk, sql_document(url=url))

    assert wrong(error).keys() == {"url"}
    assert "secret" not in str(error.value)


async def test_a_link_does_not_lead_out_of_the_folder_of_database_files(
    desk: Desk, tmp_path: Path, clock: HeldClock
) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "out").symlink_to(tmp_path)
    connections = connections_of(desk.store, desk.vault, desk.catalog, clock, sqlite_folder=tmp_path / "inside")

    with pytest.raises(Invalid) as error:
        await connections.create(desk.alice, sql_document(url="sqlite:///out/crossdock.db"))

    assert "below the folder" in wrong(error)["url"]


# --- certificates ----------------------------------------------------------------------------------------------------


async def test_a_client_certificate_is_shown_with_its_end_and_without_its_key(
    desk: Desk, tmp_path: Path, clock: HeldClock
) -> None:
    files = make_certificate(tmp_path)
    own = {"certificate": files.certificate.read_text(), "key": files.key.read_text()}
    made = await make(desk, http_document(client_certificate=own, ca_certificate=own["certificate"]))

    assert made["client_certificate"] == {"certificate": own["certificate"], "key": "[set]"}
    assert live(desk).tls.key == own["key"]
    clock.now = later(parse_instant(made["certificate_expires_at"]), -10.5 * 86_400)
    shown = await desk.connections.show(desk.charlie, made["id"])
    assert shown["warnings"] == [
        "The client certificate expires in 10 days; replace it before.",
        "The authority's certificate expires in 10 days; replace it before.",
    ]
    clock.advance(11 * 86_400)
    assert "has expired" in (await desk.connections.show(desk.charlie, made["id"]))["warnings"][0]


async def test_a_key_has_to_belong_to_its_certificate(desk: Desk, tmp_path: Path) -> None:
    first, second = make_certificate(tmp_path, "first"), make_certificate(tmp_path, "second")
    own = {"certificate": first.certificate.read_text(), "key": first.key.read_text()}
    made = await make(desk, http_document(client_certificate=own))

    for change in ({"certificate": second.certificate.read_text()}, {"key": second.key.read_text()}):
        with pytest.raises(Invalid) as error:
            await desk.connections.change(desk.alice, made["id"], {"client_certificate": change})
        assert "is not the key of the certificate" in wrong(error)["client_certificate.key"]


async def test_a_key_with_a_passphrase_is_refused(desk: Desk, tmp_path: Path) -> None:
    files = make_certificate(tmp_path, passphrase=b"word")
    own = {"certificate": files.certificate.read_text(), "key": files.key.read_text()}

    with pytest.raises(Invalid) as error:
        await make(desk, http_document(client_certificate=own))

    assert "passphrase" in wrong(error)["client_certificate.key"]


async def test_an_unchecked_server_is_warned_about(desk: Desk) -> None:
    made = await make(desk, http_document(verify_tls=False))

    assert made["warnings"] == [
        "The server's certificate is not checked: whoever stands between can read the credentials."
    ]


# --- who uses it -----------------------------------------------------------------------------------------------------


async def test_a_connection_in_use_can_be_neither_deleted_nor_renamed(desk: Desk) -> None:
    made = await make(desk)
    integration_id = await draft_with(desk, "ERP")

    with pytest.raises(Conflict, match=r"can't be deleted: Orders \(draft\) use"):
        await desk.connections.delete(desk.alice, made["id"])
    with pytest.raises(Conflict, match="can't be renamed"):
        await desk.connections.change(desk.alice, made["id"], {"name": "SAP"})

    used = [{"id": integration_id, "name": "Orders", "published": False, "draft": True}]
    assert (await desk.connections.used_by(desk.charlie, made["id"])).items == used
    assert (await desk.connections.show(desk.charlie, made["id"]))["used_by"] == used
    await desk.drafts.discard(desk.alice, integration_id)
    await desk.connections.change(desk.alice, made["id"], {"name": "SAP"})
    await desk.connections.delete(desk.alice, made["id"])
    assert desk.catalog.snapshot.connections == {}


async def test_uses_come_in_pages(desk: Desk) -> None:
    made = await make(desk)
    for name in ("B", "A", "C"):
        await draft_with(desk, "ERP", name)

    first = await desk.connections.used_by(desk.bob, made["id"], limit=2)
    rest = await desk.connections.used_by(desk.bob, made["id"], limit=2, cursor=first.next)

    assert [use["name"] for use in first.items + rest.items] == ["A", "B", "C"]
    assert rest.next is None


async def test_another_workspace_uses_connections_of_its_own(desk: Desk) -> None:
    made = await make(desk)
    integration = await desk.integrations.create(desk.dora, trigger())
    await desk.drafts.save(desk.dora, integration["id"], calling("ERP"))

    await desk.connections.delete(desk.alice, made["id"])


# --- trying ----------------------------------------------------------------------------------------------------------


async def test_a_connection_is_tried_with_its_secrets(desk: Desk) -> None:
    made = await make(desk, http_document(authentication=BEARER, test_path="health"))

    tested = await desk.connections.test(desk.bob, made["id"])

    assert tested == {"outcome": "successful", "details": {"status": 200}}
    tried, path = desk.tries.tried[0]
    assert replace(tried, id=made["id"]) == live(desk)
    assert path == "health"


async def test_a_try_shares_nothing_with_the_connection_in_use(desk: Desk) -> None:
    """Pools and tokens are kept by id and revision: those of a try must not serve steps."""
    made = await make(desk)

    for _ in range(2):
        await desk.connections.test(desk.alice, made["id"], {"timeout": "PT1S"})

    first, second = (connection.id for connection, _ in desk.tries.tried)
    assert len({first, second, made["id"]}) == 3


async def test_an_unsaved_document_is_tried_and_not_kept(desk: Desk) -> None:
    await desk.connections.test_unsaved(desk.alice, http_document(authentication=BEARER))

    assert [path for _, path in desk.tries.tried] == [""]
    assert (await desk.connections.page(desk.alice)).items == []


async def test_a_change_is_tried_with_the_secrets_that_stay(desk: Desk) -> None:
    made = await make(desk)

    await desk.connections.test(desk.alice, made["id"], {"timeout": "PT1S"})

    tried, _ = desk.tries.tried[0]
    assert isinstance(tried, HttpConnection)
    assert (tried.timeout, tried.authentication) == (1.0, BearerToken("hunter2-token"))
    assert live(desk).timeout == 30.0


async def test_what_a_system_says_of_a_secret_is_not_passed_on(desk: Desk) -> None:
    made = await make(desk)
    desk.tries.answer = ConnectionTest("the token hunter2-token is unknown")

    assert await desk.connections.test(desk.bob, made["id"]) == {
        "outcome": "failed",
        "error": "the token *** is unknown",
        "details": {},
    }


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "tests"), [("bob", True), ("charlie", False)])
async def test_only_an_admin_changes_and_an_operator_tests(desk: Desk, who: str, tests: bool) -> None:
    made = await make(desk)
    actor = getattr(desk, who)

    assert (await desk.connections.show(actor, made["id"]))["name"] == "ERP"
    assert len((await desk.connections.page(actor)).items) == 1
    for refused in (
        desk.connections.create(actor, http_document("B")),
        desk.connections.change(actor, made["id"], {"timeout": "PT1S"}),
        desk.connections.delete(actor, made["id"]),
        desk.connections.test(actor, made["id"], {"base_url": "https://mine.example"}),
        desk.connections.test_unsaved(actor, http_document()),
    ):
        with pytest.raises(Forbidden):
            await refused
    if tests:
        assert (await desk.connections.test(actor, made["id"]))["outcome"] == "successful"
    else:
        with pytest.raises(Forbidden):
            await desk.connections.test(actor, made["id"])


async def test_another_workspace_sees_nothing(desk: Desk) -> None:
    made = await make(desk)

    assert (await desk.connections.page(desk.dora)).items == []
    for refused in (
        desk.connections.show(desk.dora, made["id"]),
        desk.connections.used_by(desk.dora, made["id"]),
        desk.connections.change(desk.dora, made["id"], {"timeout": "PT1S"}),
        desk.connections.delete(desk.dora, made["id"]),
        desk.connections.test(desk.dora, made["id"]),
    ):
        with pytest.raises(NotFound):
            await refused


async def test_connections_are_listed_by_name_kind_and_page(desk: Desk) -> None:
    for document in (http_document("B"), http_document("A"), sql_document("C erp")):
        await make(desk, document)

    async def names(**wanted: Json) -> list[str]:
        return [item["name"] for item in (await desk.connections.page(desk.charlie, **wanted)).items]

    assert await names() == ["A", "B", "C erp"]
    assert await names(kind="sql") == ["C erp"]
    assert await names(q="ERP") == ["C erp"]
    first = await desk.connections.page(desk.charlie, limit=2)
    assert await names(limit=2, cursor=first.next) == ["C erp"]


# --- as files --------------------------------------------------------------------------------------------------------


def document(spec: Json) -> Json:
    return {"kind": "Connection", "spec": spec}


EVERYTHING = (
    document(http_document("Größe", authentication=OAUTH, headers={"X-Api-Key": "k ${UNTOUCHED}", "X-Site": "12"})),
    document(http_document("Custom", authentication={"type": "custom", "headers": {"X-Tenant": "north"}})),
    document(sql_document()),
    document(sql_document("Files", "sqlite:///files.db", read_only=True)),
)


async def apply(desk: Desk, *documents: Json, prune: bool = False, **values: str) -> list[tuple[str, str, str]]:
    plan = await desk.apply.plan(desk.alice, documents, values, prune=prune)
    done = await desk.apply.carry_out(desk.alice, plan)
    return [(step["action"], step["kind"], step["name"]) for step in done["steps"]]


async def test_applying_an_export_changes_nothing(desk: Desk) -> None:
    await apply(desk, *EVERYTHING, UNTOUCHED="value")
    exported = await desk.apply.export(desk.charlie)

    assert {action for action, _, _ in await apply(desk, *exported, prune=True)} == {"none"}
    assert await desk.apply.export(desk.charlie) == exported
    assert not [secret for secret in ("hunter2", "north", "secret@", "value") if secret in json.dumps(exported)]
    assert exported[-1] == {
        "kind": "Connection",
        "spec": {"name": "Stock", "kind": "sql", "url": "postgresql://erp:${STOCK_PASSWORD}@db.example/stock"},
    }


async def test_an_export_makes_the_same_connections_elsewhere(desk: Desk) -> None:
    await apply(desk, *EVERYTHING, UNTOUCHED="value")
    exported = await desk.apply.export(desk.alice)
    names = placeholder_names(exported)

    plan = await desk.apply.plan(desk.dora, exported, dict.fromkeys(names, "given"))
    await desk.apply.carry_out(desk.dora, plan)

    assert names >= {"CUSTOM_X_TENANT", "STOCK_PASSWORD"}
    assert await desk.apply.export(desk.dora) == exported
    found = desk.catalog.snapshot.connections["away", "Stock"]
    assert isinstance(found, LiveSql)
    assert found.url == "postgresql+psycopg://erp:given@db.example/stock"


async def test_a_placeholder_without_value_keeps_a_secret_or_is_refused(desk: Desk) -> None:
    written = document(http_document(authentication={"type": "bearer_token", "token": "${ERP_TOKEN}"}))

    with pytest.raises(Invalid) as error:
        await apply(desk, written)
    assert wrong(error) == {"[0].authentication.token": "needs ERP_TOKEN, which is not set"}

    assert await apply(desk, written, ERP_TOKEN="one") == [("create", "Connection", "ERP")]
    assert await apply(desk, written) == [("none", "Connection", "ERP")]
    assert await apply(desk, written, ERP_TOKEN="two") == [("change", "Connection", "ERP")]
    assert live(desk).authentication == BearerToken("two")


async def test_a_plan_tells_that_a_secret_changes_and_not_to_what(desk: Desk) -> None:
    await apply(desk, document(http_document(authentication=BEARER)))
    changed = document(http_document(authentication={**BEARER, "token": "another"}, timeout="PT9S"))

    plan = await desk.apply.plan(desk.alice, [changed], {})

    assert plan.document()["steps"][0]["differences"] == [
        {"field": "timeout", "before": "PT30S", "after": "PT9S"},
        {"field": "authentication.token", "before": "[set]", "after": "[set]"},
    ]


async def test_faults_of_all_documents_are_told_in_their_order(desk: Desk) -> None:
    with pytest.raises(Invalid) as error:
        await apply(
            desk,
            {"kind": "Integration", "spec": trigger(colour="red")},
            document(http_document(timeout="long")),
            document(sql_document(url="x")),
        )

    assert list(wrong(error)) == ["[0].colour", "[1].timeout", "[2].url"]


@pytest.mark.parametrize(
    ("documents", "field"),
    [
        ([{"kind": "Connection", "name": "ERP"}], "[0].spec"),
        ([document(http_document()), document(http_document())], "[1].name"),
        ([document({**http_document(), "revision": 1})], "[0].revision"),
        ([document({"name": "ERP", "kind": "smtp"})], "[0].kind"),
    ],
    ids=["no spec", "twice", "read-only", "kind"],
)
async def test_wrong_documents_are_refused(desk: Desk, documents: list[Json], field: str) -> None:
    with pytest.raises(Invalid) as error:
        await desk.apply.plan(desk.alice, documents, {})

    assert wrong(error).keys() == {field}


async def test_pruning_spares_connections_that_a_draft_uses(desk: Desk) -> None:
    await apply(desk, document(http_document("A")), document(http_document("B")))
    await draft_with(desk, "B")
    orders = {"kind": "Integration", "spec": trigger()}

    assert await apply(desk, orders, prune=True) == [("none", "Integration", "Orders"), ("prune", "Connection", "A")]
    assert await apply(desk, prune=True) == [("prune", "Integration", "Orders"), ("prune", "Connection", "B")]


async def test_a_kind_can_not_be_changed(desk: Desk) -> None:
    await apply(desk, document(http_document()))

    with pytest.raises(Invalid) as error:
        await apply(desk, document(sql_document("ERP")))

    assert wrong(error) == {"[0].kind": "can't be changed; it is http"}
