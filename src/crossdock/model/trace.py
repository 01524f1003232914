"""Traces across systems: the headers `traceparent` and `tracestate` (W3C Trace Context, https://www.w3.org/TR/trace-context/),
and the trace that an event belongs to.

An event's trace needs no row of its own. It is the caller's, whose header stands in the event; without one it follows
from the event's id, so that every node that works on the event says the same, before and after a restart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from crossdock.model.event import Event
from crossdock.model.value import value

Pairs: TypeAlias = tuple[tuple[str, str], ...]

PARENT, STATE = "traceparent", "tracestate"
SAMPLED = 0x01
RANDOM = 0x02
"""The trace id was made by chance (level 2 of the specification). Nothing is made of it here; it is carried on."""
STATE_CHARACTERS = 512
MAX_MEMBERS = 32
_LARGE_MEMBER = 128

_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)
_KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER = re.compile(rf"(?P<key>{_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


@value
class TraceContext:
    """A place in a trace: what comes next is a child of this span. Ids are in lower case hex, `state` as it is sent."""

    trace_id: str
    span_id: str
    flags: int = SAMPLED
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        return bool(self.flags & SAMPLED)


@value
class EventTrace:
    """Where an event stands in its trace.

    `context` is what is passed on where no span of ours is recorded. The span of a call has its id; starts of the run
    are children of `parent_id`, and the start that ends the run has the id `handled_id`: replies are its children.
    """

    context: TraceContext
    caller: TraceContext | None
    parent_id: str | None
    handled_id: str


# --- headers ---------------------------------------------------------------------------------------------------------


def read_trace(headers: Iterable[tuple[str, str]]) -> TraceContext | None:
    """What headers (names in lower case) say of the caller's trace; None when that is nothing, or can't be read.

    A `tracestate` that can't be read is left out; it never costs the trace.
    """
    parents: list[str] = []
    states: list[str] = []
    for name, text in headers:
        if name == PARENT:
            parents.append(text)
        elif name == STATE:
            states.append(text)
    found = parse_traceparent(parents[0]) if len(parents) == 1 else None
    if found is None or not states:
        return found
    return replace(found, state=parse_tracestate(",".join(states)))


def parse_traceparent(text: str) -> TraceContext | None:
    """The context, None when the text is none. A later version may have more behind the flags, version 00 has not."""
    match = _PARENT.fullmatch(text.strip(" \t"))
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["rest"]):
        return None
    if not match["trace"].strip("0") or not match["span"].strip("0"):
        return None
    return TraceContext(match["trace"], match["span"], int(match["flags"], 16) & (SAMPLED | RANDOM))


def parse_tracestate(text: str) -> str:
    """The state in its plain form, cut to what has to be carried on; empty when it can't be read."""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    matches = [_MEMBER.fullmatch(member) for member in members]
    keys = {match["key"] for match in matches if match is not None}
    if len(members) > MAX_MEMBERS or len(keys) < len(members):
        return ""
    return ",".join(_cut(members))


def _cut(members: list[str]) -> list[str]:
    """Large members go first, then those at the end: the newest stand in front (section 3.3.1.5)."""
    kept = list(members)
    for member in reversed(members):
        if _length(kept) > STATE_CHARACTERS and len(member) > _LARGE_MEMBER:
            kept.remove(member)
    while _length(kept) > STATE_CHARACTERS:
        kept.pop()
    return kept


def _length(members: list[str]) -> int:
    return sum(map(len, members)) + max(0, len(members) - 1)


def format_traceparent(context: TraceContext) -> str:
    """In version 00, whatever version it came in."""
    return f"00-{context.trace_id}-{context.span_id}-{context.flags:02x}"


def trace_headers(context: TraceContext) -> Pairs:
    """The headers that pass the trace on."""
    parent = (PARENT, format_traceparent(context))
    return (parent, (STATE, context.state)) if context.state else (parent,)


def with_trace(headers: Pairs, context: TraceContext | None) -> Pairs:
    """The headers and those of the trace; as they are when they speak of a trace themselves."""
    if context is None or any(name.lower() in (PARENT, STATE) for name, _ in headers):
        return headers
    return (*headers, *trace_headers(context))


# --- events ----------------------------------------------------------------------------------------------------------


def caller_trace(event: Event) -> TraceContext | None:
    """The trace that the event came in. A replay has the headers of the original, but did not come with them."""
    return read_trace(event.request.headers) if event.replay_of is None else None


def trace_of(event: Event) -> EventTrace:
    """Where the event stands: in the trace of its caller, or of the step that emitted it, or in one of its own."""
    caller = caller_trace(event)
    if event.emitted_by is None and event.replay_of is None:
        return called_trace(event.id, caller)
    trace_id, _, handled_id = _derived(event.id)
    if caller is not None:
        return EventTrace(caller, caller, caller.span_id, handled_id)
    return EventTrace(TraceContext(trace_id, handled_id), None, None, handled_id)


def called_trace(event_id: str, caller: TraceContext | None) -> EventTrace:
    """The trace of an event that was called for."""
    trace_id, called_id, handled_id = _derived(event_id)
    own = TraceContext(trace_id, called_id) if caller is None else replace(caller, span_id=called_id)
    return EventTrace(own, caller, called_id, handled_id)


def original_of(event: Event) -> TraceContext | None:
    """For a replay: the call that it repeats, as a place in its trace.

    Where the original is a replay itself, of a call that came in a trace, that trace is told.
    """
    if event.replay_of is None:
        return None
    return called_trace(event.replay_of, read_trace(event.request.headers)).context


def _derived(event_id: str) -> tuple[str, str, str]:
    """A trace id and two span ids. They spread like chance, so that samplers can go by them."""
    digest = hashlib.sha256(event_id.encode()).hexdigest()
    return digest[:32], digest[32:48], digest[48:]
