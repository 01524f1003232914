"""The bad network itself: each condition does what it says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.system.proxy import COMMITTED, NAME_OF_PROGRAM, Conditions, Flow, Proxy

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Target:
    """Sends back what it gets, and keeps it."""

    def __init__(self) -> None:
        self.got = b""
        self.connections = 0
        self.port = 0
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None

    async def has_got(self, words: bytes) -> None:
        """Wait until exactly this has arrived in all; TimeoutError when it does not."""
        async with asyncio.timeout(5), self._arrived:
            await self._arrived.wait_for(lambda: self.got == words)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while chunk := await reader.read(65_536):
                async with self._arrived:
                    self.got += chunk
                    self._arrived.notify_all()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()


@pytest.fixture
async def target(anyio_backend: str) -> AsyncIterator[Target]:
    made = Target()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def proxy(target: Target) -> AsyncIterator[Proxy]:
    made = Proxy("127.0.0.1", target.port)
    await made.start()
    yield made
    await made.stop()


Connect = Callable[[], Awaitable[Pair]]


@pytest.fixture
async def connect(proxy: Proxy) -> AsyncIterator[Connect]:
    """Opens connections through the proxy, which are closed after the test."""
    opened: list[Pair] = []

    async def open_one() -> Pair:
        opened.append(await asyncio.open_connection("127.0.0.1", proxy.port))
        return opened[-1]

    yield open_one
    for _, writer in opened:
        writer.close()


async def say(pair: Pair, words: bytes) -> bytes:
    """Send, and wait for so many bytes to come back."""
    pair[1].write(words)
    async with asyncio.timeout(5):
        return await pair[0].readexactly(len(words))


async def hears_nothing(pair: Pair, seconds: float = 0.15) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await pair[0].read(1)
    except TimeoutError:
        return True
    return False


async def test_what_is_said_goes_both_ways_and_so_does_the_end(proxy: Proxy, connect: Connect):
    pair = await connect()

    assert await say(pair, b"hello") == b"hello"
    pair[1].write_eof()
    assert await pair[0].read() == b""


async def test_cut_off_connections_freeze_and_go_on_after_the_heal(proxy: Proxy, target: Target, connect: Connect):
    old = await connect()
    await say(old, b"before")
    await proxy.set(Conditions(Flow.CUT_OFF))
    new = await connect()
    old[1].write(b"during")
    new[1].write(b"anew")

    assert await hears_nothing(old)
    assert await hears_nothing(new)
    assert (target.got, target.connections) == (b"before", 1)
    await proxy.heal()
    assert await old[0].readexactly(6) == b"during"
    assert await new[0].readexactly(4) == b"anew"


async def test_end_of_a_cut_off_program_reaches_the_target_only_after_the_heal(
    proxy: Proxy, target: Target, connect: Connect
):
    pair = await connect()
    await say(pair, b"before")
    await proxy.set(Conditions(Flow.CUT_OFF))
    pair[1].write(b"late")
    await pair[1].drain()
    pair[1].close()

    await proxy.heal()
    await target.has_got(b"beforelate")


@pytest.mark.parametrize(("flow", "arrives"), [(Flow.NO_WAY_BACK, b"one way"), (Flow.NO_WAY_THERE, b"")])
async def test_one_direction_alone_can_be_cut(
    proxy: Proxy, target: Target, connect: Connect, flow: Flow, arrives: bytes
):
    pair = await connect()
    await say(pair, b"x")
    await proxy.set(Conditions(flow))

    pair[1].write(b"one way")

    assert await hears_nothing(pair)
    await target.has_got(b"x" + arrives)


async def test_refusing_resets_old_and_new_connections(proxy: Proxy, connect: Connect):
    old = await connect()
    await say(old, b"x")

    await proxy.set(Conditions(Flow.REFUSING))

    with pytest.raises(ConnectionResetError):
        await old[0].read(1)
    with pytest.raises(ConnectionResetError):
        await (await connect())[0].read(1)


async def test_latency_and_loss_delay_and_keep_the_order(proxy: Proxy, connect: Connect):
    pair = await connect()
    await say(pair, b"x")
    await proxy.set(Conditions(latency_seconds=0.05, jitter_seconds=0.02, loss=0.3, resend_seconds=0.02))
    started = time.monotonic()

    words = [f"{number:04}".encode() for number in range(8)]
    for word in words:
        pair[1].write(word)
        await asyncio.sleep(0.005)

    assert await pair[0].readexactly(32) == b"".join(words)
    assert time.monotonic() - started >= 0.1


async def test_loss_costs_growing_pauses():
    class Unlucky:
        def __init__(self) -> None:
            self.throws = [0.0, 0.1, 0.1, 0.9]

        def random(self) -> float:
            return self.throws.pop(0)

    assert Conditions(loss=0.5, resend_seconds=0.2).delay(Unlucky()) == pytest.approx(0.6)  # type: ignore[arg-type]


async def test_commit_lands_and_its_answer_does_not(proxy: Proxy, target: Target, connect: Connect):
    pair = await connect()
    proxy.cut_commits()

    pair[1].write(b"begin")
    assert await pair[0].readexactly(5) == b"begin"
    for part in (COMMITTED[:4], COMMITTED[4:]):
        pair[1].write(part)
        await pair[1].drain()
        await asyncio.sleep(0.02)

    with pytest.raises(ConnectionResetError):
        await pair[0].readexactly(len(COMMITTED))
    await target.has_got(b"begin" + COMMITTED)
    assert proxy.commits_cut == 1


async def test_one_program_alone_can_be_cut_off(proxy: Proxy, connect: Connect):
    listener, writer = await connect(), await connect()
    await say(listener, NAME_OF_PROGRAM + b"crossdock listener\x00")
    await say(writer, NAME_OF_PROGRAM + b"crossdock writer\x00")

    chosen = await proxy.set_for(lambda link: link.program == "crossdock listener", Conditions(Flow.CUT_OFF))

    listener[1].write(b"x")
    assert chosen == 1
    assert await hears_nothing(listener)
    assert await say(writer, b"still there") == b"still there"
