"""A system of somebody else's: a web server whose every path behaves as a test says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from tests.support.sink import Received

Handler: TypeAlias = Callable[[Received], Awaitable[web.StreamResponse]]


class System:
    """Answers 200 `{}` where nothing else is said, and keeps what it was sent."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.port = 0
        self.scheme = "http"
        self._handlers: dict[str, Handler] = {}

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def at(self, path: str, handler: Handler) -> None:
        self._handlers[path] = handler

    def says(self, path: str, status: int = 200, body: bytes = b"{}", **headers: str) -> None:
        """Answer at the path like this, always. `_` in header names stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}

        async def say(_: Received) -> web.StreamResponse:
            return web.Response(status=status, body=body, headers=named)

        self.at(path, say)

    def sent_to(self, path: str) -> list[Received]:
        return [request for request in self.requests if request.path == path]

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.method, request.path, dict(request.query), headers, await request.read())
        self.requests.append(received)
        handler = self._handlers.get(request.path)
        return web.json_response({}) if handler is None else await handler(received)


@asynccontextmanager
async def running(tls: ssl.SSLContext | None = None) -> AsyncIterator[System]:
    system = System()
    runner = web.ServerRunner(web.Server(system._take), shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    system.port = runner.addresses[0][1]
    system.scheme = "https" if tls else "http"
    try:
        yield system
    finally:
        await runner.cleanup()


@dataclass
class TokenEndpoint:
    """Gives tokens `token-number-1`, `token-number-2` and so on. `answer` replaces what it says; `gate` holds it up."""

    answer: dict[str, Any] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    fetched: list[Received] = field(default_factory=list)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: Received) -> web.StreamResponse:
        self.fetched.append(request)
        number = len(self.fetched)
        self.waiting.set()
        if self.gate is not None:
            await self.gate.wait()
        granted = {"access_token": f"token-number-{number}", "token_type": "Bearer", "expires_in": 3600}
        return web.json_response(granted | self.answer)
