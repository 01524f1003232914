"""Spans: what was done for an event, when, and how it ended, told to a collector where that is asked for.

Rules that hold here:

- Nothing of it is imported, and nothing is done, while traces are off, but for passing a caller's trace on.
- What is told never slows or fails what is done: a span that finds no room is counted and forgotten.
- Spans hold no headers, no bodies, no queries, and no words of failures, which may quote any of these: they name the
  event, and the event has the words.
"""

from crossdock.tracing.opening import open_tracer
from crossdock.tracing.spans import Attributes, OpenSpan, Sink, Span, SpanKind, told_url
from crossdock.tracing.tracer import Call, RunTrace, Tracer, answered

__all__ = [
    "Attributes",
    "Call",
    "OpenSpan",
    "RunTrace",
    "Sink",
    "Span",
    "SpanKind",
    "Tracer",
    "answered",
    "open_tracer",
    "told_url",
]
