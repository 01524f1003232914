"""One call through a connection: where it may go, what goes along, and what is seen of it afterwards."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from crossdock.clock import system_now
from crossdock.model.delivery import SendReport
from crossdock.outbound.caller import HttpCaller
from crossdock.outbound.client import HttpSender
from crossdock.outbound.connection import (
    Authentication,
    BasicCredentials,
    BearerToken,
    CustomHeaders,
    HttpConnection,
    NoAuthentication,
    TlsOptions,
)
from crossdock.outbound.guard import Guard
from crossdock.outbound.request import HttpRequest
from tests.outbound.system import System, running
from tests.support.sink import Received

SECRET = "s3cret-token/with+signs"


def connection_to(system: System, **changes: Any) -> HttpConnection:
    return replace(HttpConnection("con_1", 1, "ERP", f"{system.url}/api/v2"), **changes)


def get(url: str = "/orders", **changes: Any) -> HttpRequest:
    return HttpRequest(changes.pop("method", "GET"), url, **changes)


def seen(report: SendReport) -> str:
    """Everything that anybody gets to see of a call."""
    return repr((report, report.response_body.decode(errors="replace")))


async def echo(request: Received) -> web.StreamResponse:
    """Say back whatever was sent, as a debugging page does."""
    return web.json_response({"headers": request.headers}, headers={"X-Echo": request.headers.get("authorization", "")})


async def test_a_call_goes_below_the_connections_address(caller: HttpCaller, system: System) -> None:
    request = get("orders?open=1", method="POST", query=(("q", "a&b +ü"),), headers=(("X-A", "1"),), body=b"[]")

    report = await caller.call(request, connection_to(system))

    received = system.requests[0]
    assert (received.method, received.path, received.body) == ("POST", "/api/v2/orders", b"[]")
    assert received.query == {"open": "1", "q": "a&b +ü"}
    assert received.headers["x-a"] == "1"
    assert (report.status, report.response_body, report.error) == (200, b"{}", None)


async def test_a_call_without_a_connection_takes_a_whole_url(caller: HttpCaller, system: System) -> None:
    absolute = await caller.call(get(f"{system.url}/x"), None)
    relative = await caller.call(get("/x"), None)

    assert absolute.status == 200
    assert relative.permanent
    assert "name a connection" in (relative.error or "")


AUTHENTICATIONS: list[tuple[Authentication, dict[str, str]]] = [
    (NoAuthentication(), {}),
    (BearerToken(SECRET), {"authorization": f"Bearer {SECRET}"}),
    (
        BasicCredentials("ann", "pa:ss wörd"),
        {"authorization": "Basic " + base64.b64encode("ann:pa:ss wörd".encode()).decode()},
    ),
    (CustomHeaders((("X-Api-Key", SECRET), ("X-Tenant", "12"))), {"x-api-key": SECRET, "x-tenant": "12"}),
]


@pytest.mark.parametrize(("authentication", "expected"), AUTHENTICATIONS)
async def test_credentials_go_along_and_are_not_seen(
    caller: HttpCaller, system: System, authentication: Authentication, expected: dict[str, str]
) -> None:
    report = await caller.call(get(), connection_to(system, authentication=authentication))

    sent = system.requests[0].headers
    assert {name: sent[name] for name in expected} == expected
    assert {name.lower(): value for name, value in report.request_headers if name.lower() in expected} == dict.fromkeys(
        expected, "[redacted]"
    )


@pytest.mark.parametrize("authentication", [one for one, headers in AUTHENTICATIONS if headers])
async def test_what_the_other_side_repeats_of_a_credential_is_hidden(
    caller: HttpCaller, system: System, authentication: Authentication
) -> None:
    system.at("/api/v2/orders", echo)

    report = await caller.call(get(), connection_to(system, authentication=authentication))

    assert "[redacted]" in report.response_body.decode()
    for secret in (SECRET, "pa:ss wörd", "YW5uOnBh"):
        assert secret not in seen(report)


async def test_a_sealed_header_of_a_connection_is_hidden_too(caller: HttpCaller, system: System) -> None:
    system.at("/api/v2/orders", echo)

    report = await caller.call(get(), connection_to(system, headers=(("X-Partner-Key-Id", SECRET), ("X-Site", "12"))))

    assert system.requests[0].headers["x-partner-key-id"] == SECRET
    assert report.request_headers[:2] == (("X-Partner-Key-Id", "[redacted]"), ("X-Site", "12"))
    assert SECRET not in seen(report)


async def test_an_answer_stays_readable_where_a_connection_sends_ordinary_headers(
    caller: HttpCaller, system: System
) -> None:
    headers = (("Accept", "application/json"), ("X-Site", "12"))
    connection = connection_to(system, authentication=CustomHeaders(headers), headers=(("X-Place", "Göteborg"),))

    report = await caller.call(get(), connection)

    assert ("content-type", "application/json; charset=utf-8") in report.response_headers
    assert ("X-Place", "Göteborg") in report.request_headers


async def test_a_step_overrides_the_connections_headers_but_not_its_credentials(
    caller: HttpCaller, system: System
) -> None:
    connection = connection_to(system, headers=(("X-Site", "1"), ("X-B", "2")), authentication=BearerToken(SECRET))

    await caller.call(get(headers=(("x-site", "7"), ("authorization", "Bearer other"))), connection)

    sent = system.requests[0].headers
    assert (sent["x-site"], sent["x-b"], sent["authorization"]) == ("7", "2", f"Bearer {SECRET}")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "http://127.0.0.1:1/x",
        "http://127.0.0.1.evil.example/",
        "//evil.example/x",
        "ftp://127.0.0.1/x",
        "/orders/../../admin",
        "/orders/%2e%2E/admin",
        "/orders/..%2fadmin",
        "/orders/..;/admin",
        "..\\admin",
        "/orders\r\nX-Injected: 1",
    ],
)
async def test_a_step_can_not_leave_the_connection(caller: HttpCaller, system: System, url: str) -> None:
    report = await caller.call(get(url), connection_to(system, authentication=BearerToken(SECRET)))

    assert report.permanent
    assert report.error
    assert system.requests == []
    assert SECRET not in seen(report)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "/api/v2"),
        ("/", "/api/v2/"),
        ("/orders/7#top", "/api/v2/orders/7"),
        ("/@evil.example", "/api/v2/@evil.example"),
        ("urn:isbn:1", "/api/v2/urn:isbn:1"),
        ("{origin}/other", "/other"),
    ],
)
async def test_other_urls_stay_where_the_connection_is(caller: HttpCaller, system: System, url: str, path: str) -> None:
    report = await caller.call(get(url.replace("{origin}", system.url)), connection_to(system))

    assert report.status == 200
    assert system.requests[0].path == path


async def test_the_guard_judges_a_connection_too(system: System) -> None:
    sender = HttpSender(Guard(), system_now)

    report = await HttpCaller(sender).call(get(), connection_to(system))

    await sender.close()
    assert report.permanent
    assert "CROSSDOCK_ALLOWED_TARGETS" in (report.error or "")


async def test_the_requests_time_comes_before_the_connections(caller: HttpCaller, system: System) -> None:
    async def hang(_: Received) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    system.at("/api/v2/orders", hang)

    by_connection = await caller.call(get(), connection_to(system, timeout=0.2))
    by_request = await caller.call(get(timeout=0.3), connection_to(system, timeout=30.0))

    assert by_connection.error == "no answer within 0.2 s"
    assert by_request.error == "no answer within 0.3 s"
    assert not by_request.permanent


async def test_certificates_that_can_not_be_used_are_an_error_for_good(caller: HttpCaller, system: System) -> None:
    report = await caller.call(get(), connection_to(system, tls=TlsOptions(ca="no certificate")))

    assert report.permanent
    assert "private CA" in (report.error or "")


# --- redirects -------------------------------------------------------------------------------------------------------


def following(system: System, **changes: Any) -> HttpConnection:
    return connection_to(system, follow_redirects=True, authentication=BearerToken(SECRET), **changes)


async def test_a_redirect_is_an_answer_unless_the_connection_follows(caller: HttpCaller, system: System) -> None:
    system.says("/api/v2/orders", 307, Location="/api/v2/there")

    report = await caller.call(get(), connection_to(system))

    assert (report.status, report.error) == (307, None)
    assert len(system.requests) == 1


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (302, "PUT", "PUT"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "DELETE", "DELETE"),
    ],
)
async def test_a_followed_redirect_keeps_or_changes_the_method(
    caller: HttpCaller, system: System, status: int, method: str, then: str
) -> None:
    system.says("/api/v2/orders", status, Location="there?x=1#y")
    request = get(method=method, body=b"[1]", headers=(("Content-Type", "application/json"),))

    report = await caller.call(request, following(system))

    (arrived,) = system.sent_to("/api/v2/there")
    keeps = then == method
    assert report.status == 200
    assert (arrived.method, arrived.query, arrived.body) == (then, {"x": "1"}, b"[1]" if keeps else b"")
    assert ("content-type" in arrived.headers) is keeps
    assert arrived.headers["authorization"] == f"Bearer {SECRET}"


async def test_another_origin_gets_nothing_of_the_connection(caller: HttpCaller, system: System) -> None:
    connection = following(system, headers=(("X-Site", "12"),))
    request = get(headers=(("X-Trace", "7"), ("Cookie", "session=1")))
    async with running() as other:
        system.says("/api/v2/orders", 307, Location=f"{other.url}/there")
        other.at("/there", echo)
        report = await caller.call(request, connection)

        sent = other.requests[0].headers
    assert report.status == 200
    assert sent["x-trace"] == "7"
    assert not {"authorization", "x-site", "cookie"} & sent.keys()


async def test_each_hop_passes_the_guard(caller: HttpCaller, system: System) -> None:
    system.says("/api/v2/orders", 302, Location="https://169.254.169.254/latest/meta-data")

    report = await caller.call(get(), following(system))

    assert report.permanent
    assert "metadata" in (report.error or "")


async def test_redirects_end(caller: HttpCaller, system: System) -> None:
    async def onwards(request: Received) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"{request.path}x"})

    system.says("/api/v2/circle", 302, Location="/api/v2/circle")
    for count in range(10):
        system.at("/api/v2/long" + "x" * count, onwards)

    circle = await caller.call(get("circle"), following(system))
    long = await caller.call(get("long"), following(system))

    assert (circle.permanent, circle.error) == (True, "the answers redirect in a circle")
    assert (long.permanent, long.error) == (True, "the answers redirect more than 5 times")
    assert len(system.sent_to("/api/v2/circle")) == 1
    assert len(system.requests) == 1 + 6


@pytest.mark.parametrize("location", ["", "http://[", "https://" + "x" * 5_000, "ftp://erp.example/"])
async def test_a_redirect_to_nonsense_is_an_error_for_good(caller: HttpCaller, system: System, location: str) -> None:
    system.says("/api/v2/orders", 302, Location=location)

    report = await caller.call(get(), following(system))

    assert report.permanent
    assert report.error


async def test_the_time_covers_all_hops(caller: HttpCaller, system: System) -> None:
    async def slowly(request: Received) -> web.StreamResponse:
        await asyncio.sleep(0.15)
        return web.Response(status=302, headers={"Location": f"{request.path}x"})

    for count in range(5):
        system.at("/api/v2/slow" + "x" * count, slowly)

    report = await caller.call(get("slow", timeout=0.35), following(system))

    assert report.status is None
    assert "no answer within" in (report.error or "")


def test_secrets_show_in_no_repr() -> None:
    connection = HttpConnection("con_1", 1, "ERP", "https://erp.example", BearerToken(SECRET))

    assert SECRET not in repr(connection)


@pytest.mark.parametrize(
    "written",
    [
        json.dumps({"you sent": 'k"y/ö+<1>'}),
        json.dumps({"you sent": json.dumps({"key": 'k"y/ö+<1>'}, ensure_ascii=False)}),
        json.dumps({"you sent": 'k"y/ö+<1>'}).replace("/", "\\/"),
        "/search?key=k%22y%2f%c3%b6%2b%3c1%3e",
        "<p>k&quot;y/ö+&lt;1&gt;</p>",
    ],
    ids=["JSON", "JSON in JSON", "JSON of PHP", "URL", "HTML"],
)
async def test_a_credential_is_hidden_however_the_other_side_writes_it(
    caller: HttpCaller, system: System, written: str
) -> None:
    system.says("/api/v2/orders", body=written.encode())

    report = await caller.call(get(), connection_to(system, authentication=BearerToken('k"y/ö+<1>')))

    shown = report.response_body.decode()
    assert "[redacted]" in shown
    assert len(shown) < len(written) + len("[redacted]") - 9


async def test_nothing_that_a_connection_keeps_secret_is_in_its_words(system: System) -> None:
    connection = connection_to(system, authentication=BearerToken(SECRET), headers=(("X-Partner-Key-Id", SECRET),))

    assert SECRET not in repr(connection)
