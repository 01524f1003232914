"""A collector of traces: a local server that takes OTLP over HTTP, as it comes from the program."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.waiting import wait_until

KINDS = {1: "internal", 2: "server", 3: "client"}


@dataclass(frozen=True, slots=True)
class Told:
    """A span as it came in. Ids are in hex; `parent_id` is empty for the first one of a trace."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    error: str | None
    links: tuple[tuple[str, str], ...]
    seconds: float
    resource: dict[str, Any]


class Collector:
    """Takes spans on a port of its own. With `is_hanging` it never answers; with a `status` it answers that."""

    def __init__(self) -> None:
        self.spans: list[Told] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.calls = 0
        self.status = 200
        self.is_hanging = False
        self._goes_on = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait_for(self, *names: str) -> list[Told]:
        """All spans, once one of each name has come."""
        wait_until(lambda: {span.name for span in self.spans} >= set(names))
        return list(self.spans)

    def one(self, name: str, attributes: Mapping[str, Any] | None = None) -> Told:
        """The only span of this name with these attributes."""
        wanted = attributes or {}
        found = [s for s in self.spans if s.name == name and wanted.items() <= s.attributes.items()]
        assert len(found) == 1, (name, wanted, [(span.name, span.attributes) for span in self.spans])
        return found[0]

    def close(self) -> None:
        self._goes_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.calls += 1
        if self.is_hanging:
            self._goes_on.wait(60)
        if self.status != 200 or path != "/v1/traces":
            return self.status if path == "/v1/traces" else 404
        self.headers.append(headers)
        self.bodies.append(body)
        self.spans.extend(read_spans(body))
        return 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = take(self.path, {name.lower(): text for name, text in self.headers.items()}, body)
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    self.close_connection = True  # who asked does not wait any more

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


def read_spans(body: bytes) -> list[Told]:
    """The spans of an OTLP request."""
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return [
        _told(span, _attributes(group.resource.attributes))
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _told(span: Any, resource: dict[str, Any]) -> Told:
    return Told(
        name=span.name,
        kind=KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        error=span.status.message if span.status.code == 2 else None,
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        resource=resource,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
