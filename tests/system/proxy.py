"""A network between two programs that can be made as bad as networks get, by the word.

A `Proxy` listens on the loopback and passes on what comes to the other side. Its `conditions` hold for every
connection, old and new, from the moment they are set; a `Link` may have conditions of its own.

What it imitates, and how:

- cut off: neither direction moves and nobody is told. What was sent meanwhile arrives after the heal, as TCP sends it
  again until it gives up; so does the end of a connection whose program has gone. New connections are taken and hang.
- one way: as cut off, in one direction only.
- refusing: every connection is reset (RST, not FIN), new ones as soon as they come.
- latency with jitter, and loss: chunks arrive later and in order. A lost one is sent again by TCP, so it costs a
  retransmission timeout (RFC 6298: at least 0.2 s in practice, doubled each time) and holds up what is behind it.
- a commit cut in the middle: the database has committed, and the program's connection is reset in place of the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

CHUNK_BYTES = 65_536
WAITING_CHUNKS = 64
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
"""What PostgreSQL answers when a commit is done (CommandComplete, protocol 3.0); no other answer contains it."""
NAME_OF_PROGRAM = b"application_name\x00"


class Flow(StrEnum):
    PASSING = "passing"
    CUT_OFF = "cut off"
    NO_WAY_THERE = "no way there"
    NO_WAY_BACK = "no way back"
    REFUSING = "refusing"


@dataclass(frozen=True, slots=True)
class Conditions:
    """`loss` is the share of chunks that have to be sent again, each time anew."""

    flow: Flow = Flow.PASSING
    latency_seconds: float = 0.0
    jitter_seconds: float = 0.0
    loss: float = 0.0
    resend_seconds: float = 0.2

    def delay(self, chance: random.Random) -> float:
        """Seconds until a chunk arrives."""
        seconds = self.latency_seconds + chance.random() * self.jitter_seconds
        resend = self.resend_seconds
        while chance.random() < self.loss:
            seconds += resend
            resend *= 2
        return seconds


GOOD = Conditions()


@dataclass(slots=True, eq=False)
class Link:
    """One connection through the proxy. `program` is the name that a PostgreSQL client gave when it began."""

    program: str = ""
    conditions: Conditions | None = None
    sides: list[asyncio.StreamWriter] = field(default_factory=list)
    ended: bool = False

    def reset(self) -> None:
        """End both sides with RST."""
        self.ended = True
        for side in self.sides:
            _reset(side)


class Proxy:
    """Started and stopped once; `links` are the connections of this moment."""

    def __init__(self, host: str, port: int, *, seed: int = 1) -> None:
        self.port = 0
        self.links: set[Link] = set()
        self.commits_cut = 0
        self._target = (host, port)
        self._conditions = GOOD
        self._changed = asyncio.Condition()
        self._chance = random.Random(seed)
        self._commits_to_cut = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything; nothing is passed on any more."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def set(self, conditions: Conditions) -> None:
        """From now on, for every connection without conditions of its own."""
        self._conditions = conditions
        if conditions.flow is Flow.REFUSING:
            self.reset_all()
        await self._tell()

    async def set_for(self, chosen: Callable[[Link], bool], conditions: Conditions | None) -> int:
        """For some connections of this moment; how many they are. None: as all others."""
        links = [link for link in self.links if chosen(link)]
        for link in links:
            link.conditions = conditions
            if conditions is not None and conditions.flow is Flow.REFUSING:
                link.reset()
        await self._tell()
        return len(links)

    async def heal(self) -> None:
        """A good network again; connections that are still there go on."""
        for link in self.links:
            link.conditions = None
        await self.set(GOOD)

    def reset_all(self) -> None:
        for link in list(self.links):
            link.reset()

    def cut_commits(self, count: int = 1) -> None:
        """Let so many commits land without their answers: the connection is reset instead."""
        self._commits_to_cut = count

    # --- one connection --------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        link = Link(sides=[writer])
        self.links.add(link)
        try:
            await self._pass_on(link, reader, writer)
        except* OSError:
            link.reset()  # one side is gone: the other is told
        finally:
            self.links.discard(link)
            self._tasks.discard(task)
            for side in link.sides:
                side.close()

    async def _pass_on(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._now(link).flow is Flow.REFUSING:
            link.reset()
            return
        await self._until(link, lambda flow: flow is Flow.PASSING)  # there is no handshake in one direction only
        there, back = await asyncio.open_connection(*self._target)
        link.sides.append(back)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._carry(link, reader, back, towards_target=True))
            tasks.create_task(self._carry(link, there, writer, towards_target=False))

    async def _carry(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, towards_target: bool
    ) -> None:
        """One direction: chunks are taken as they come and put down when they are due, in order."""
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING_CHUNKS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take(link, reader, line, look=None if towards_target else _CommitWatch()))
            tasks.create_task(self._put(link, line, writer, towards_target=towards_target))

    async def _take(
        self,
        link: Link,
        reader: asyncio.StreamReader,
        line: asyncio.Queue[tuple[float, bytes]],
        look: _CommitWatch | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        latest = 0.0
        chunk = b"begin"
        while chunk:
            chunk = await _read(reader)
            if look is None:
                link.program = link.program or _program_of(chunk)
            elif look.sees_commit(chunk) and self._commits_to_cut:
                self._commits_to_cut -= 1
                self.commits_cut += 1
                link.reset()
            latest = max(latest, loop.time() + self._now(link).delay(self._chance))
            await line.put((latest, chunk))

    async def _put(
        self,
        link: Link,
        line: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        *,
        towards_target: bool,
    ) -> None:
        blocked = {Flow.CUT_OFF, Flow.NO_WAY_THERE if towards_target else Flow.NO_WAY_BACK}
        loop = asyncio.get_running_loop()
        chunk = b"begin"
        while chunk:
            due, chunk = await line.get()
            await asyncio.sleep(due - loop.time())
            await self._until(link, lambda flow: flow not in blocked)
            if link.ended:
                return
            if chunk:
                writer.write(chunk)
                await writer.drain()
        with contextlib.suppress(OSError):  # the other side may have gone first
            writer.write_eof()

    # --- conditions ------------------------------------------------------------------------------------------------

    def _now(self, link: Link) -> Conditions:
        return link.conditions or self._conditions

    async def _until(self, link: Link, allows: Callable[[Flow], bool]) -> None:
        if link.ended or allows(self._now(link).flow):
            return
        async with self._changed:
            await self._changed.wait_for(lambda: link.ended or allows(self._now(link).flow))

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class _CommitWatch:
    """Looks for the answer to a commit, also where it is spread over two chunks."""

    def __init__(self) -> None:
        self._tail = b""

    def sees_commit(self, chunk: bytes) -> bool:
        seen = self._tail + chunk
        self._tail = seen[-(len(COMMITTED) - 1) :]
        return COMMITTED in seen


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next bytes; none at the end, however it came."""
    try:
        return await reader.read(CHUNK_BYTES)
    except OSError:
        return b""


def _program_of(chunk: bytes) -> str:
    """From the message that begins a PostgreSQL connection; empty when this is another one."""
    _, found, rest = chunk.partition(NAME_OF_PROGRAM)
    return rest.partition(b"\x00")[0].decode(errors="replace") if found else ""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: without linger time, what was not sent is thrown away (SO_LINGER, socket(7))."""
    connection: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it is closed already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
