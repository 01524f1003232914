"""The guarded protocol against slow, oversized and ambiguous senders, over raw connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from crossdock.server.protocol import Limits
from tests.server.wire import LIMIT_SECONDS, Wire, connected, echo, serving

SHORT = Limits(head_seconds=0.2, body_seconds=0.2, idle_seconds=0.2, write_seconds=0.3)
POST = b"POST /hooks/default/a HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def wire(anyio_backend: str) -> AsyncIterator[Wire]:
    """A connection to an echo server with the usual limits."""
    async with serving(echo) as port, connected(port) as connection:
        yield connection


@pytest.fixture
async def hurried(anyio_backend: str) -> AsyncIterator[Wire]:
    """A connection to an echo server with short limits."""
    async with serving(echo, SHORT) as port, connected(port) as connection:
        yield connection


async def assert_refused(wire: Wire, status: int, slug: str) -> None:
    reply = await wire.reply()
    assert (reply.status, reply.json["type"]) == (status, f"/problems/{slug}")
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["connection"] == "close"
    assert await wire.rest() == b""


# --- ordinary requests ---


async def test_requests_on_one_connection_are_answered_in_order(wire: Wire) -> None:
    await wire.send(POST + b"Content-Length: 3\r\n\r\none" + POST + b"Content-Length: 3\r\n\r\ntwo")

    assert [(await wire.reply()).json["body"] for _ in range(2)] == ["one", "two"]


async def test_a_chunked_body_in_small_pieces_arrives_whole(wire: Wire) -> None:
    for byte in POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n4\r\nmore\r\n0\r\n\r\n":
        await wire.send(bytes([byte]))

    assert (await wire.reply()).json["body"] == "onemore"


async def test_expect_continue_is_granted(wire: Wire) -> None:
    await wire.send(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")

    assert (await wire.reply()).status == 100
    await wire.send(b"hi")
    assert (await wire.reply()).json["body"] == "hi"


async def test_an_offered_upgrade_is_ignored_and_the_body_kept(wire: Wire) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"

    await wire.send(POST + upgrade + b"Content-Length: 4\r\n\r\nbody" + POST + b"Content-Length: 3\r\n\r\ntwo")

    first = (await wire.reply()).json
    assert first["body"] == "body"
    assert "upgrade" not in first["headers"]
    assert (await wire.reply()).json["body"] == "two"


async def test_a_chunked_body_after_an_upgrade_offer_may_come_later(wire: Wire) -> None:
    await wire.send(POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n")
    await wire.send(b"4\r\nlate\r\n0\r\n\r\n")

    assert (await wire.reply()).json["body"] == "late"


# --- time ---


async def test_a_silent_connection_is_closed(hurried: Wire) -> None:
    assert await hurried.rest() == b""


async def test_a_half_sent_head_is_answered_408(hurried: Wire) -> None:
    await hurried.send(b"POST /hooks/default/a HTTP/1.1\r\nHost: ")

    await assert_refused(hurried, 408, "request-timeout")


async def test_a_dripped_head_is_answered_408(hurried: Wire) -> None:
    dripping = asyncio.create_task(drip(hurried, POST + b"X-Slow: " + b"a" * 10_000))

    await assert_refused(hurried, 408, "request-timeout")
    await dripping


async def test_a_dripped_body_is_answered_408(hurried: Wire) -> None:
    await hurried.send(POST + b"Content-Length: 10000\r\n\r\n")
    dripping = asyncio.create_task(drip(hurried, b"a" * 10_000))

    await assert_refused(hurried, 408, "request-timeout")
    await dripping


async def test_dripped_blank_lines_do_not_hold_a_connection(hurried: Wire) -> None:
    dripping = asyncio.create_task(drip(hurried, b"\r\n" * 5_000))

    await hurried.rest()
    await dripping


async def test_a_kept_connection_is_closed_when_idle(hurried: Wire) -> None:
    await hurried.send(POST + b"Content-Length: 0\r\n\r\n")

    assert (await hurried.reply()).status == 200
    assert await hurried.rest() == b""


async def test_an_application_may_take_longer_than_every_limit(anyio_backend: str) -> None:
    async def slow(scope, receive, send):
        await asyncio.sleep(SHORT.idle_seconds * 3)  # the time itself is what is tested
        await echo(scope, receive, send)

    async with serving(slow, SHORT) as port, connected(port) as wire:
        await wire.send(POST + b"Content-Length: 2\r\n\r\nhi" + POST + b"Content-Length: 5\r\n\r\nthere")

        assert (await wire.reply()).json["body"] == "hi"
        assert (await wire.reply()).json["body"] == "there"


async def test_a_client_that_does_not_read_is_cut_off(anyio_backend: str) -> None:
    cut_off = asyncio.Event()

    async def verbose(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await asyncio.wait({asyncio.ensure_future(receive())}, timeout=0))[1]:
            await send({"type": "http.response.body", "body": b"a" * 1_000_000, "more_body": True})
        cut_off.set()

    async with serving(verbose, SHORT) as port, connected(port) as wire:
        await wire.send(POST + b"Content-Length: 0\r\n\r\n")

        async with asyncio.timeout(LIMIT_SECONDS):
            await cut_off.wait()


async def drip(wire: Wire, data: bytes) -> None:
    """Send byte by byte until the other side has enough."""
    try:
        for byte in data:
            await wire.send(bytes([byte]))
            await asyncio.sleep(0.005)
    except ConnectionError:
        return


# --- size ---


async def test_a_head_of_100_fields_of_1_kib_is_431(wire: Wire) -> None:
    await wire.send(POST + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1024) for n in range(100)) + b"\r\n")

    await assert_refused(wire, 431, "head-too-large")


async def test_an_endless_header_is_431_before_it_ends(wire: Wire) -> None:
    sending = asyncio.create_task(send_in_pieces(wire, POST + b"X-Long: " + b"a" * 4_000_000))

    await assert_refused(wire, 431, "head-too-large")
    await sending


async def test_too_many_small_fields_are_431(wire: Wire) -> None:
    await wire.send(POST + b"A: b\r\n" * 1000 + b"\r\n")

    await assert_refused(wire, 431, "head-too-large")


@pytest.mark.parametrize("target", [b"/hooks/" + b"a" * 20_000, b"/hooks/a?" + b"q" * 20_000])
async def test_an_over_long_target_is_414(wire: Wire, target: bytes) -> None:
    await wire.send(b"POST " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")

    await assert_refused(wire, 414, "target-too-long")


async def test_an_endless_target_is_414_before_it_ends(wire: Wire) -> None:
    sending = asyncio.create_task(send_in_pieces(wire, b"POST /" + b"a" * 4_000_000))

    await assert_refused(wire, 414, "target-too-long")
    await sending


async def test_a_head_of_60_kib_is_accepted(wire: Wire) -> None:
    await wire.send(POST + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1018) for n in range(60)) + b"\r\n")

    assert (await wire.reply()).status == 200


async def test_a_large_body_before_a_half_sent_head_does_not_count_as_head(anyio_backend: str) -> None:
    async with serving(echo, Limits(head_bytes=1024)) as port, connected(port) as wire:
        await wire.send(POST + b"Content-Length: 100000\r\n\r\n" + b"a" * 100_000 + POST)
        assert len((await wire.reply()).json["body"]) == 100_000
        await wire.send(b"Content-Length: 3\r\n\r\ntwo")

        assert (await wire.reply()).json["body"] == "two"


async def test_requests_sent_ahead_are_limited(anyio_backend: str) -> None:
    async with serving(echo, Limits(pipelined_requests=3)) as port, connected(port) as wire:
        await wire.send(b"GET /a HTTP/1.1\r\n\r\n" * 20)

        replies = [await wire.reply() for _ in range(5)]
        assert [reply.status for reply in replies] == [200, 200, 200, 200, 429]
        assert await wire.rest() == b""


async def test_a_body_nobody_reads_is_taken_in_up_to_a_limit(anyio_backend: str) -> None:
    async def refuse(scope, receive, send):
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with serving(refuse, Limits(discard_bytes=100_000)) as port, connected(port) as wire:
        await wire.send(POST + b"Content-Length: 90000\r\n\r\n")
        assert (await wire.reply()).status == 413
        await wire.send(b"a" * 90_000 + POST + b"Content-Length: 9000000\r\n\r\n")
        assert (await wire.reply()).status == 413

        await send_in_pieces(wire, b"a" * 9_000_000)
        assert await wire.rest() == b""


async def send_in_pieces(wire: Wire, data: bytes) -> None:
    try:
        for start in range(0, len(data), 16_384):
            await wire.send(data[start : start + 16_384])
            await asyncio.sleep(0)
    except ConnectionError:
        return


# --- ambiguity ---

SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

AMBIGUOUS = {
    "length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + SMUGGLED,
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "the same length twice": b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": b"Content-Length: 4, 4\r\n\r\nabcd",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a signed length": b"Content-Length: +4\r\n\r\nabcd",
    "a length in words": b"Content-Length: four\r\n\r\nabcd",
    "a hexadecimal length": b"Content-Length: 0x4\r\n\r\nabcd",
    "an empty length": b"Content-Length: \r\n\r\nabcd",
    "an endless length": b"Content-Length: 99999999999999999999999\r\n\r\nabcd",
    "chunks not last": b"Transfer-Encoding: chunked, identity\r\n\r\n" + SMUGGLED,
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED,
    "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + SMUGGLED,
    "a hidden coding": b"Transfer-Encoding : chunked\r\n\r\n" + SMUGGLED,
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n\r\n" + SMUGGLED,
    "a folded field": b"X-A: b\r\n c: d\r\n\r\n",
    "a null in a value": b"X-A: b\x00c\r\n\r\n",
    "a null in a name": b"X\x00A: b\r\n\r\n",
    "a bare carriage return": b"X-A: b\rContent-Length: 4\r\n\r\nabcd",
    "a bare line feed": b"X-A: b\nContent-Length: 4\r\n\r\nabcd",
    "a space before the colon": b"Content-Length : 4\r\n\r\nabcd",
    "a chunk size in words": b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "a negative chunk size": b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
    "an endless chunk size": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "a chunk ended by line feed": b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
}


@pytest.mark.parametrize("rest", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_an_ambiguous_request_is_400_and_the_end(wire: Wire, rest: bytes) -> None:
    await wire.send(POST + rest)

    await assert_refused(wire, 400, "malformed")


@pytest.mark.parametrize(
    "line",
    [
        b"POST /a b HTTP/1.1\r\n\r\n",
        b"POST /a HTTP/9.9\r\n\r\n",
        b"POST /a HTTP/2.0\r\nHost: x\r\n\r\n",
        b"POST /a\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"BREW /a HTTP/1.1\r\n\r\n",
        b"POST \xff\xfe HTTP/1.1\r\n\r\n",
        b"POST a HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_an_unreadable_request_line_is_400(wire: Wire, line: bytes) -> None:
    await wire.send(line)

    await assert_refused(wire, 400, "malformed")


async def test_a_refusal_does_not_overtake_an_earlier_answer(wire: Wire) -> None:
    await wire.send(POST + b"Content-Length: 3\r\n\r\none" + POST + b"Content-Length: -1\r\n\r\n")

    assert (await wire.reply()).json["body"] == "one"
    await assert_refused(wire, 400, "malformed")


async def test_a_broken_body_behind_an_earlier_request_is_refused_in_turn(wire: Wire) -> None:
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\nzz\r\n"

    await wire.send(POST + b"Content-Length: 3\r\n\r\none" + POST + chunks)

    assert (await wire.reply()).json["body"] == "one"
    await assert_refused(wire, 400, "malformed")


async def test_an_application_hears_that_its_request_broke_off(anyio_backend: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def listen(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            pass
        heard.put_nowait(message["type"])

    async with serving(listen) as port, connected(port) as wire:
        await wire.send(POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await wire.send(b"zz\r\n")

        await assert_refused(wire, 400, "malformed")
        assert await asyncio.wait_for(heard.get(), LIMIT_SECONDS) == "http.disconnect"
