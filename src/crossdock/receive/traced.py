"""A call as the first part of a trace. It stands in front of receiving, where traces are told at all."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from crossdock.catalog import Catalog
from crossdock.model.trace import read_trace
from crossdock.receive.app import EVENT, HOOKS
from crossdock.server.app import AsgiApp, Receive, Scope, Send
from crossdock.tracing import Call, Tracer

_REFUSALS = {
    400: "malformed",
    401: "unauthenticated",
    403: "disabled",
    404: "unknown_path",
    405: "method",
    413: "too_large",
    415: "media_type",
    422: "invalid",
    429: "rate_limit",
    503: "unavailable",
}
_TRACE_HEADERS = (b"traceparent", b"tracestate")
_OPTIONS = "OPTIONS"


class TracedCalls:
    """Tells of the calls that `app` answers."""

    def __init__(self, app: AsgiApp, catalog: Catalog, tracer: Tracer) -> None:
        self._app = app
        self._catalog = catalog
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith(HOOKS):
            await self._app(scope, receive, send)
            return
        started_at = self._tracer.clock()
        answer: dict[str, Any] = {}

        async def send_and_look(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.update(message)
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        finally:
            self._tracer.tell_call(self._call(scope, started_at, answer))

    def _call(self, scope: Scope, started_at: int, answer: dict[str, Any]) -> Call:
        """What the answer says of the call: one that made an event, or met one, names it."""
        status = answer.get("status")
        own_id: str = scope.get(EVENT, "")
        named = _event_id(answer.get("headers", ()))
        is_refused = status is not None and not named and scope["method"] != _OPTIONS
        return Call(
            method=scope["method"],
            started_at=started_at,
            caller=read_trace(
                (name.decode(), text.decode("latin-1")) for name, text in scope["headers"] if name in _TRACE_HEADERS
            ),
            event_id=own_id,
            integration=self._integration(scope["path"]),
            status=status,
            refusal=_REFUSALS.get(status or 0, "refused") if is_refused else None,
            first_event_id=named if named and named != own_id else None,
        )

    def _integration(self, path: str) -> str:
        workspace, _, rest = path[len(HOOKS) :].partition("/")
        live = self._catalog.snapshot.by_path.get((workspace, rest))
        return live.integration.name if live is not None else ""


def _event_id(headers: Sequence[tuple[bytes, bytes]]) -> str:
    return next((text.decode() for name, text in headers if name == b"x-crossdock-event"), "")
