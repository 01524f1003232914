"""Starting, stopping and securing the server."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from crossdock.clock import system_now
from crossdock.model.errors import Misconfigured
from crossdock.server.serve import WebServer
from crossdock.server.tls import load_tls
from tests.server.certificates import make_certificate
from tests.server.wire import LIMIT_SECONDS, Wire, connected, echo, serving

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


class Slow:
    """An application that answers when it is let go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.let_go = asyncio.Event()
        self.cut_off = False

    async def __call__(self, scope, receive, send) -> None:
        self.reached.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cut_off = True
            raise
        await echo(scope, receive, send)


async def test_a_free_port_is_found_and_told(anyio_backend: str) -> None:
    server = WebServer(echo)

    address = await server.start("127.0.0.1", 0)

    assert address.url == f"http://127.0.0.1:{address.port}"
    async with connected(address.port) as wire:
        await wire.send(GET)
        reply = await wire.reply()
    assert reply.json["path"] == "/a"
    assert "date" in reply.headers
    assert "server" not in reply.headers
    await server.stop(grace=1.0)


async def test_a_taken_port_is_said_in_words(anyio_backend: str) -> None:
    async with serving(echo) as port:
        with pytest.raises(Misconfigured, match=f"Port {port} of 127.0.0.1 is taken"):
            await WebServer(echo).start("127.0.0.1", port)


async def test_an_address_of_another_machine_is_said_in_words(anyio_backend: str) -> None:
    with pytest.raises(Misconfigured, match="no address 192.0.2.1"):
        await WebServer(echo).start("192.0.2.1", 0)


async def test_stopping_lets_a_request_finish_and_accepts_no_more(anyio_backend: str) -> None:
    slow = Slow()
    server = WebServer(slow)
    address = await server.start("127.0.0.1", 0)
    async with connected(address.port) as wire, connected(address.port) as idle:
        await wire.send(GET)
        await asyncio.wait_for(slow.reached.wait(), LIMIT_SECONDS)

        stopping = asyncio.create_task(server.stop(grace=LIMIT_SECONDS))
        assert await idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", address.port)
        slow.let_go.set()

        reply = await wire.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        await asyncio.wait_for(stopping, LIMIT_SECONDS)


async def test_a_stop_ends_when_its_grace_is_over(anyio_backend: str) -> None:
    slow = Slow()
    server = WebServer(slow)
    address = await server.start("127.0.0.1", 0)
    async with connected(address.port) as wire:
        await wire.send(GET)
        await asyncio.wait_for(slow.reached.wait(), LIMIT_SECONDS)

        await asyncio.wait_for(server.stop(grace=0.05), LIMIT_SECONDS)

        assert slow.cut_off
        assert await wire.rest() == b""


async def test_an_abort_ends_a_stop_at_once(anyio_backend: str) -> None:
    slow = Slow()
    server = WebServer(slow)
    address = await server.start("127.0.0.1", 0)
    async with connected(address.port) as wire:
        await wire.send(GET)
        await asyncio.wait_for(slow.reached.wait(), LIMIT_SECONDS)
        stopping = asyncio.create_task(server.stop(grace=3600.0))

        server.abort()

        await asyncio.wait_for(stopping, LIMIT_SECONDS)
        assert slow.cut_off


async def test_https_is_spoken_with_a_certificate(anyio_backend: str, tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    server = WebServer(echo)
    address = await server.start("127.0.0.1", 0, load_tls(files.certificate, files.key, system_now()))
    trust = ssl.create_default_context(cafile=files.certificate)

    wire = Wire(*await asyncio.open_connection("127.0.0.1", address.port, ssl=trust))
    await wire.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n")

    assert address.url.startswith("https://")
    assert (await wire.reply()).status == 400
    await wire.close()
    await server.stop(grace=1.0)


async def test_old_tls_is_refused(anyio_backend: str, tmp_path: Path) -> None:
    files = make_certificate(tmp_path)

    assert load_tls(files.certificate, files.key, system_now()).minimum_version is ssl.TLSVersion.TLSv1_2


def test_tls_files_that_can_not_work_are_refused_in_words(tmp_path: Path) -> None:
    good, other = make_certificate(tmp_path), make_certificate(tmp_path, "other")
    expired = make_certificate(tmp_path, "expired", days=-1)
    early = make_certificate(tmp_path, "early", days=90)
    locked = make_certificate(tmp_path, "locked", passphrase=b"secret")
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.write_bytes(b"")

    for certificate, key, words in (
        (missing, good.key, "certificate file .*missing.pem can't be read"),
        (good.certificate, missing, "key file .*missing.pem can't be read"),
        (empty, good.key, "holds no PEM certificate"),
        (good.certificate, empty, "can't be used"),
        (good.certificate, other.key, "does not belong"),
        (expired.certificate, expired.key, "expired at"),
        (early.certificate, early.key, "not valid before"),
        (locked.certificate, locked.key, "is encrypted"),
    ):
        with pytest.raises(Misconfigured, match=words):
            load_tls(certificate, key, system_now())
