"""The root application: one look at the path, then the part that answers.

`/hooks` and `/status` go straight to receiving, without a framework between. What escapes a part is answered here, as
the last resort, with a 500 that names an id of the log.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeAlias

import msgspec

from crossdock.model.errors import Forbidden, MethodNotAllowed, NotFound
from crossdock.server.forwarding import Networks, tell_true_client
from crossdock.server.problems import Answer, problem_response

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PAGE_HEADERS = (
    (b"content-security-policy", PAGE_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
"""Sent with everything that is not a call of an integration. Scripts, styles and forms come from here alone."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this node can do its work now, and what each part says about it."""

    ready: bool
    checks: dict[str, str]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is put together from; None for a part that this node does not have."""

    ready: Callable[[], Awaitable[Readiness]]
    metrics: Callable[[], bytes]
    """The metrics in Prometheus' text format."""
    receive: AsgiApp | None = None
    api: AsgiApp | None = None
    pages: AsgiApp | None = None
    metrics_token: str | None = None
    trusted_proxies: Networks = ()


class Application:
    """The ASGI callable that uvicorn serves."""

    def __init__(self, parts: Parts) -> None:
        missing = _nothing_here
        self._parts = parts
        self._receive = parts.receive or missing
        self._api = with_headers(parts.api or missing, PAGE_HEADERS)
        self._pages = with_headers(parts.pages or missing, PAGE_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"uvicorn is set up without {scope['type']}")
        path: str = scope["path"]
        if self._parts.trusted_proxies:
            tell_true_client(scope, self._parts.trusted_proxies)
        try:
            if path.startswith(("/hooks/", "/status/")):
                await self._receive(scope, receive, send)
            else:
                await self._route(path)(scope, receive, send)
        except Exception as error:
            await _answer_last_resort(error, send)

    def _route(self, path: str) -> AsgiApp:
        if path == "/api" or path.startswith("/api/"):
            return self._api
        match path:
            case "/healthz":
                return self._tell_health
            case "/readyz":
                return self._tell_readiness
            case "/metrics":
                return self._tell_metrics
            case _:
                return self._pages

    async def _tell_health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The process answers; nothing else is looked at, so that a full disk does not get it restarted in a loop."""
        await _send_reading(scope, send, lambda: _json_answer(200, {"status": "ok"}))

    async def _tell_readiness(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = await self._parts.ready()
        document = {"status": "ready" if state.ready else "not ready", "checks": state.checks}
        await _send_reading(scope, send, lambda: _json_answer(200 if state.ready else 503, document))

    async def _tell_metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _send_reading(scope, send, lambda: self._metrics_answer(scope))

    def _metrics_answer(self, scope: Scope) -> Answer:
        if not may_read_metrics(scope, self._parts.metrics_token):
            raise Forbidden("Metrics are told to this machine, or with `Authorization: Bearer` and the metrics token.")
        body = self._parts.metrics()
        return _answer(200, b"text/plain; version=0.0.4; charset=utf-8", body)


def may_read_metrics(scope: Scope, token: str | None) -> bool:
    """Whether a caller may read the metrics: with the token, or from this machine.

    A call that a proxy on this machine passed on comes from elsewhere, whatever address it seems to have.
    """
    headers = dict(scope["headers"])
    given = headers.get(b"authorization", b"")
    if token and hmac.compare_digest(given, b"Bearer " + token.encode()):
        return True
    if headers.keys() & {b"forwarded", b"x-forwarded-for", b"x-real-ip"}:
        return False
    client = scope.get("client")
    return client is not None and ip_address(client[0]).is_loopback


def with_headers(app: AsgiApp, fields: tuple[tuple[bytes, bytes], ...]) -> AsgiApp:
    """`app` with header fields added to its answers, where it does not set them itself."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", ())}
                added = [field for field in fields if field[0] not in present]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await app(scope, receive, send_with_headers)

    return answer


async def send_answer(send: Send, answer: Answer, *, with_body: bool = True) -> None:
    """Send a whole answer; without its body where HEAD was asked."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})


async def _send_reading(scope: Scope, send: Send, make: Callable[[], Answer]) -> None:
    try:
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{scope['path']} is only read.", ("GET", "HEAD"))
        answer = make()
    except (MethodNotAllowed, Forbidden) as error:
        answer = problem_response(error)
    await send_answer(send, answer, with_body=scope["method"] != "HEAD")


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    answer = problem_response(NotFound(f"There is nothing at {scope['path']} on this node."))
    await send_answer(send, answer, with_body=scope["method"] != "HEAD")


async def _answer_last_resort(error: Exception, send: Send) -> None:
    answer = problem_response(error)
    try:
        await send_answer(send, answer._replace(headers=[*answer.headers, *PAGE_HEADERS]))
    except RuntimeError:
        # The answer had begun; the protocol can only break it off.
        raise error from None


def _json_answer(status: int, document: dict[str, Any]) -> Answer:
    return _answer(status, b"application/json", msgspec.json.encode(document))


def _answer(status: int, content_type: bytes, body: bytes) -> Answer:
    length = str(len(body)).encode()
    fields = [(b"content-type", content_type), (b"content-length", length), (b"cache-control", b"no-store")]
    return Answer(status, fields, body)
