"""An answer leaves in one piece."""

from __future__ import annotations

import asyncio
from typing import Any

from crossdock.server.gathering import GATHERED_BYTES, GatheringTransport


class Wire:
    """Remembers what a transport is asked to do."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.done.append("close")
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")

    def get_extra_info(self, name: str) -> str:
        return f"its {name}"


def gathering() -> tuple[Wire, GatheringTransport]:
    wire = Wire()
    return wire, GatheringTransport(wire, asyncio.get_running_loop())  # type: ignore[arg-type]


async def test_what_one_turn_writes_is_sent_together():
    wire, transport = gathering()

    transport.write(b"head")
    transport.write(b"body")
    await asyncio.sleep(0)
    transport.write(b"next")
    await asyncio.sleep(0)

    assert wire.done == [b"headbody", b"next"]


async def test_nothing_written_is_overtaken_by_the_end():
    wire, transport = gathering()

    transport.write(b"answer")
    transport.write_eof()
    transport.write(b"more")
    transport.close()
    await asyncio.sleep(0)

    assert wire.done == [b"answer", "eof", b"more", "close"]


async def test_much_is_sent_at_once():
    wire, transport = gathering()

    transport.write(b"a" * GATHERED_BYTES)
    transport.write(b"b")

    assert wire.done == [b"a" * GATHERED_BYTES + b"b"]


async def test_a_closed_connection_gets_nothing():
    wire, transport = gathering()

    transport.write(b"late")
    wire.closing = True
    await asyncio.sleep(0)

    assert wire.done == []


async def test_the_rest_is_the_connections_own():
    wire, transport = gathering()

    assert transport.get_extra_info("peername") == "its peername"
    transport.pause_reading()
    assert wire.done == ["pause"]
