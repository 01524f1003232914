"""Access tokens: fetched once for all, kept, renewed; and token endpoints that fail or lie."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from crossdock.model.delivery import SendReport
from crossdock.outbound.caller import HttpCaller
from crossdock.outbound.client import HttpSender
from crossdock.outbound.connection import HttpConnection, OAuthClient
from crossdock.outbound.oauth import NoToken, Tokens, usable_seconds
from crossdock.outbound.request import HttpRequest
from tests.outbound.conftest import HOME
from tests.outbound.system import System, TokenEndpoint, running
from tests.support.held import HeldClock
from tests.support.sink import Received

SECRET = "cl:ient secret/1"


def client_of(system: System, path: str = "/token", scopes: tuple[str, ...] = ("read", "write")) -> OAuthClient:
    return OAuthClient("crossdock&co", SECRET, f"{system.url}{path}", scopes)


def connection_to(system: System, revision: int = 1, **changes: Any) -> HttpConnection:
    return HttpConnection("con_1", revision, "ERP", system.url, client_of(system), **changes)


@pytest.fixture
def endpoint(system: System) -> TokenEndpoint:
    made = TokenEndpoint()
    system.at("/token", made)
    return made


async def call(caller: HttpCaller, connection: HttpConnection, **changes: Any) -> SendReport:
    return await caller.call(HttpRequest("GET", "/orders", **changes), connection)


async def test_a_call_carries_a_token_that_is_fetched_once(
    caller: HttpCaller, system: System, endpoint: TokenEndpoint
) -> None:
    for _ in range(3):
        report = await call(caller, connection_to(system))

    (asked,) = endpoint.fetched
    expected = base64.b64encode(b"crossdock%26co:cl%3Aient+secret%2F1").decode()
    assert asked.headers["authorization"] == f"Basic {expected}"
    assert parse_qs(asked.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["read write"]}
    assert [one.headers["authorization"] for one in system.sent_to("/orders")] == ["Bearer token-number-1"] * 3
    assert ("Authorization", "[redacted]") in report.request_headers


async def test_many_calls_wait_for_one_token(caller: HttpCaller, system: System, endpoint: TokenEndpoint) -> None:
    endpoint.gate = asyncio.Event()
    calls = [asyncio.create_task(call(caller, connection_to(system))) for _ in range(20)]
    await endpoint.waiting.wait()

    endpoint.gate.set()
    reports = await asyncio.gather(*calls)

    assert {report.status for report in reports} == {200}
    assert len(endpoint.fetched) == 1


async def test_whoever_gives_up_leaves_the_fetch_to_the_others(
    caller: HttpCaller, system: System, endpoint: TokenEndpoint
) -> None:
    endpoint.gate = asyncio.Event()
    first = asyncio.create_task(call(caller, connection_to(system)))
    await endpoint.waiting.wait()
    second = asyncio.create_task(call(caller, connection_to(system)))
    hasty = await call(caller, connection_to(system), timeout=0.1)

    first.cancel()
    endpoint.gate.set()

    assert (await second).status == 200
    assert (hasty.status, hasty.error, hasty.permanent) == (None, "no access token within 0.1 s", False)
    assert len(endpoint.fetched) == 1


async def test_a_refused_token_is_renewed_once(caller: HttpCaller, system: System, endpoint: TokenEndpoint) -> None:
    async def take_the_second(request: Received) -> web.StreamResponse:
        return web.Response(status=200 if request.headers["authorization"].endswith("2") else 401)

    system.at("/orders", take_the_second)

    report = await call(caller, connection_to(system))

    assert report.status == 200
    assert len(endpoint.fetched) == 2


async def test_a_system_that_refuses_every_token_is_asked_twice(
    caller: HttpCaller, system: System, endpoint: TokenEndpoint
) -> None:
    system.says("/orders", 401)

    report = await call(caller, connection_to(system))

    assert report.status == 401
    assert (len(system.sent_to("/orders")), len(endpoint.fetched)) == (2, 2)


async def test_many_calls_with_a_refused_token_renew_it_together(
    caller: HttpCaller, system: System, endpoint: TokenEndpoint
) -> None:
    arrived = asyncio.Event()

    async def refuse_the_first(request: Received) -> web.StreamResponse:
        if not request.headers["authorization"].endswith("-1"):
            return web.Response()
        if len(system.sent_to("/orders")) == 10:
            arrived.set()
        await arrived.wait()
        return web.Response(status=401)

    system.at("/orders", refuse_the_first)

    reports = await asyncio.gather(*(call(caller, connection_to(system)) for _ in range(10)))

    assert {report.status for report in reports} == {200}
    assert len(endpoint.fetched) == 2


async def test_a_changed_connection_fetches_a_token_of_its_own(
    caller: HttpCaller, system: System, endpoint: TokenEndpoint
) -> None:
    await call(caller, connection_to(system))
    await call(caller, connection_to(system, revision=2))

    assert len(endpoint.fetched) == 2


async def test_a_token_is_fetched_again_shortly_before_it_ends(system: System, endpoint: TokenEndpoint) -> None:
    clock = HeldClock()
    sender = HttpSender(HOME, clock)
    tokens = Tokens(sender)
    fetched = []
    for seconds in (0, 3_569, 2):
        clock.advance(seconds)
        await tokens.token(client_of(system), "con_1:1")
        fetched.append(len(endpoint.fetched))

    await sender.close()
    assert fetched == [1, 1, 2]


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (3600, 3570),
        ("1800", 1770),
        (100, 90),
        (0, 9),
        (-5, 9),
        (1, 9),
        (10**400, 86_370),
        (1e300, 86_370),
        ("Infinity", 86_370),
        ("NaN", 270),
        (None, 270),
        ("soon", 270),
        ("", 270),
        (True, 270),
        ([3600], 270),
        ({}, 270),
    ],
)
def test_a_lifetime_that_can_not_be_true_is_bounded(expires_in: Any, seconds: float) -> None:
    assert usable_seconds(expires_in) == seconds


async def test_an_endpoint_that_takes_the_secret_in_the_form_only_gets_it_there(
    caller: HttpCaller, system: System, endpoint: TokenEndpoint
) -> None:
    async def in_the_form(request: Received) -> web.StreamResponse:
        if "authorization" in request.headers:
            return web.json_response({"error": "invalid_client"}, status=401)
        return await endpoint(request)

    system.at("/token", in_the_form)

    report = await call(caller, connection_to(system))

    assert report.status == 200
    form = parse_qs(endpoint.fetched[0].body.decode())
    assert (form["client_id"], form["client_secret"]) == (["crossdock&co"], [SECRET])


@pytest.mark.parametrize(
    ("status", "body", "words", "permanent"),
    [
        (400, b'{"error":"invalid_client"}', "400: invalid_client", True),
        (401, b'{"error":"invalid_client","error_description":"who are you"}', "invalid_client, who are you", True),
        (400, b'{"error":"invalid_scope"}', "invalid_scope", True),
        (400, b'{"error":["x"]}', "answered 400", True),
        (403, b"<html>", "answered 403", True),
        (404, b"", "answered 404", True),
        (302, b"", "redirects", True),
        (408, b"", "answered 408", False),
        (429, b"{}", "answered 429", False),
        (500, b"<html>oops</html>", "answered 500", False),
        (503, b'{"error":"temporarily_unavailable"}', "temporarily_unavailable", False),
        (200, b"<html>login</html>", "no JSON object (text/html)", True),
        (200, b"", "no JSON object", True),
        (200, b"[1]", "no JSON object", True),
        (200, b"[" * 100_000, "longer than 65536 bytes", True),
        (200, b"[" * 60_000, "no JSON object", True),
        (200, b"{}", "no access_token", True),
        (200, b'{"access_token":""}', "no access_token", True),
        (200, b'{"access_token":7}', "no access_token", True),
        (200, b'{"access_token":"a\\r\\nX-Injected: 1"}', "no header can carry", True),
        (200, b'{"access_token":"' + b"a" * 17_000 + b'"}', "no header can carry", True),
        (200, b'{"access_token":"abcdefgh","token_type":"mac"}', "type 'mac'", True),
        (200, b'{"access_token":"abcdefgh","token_type":{}}', "only bearer", True),
    ],
)
async def test_an_endpoint_that_gives_no_token_says_why(
    caller: HttpCaller, system: System, status: int, body: bytes, words: str, permanent: bool
) -> None:
    system.says("/token", status, body, Content_Type="text/html", Location="https://login.example", Retry_After="7")

    report = await call(caller, connection_to(system))

    assert report.status is None
    assert (report.error or "").startswith("no access token: ")
    assert words in (report.error or "")
    assert report.permanent is permanent
    assert report.retry_after == (None if permanent else 7.0)
    assert system.sent_to("/orders") == []


async def test_a_secret_that_the_endpoint_repeats_is_hidden(caller: HttpCaller, system: System) -> None:
    async def tell_tales(request: Received) -> web.StreamResponse:
        words = f"unknown secret {SECRET} {request.headers.get('authorization')}"
        return web.json_response({"error": "invalid_request", "error_description": words}, status=400)

    system.at("/token", tell_tales)

    report = await call(caller, connection_to(system))

    assert "[redacted]" in (report.error or "")
    assert SECRET not in repr(report)
    assert base64.b64encode(b"crossdock%26co").decode()[:12] not in repr(report)


async def test_a_short_secret_that_the_endpoint_repeats_is_hidden_too(caller: HttpCaller, system: System) -> None:
    async def tell_tales(request: Received) -> web.StreamResponse:
        return web.json_response({"error": "invalid_client", "error_description": "not s3cr3t"}, status=401)

    system.at("/token", tell_tales)
    client = OAuthClient("crossdock", "s3cr3t", client_of(system).token_endpoint_url)

    report = await call(caller, HttpConnection("con_1", 1, "ERP", system.url, client))

    assert "not [redacted]" in (report.error or "")


async def test_a_token_that_the_called_system_repeats_is_hidden(
    caller: HttpCaller, system: System, endpoint: TokenEndpoint
) -> None:
    async def echo(request: Received) -> web.StreamResponse:
        return web.json_response(request.headers, headers={"X-Token": "token-number-1"})

    system.at("/orders", echo)

    report = await call(caller, connection_to(system))

    assert b"[redacted]" in report.response_body
    assert "token-number-1" not in repr(report)


async def test_an_endpoint_at_a_forbidden_address_is_refused(caller: HttpCaller, system: System) -> None:
    client = OAuthClient("a", SECRET, "https://10.0.0.1/token")

    report = await caller.call(HttpRequest("GET", "/"), HttpConnection("con_1", 1, "ERP", system.url, client))

    assert report.permanent
    assert "CROSSDOCK_ALLOWED_TARGETS" in (report.error or "")


async def test_a_failed_fetch_is_not_kept(caller: HttpCaller, system: System) -> None:
    system.says("/token", 503)
    failed = await call(caller, connection_to(system))
    system.at("/token", TokenEndpoint())

    assert failed.status is None
    assert (await call(caller, connection_to(system))).status == 200


async def test_a_refusal_by_another_origin_does_not_cost_the_token(
    caller: HttpCaller, system: System, endpoint: TokenEndpoint
) -> None:
    async with running() as other:
        other.says("/there", 401)
        system.says("/orders", 307, Location=f"{other.url}/there")
        report = await call(caller, connection_to(system, follow_redirects=True))

        assert report.status == 401
        assert len(other.requests) == 1
        assert "authorization" not in other.requests[0].headers
    assert len(endpoint.fetched) == 1


async def test_closing_breaks_off_what_is_being_fetched(
    sender: HttpSender, system: System, endpoint: TokenEndpoint
) -> None:
    endpoint.gate = asyncio.Event()
    tokens = Tokens(sender)
    waiting = asyncio.create_task(tokens.token(client_of(system), "con_1:1"))
    await endpoint.waiting.wait()

    await tokens.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_no_secret_shows_in_a_repr(sender: HttpSender, system: System, endpoint: TokenEndpoint) -> None:
    granted = await Tokens(sender).token(client_of(system), "con_1:1")

    assert not isinstance(granted, NoToken)
    assert "token-number" not in repr(granted)
    assert SECRET not in repr(client_of(system))
