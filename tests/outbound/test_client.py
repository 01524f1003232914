"""One request to a target of any temper, and the report of it."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network

import pytest

from crossdock.clock import system_now
from crossdock.model.delivery import judge_attempt
from crossdock.model.retry import REPLY_RETRY
from crossdock.model.states import DeliveryMove
from crossdock.model.time import parse_instant
from crossdock.outbound.client import HttpSender, SendLimits, read_retry_after
from crossdock.outbound.guard import Guard
from crossdock.outbound.ranges import Address
from tests.outbound.conftest import HOME, Certificate, listening, saying
from tests.support.held_gate import HeldGate
from tests.support.postgres import free_port
from tests.support.sink import Sink

HEADERS = [("content-type", "application/json"), ("x-site", "12")]
SHORT = SendLimits(seconds=0.3)


async def test_a_request_arrives_as_given_and_the_answer_is_reported(sender: HttpSender, sink: Sink) -> None:
    sink.will_answer(201, b'{"ok":true}', headers={"X-Answer": "yes"})

    report = await sender.send("PUT", f"{sink.url}/call/back?site=12", HEADERS, b'{"a":1}')

    received = sink.requests[0]
    assert (received.method, received.path, received.query, received.body) == (
        "PUT", "/call/back", {"site": "12"}, b'{"a":1}',
    )  # fmt: skip
    assert received.headers["x-site"] == "12"
    assert received.headers["user-agent"].startswith("Crossdock/")
    assert received.headers["accept-encoding"] == "identity"
    assert (report.status, report.response_body, report.error) == (201, b'{"ok":true}', None)
    assert ("x-answer", "yes") in report.response_headers
    assert report.started_at <= report.finished_at


async def test_a_large_body_arrives_whole(sender: HttpSender, sink: Sink) -> None:
    body = os.urandom(900_000)

    await sender.send("POST", sink.url, HEADERS, body)

    assert sink.requests[0].body == body


async def test_a_connection_is_used_again(sender: HttpSender) -> None:
    peers = []

    async def answer_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with listening(answer_twice) as port:
        for _ in range(2):
            assert (await sender.send("POST", f"http://127.0.0.1:{port}/", [], b"")).status == 204

    assert len(peers) == 1


@pytest.mark.parametrize("status", [408, 410, 429, 500, 503])
async def test_a_refusing_answer_is_reported_with_its_status(sender: HttpSender, sink: Sink, status: int) -> None:
    sink.will_answer(status, b"not now", headers={"Retry-After": "7"})

    report = await sender.send("POST", sink.url, HEADERS, b"{}")

    assert (report.status, report.response_body, report.retry_after) == (status, b"not now", 7.0)


async def test_a_redirect_is_not_followed_and_fails_with_the_host_it_names(sender: HttpSender, sink: Sink) -> None:
    sink.will_answer(307, headers={"Location": "https://elsewhere.example/secret-path"})

    report = await sender.send("POST", sink.url, HEADERS, b"{}")

    assert report.status == 307
    assert "elsewhere.example" in (report.error or "")
    assert "secret-path" not in (report.error or "")
    assert len(sink.requests) == 1
    verdict = judge_attempt(report, attempts_made=1, policy=REPLY_RETRY, expires_at=None, fraction=0.5)
    assert verdict.move is DeliveryMove.FAIL


@pytest.mark.parametrize("location", ["", "http://[", "//\\", "https://" + "x" * 5_000])
async def test_a_redirect_to_nonsense_is_reported_too(sender: HttpSender, sink: Sink, location: str) -> None:
    sink.will_answer(302, headers={"Location": location})

    report = await sender.send("POST", sink.url, HEADERS, b"{}")

    assert report.status == 302
    assert "redirects are not followed" in (report.error or "")


async def test_a_refused_connection_is_said_so(sender: HttpSender) -> None:
    port = free_port()

    report = await sender.send("POST", f"http://127.0.0.1:{port}/", HEADERS, b"{}")

    assert report.status is None
    assert report.error == f"the connection was refused by 127.0.0.1:{port}"
    assert not report.permanent


async def test_a_target_that_hangs_is_given_up_in_time(sender: HttpSender) -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(hang) as port:
        report = await sender.send("POST", f"http://127.0.0.1:{port}/", HEADERS, b"", SHORT)

    assert (report.status, report.error) == (None, "no answer within 0.3 s")


async def test_a_target_that_never_stops_its_head_is_given_up_in_time(sender: HttpSender) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for n in itertools.count():
            writer.write(f"x-{n}: y\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.05)

    async with listening(drip) as port:
        report = await sender.send("POST", f"http://127.0.0.1:{port}/", HEADERS, b"", SHORT)

    assert (report.status, report.error) == (None, "no answer within 0.3 s")


async def test_a_dripping_body_is_cut_by_the_total_time_and_the_status_counts(sender: HttpSender) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with listening(drip) as port:
        report = await sender.send("POST", f"http://127.0.0.1:{port}/", HEADERS, b"", SHORT)

    assert report.status == 200
    assert 0 < len(report.response_body) < 1000
    assert report.error == "the answer's body was not complete within 0.3 s"


async def test_an_endless_answer_is_read_to_the_limit_only(sender: HttpSender) -> None:
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n")
        while sent < 10_485_760:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async with listening(flood) as port:
        report = await sender.send("POST", f"http://127.0.0.1:{port}/", HEADERS, b"", SendLimits(response_bytes=1000))

    assert report.status == 200
    assert report.response_body == b"x" * 1000
    assert "longer than 1000 bytes" in (report.error or "")
    assert sent < 10_485_760


async def test_a_compressed_answer_is_not_unpacked(sender: HttpSender, sink: Sink) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    sink.will_answer(200, bomb, headers={"Content-Encoding": "gzip"})

    report = await sender.send("POST", sink.url, HEADERS, b"{}")

    assert report.response_body == bomb


async def test_a_reset_connection_is_said_so(sender: HttpSender) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected: socket.socket = writer.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with listening(reset) as port:
        report = await sender.send("POST", f"http://127.0.0.1:{port}/", HEADERS, b"")

    assert report.status is None
    assert report.error == f"the connection was closed by 127.0.0.1:{port} before an answer came"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closed by"),
        (b"220 mail.example ESMTP\r\n\r\n", "not valid HTTP"),
        (b"\x16\x03\x01\x00garbage\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5_000 + b"\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello", "not valid HTTP"),
    ],
)
async def test_garbage_is_a_fault_of_the_target(sender: HttpSender, answer: bytes, words: str) -> None:
    async with listening(saying(answer)) as port:
        report = await sender.send("POST", f"http://127.0.0.1:{port}/", HEADERS, b"", SendLimits(seconds=5))

    assert report.status is None
    assert words in (report.error or "")
    assert not report.permanent


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
async def test_a_body_that_breaks_off_leaves_the_status(sender: HttpSender, answer: bytes) -> None:
    async with listening(saying(answer)) as port:
        report = await sender.send("POST", f"http://127.0.0.1:{port}/", HEADERS, b"")

    assert report.status == 200
    assert report.error


async def test_headers_that_are_not_text_are_made_readable(sender: HttpSender) -> None:
    async with listening(saying(b"HTTP/1.1 204 No Content\r\nx-name: caf\xe9\r\n\r\n")) as port:
        report = await sender.send("POST", f"http://127.0.0.1:{port}/", HEADERS, b"")

    assert report.response_headers == (("x-name", "caf\ufffd"),)


@pytest.mark.parametrize("header", [("x-a", "b\r\nx-injected: 1"), ("x\n", "y")])
async def test_a_header_that_would_break_the_request_apart_is_not_sent(
    sender: HttpSender, sink: Sink, header: tuple[str, str]
) -> None:
    report = await sender.send("POST", sink.url, [header], b"{}")

    assert report.permanent
    assert "can't be sent" in (report.error or "")
    assert sink.requests == []


async def test_cookies_and_proxies_of_the_environment_are_not_used(
    sender: HttpSender, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    sink.will_answer(200, headers={"Set-Cookie": "session=1"})

    for _ in range(2):
        assert (await sender.send("POST", sink.url, HEADERS, b"{}")).status == 200

    assert "cookie" not in sink.requests[1].headers


# --- where it may go -------------------------------------------------------------------------------------------------


async def test_a_forbidden_address_is_refused_for_good(sink: Sink) -> None:
    sender = HttpSender(Guard(), system_now)

    report = await sender.send("POST", f"{sink.url.replace('http', 'https')}/x", HEADERS, b"{}")

    await sender.close()
    assert report.permanent
    assert "CROSSDOCK_ALLOWED_TARGETS" in (report.error or "")


class Answers:
    """A name server that says something else each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.left = list(answers)

    async def __call__(self, host: str, port: int) -> list[Address]:
        return [ip_address(text) for text in self.left.pop(0)]


@asynccontextmanager
async def resolving(
    guard: Guard, *answers: list[str], trust: ssl.SSLContext | None = None
) -> AsyncIterator[HttpSender]:
    sender = HttpSender(guard, system_now, lookup=Answers(*answers), trust=trust)
    yield sender
    await sender.close()


async def test_a_name_that_resolves_to_a_forbidden_address_is_refused(sink: Sink) -> None:
    async with resolving(Guard(), ["127.0.0.1"]) as sender:
        report = await sender.send("POST", f"https://erp.example:{sink.port}/", HEADERS, b"{}")

    assert report.permanent
    assert "erp.example resolves to 127.0.0.1, a loopback address" in (report.error or "")


async def test_a_name_with_one_forbidden_address_among_others_is_refused() -> None:
    async with resolving(Guard(), ["8.8.8.8", "2606:4700::1111", "::ffff:10.0.0.1"]) as sender:
        report = await sender.send("POST", "https://erp.example/", HEADERS, b"{}")

    assert report.permanent
    assert "10.0.0.1" in (report.error or "")


async def test_plain_http_to_a_name_is_refused_unless_its_address_is_allowed(sink: Sink) -> None:
    async with resolving(HOME, ["127.0.0.1"], ["8.8.8.8"]) as sender:
        allowed = await sender.send("POST", f"http://sink.internal:{sink.port}/", HEADERS, b"{}")
        refused = await sender.send("POST", "http://erp.example/", HEADERS, b"{}")

    assert allowed.status == 200
    assert sink.requests[0].headers["host"] == f"sink.internal:{sink.port}"
    assert refused.permanent
    assert "plain http" in (refused.error or "")


async def test_a_rebinding_name_is_asked_once_for_each_connection_and_checked_each_time() -> None:
    reached = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(writer.get_extra_info("sockname")[0])
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")

    guard = Guard((ip_network("127.0.0.2"),))
    async with listening(answer, host="127.0.0.2") as port, resolving(guard, ["127.0.0.2"], ["127.0.0.1"]) as sender:
        first = await sender.send("POST", f"http://erp.example:{port}/", HEADERS, b"")
        second = await sender.send("POST", f"http://erp.example:{port}/", HEADERS, b"")

    assert (first.status, reached) == (204, ["127.0.0.2"])
    assert second.permanent
    assert "127.0.0.1" in (second.error or "")


async def test_a_name_that_does_not_resolve_is_a_passing_fault() -> None:
    async def nobody(host: str, port: int) -> list[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    sender = HttpSender(Guard(), system_now, lookup=nobody)
    report = await sender.send("POST", "https://erp.example/", HEADERS, b"{}")
    await sender.close()

    assert report.error == "the name in erp.example:443 could not be resolved: Name or service not known"
    assert not report.permanent


async def test_a_lookup_that_hangs_is_given_up_in_time() -> None:
    async def hang(host: str, port: int) -> list[Address]:
        await asyncio.Event().wait()
        return []

    sender = HttpSender(Guard(), system_now, lookup=hang)
    report = await sender.send("POST", "https://erp.example/", HEADERS, b"{}", SHORT)
    await sender.close()

    assert report.error == "no answer within 0.3 s"


async def test_the_system_resolves_names_too(sender: HttpSender, sink: Sink) -> None:
    report = await sender.send("POST", f"http://localhost:{sink.port}/", HEADERS, b"{}")

    assert report.status == 200


async def test_a_hostile_url_is_a_report_not_an_exception(sender: HttpSender) -> None:
    report = await sender.send("POST", "https://user:secret@erp.example/", HEADERS, b"{}")

    assert report.permanent
    assert "secret" not in (report.error or "")


# --- TLS -------------------------------------------------------------------------------------------------------------

NO_CONTENT = saying(b"HTTP/1.1 204 No Content\r\n\r\n")


async def test_an_encrypted_target_is_checked_by_its_name(certificate: Certificate) -> None:
    async with (
        listening(NO_CONTENT, tls=certificate.server) as port,
        resolving(HOME, ["127.0.0.1"], ["127.0.0.1"], trust=certificate.client) as sender,
    ):
        genuine = await sender.send("POST", f"https://erp.example:{port}/", HEADERS, b"")
        foreign = await sender.send("POST", f"https://other.example:{port}/", HEADERS, b"")

    assert genuine.status == 204
    assert foreign.status is None
    assert "certificate" in (foreign.error or "")
    assert "other.example" in (foreign.error or "")


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Certificate, sender: HttpSender) -> None:
    async with listening(NO_CONTENT, tls=certificate.server) as port:
        report = await sender.send("POST", f"https://localhost:{port}/", HEADERS, b"")

    assert report.status is None
    assert "is not valid" in (report.error or "")


async def test_a_target_without_tls_is_said_so(sender: HttpSender, sink: Sink) -> None:
    report = await sender.send("POST", f"https://127.0.0.1:{sink.port}/", HEADERS, b"", SendLimits(seconds=5))

    assert report.status is None
    assert report.error


# --- Retry-After -----------------------------------------------------------------------------------------------------

NOW = parse_instant("2026-11-22T14:00:00Z")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 22 Nov 2026 14:02:00 GMT", 120.0),
        ("Sun, 22 Nov 2026 14:02:00", 120.0),
        ("Sun, 22 Nov 2026 13:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 400, None),
        ("Sun, 99 Nov 2026 14:02:00 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, NOW) == seconds


# --- the gate --------------------------------------------------------------------------------------------------------


async def test_nothing_is_sent_while_the_node_may_not_act(sink: Sink) -> None:
    gate = HeldGate()
    sender = HttpSender(HOME, system_now, gate=gate)

    sending = asyncio.create_task(sender.send("POST", sink.url, HEADERS, b"{}"))
    await gate.asked()  # the connection is there, the request is not
    assert sink.requests == []
    gate.open()

    assert (await sending).status == 200
    await sender.close()
