"""Connections over the API."""

from __future__ import annotations

from tests.api.conftest import Api
from tests.support.connections import http_document, sql_document

CONNECTIONS = "/api/v1/connections"
BEARER = {"type": "bearer_token", "token": "hunter2-token"}


async def test_a_connection_is_made_shown_changed_tried_and_deleted(api: Api) -> None:
    made = await api.call("POST", CONNECTIONS, http_document(authentication=BEARER))
    place = made.headers["location"]
    assert (made.status, place) == (201, f"{CONNECTIONS}/{made.json['id']}")

    changed = await api.call("PATCH", place, {"timeout": "PT5S", "revision": 1})
    assert (changed.status, changed.json["timeout"]) == (200, "PT5S")
    shown = await api.call("GET", place, who="charlie")
    assert shown.json == changed.json
    assert b"hunter2" not in made.body + changed.body + shown.body

    tried = await api.call("POST", f"{place}/test", who="bob")
    assert (tried.status, tried.json) == (200, {"outcome": "successful", "details": {"status": 200}})
    assert (await api.call("DELETE", place)).status == 204
    assert (await api.call("GET", place)).status == 404


async def test_an_unsaved_connection_is_tried(api: Api) -> None:
    tried = await api.call("POST", f"{CONNECTIONS}/test", sql_document())

    assert (tried.status, tried.json["outcome"]) == (200, "successful")
    assert (await api.call("GET", CONNECTIONS)).json == {"items": [], "next": None}


async def test_a_used_connection_is_not_deleted_and_its_users_are_named(api: Api) -> None:
    made = (await api.call("POST", CONNECTIONS, http_document())).json
    orders = await api.make(workflow={"steps": [{"id": "call", "http": {"connection": "ERP", "url": "/"}}]})
    place = f"{CONNECTIONS}/{made['id']}"

    refused = await api.call("DELETE", place)

    assert (refused.status, refused.json["type"]) == (409, "/problems/conflict")
    assert "Orders use it" in refused.json["detail"]
    uses = await api.call("GET", f"{place}/used-by", who="charlie")
    assert uses.json == {
        "items": [{"id": orders["id"], "name": "Orders", "published": True, "draft": False}],
        "next": None,
    }


async def test_connections_are_filtered_and_paged(api: Api) -> None:
    for document in (http_document("B"), http_document("A"), sql_document("Stock")):
        await api.call("POST", CONNECTIONS, document)

    async def names(query: str) -> list[str]:
        return [item["name"] for item in (await api.call("GET", f"{CONNECTIONS}?{query}")).json["items"]]

    assert await names("kind=http") == ["A", "B"]
    assert await names("q=sto") == ["Stock"]
    first = (await api.call("GET", f"{CONNECTIONS}?limit=2")).json
    assert await names(f"cursor={first['next']}") == ["Stock"]
    assert (await api.call("GET", f"{CONNECTIONS}?kind=ftp")).status == 422


async def test_roles_and_workspaces_hold(api: Api) -> None:
    place = (await api.call("POST", CONNECTIONS, http_document())).headers["location"]

    for who in ("bob", "charlie"):
        assert (await api.call("POST", CONNECTIONS, http_document("B"), who=who)).status == 403
        assert (await api.call("PATCH", place, {"timeout": "PT1S"}, who=who)).status == 403
        assert (await api.call("DELETE", place, who=who)).status == 403
    assert (await api.call("POST", f"{place}/test", who="charlie")).status == 403
    assert (await api.call("POST", f"{place}/test", {"base_url": "https://x.example"}, who="bob")).status == 403
    for method, path in (("GET", place), ("DELETE", place), ("POST", f"{place}/test"), ("GET", f"{place}/used-by")):
        assert (await api.call(method, path, who="dora")).status == 404


async def test_a_field_that_is_there_twice_counts_once(api: Api) -> None:
    """JSON leaves open what two members of one name mean (RFC 8259, 4): the last one stands, as everywhere here."""
    body = b'{"name": "ERP", "kind": "http", "base_url": "https://a.example", "base_url": "https://b.example"}'

    made = await api.call("POST", CONNECTIONS, data=body, headers={"Content-Type": "application/json"})

    assert made.json["base_url"] == "https://b.example"


async def test_wrong_fields_are_told_with_their_paths(api: Api) -> None:
    document = http_document(authentication={"type": "oauth", "client_id": 7}, timeout="P1M", headers=[])

    answer = await api.call("POST", CONNECTIONS, document)

    assert answer.status == 422
    assert {error["field"] for error in answer.json["errors"]} == {
        "authentication.client_id",
        "authentication.token_endpoint_url",
        "timeout",
        "headers",
    }
