"""What is told of an event: its call, each start of its run with the steps in it, and each try to reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from crossdock.clock import Clock
from crossdock.model.delivery import LeasedReply, SendReport
from crossdock.model.run import LeasedRun
from crossdock.model.states import RUN_MOVES
from crossdock.model.time import Instant
from crossdock.model.trace import SAMPLED, EventTrace, TraceContext, called_trace, original_of, trace_of
from crossdock.model.verdict import Verdict
from crossdock.tracing.spans import Attributes, OpenSpan, Recording, Room, Sink, Span, SpanKind, Unrecorded, told_url

SPANS_OF_A_RUN = 1_000
"""A loop over many items tells of the first ones; how many more there were is told with the start of the run."""
SPANS_HELD = 20_000
"""Of all runs in work together, until they are over: about 20 MB."""

HOOK = "/hooks/{workspace}/{path}"


@dataclass(frozen=True, slots=True)
class Call:
    """An answered call. `event_id` is the event that it made or would have made; empty when it was refused before."""

    method: str
    started_at: Instant
    caller: TraceContext | None
    event_id: str
    integration: str
    status: int | None
    refusal: str | None = None
    first_event_id: str | None = None
    """For a duplicate: the event that was made before."""


class Tracer:
    """Makes spans and hands them on once they are over. Used from the event loop alone."""

    def __init__(self, sink: Sink, *, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self.sink = sink
        self.clock = clock
        self.room = Room(SPANS_HELD)
        self._random_bits = random_bits

    def new_span_id(self) -> str:
        return f"{self._random_bits(64) or 1:016x}"

    async def close(self, seconds: float) -> None:
        """Send what is left, for so long at most."""
        await self.sink.close(seconds)

    # --- calls -----------------------------------------------------------------------------------------------------

    def tell_call(self, call: Call) -> None:
        """A call was answered, or its caller went away."""
        trace = called_trace(call.event_id or f"refused {self.new_span_id()}", call.caller)
        context = self._passed_on(trace)
        if not context.is_sampled:
            return
        attributes: Attributes = {"http.request.method": call.method, "http.route": HOOK}
        if call.status is not None:
            attributes["http.response.status_code"] = call.status
        named = {
            "crossdock.event.id": call.first_event_id or (call.event_id if call.refusal is None else ""),
            "crossdock.integration.name": call.integration,
            "crossdock.refusal": call.refusal or "",
        }
        attributes.update({name: text for name, text in named.items() if text})
        if call.first_event_id is not None:
            attributes["crossdock.event.is_duplicate"] = True
        self.sink.take([_called(call, context, attributes, self.clock())])

    # --- runs ------------------------------------------------------------------------------------------------------

    def begin_run(self, run: LeasedRun, integration: str) -> RunTrace:
        """A start of a run begins."""
        trace = trace_of(run.event)
        context = self._passed_on(trace)
        if not context.is_sampled or self.room.left <= 0:
            if context.is_sampled:
                self.sink.leave_out(1)
            return RunTrace(Unrecorded(context))
        now = self.clock()
        attributes: Attributes = {
            "crossdock.event.id": run.event.id,
            "crossdock.integration.id": run.event.integration_id,
            "crossdock.integration.name": integration,
            "crossdock.workflow.version": run.workflow_number,
            "crossdock.run.attempt": run.attempts,
        }
        if run.attempts == 1 and not run.journal:
            attributes["crossdock.run.queued_ms"] = max(0, now - run.event.received_at) // 1_000
        if run.event.replay_of is not None:
            attributes["crossdock.event.replay_of"] = run.event.replay_of
        span = Span(
            name="run",
            kind=SpanKind.INTERNAL,
            context=replace(context, span_id=self.new_span_id()),
            parent=trace.parent_id,
            started_at=now,
            attributes=attributes,
            link=original_of(run.event),
        )
        recording = Recording(self, context, SPANS_OF_A_RUN)
        return RunTrace(Unrecorded(context), recording, recording.add(span), trace.handled_id)

    # --- replies ---------------------------------------------------------------------------------------------------

    def begin_delivery(self, delivery: LeasedReply, integration: str, method: str, url: str) -> DeliveryTrace:
        """A try to send a reply begins. It hangs from the start that ended the run, wherever that was."""
        event = delivery.handled.event
        trace = trace_of(event)
        context = self._passed_on(trace)
        if not context.is_sampled:
            return DeliveryTrace(Unrecorded(context))
        recording = Recording(self, context, 1)
        attributes: Attributes = {
            "crossdock.event.id": event.id,
            "crossdock.integration.name": integration,
            "crossdock.delivery.id": delivery.id,
            "crossdock.delivery.attempt": delivery.attempts,
            "http.request.method": method,
            **told_url(url),
        }
        span = recording.begin(f"{method} reply", SpanKind.CLIENT, attributes, trace.handled_id)
        return DeliveryTrace(span, recording)

    def _passed_on(self, trace: EventTrace) -> TraceContext:
        """The event's place in its trace, with the flag that says whether it is recorded."""
        is_sampled = self.sink.is_sampled(trace.context.trace_id, trace.caller)
        flags = trace.context.flags
        return replace(trace.context, flags=flags | SAMPLED if is_sampled else flags & ~SAMPLED)


class RunTrace:
    """One start of a run. What is done in it is told when it is over."""

    __slots__ = ("_handled_id", "_recording", "_run", "unrecorded")

    def __init__(
        self, unrecorded: Unrecorded, recording: Recording | None = None, run: Span | None = None, handled_id: str = ""
    ) -> None:
        self.unrecorded = unrecorded
        self._recording = recording
        self._run = run
        self._handled_id = handled_id

    def begin_step(self, kind: str, path: str, around: OpenSpan | None) -> OpenSpan:
        """A step begins; `around` is the block that it stands in."""
        if self._recording is None:
            return self.unrecorded
        attributes: Attributes = {"crossdock.step.kind": kind, "crossdock.step.path": path}
        if around is not None:
            return around.begin(f"step {kind}", SpanKind.INTERNAL, attributes)
        return self._recording.begin(f"step {kind}", SpanKind.INTERNAL, attributes, self._run)

    def ended(self, verdict: Verdict) -> None:
        """The start ended so. The one that ends the run gets the id that replies know."""
        if self._run is None or self._recording is None:
            return
        if verdict.is_final:
            self._run.context = replace(self._run.context, span_id=self._handled_id)
        self._over(RUN_MOVES[verdict.move][1].value, verdict.failure.kind if verdict.failure else None)

    def broken_off(self, why: str) -> None:
        """The start had no end of its own."""
        if self._run is not None:
            self._over(why, why)

    def _over(self, state: str, error: str | None) -> None:
        assert self._run is not None
        assert self._recording is not None
        self._run.ended_at = self._recording.now()
        self._run.error = error
        self._run.attributes["crossdock.run.state"] = state
        if self._recording.left_out:
            self._run.attributes["crossdock.run.spans_left_out"] = self._recording.left_out
        self._recording.tell()


class DeliveryTrace:
    """One try to send a reply."""

    __slots__ = ("_recording", "_span")

    def __init__(self, span: OpenSpan, recording: Recording | None = None) -> None:
        self._span = span
        self._recording = recording

    @property
    def context(self) -> TraceContext:
        return self._span.context

    def ended(self, report: SendReport | None) -> None:
        """None: it was broken off."""
        if report is not None:
            answered(self._span, report)
        if self._recording is not None:
            self._recording.tell()


def answered(span: OpenSpan, report: SendReport) -> None:
    """An exchange is over. Its status says how; where none came, that is the failure."""
    if report.status is None:
        span.end("unreachable" if not report.permanent else "refused")
        return
    error = "answer" if report.permanent else None
    if report.status >= 400:
        error = str(report.status)
    span.end(error, {"http.response.status_code": report.status})


def _called(call: Call, context: TraceContext, attributes: Attributes, now: Instant) -> Span:
    error = None
    if call.status is None:
        error = "disconnected"
    elif call.status >= 500:
        error = str(call.status)
    return Span(
        name=f"{call.method} {HOOK}",
        kind=SpanKind.SERVER,
        context=context,
        parent=call.caller.span_id if call.caller is not None else None,
        started_at=call.started_at,
        attributes=attributes,
        ended_at=now,
        error=error,
    )
