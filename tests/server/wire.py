"""Raw connections to a server under test, and the answers read from them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from crossdock.server.app import AsgiApp
from crossdock.server.protocol import Limits
from crossdock.server.serve import WebServer

LIMIT_SECONDS = 10.0
"""How long a test waits for what has to come."""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One TCP connection that sends exactly the bytes it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def reply(self) -> Reply:
        async with asyncio.timeout(LIMIT_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status_line, *lines = head.split("\r\n")[:-2]
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(int(status_line.split()[1]), headers, body)

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(LIMIT_SECONDS):
            try:
                return await self._reader.read()
            except ConnectionResetError:
                return b""

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


@asynccontextmanager
async def serving(app: AsgiApp, limits: Limits | None = None) -> AsyncIterator[int]:
    """The port of a server that runs `app`."""
    server = WebServer(app, limits=limits)
    address = await server.start("127.0.0.1", 0)
    try:
        yield address.port
    finally:
        await server.stop(grace=0.0)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield wire
    finally:
        await wire.close()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what the application was given: method, path, query, header names and body."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    document = json.dumps(
        {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode("latin-1"),
            "headers": [name.decode("latin-1") for name, _ in scope["headers"]],
            "body": body.decode("latin-1"),
        }
    ).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(document)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": document})
