"""One span, while it is open and once it is over, without any library of traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from crossdock.clock import Clock
from crossdock.model.time import Instant
from crossdock.model.trace import TraceContext

Attributes: TypeAlias = dict[str, str | int | bool]

URL_CHARACTERS = 1_000


class SpanKind(StrEnum):
    SERVER = "server"
    INTERNAL = "internal"
    CLIENT = "client"


@dataclass(slots=True, eq=False)
class Span:
    """`parent` may get its id later: the start of a run gets it when it is known whether the run has ended."""

    name: str
    kind: SpanKind
    context: TraceContext
    parent: Span | str | None
    started_at: Instant
    attributes: Attributes
    ended_at: Instant = 0
    error: str | None = None
    """A short fixed word that says what kind of failure it ended in."""
    link: TraceContext | None = None

    @property
    def parent_id(self) -> str | None:
        return self.parent.context.span_id if isinstance(self.parent, Span) else self.parent


class Sink(Protocol):
    """Where spans go."""

    def is_sampled(self, trace_id: str, caller: TraceContext | None) -> bool:
        """Whether the trace is recorded: the same answer for all spans of a trace, on every node."""

    def take(self, spans: Sequence[Span]) -> None:
        """Take spans that are over. It neither waits nor raises."""

    def leave_out(self, count: int) -> None:
        """Count spans that were not even made."""

    async def close(self, seconds: float) -> None:
        """Send what is left, for so long at most."""


class OpenSpan(Protocol):
    """What is being done. `context` is passed on to others who take part in it."""

    @property
    def context(self) -> TraceContext: ...

    def begin(self, name: str, kind: SpanKind, attributes: Attributes) -> OpenSpan:
        """Something is done as a part of this."""

    def end(self, error: str | None = None, attributes: Attributes | None = None) -> None:
        """It is over."""


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """Nobody asked for this span, or there is no room for it: its trace is passed on, and no more."""

    context: TraceContext

    def begin(self, name: str, kind: SpanKind, attributes: Attributes) -> OpenSpan:
        return self

    def end(self, error: str | None = None, attributes: Attributes | None = None) -> None:
        pass


class Room:
    """How many spans may be held until what they are part of is over, everywhere in this process."""

    __slots__ = ("left",)

    def __init__(self, spans: int) -> None:
        self.left = spans


class Recording:
    """Spans that are told together, `most` of them."""

    __slots__ = ("_clock", "_new_span_id", "_room", "_sink", "_unrecorded", "left_out", "most", "spans")

    def __init__(self, around: Around, passed_on: TraceContext, most: int) -> None:
        self._sink = around.sink
        self._clock = around.clock
        self._new_span_id = around.new_span_id
        self._room = around.room
        self._unrecorded = Unrecorded(passed_on)
        self.most = most
        self.spans: list[Span] = []
        self.left_out = 0

    def begin(self, name: str, kind: SpanKind, attributes: Attributes, parent: Span | str | None) -> OpenSpan:
        if len(self.spans) >= self.most or self._room.left <= 0:
            self.left_out += 1
            return self._unrecorded
        context = replace(self._unrecorded.context, span_id=self._new_span_id())
        return Recorded(self.add(Span(name, kind, context, parent, self._clock(), attributes)), self)

    def add(self, span: Span) -> Span:
        self._room.left -= 1
        self.spans.append(span)
        return span

    def now(self) -> Instant:
        return self._clock()

    def tell(self) -> None:
        """Hand on all that is over; what is still open was broken off."""
        self._room.left += len(self.spans)
        for span in self.spans:
            if not span.ended_at:
                span.ended_at, span.error = self._clock(), "broken_off"
        self._sink.take(self.spans)
        if self.left_out:
            self._sink.leave_out(self.left_out)


class Recorded:
    """An open span that is told."""

    __slots__ = ("_recording", "_span")

    def __init__(self, span: Span, recording: Recording) -> None:
        self._span = span
        self._recording = recording

    @property
    def context(self) -> TraceContext:
        return self._span.context

    def begin(self, name: str, kind: SpanKind, attributes: Attributes) -> OpenSpan:
        return self._recording.begin(name, kind, attributes, self._span)

    def end(self, error: str | None = None, attributes: Attributes | None = None) -> None:
        span = self._span
        span.ended_at = self._recording.now()
        span.error = error
        if attributes:
            span.attributes.update(attributes)


class Around(Protocol):
    """What recordings need of the tracer."""

    @property
    def sink(self) -> Sink: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def room(self) -> Room: ...
    def new_span_id(self) -> str: ...


def told_url(url: str) -> Attributes:
    """An address without user info, query and fragment."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return {}
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    where = shown if port is None else f"{shown}:{port}"
    shortened = urlunsplit((parts.scheme, where, parts.path[:URL_CHARACTERS], "", ""))
    told: Attributes = {"server.address": host, "url.full": shortened}
    told["server.port"] = port if port is not None else {"https": 443}.get(parts.scheme, 80)
    return told
