"""A web server that stands for the outside world: it keeps what it is sent and answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.moments import moment


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in. Header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    arrived_at: int = 0
    """The moment at which its head had come."""
    sender: str = ""
    """Who sent it, as far as `sender_of` can tell."""

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sink says. With a `gate` it says so only once the gate is set."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    gate: asyncio.Event | None = None


class Sink:
    """Answers as `answer_to` says, `{}` with 200 by itself, unless there are `answers`: they are used up one by one."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.answers: deque[Answer] = deque()
        self.otherwise = Answer()
        self.answer_to: Callable[[Received], Answer] = lambda _received: self.otherwise
        self.sender_of: Callable[[web.BaseRequest], str] = lambda _request: ""
        self._arrived = asyncio.Condition()
        self._runner: web.ServerRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def will_answer(
        self,
        status: int = 200,
        body: bytes = b"{}",
        *,
        headers: Mapping[str, str] | None = None,
        gate: asyncio.Event | None = None,
    ) -> None:
        """Answer the next request that has no answer yet like this."""
        self.answers.append(Answer(status, body, headers or {}, gate))

    async def wait_for(self, count: int, *, within: float = 20.0) -> list[Received]:
        """The first `count` requests, as soon as they are there; TimeoutError after `within` seconds."""
        async with asyncio.timeout(within), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests[:count]

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._take), shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse:
        arrived_at, sender = moment(), self.sender_of(request)
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.method, request.path, dict(request.query), headers, body, arrived_at, sender)
        answer = self.answers.popleft() if self.answers else self.answer_to(received)
        async with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        if answer.gate is not None:
            await answer.gate.wait()
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
