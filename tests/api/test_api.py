"""What holds for every route: who may, what is read, what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from io import BytesIO

import pytest
from yarl import URL

from tests.api.conftest import Api

INTEGRATIONS = "/api/v1/integrations"


def cursor_of(position: str) -> str:
    """A cursor that only somebody else could have written."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong", "Basic YTpi", "Bearer \x00"])
async def test_without_a_good_token_nothing_is_told(api: Api, token: str) -> None:
    answer = await api.call(
        "GET", INTEGRATIONS, who="", headers={"Authorization": token} if token.isprintable() else {}
    )

    assert (answer.status, answer.json["type"]) == (401, "/problems/unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("who", "reading", "writing"), [("alice", 200, 201), ("bob", 200, 403), ("charlie", 200, 403)])
async def test_a_role_decides_what_is_allowed(api: Api, who: str, reading: int, writing: int) -> None:
    document = {"name": "Orders", "type": "webhook-trigger"}

    assert (await api.call("GET", INTEGRATIONS, who=who)).status == reading
    assert (await api.call("POST", INTEGRATIONS, document, who=who)).status == writing


async def test_another_workspace_sees_nothing(api: Api) -> None:
    made = await api.make()
    event_id = await api.story.succeed(made["id"], reply="dlv_0")

    for path in (
        f"{INTEGRATIONS}/{made['id']}",
        f"{INTEGRATIONS}/{made['id']}/keys",
        f"{INTEGRATIONS}/{made['id']}/stats",
        f"{INTEGRATIONS}/{made['id']}/lanes",
        f"/api/v1/events/{event_id}",
        f"/api/v1/events/{event_id}/body",
        "/api/v1/deliveries/dlv_0",
    ):
        assert (await api.call("GET", path, who="dora")).status == 404, path
    for path in (f"/api/v1/events/{event_id}/replay", "/api/v1/deliveries/dlv_0/resend"):
        assert (await api.call("POST", path, who="dora")).status == 404, path
    assert (await api.call("GET", "/api/v1/events", who="dora")).json["items"] == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b'{"name": NaN}', {}, 400),
        (b'{"name": "\xff"}', {}, 400),
        (b'{"name": "\\ud800"}', {}, 400),
        (b"[]", {}, 422),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Content-Type": ""}, 415),
        (b"{}", {"Content-Encoding": "gzip"}, 415),
        (b" " * 1_048_577, {}, 413),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(api: Api, body: bytes, headers: dict, status: int) -> None:
    answer = await api.call(
        "POST", INTEGRATIONS, data=BytesIO(body), headers={"Content-Type": "application/json", **headers}
    )

    assert answer.status == status
    assert answer.json["detail"]


async def test_a_chunked_body_is_refused_at_the_limit(api: Api) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 10_000

    answer = await api.call("POST", INTEGRATIONS, data=endless(), headers={"Content-Type": "application/json"})

    assert (answer.status, answer.json["type"]) == (413, "/problems/too-large")


async def test_a_body_that_breaks_off_is_no_fault_of_ours(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    token = api.tokens["alice"]
    address = URL(api.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = f"POST {INTEGRATIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\n{{"
    writer.write(head.encode())
    await writer.drain()
    writer.close()

    assert await reader.read() == b""
    assert (await api.call("GET", INTEGRATIONS)).status == 200
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_byte_order_mark_is_no_fault(api: Api) -> None:
    document = json.dumps({"name": "Orders", "type": "webhook-trigger"}).encode("utf-8-sig")

    answer = await api.call("POST", INTEGRATIONS, data=document, headers={"Content-Type": "application/json"})

    assert answer.status == 201


async def test_wrong_fields_are_told_with_their_paths(api: Api) -> None:
    document = {"name": "Orders", "type": "webhook-trigger", "trigger": {"request_timeout": "P1M", "colour": "red"}}

    answer = await api.call("POST", INTEGRATIONS, document)

    assert answer.status == 422
    assert {error["field"] for error in answer.json["errors"]} == {"trigger.request_timeout", "trigger.colour"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?nonsense=1", "nonsense"),
        ("?limit=0", "limit"),
        ("?limit=201", "limit"),
        ("?limit=many", "limit"),
        ("?limit=1&limit=2", "limit"),
        ("?cursor=made-up", "cursor"),
        ("?cursor=" + cursor_of("a\x00b"), "cursor"),
        ("?cursor=" + cursor_of("\ud800"), "cursor"),
        ("?q=%00", "q"),
    ],
)
async def test_a_wrong_query_parameter_is_named(api: Api, query: str, field: str) -> None:
    answer = await api.call("GET", INTEGRATIONS + query)

    assert answer.status == 422
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_parameters_are_refused_where_a_route_has_none(api: Api) -> None:
    assert (await api.call("GET", "/api/v1/external-systems?limit=1")).status == 422


async def test_an_unknown_path_and_method_are_said(api: Api) -> None:
    assert (await api.call("GET", "/api/v1/nothing")).status == 404
    refused = await api.call("PUT", f"{INTEGRATIONS}/int_1")
    assert (refused.status, refused.headers["allow"]) == (405, "DELETE, GET, PATCH")


async def test_an_id_that_no_database_holds_is_unknown(api: Api) -> None:
    assert (await api.call("GET", "/api/v1/events/%00")).status == 404
    assert (await api.call("GET", "/api/v1/events/" + "x" * 5000)).status == 404


async def test_the_description_and_its_page_are_served_from_here(api: Api) -> None:
    description = await api.call("GET", "/api/openapi.json", who="")
    page = await api.call("GET", "/api/docs", who="")

    assert description.json["openapi"].startswith("3.1")
    assert page.status == 200
    assert b"//" not in page.body.replace(b"<!doctype html>", b"")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "favicon-32x32.png"):
        assert (await api.call("GET", f"/api/docs/{name}", who="")).status == 200
    assert (await api.call("GET", "/api/docs/..%2F__init__.py", who="")).status == 404
