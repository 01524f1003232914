"""Answers that are wanted whole: unpacked, bounded, and refused when they are not what they say."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.delivery import SendReport
from crossdock.outbound.client import HttpSender, Message, SendLimits
from crossdock.outbound.unpacking import BrokeOff, Unreadable, unpacker_for
from tests.outbound.conftest import listening
from tests.outbound.system import System

TEXT = b"an answer of some length " * 40


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    " deflate": raw_deflate,
    "identity": bytes,
}


async def ask(sender: HttpSender, system: System, limit: int = 100_000) -> SendReport:
    return await sender.ask(Message("GET", f"{system.url}/x"), SendLimits(5, limit))


@pytest.mark.parametrize("encoding", PACKED)
async def test_a_packed_answer_is_unpacked(sender: HttpSender, system: System, encoding: str) -> None:
    system.says("/x", 200, PACKED[encoding](TEXT), Content_Encoding=encoding)

    report = await ask(sender, system)

    assert (report.response_body, report.error) == (TEXT, None)
    assert system.requests[0].headers["accept-encoding"] == "gzip, deflate"


async def test_a_gzip_answer_in_several_pieces_is_unpacked(sender: HttpSender, system: System) -> None:
    system.says("/x", 200, gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(b"end"), Content_Encoding="gzip")

    assert (await ask(sender, system)).response_body == TEXT + b"end"


@pytest.mark.parametrize("limit", [100_000, 8 * 1024 * 1024])
async def test_a_bomb_ends_at_the_limit_with_bounded_memory(sender: HttpSender, system: System, limit: int) -> None:
    bomb = gzip.compress(b"\0" * 300_000_000)
    system.says("/x", 200, bomb, Content_Encoding="gzip")
    tracemalloc.start()

    report = await ask(sender, system, limit)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.permanent
    assert report.error == f"the answer is longer than {limit} bytes; the rest was not read"
    assert len(report.response_body) == limit
    assert peak < 4 * limit + 4_000_000


async def test_a_bomb_in_a_bomb_is_not_opened(sender: HttpSender, system: System) -> None:
    system.says("/x", 200, gzip.compress(gzip.compress(TEXT)), Content_Encoding="gzip, gzip")

    report = await ask(sender, system)

    assert report.permanent
    assert "'gzip, gzip', which was not asked for" in (report.error or "")


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        ("br", b"x", "packed as 'br'"),
        ("gzip", b"plain text", "can't be unpacked"),
        ("gzip", gzip.compress(TEXT, mtime=0)[:20] + b"garbage garbage garbage", "can't be unpacked"),
        ("deflate", b"\x78\x9cgarbage", "can't be unpacked"),
        ("gzip", gzip.compress(b"") * 2_000, "more than 1000 pieces"),
    ],
)
async def test_what_can_not_be_unpacked_is_an_error_for_good(
    sender: HttpSender, system: System, encoding: str, body: bytes, words: str
) -> None:
    system.says("/x", 200, body, Content_Encoding=encoding)

    report = await ask(sender, system)

    assert report.status == 200
    assert report.permanent
    assert words in (report.error or "")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_answer_without_a_body_needs_no_unpacking(sender: HttpSender, system: System, method: str) -> None:
    system.says("/x", 200 if method == "HEAD" else 204, b"", Content_Encoding="gzip")

    report = await sender.ask(Message(method, f"{system.url}/x"))

    assert (report.response_body, report.error) == (b"", None)


async def test_a_packed_answer_that_ends_early_is_a_passing_fault(sender: HttpSender, system: System) -> None:
    system.says("/x", 200, gzip.compress(TEXT)[:-6], Content_Encoding="gzip")

    report = await ask(sender, system)

    assert "broke off before its end" in (report.error or "")
    assert not report.permanent


async def test_a_plain_answer_over_the_limit_is_an_error_for_good(sender: HttpSender, system: System) -> None:
    system.says("/x", 200, b"x" * 1001)
    too_long = await ask(sender, system, 1000)
    system.says("/x", 200, b"x" * 1000)
    fitting = await ask(sender, system, 1000)

    assert too_long.permanent
    assert "longer than 1000 bytes" in (too_long.error or "")
    assert fitting.error is None


async def test_packed_bytes_that_never_become_an_answer_end_too(sender: HttpSender) -> None:
    async def pad(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\xff")
        while True:  # a file name in the header that has no end
            writer.write(b"n" * 65_536)
            await writer.drain()

    async with listening(pad) as port:
        report = await sender.ask(Message("GET", f"http://127.0.0.1:{port}/"), SendLimits(10, 1_000))

    assert report.permanent
    assert "and packed at that" in (report.error or "")


@given(st.binary(max_size=5_000), st.sampled_from(sorted(PACKED)), st.integers(1, 400))
def test_it_does_not_matter_how_an_answer_is_cut_up(content: bytes, encoding: str, size: int) -> None:
    packed = PACKED[encoding](content)
    unpacker, body = unpacker_for(encoding), bytearray()

    for start in range(0, len(packed), size):
        unpacker.feed(packed[start : start + size], body, 10_000)
    unpacker.finish()

    assert body == content


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["gzip", "deflate"]))
def test_garbage_never_gets_further_than_the_limit(garbage: bytes, encoding: str) -> None:
    unpacker, body = unpacker_for(encoding), bytearray()

    try:
        unpacker.feed(garbage, body, 50)
        unpacker.finish()
    except (Unreadable, BrokeOff):
        pass

    assert len(body) <= 51
