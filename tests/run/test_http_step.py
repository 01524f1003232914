"""The `http` step in a workflow, against a real server: what it sends, what it makes of answers, what it refuses."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from aiohttp import web

from crossdock.clock import system_now
from crossdock.model.advance import Broken, Ended, Paused
from crossdock.model.errors import Invalid
from crossdock.outbound.caller import HttpCaller
from crossdock.outbound.client import HttpSender
from crossdock.outbound.connection import (
    BearerToken,
    Connection,
    ConnectionKind,
    HttpConnection,
    OAuthClient,
    SqlConnection,
)
from crossdock.run.compile import COMMON_KEYS, compile_workflow
from tests.outbound.conftest import HOME
from tests.outbound.system import System, TokenEndpoint, running
from tests.run.walking import World
from tests.support.outside import outside_of
from tests.support.sink import Received

SECRET = "a-secret-that-nobody-sees"


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with running() as started:
        yield started


@pytest.fixture
async def world(world_of: Callable[..., World], system: System) -> AsyncIterator[World]:
    """A world with the connections `erp` (HTTP) and `books` (SQL)."""
    sender = HttpSender(HOME, system_now)
    caller = HttpCaller(sender)
    connections: dict[str, Connection] = {
        "erp": HttpConnection("con_1", 1, "erp", f"{system.url}/api", BearerToken(SECRET)),
        "sso": HttpConnection(
            "con_2", 1, "sso", f"{system.url}/api", OAuthClient("crossdock", SECRET, f"{system.url}/token")
        ),
        "books": SqlConnection("con_3", 1, "books", "sqlite://"),
    }

    def find(integration_id: str, name: str) -> Connection:
        if name not in connections:
            raise LookupError(f"there is no connection {name!r} in this workspace")
        return connections[name]

    made = world_of()
    yield replace(made, outside=outside_of(made.functions, http=caller, find_connection=find))
    await caller.close()
    await sender.close()


def http(url: str = "/orders", step_id: str = "order", **settings: Any) -> dict[str, Any]:
    common: dict[str, Any] = {key: settings.pop(key) for key in list(settings) if key in COMMON_KEYS}
    return {"id": step_id, "http": {"url": url, "connection": "erp", **settings}, **common}


async def output(world: World, step: dict[str, Any], body: Any = None) -> Any:
    end = await world.run([step], body)
    assert isinstance(end, Ended), end
    return msgspec.json.decode(end.result.body)


async def failure(world: World, step: dict[str, Any], body: Any = None) -> tuple[str, str, bool]:
    """Kind, message, and whether it is for good."""
    end = await world.run([step], body)
    assert isinstance(end, Broken), end
    assert end.failure.step == step["id"]
    return end.failure.kind, end.failure.message, end.failure.permanent


# --- what goes out ---------------------------------------------------------------------------------------------------


async def test_a_step_calls_a_system_and_gives_its_answer(world: World, system: System) -> None:
    system.says("/api/orders/7", 201, b'{"id": 7, "big": 18446744073709551617}', Content_Type="application/json")
    step = http(
        "/orders/{{ body.number }}",
        method="put",
        query={"site": "{{ body.site }}", "dry": False, "none": None},
        headers={"X-Site": "{{ body.site }}"},
        json={"lines": "{{ body.lines }}"},
    )

    given = await output(world, step, {"number": 7, "site": 12, "lines": [1, 2]})

    received = system.requests[0]
    assert (received.method, received.path, received.json()) == ("PUT", "/api/orders/7", {"lines": [1, 2]})
    assert received.query == {"site": "12", "dry": "false"}
    assert received.headers["x-site"] == "12"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["authorization"] == f"Bearer {SECRET}"
    assert (given["status"], given["body"]) == (201, {"id": 7, "big": 18446744073709551617})
    assert given["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("content", "body", "content_type"),
    [
        ({"json": None}, b"null", "application/json"),
        ({"json": "{{ body }}"}, b'{"a":"\xc3\xbc &"}', "application/json"),
        ({"form": {"a": "{{ body.a }}", "n": 1, "x": None}}, b"a=%C3%BC+%26&n=1", "application/x-www-form-urlencoded"),
        ({"form": "{{ body }}"}, b"a=%C3%BC+%26", "application/x-www-form-urlencoded"),
        ({"text": "a: {{ body.a }}"}, "a: ü &".encode(), "text/plain; charset=utf-8"),
        ({"body": {"base64": "AAH/"}}, b"\0\x01\xff", "application/octet-stream"),
        ({"body": "<a/>", "headers": {"Content-Type": "application/xml"}}, b"<a/>", "application/xml"),
    ],
)
async def test_a_body_is_sent_as_its_kind(
    world: World, system: System, content: dict[str, Any], body: bytes, content_type: str
) -> None:
    await output(world, http(**content), {"a": "ü &"})

    received = system.requests[0]
    assert (received.method, received.body, received.headers["content-type"]) == ("POST", body, content_type)


async def test_a_step_without_a_connection_takes_a_whole_url(world: World, system: System) -> None:
    step = {"id": "order", "http": {"url": "{{ body.callback }}/x"}}

    assert (await output(world, step, {"callback": system.url}))["status"] == 200
    assert "authorization" not in system.requests[0].headers


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"method": "POST"}, {"idempotency-key": "evt_1:order"}),
        ({"method": "DELETE"}, {"idempotency-key": "evt_1:order"}),
        ({"method": "POST", "idempotency_header": "X-Request-Id"}, {"x-request-id": "evt_1:order"}),
        ({"method": "POST", "headers": {"idempotency-key": "own"}}, {"idempotency-key": "own"}),
        ({"method": "POST", "idempotency_header": False}, {}),
        ({"method": "GET"}, {}),
        ({"method": "HEAD"}, {}),
    ],
)
async def test_what_changes_something_carries_a_key(
    world: World, system: System, settings: dict[str, Any], key: dict[str, str]
) -> None:
    await output(world, http(**settings))

    sent = system.requests[0].headers
    assert {name: sent[name] for name in ("idempotency-key", "x-request-id") if name in sent} == key


async def test_the_key_is_the_same_for_every_try(world: World, system: System) -> None:
    system.says("/api/orders", 503)

    await failure(world, http(json={}, retry={"attempts": 3, "delay": "PT0S"}))

    assert [one.headers["idempotency-key"] for one in system.requests] == ["evt_1:order"] * 3


async def test_what_was_asked_is_recorded_and_no_secret_is(world: World, system: System) -> None:
    async def echo(request: Received) -> web.StreamResponse:
        return web.json_response(request.headers, headers={"X-You-Sent": request.headers["authorization"]})

    system.at("/api/orders", echo)

    await output(world, http(query={"a": 1}, headers={"X-B": "2"}, json={"c": 3}))

    assert world.record("order").input == {
        "method": "POST", "url": "/orders", "connection": "erp",
        "query": {"a": 1}, "headers": {"X-B": "2"}, "json": {"c": 3},
    }  # fmt: skip
    assert SECRET in system.requests[0].headers["authorization"]
    assert SECRET not in repr(world.journal)


async def test_what_would_be_sent_is_plain_json(world: World) -> None:
    workflow = compile_workflow({"steps": [http(json={"a": "{{ body.a }}"}, expect={"json_path": "$", "values": [1]})]})

    given = workflow.steps[0].action.prepare({"body": {"a": [1, None]}, "steps": {}})

    assert msgspec.json.decode(msgspec.json.encode(given)) == given
    assert given["expected"] == [1]


async def test_a_token_is_fetched_for_a_connection_with_oauth(world: World, system: System) -> None:
    system.at("/token", TokenEndpoint())

    await output(world, http(connection="sso"))

    assert system.sent_to("/api/orders")[0].headers["authorization"] == "Bearer token-number-1"
    assert "token-number-1" not in repr(world.journal)


async def test_a_token_endpoint_that_refuses_ends_the_step_for_good(world: World, system: System) -> None:
    system.says("/token", 400, b'{"error": "invalid_client"}')

    kind, message, permanent = await failure(world, http(connection="sso"))

    assert (kind, permanent) == ("http_refused", True)
    assert "invalid_client" in message


# --- what comes back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "content_type", "body", "expected"),
    [
        (None, "application/json", b'{"a": 1}', {"a": 1}),
        (None, "application/problem+json", b"\xef\xbb\xbf[1]", [1]),
        (None, "application/json; charset=iso-8859-1", b'"caf\xe9"', "café"),
        (None, "application/json", b"<html>", "<html>"),
        (None, "text/plain; charset=iso-8859-1", b"caf\xe9", "café"),
        (None, "text/plain; charset=utf-16", "café".encode("utf-16"), "café"),
        (None, "text/plain; charset=klingon", "café".encode(), "café"),
        (None, "text/plain; charset=utf-8", b"caf\xe9", {"base64": "Y2Fm6Q=="}),
        (None, "application/xml", b"<a/>", "<a/>"),
        (None, "application/x-www-form-urlencoded", b"a=1&a=2", "a=1&a=2"),
        (None, "application/octet-stream", b"abc", {"base64": "YWJj"}),
        (None, "image/png", b"\x89PNG", {"base64": "iVBORw=="}),
        (None, "text/plain", b"", None),
        ("json", "text/html", b'{"a": 1}', {"a": 1}),
        ("json", "application/json", b'"text"', "text"),
        ("text", "application/json", b'{"a": 1}', '{"a": 1}'),
        ("text", "text/plain; charset=utf-8", b"caf\xe9", "caf\ufffd"),
        ("text", "text/plain; charset=klingon", b"x", "x"),
        ("text", "text/plain; charset=idna", b"x", "x"),
        ("text", "", b"", ""),
        ("bytes", "application/json", b"{}", {"base64": "e30="}),
    ],
)
async def test_a_body_is_read_by_its_type_or_as_the_step_says(
    world: World, system: System, response: str | None, content_type: str, body: bytes, expected: Any
) -> None:
    system.says("/api/orders", 200, body, Content_Type=content_type)

    given = await output(world, http(**({"response": response} if response else {})))

    assert given["body"] == expected


@pytest.mark.parametrize("body", [b"<html>no</html>", b"", b"{", b"\xff\xfe", b"[" * 5_000])
async def test_an_answer_that_has_to_be_json_and_is_not_fails_for_good(
    world: World, system: System, body: bytes
) -> None:
    system.says("/api/orders", 200, body, Content_Type="text/html")

    kind, message, permanent = await failure(world, http(response="json"))

    assert (kind, permanent) == ("http_answer", True)
    assert "the answer's body (text/html) is not JSON: " in message


async def test_an_answer_without_content_may_lack_its_json(world: World, system: System) -> None:
    system.says("/api/orders", 204, b"")

    assert (await output(world, http(response="json")))["body"] is None


async def test_a_large_answer_is_read_whole(world: World, system: System) -> None:
    lines = [{"number": n, "name": "x" * 90} for n in range(4_000)]
    body = msgspec.json.encode(lines)
    system.says("/api/orders", 200, gzip.compress(body), Content_Type="application/json", Content_Encoding="gzip")

    given = await output(world, http(expect={"json_path": "$[3999].number", "values": [3999]}))

    assert given["body"] == lines


async def test_an_answer_without_end_fails_for_good(world: World, system: System) -> None:
    system.says("/api/orders", 200, gzip.compress(b"\0" * 50_000_000), Content_Encoding="gzip")

    kind, message, permanent = await failure(world, http())

    assert (kind, permanent) == ("http_answer", True)
    assert "longer than 8388608 bytes" in message


async def test_repeated_headers_are_joined(world: World, system: System) -> None:
    async def twice(_: Received) -> web.StreamResponse:
        answer = web.Response()
        answer.headers.extend([("Link", "a"), ("Link", "b")])
        return answer

    system.at("/api/orders", twice)

    assert (await output(world, http()))["headers"]["link"] == "a, b"


# --- good answers and bad --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None),
        (299, None),
        (404, 404),
        (410, "410"),
        (404, [200, 404]),
        (422, "4xx"),
        (503, ["2XX", "5xx"]),
        (302, 302),
    ],
)
async def test_an_expected_status_is_an_answer(world: World, system: System, status: int, expected: Any) -> None:
    system.says("/api/orders", status)

    expect = {} if expected is None else {"status": expected}
    given = await output(world, http(expect=expect))

    assert given["status"] == status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 300, 304, 302])
async def test_an_unexpected_status_ends_the_step_for_good(world: World, system: System, status: int) -> None:
    system.says("/api/orders", status, b"" if status == 304 else b'{"error": "no such order"}')

    kind, message, permanent = await failure(world, http(retry={"attempts": 3}))

    assert (kind, permanent) == ("http_status", True)
    assert message.startswith(f"the answer has status {status}, and 2xx is expected")
    assert ("no such order" in message) is (status >= 400)
    assert len(system.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
async def test_a_passing_status_is_tried_again(world: World, system: System, status: int) -> None:
    async def first_no(_: Received) -> web.StreamResponse:
        return web.Response(status=status if len(system.requests) == 1 else 200)

    system.at("/api/orders", first_no)

    assert (await output(world, http(retry={"attempts": 2, "delay": "PT0S"})))["status"] == 200
    assert len(system.requests) == 2


async def test_the_other_side_says_when_to_come_again(world: World, system: System) -> None:
    system.says("/api/orders", 429, Retry_After="120")

    end = await world.run([http(retry={"attempts": 2, "delay": "PT1S"})])

    assert isinstance(end, Paused)
    assert (end.until - world.clock()) == 120_000_000


async def test_a_system_that_is_away_is_tried_again(world: World, system: System) -> None:
    step = {"id": "order", "http": {"url": "http://127.0.0.1:1/"}, "retry": {"attempts": 2, "delay": "PT0S"}}

    kind, message, permanent = await failure(world, step)

    assert (kind, permanent) == ("http_unreachable", False)
    assert "refused by 127.0.0.1:1" in message
    assert world.record("order").attempts == 2


async def test_a_step_gives_up_after_its_timeout(world: World, system: System) -> None:
    async def hang(_: Received) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    system.at("/api/orders", hang)

    kind, message, permanent = await failure(world, http(timeout="PT0.2S"))

    assert (kind, permanent, message) == ("http_unreachable", False, "no answer within 0.2 s")


async def test_a_forbidden_address_ends_the_step_for_good(world: World) -> None:
    kind, message, permanent = await failure(world, {"id": "order", "http": {"url": "https://10.0.0.1/"}})

    assert (kind, permanent) == ("http_refused", True)
    assert "list 10.0.0.1 in CROSSDOCK_ALLOWED_TARGETS" in message


@pytest.mark.parametrize(
    ("expect", "answer"),
    [
        ({"json_path": "$.status", "values": ["ok", "queued"]}, {"status": "queued"}),
        ({"json_path": "$.lines[*].done", "values": [True]}, {"lines": [{"done": True}, {"done": True}]}),
        ({"json_path": "$.count", "values": [1]}, {"count": 1.0}),
        ({"json_path": "$.id"}, {"id": None}),
        ({"json_path": "$", "values": [{"a": [1]}]}, {"a": [1]}),
        ({"json_path": "$.number", "values": ["{{ body.number }}"]}, {"number": 7}),
        ({"json_path": "$.number", "values": "{{ body.numbers }}"}, {"number": 7}),
    ],
)
async def test_an_answer_with_what_is_expected_is_good(world: World, system: System, expect: Any, answer: Any) -> None:
    system.says("/api/orders", 200, msgspec.json.encode(answer), Content_Type="application/json")

    given = await output(world, http(expect=expect), {"number": 7, "numbers": [6, 7]})

    assert given["body"] == answer


@pytest.mark.parametrize(
    ("expect", "answer", "words"),
    [
        (
            {"json_path": "$.status", "values": ["ok"]},
            {"status": "failed"},
            '$.status is "failed" in the answer\'s body',
        ),
        ({"json_path": "$.lines[*].done", "values": [True]}, {"lines": [{"done": True}, {"done": False}]}, "is false"),
        ({"json_path": "$.count", "values": [True]}, {"count": 1}, "is 1 in the answer's body, and true is expected"),
        ({"json_path": "$.id"}, {}, "nothing is found at $.id"),
        ({"json_path": "$.id"}, "{}", "nothing is found at $.id"),
        ({"json_path": "$.a", "values": [1]}, {"a": "x" * 500}, "..."),
    ],
)
async def test_an_answer_without_what_is_expected_fails_for_good(
    world: World, system: System, expect: Any, answer: Any, words: str
) -> None:
    system.says("/api/orders", 200, msgspec.json.encode(answer), Content_Type="application/json")

    kind, message, permanent = await failure(world, http(expect=expect))

    assert (kind, permanent) == ("http_unexpected", True)
    assert words in message
    assert len(message) < 250


async def test_an_unfinished_answer_is_tried_again_where_the_step_says_so(world: World, system: System) -> None:
    async def soon(_: Received) -> web.StreamResponse:
        return web.json_response({"status": "done" if len(system.requests) == 3 else "working"})

    system.at("/api/orders", soon)
    expect = {"json_path": "$.status", "values": ["done"], "retry": True}

    given = await output(world, http(expect=expect, retry={"attempts": 5, "delay": "PT0S"}))

    assert given["body"] == {"status": "done"}
    assert len(system.requests) == 3


async def test_a_failed_step_shows_its_error_to_those_after_it(world: World, system: System) -> None:
    system.says("/api/orders", 404)
    after = {"id": "after", "transform": "{{ steps.order.error.kind }}"}

    end = await world.run([http(on_error="continue"), after])

    assert isinstance(end, Ended)
    assert end.result.body == b'"http_status"'


# --- what is wrong at run time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "body", "words"),
    [
        ({"query": {"customer": "{{ body }}"}}, [1, 2], "http.query.customer is a list of 2, and text or a number"),
        ({"query": {"customer": "{{ body }}"}}, {}, "http.query.customer is an object"),
        ({"query": "{{ body }}"}, "x", "http.query is text, and an object"),
        ({"headers": {"X-A": "{{ body }}"}}, [1], "http.headers.X-A is a list"),
        ({"headers": {"X-A": "{{ body }}"}}, "a\r\nX-B: 1", "http.headers.X-A has a line break"),
        ({"headers": {"X-A": "{{ body }}"}}, "€", "http.headers.X-A has a line break or another character"),
        ({"headers": {"X-A": "{{ body }}"}}, "x" * 9_000, "http.headers.X-A is 9000 characters long"),
        ({"headers": "{{ body }}"}, {"Host": "evil.example"}, "http.headers.Host is set by Crossdock"),
        ({"headers": "{{ body }}"}, {"a b": "x"}, "'http.headers.a b' can't be a header's name"),
        ({"headers": "{{ body }}"}, {"a": "x", "A": "y"}, "a name twice"),
        ({"url": "{{ body }}"}, 7, "http.url is a number, and text is needed"),
        ({"url": "{{ body }}"}, "/" + "x" * 9_000, "http.url is 9001 characters long"),
        ({"method": "{{ body }}"}, "TRACE", "http.method is 'TRACE', and one of GET"),
        ({"method": "{{ body }}"}, None, "http.method is null"),
        ({"form": {"a": "{{ body }}"}}, [1], "http.form.a is a list"),
        ({"text": "{{ body }}"}, [1], "http.text is a list of 1, and text is needed"),
        ({"body": "{{ body }}"}, [1], "http.body is a list of 1"),
        ({"expect": {"json_path": "$.a", "values": "{{ body }}"}}, "x", "http.expect.values is text"),
    ],
)
async def test_a_value_of_the_wrong_kind_is_named_with_its_field(
    world: World, system: System, settings: dict[str, Any], body: Any, words: str
) -> None:
    kind, message, permanent = await failure(world, http(**settings), body)

    assert (kind, permanent) == ("expression", True)
    assert words in message
    assert system.requests == []


@pytest.mark.parametrize(
    ("settings", "body", "words"),
    [
        ({"json": "{{ body }}"}, "x" * 8_500_000, "http.json is 8500002 bytes long, and 8 MiB are the most"),
        ({"body": {"base64": "{{ body }}"}}, "!", "http.body.base64 is not Base64"),
    ],
)
async def test_a_body_that_can_not_be_sent_is_refused(
    world: World, system: System, settings: dict[str, Any], body: Any, words: str
) -> None:
    kind, message, permanent = await failure(world, http(**settings), body)

    assert (kind, permanent) == ("http_request", True)
    assert words in message


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://evil.example/", "its credentials go nowhere else"),
        ("//evil.example/", "begins with //"),
        ("/a/../../admin", "goes up with '..'"),
        ("/a b", "a space, a line break"),
        ("/a\r\nX: y", "a line break"),
    ],
)
async def test_a_url_from_outside_can_not_leave_the_connection(
    world: World, system: System, url: str, words: str
) -> None:
    kind, message, permanent = await failure(world, http("{{ body }}"), url)

    assert (kind, permanent) == ("http_refused", True)
    assert words in message
    assert system.requests == []


@pytest.mark.parametrize(
    ("name", "words"), [("crm", "there is no connection 'crm'"), ("books", "of kind sql, and this step needs one")]
)
async def test_a_connection_that_is_gone_ends_the_step_for_good(world: World, name: str, words: str) -> None:
    kind, message, permanent = await failure(world, http(connection=name))

    assert (kind, permanent) == ("connection_missing", True)
    assert words in message


# --- what is refused when it is saved --------------------------------------------------------------------------------

CONNECTIONS = {"erp": ConnectionKind.HTTP, "books": ConnectionKind.SQL}


def refused(settings: Any) -> tuple[str, str]:
    """The field and the message."""
    with pytest.raises(Invalid) as refusal:
        compile_workflow({"steps": [{"id": "order", "http": settings}]}, connections=CONNECTIONS)
    error = refusal.value.errors[0]
    return error.field.removeprefix("workflow.steps[0].http"), error.message


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ("https://erp.example", "", "an object is needed"),
        ({}, ".url", "needed"),
        ({"urll": "x", "url": "https://a.example"}, ".urll", "not known"),
        ({"url": 7}, ".url", "text is needed"),
        ({"url": "/orders"}, ".url", "write the URL in full"),
        ({"url": "ftp://erp.example"}, ".url", "from https://"),
        ({"url": "https://ann:secret@erp.example/"}, ".url", "put them into a connection"),
        ({"url": "https://a.example/" + "x" * 9_000}, ".url", "8192 are the most"),
        ({"url": "/x", "connection": "crm"}, ".connection", "there is no connection 'crm' in this workspace; for http"),
        ({"url": "/x", "connection": "books"}, ".connection", "of kind sql"),
        ({"url": "/x", "connection": "{{ body }}"}, ".connection", "without expressions"),
        ({"url": "/x", "connection": ["erp"]}, ".connection", "the name of a connection"),
        ({"method": "FETCH"}, ".method", "one of GET"),
        ({"method": ["GET"]}, ".method", "text is needed"),
        ({"query": ["a"]}, ".query", "an object of names and values"),
        ({"query": "a=1"}, ".query", "an expression that gives one"),
        ({"query": {"a": [1]}}, ".query.a", "is a list of 1"),
        ({"headers": {"X-A": "b\nc"}}, ".headers.X-A", "a line break"),
        ({"headers": {"Host": "x"}}, ".headers.Host", "set by Crossdock"),
        ({"headers": {"Content-Length": 1}}, ".headers.Content-Length", "set by Crossdock"),
        ({"headers": {"a b": "x"}}, ".headers.a b", "can't be a header's name"),
        ({"headers": {"Authorization": "Bearer abc"}}, ".headers.Authorization", "put it into a connection"),
        ({"headers": {"x-api-key": "abc"}}, ".headers.x-api-key", "put it into a connection"),
        ({"headers": {"X-Auth-Token": "abc"}}, ".headers.X-Auth-Token", "put it into a connection"),
        ({"headers": {"Cookie": "a=b"}}, ".headers.Cookie", "put it into a connection"),
        ({"json": 1, "text": "x"}, ".text", "there is a json already"),
        ({"form": [1]}, ".form", "an object of names and values"),
        ({"form": {"a": {}}}, ".form.a", "is an object"),
        ({"text": [1]}, ".text", "text is needed"),
        ({"body": {"a": 1}}, ".body", "base64"),
        ({"json": "{{ nothing }}"}, ".json", "there is no 'nothing'"),
        ({"response": "xml"}, ".response", "one of json, text, bytes"),
        ({"idempotency_header": True}, ".idempotency_header", "or false"),
        ({"idempotency_header": "a b"}, ".idempotency_header", "can't be a header's name"),
        ({"expect": 200}, ".expect", "an object is needed"),
        ({"expect": {"code": 200}}, ".expect.code", "not known"),
        ({"expect": {"status": 99}}, ".expect.status", "a number from 200 to 599"),
        ({"expect": {"status": "1xx"}}, ".expect.status", "a number from 200 to 599"),
        ({"expect": {"status": True}}, ".expect.status", "a number from 200 to 599"),
        ({"expect": {"status": []}}, ".expect.status", "at least one"),
        ({"expect": {"status": [200, "ok"]}}, ".expect.status", "a number from 200 to 599"),
        ({"expect": {"json_path": "a.b"}}, ".expect.json_path", "no JSONPath"),
        ({"expect": {"json_path": 1}}, ".expect.json_path", "a JSONPath is needed"),
        ({"expect": {"json_path": "$[?match(@, 'a+')]"}}, ".expect.json_path", "regular expressions"),
        ({"expect": {"values": [1]}}, ".expect.values", "write that too"),
        ({"expect": {"json_path": "$", "values": 1}}, ".expect.values", "a list of 1 to 100"),
        ({"expect": {"json_path": "$", "values": []}}, ".expect.values", "a list of 1 to 100"),
        ({"expect": {"json_path": "$", "retry": "yes"}}, ".expect.retry", "true or false"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(settings: Any, field: str, words: str) -> None:
    written = {"url": "https://erp.example", **settings} if isinstance(settings, dict) and settings else settings

    found_field, message = refused(written)

    assert found_field == field
    assert words in message


def test_a_credential_that_an_earlier_step_gave_may_be_sent_on() -> None:
    steps = [
        {"id": "login", "http": {"url": "https://erp.example/login"}},
        {
            "id": "orders",
            "http": {
                "url": "https://erp.example/orders",
                "headers": {"Authorization": "Bearer {{ steps.login.body.token }}", "X-CSRF-Token": "fetch"},
            },
        },
    ]

    workflow = compile_workflow({"steps": steps})

    assert workflow.steps[1].action.steps == {"login"}
    assert not workflow.is_quick
