"""Connections: the list, the forms of both kinds, their test, and who may change them."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.model.outcome import Json
from tests.ui.conftest import Site

LIST = "/w/default/connections"
HTTP = {"name": "ERP", "kind": "http", "base_url": "https://erp.example/api", "timeout": "30 s", "verify_tls": "on"}
SQL = {"name": "Stock", "kind": "sql", "url": "postgresql://crossdock@db.example/erp", "pool_size": "5"}
BEARER: Json = {"type": "bearer_token", "token": "a-token-of-the-erp"}


async def make(site: Site, **changes: Any) -> Json:
    document = {"name": "ERP", "kind": "http", "base_url": "https://erp.example/api", **changes}
    return await site.cases.connections.create(site.actor(), document)


async def use(site: Site, name: str) -> Json:
    """An integration whose workflow calls the connection."""
    step = {"id": "call", "http": {"method": "GET", "url": "x", "connection": name}}
    document = {"name": "Orders", "type": "webhook-trigger", "workflow": {"steps": [step]}}
    return await site.cases.integrations.create(site.actor(), document)


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
async def test_the_list_tells_what_each_is_and_who_uses_it(site: Site, who: str):
    await make(site, authentication=BEARER)
    await use(site, "ERP")

    shown = await site.open(LIST, who)

    assert "ERP https://erp.example/api HTTP Bearer Token Orders" in shown.words
    assert "a-token-of-the-erp" not in shown.text
    assert ("New HTTP connection" in shown.words) == (who == "alice")
    assert ('aria-label="Test ERP"' in shown.text) == (who != "charlie")


async def test_an_empty_list_says_what_it_is_for(site: Site):
    assert "No connection yet" in (await site.open(LIST, "charlie")).words
    assert "No connection like this" in (await site.open(f"{LIST}?q=nothing")).words


async def test_an_http_connection_is_made(site: Site):
    fields = {**HTTP, "authentication.type": "bearer_token", "authentication.token": "t", "headers.key": "X-Site"}

    answered = await site.send(LIST, {**fields, "headers.value": "12"})

    assert (answered.status, answered.location) == (303, LIST)
    [made] = (await site.cases.connections.page(site.actor())).items
    assert made["timeout"] == "PT30S"
    assert made["headers"] == {"X-Site": "12"}
    assert made["authentication"] == {"type": "bearer_token", "token": "[set]"}


async def test_the_password_of_a_database_is_kept_apart_from_its_url(site: Site):
    await site.send(LIST, {**SQL, "password": "p@ss/word"})

    [made] = (await site.cases.connections.page(site.actor())).items
    shown = await site.open(f"{LIST}/{made['id']}")

    assert made["url"] == "postgresql://crossdock:***@db.example/erp"
    assert "Kept as it is; type to replace it" in shown.text
    assert "p@ss" not in shown.text
    assert "p%40ss" not in shown.text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({**HTTP, "name": ""}, "field-name"),
        ({**HTTP, "base_url": "ftp://x"}, "field-base_url"),
        ({**HTTP, "timeout": "soon"}, "field-timeout"),
        ({**SQL, "pool_size": "99"}, "field-pool_size"),
        ({**SQL, "url": "postgresql://db.example/erp", "password": "x"}, "field-url"),
    ],
)
async def test_what_is_wrong_is_told_at_its_field(site: Site, fields: dict[str, str], field: str):
    answered = await site.send(LIST, fields)

    assert answered.status == 422
    assert f'id="{field}-error"' in answered.text


async def test_saving_keeps_secrets_that_are_left_empty_and_drops_headers_that_are_gone(site: Site):
    made = await make(site, authentication=BEARER, headers={"X-Site": "12", "X-Old": "1"})
    kept = {"revision": made["revision"], "authentication.type": "bearer_token", "authentication.token": ""}

    answered = await site.send(f"{LIST}/{made['id']}", {**HTTP, **kept, "headers.key": "X-Site", "headers.value": "13"})

    assert answered.status == 303
    now = await site.cases.connections.show(site.actor(), made["id"])
    assert now["headers"] == {"X-Site": "13"}
    assert now["authentication"] == {"type": "bearer_token", "token": "[set]"}


async def test_two_who_edit_the_same_see_what_differs(site: Site):
    made = await make(site)
    await site.cases.connections.change(site.actor(), made["id"], {"base_url": "https://theirs.example"})
    mine = {**HTTP, "base_url": "https://mine.example", "revision": made["revision"]}

    answered = await site.send(f"{LIST}/{made['id']}", mine)

    assert answered.status == 409
    assert "Base URL https://mine.example https://theirs.example" in answered.words
    assert 'name="revision" value="2"' in answered.text


@pytest.mark.parametrize("deed", ["/test", ""])
async def test_a_form_that_is_tried_or_refused_keeps_its_revision(site: Site, deed: str):
    made = await site.cases.connections.create(site.actor(), {**SQL, "pool_size": 5})
    await site.cases.connections.change(site.actor(), made["id"], {"pool_size": 7})
    without_user = {**SQL, "url": "postgresql://db.example/erp", "password": "x", "revision": made["revision"]}

    answered = await site.send(f"{LIST}/{made['id']}{deed}", without_user)

    assert f'name="revision" value="{made["revision"]}"' in answered.text


async def test_a_connection_that_is_used_keeps_its_name_and_stays(site: Site):
    made = await make(site)
    await use(site, "ERP")

    renamed = await site.send(f"{LIST}/{made['id']}", {**HTTP, "name": "Other", "revision": made["revision"]})
    deleted = await site.send(f"{LIST}/{made['id']}/delete", {})

    assert renamed.status == 409
    assert "Orders use it" in renamed.words
    assert deleted.location == f"{LIST}/{made['id']}"
    assert (await site.cases.connections.show(site.actor(), made["id"]))["name"] == "ERP"


async def test_one_that_nobody_uses_is_deleted(site: Site):
    made = await make(site)

    await site.send(f"{LIST}/{made['id']}/delete", {})

    assert (await site.open(f"{LIST}/{made['id']}")).status == 404


async def test_a_test_tells_its_outcome_in_the_form_and_in_the_list(site: Site):
    made = await make(site)
    path = f"{LIST}/{made['id']}"

    of_form = await site.send(f"{path}/test", HTTP, **{"HX-Request": "true", "HX-Request-Type": "partial"})
    of_list = await site.send(f"{path}/test-saved", {"from_list": "on"}, "bob")
    unsaved = await site.send(f"{LIST}/test", {**HTTP, "name": "New"})

    assert "Test" in of_form.words
    assert "<html" not in of_form.text
    assert of_list.location == LIST
    assert 'data-state="' in unsaved.text
    assert (await site.cases.connections.page(site.actor())).items[0]["name"] == "ERP"


async def test_an_unsaved_document_that_is_wrong_fails_its_test(site: Site):
    answered = await site.send(f"{LIST}/test", {**HTTP, "base_url": "ftp://x"})

    assert "Test failed" in answered.words


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_admins_change_connections(site: Site, who: str):
    made = await make(site)
    path = f"{LIST}/{made['id']}"

    answers = [await site.send(at, {**HTTP, "revision": "1"}, who) for at in (LIST, path, f"{path}/delete")]
    tried = await site.send(f"{path}/test-saved", {}, who)

    assert [each.status for each in answers] == [403, 403, 403]
    assert tried.status == (303 if who == "bob" else 403)
    assert (await site.open(f"{LIST}/new", who)).status == 403
    assert (await site.open(path, who)).status == 200
    assert (await site.open(path, "dora")).status == 404


async def test_hostile_names_are_inert(site: Site):
    await make(site, name="<img src=x onerror=alert(1)>")

    shown = await site.open(LIST)

    assert "<img src=x" not in shown.text
