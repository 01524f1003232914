"""Spans on their way to a collector: OTLP over HTTP, by the OpenTelemetry SDK, in a thread of the SDK's own.

Imported only where traces are asked for. The SDK's own variables say where to and which traces; those that are wrong
stop the start instead of being taken for their defaults.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from crossdock import __version__
from crossdock.model.errors import Misconfigured
from crossdock.model.trace import TraceContext
from crossdock.observe import TRACES_LOST, TRACES_RECOVERED, Observe, conceal, emit
from crossdock.tracing.spans import Span

SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
QUEUE_SPANS = 2_048
REASON_CHARACTERS = 200

_KINDS = {"server": SpanKind.SERVER, "internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}
_SCOPE = InstrumentationScope("crossdock", __version__)
_FAILED = {kind: Status(StatusCode.ERROR, kind) for kind in ("broken_off", "disconnected", "refused", "unreachable")}
_UNSET = Status(StatusCode.UNSET)


def open_sink(node_id: str, observe: Observe, environment: Mapping[str, str] = os.environ) -> OtlpSink | None:
    """None where OTEL_SDK_DISABLED switches it off; Misconfigured names the variable that is wrong."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    queue = _checked(environment)
    try:
        return OtlpSink(node_id, observe, queue)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise Misconfigured(f"traces can't be sent as the OTEL_ variables ask for: {error}") from None


class OtlpSink:
    """Spans that found room in the queue are sent in batches; the others are counted."""

    def __init__(self, node_id: str, observe: Observe, queue: int) -> None:
        self._observe = observe
        self._queue = queue
        self._taken = 0
        self._resource = _resource(node_id)
        self._sampler = TracerProvider(resource=self._resource, shutdown_on_exit=False).sampler
        self._exporter = _Counting(OTLPSpanExporter(), observe)
        self._processor = BatchSpanProcessor(
            self._exporter, max_queue_size=queue, max_export_batch_size=min(512, queue)
        )

    def is_sampled(self, trace_id: str, caller: TraceContext | None) -> bool:
        context = Context()
        if caller is not None:
            parent = NonRecordingSpan(_context(caller, caller.span_id, is_remote=True))
            context = set_span_in_context(parent, context)
        decided = self._sampler.should_sample(context, int(trace_id, 16), "event", SpanKind.SERVER)
        return decided.decision is Decision.RECORD_AND_SAMPLE

    def take(self, spans: Sequence[Span]) -> None:
        room = self._queue - (self._taken - self._exporter.done)
        fitting = min(len(spans), room)
        for span in spans[:fitting]:
            self._processor.on_end(self._readable(span))
        self._taken += fitting
        if fitting < len(spans):
            self._observe.spans_dropped("queue_full", len(spans) - fitting)

    def leave_out(self, count: int) -> None:
        self._observe.spans_dropped("too_many", count)

    async def close(self, seconds: float) -> None:
        """The SDK waits for its thread; nobody waits longer for that than `seconds`."""
        closing = threading.Thread(target=self._processor.shutdown, name="closing traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, seconds)
        if closing.is_alive():
            emit(TRACES_LOST, reason=f"not sent within {seconds:g} s of the stop")

    def _readable(self, span: Span) -> ReadableSpan:
        context, parent_id = span.context, span.parent_id
        is_remote = span.kind == "server"
        status = _UNSET if span.error is None else _FAILED.get(span.error) or Status(StatusCode.ERROR, span.error)
        if span.error is not None:
            span.attributes["error.type"] = span.error
        return ReadableSpan(
            name=span.name,
            context=_context(context, context.span_id),
            parent=None if parent_id is None else _context(context, parent_id, is_remote=is_remote),
            resource=self._resource,
            attributes={name: _clean(told) for name, told in span.attributes.items()},
            links=() if span.link is None else (Link(_context(span.link, span.link.span_id, is_remote=True)),),
            kind=_KINDS[span.kind],
            status=status,
            start_time=span.started_at * 1_000,
            end_time=max(span.ended_at, span.started_at) * 1_000,
            instrumentation_scope=_SCOPE,
        )


class _Counting(SpanExporter):
    """Counts what was sent and what was not, and says once when that begins and when it is over."""

    def __init__(self, exporter: SpanExporter, observe: Observe) -> None:
        self._exporter = exporter
        self._observe = observe
        self._words = _LastWords()
        self._is_failing = False
        self.done = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        finally:
            self.done += len(spans)
        if result is SpanExportResult.SUCCESS:
            self._observe.spans_exported(len(spans))
            if self._is_failing:
                emit(TRACES_RECOVERED)
        else:
            self._observe.spans_dropped("not_sent", len(spans))
            if not self._is_failing:
                emit(TRACES_LOST, reason=self._words.last[:REASON_CHARACTERS])
        self._is_failing = result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
        self._words.close()


class _LastWords(logging.Handler):
    """What the SDK says of a failed try. It would say so with every batch; the program's own log says it once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = "no reason was told"
        self._spoken = logging.getLogger("opentelemetry")
        self._spoken.addHandler(self)
        self._spoken.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()

    def close(self) -> None:
        self._spoken.removeHandler(self)
        super().close()


def _clean(told: str | int | bool) -> str | int | bool:
    """One lone surrogate would cost the whole batch."""
    if isinstance(told, str) and not told.isascii():
        return told.encode("utf-8", "replace").decode()
    return told


def _context(context: TraceContext, span_id: str, *, is_remote: bool = False) -> SpanContext:
    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(int(context.trace_id, 16), int(span_id, 16), is_remote, TraceFlags(context.flags), state)


def _resource(node_id: str) -> Resource:
    """What the variables say, over what the program knows of itself."""
    told = Resource.create()
    own = {"service.version": __version__, "service.instance.id": node_id}
    if str(told.attributes.get("service.name", "unknown_service")).startswith("unknown_service"):
        own["service.name"] = "crossdock"
    missing = {name: text for name, text in own.items() if name == "service.name" or name not in told.attributes}
    return told.merge(Resource(missing))


# --- variables -------------------------------------------------------------------------------------------------------


def _checked(environment: Mapping[str, str]) -> int:
    """The length of the queue, if the variables can be followed."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environment.get(name, "http/protobuf")
        if protocol not in ("", "http/protobuf"):
            raise _wrong(name, protocol, "http/protobuf is what spans are sent with; the collector's port is 4318")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        _check_endpoint(name, environment.get(name, ""))
    _check_sampler(environment)
    for name in ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"):
        for header in environment.get(name, "").split(","):
            conceal(header.partition("=")[2].strip())
    for name in ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"):
        _number(environment, name, 10.0, "seconds")
    _number(environment, "OTEL_BSP_SCHEDULE_DELAY", 5_000, "milliseconds")
    return int(_number(environment, "OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_SPANS, "spans"))


def _check_endpoint(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_right = not url or (parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        is_right = False
    if not is_right:
        raise Misconfigured(f"{name} is no address; write it like http://127.0.0.1:4318")


def _check_sampler(environment: Mapping[str, str]) -> None:
    name = "OTEL_TRACES_SAMPLER"
    sampler = environment.get(name) or "parentbased_always_on"
    if sampler.lower() not in SAMPLERS:
        raise _wrong(name, sampler, f"one of {', '.join(SAMPLERS)} is needed")
    if sampler.lower().endswith("traceidratio"):
        share = environment.get(f"{name}_ARG", "1.0")
        try:
            is_right = 0.0 <= float(share) <= 1.0
        except ValueError:
            is_right = False
        if not is_right:
            raise _wrong(f"{name}_ARG", share, "the share of traces to record is needed, from 0.0 to 1.0")


def _number(environment: Mapping[str, str], name: str, default: float, unit: str) -> float:
    written = environment.get(name) or str(default)
    try:
        number = float(written)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise _wrong(name, written, f"a number of {unit} above 0 is needed")
    return number


def _wrong(name: str, written: str, advice: str) -> Misconfigured:
    return Misconfigured(f"{name} {written!r}: {advice}")
