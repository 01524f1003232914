"""Calls from web pages of other origins (Fetch standard, section 3.2): off unless the integration names origins."""

from __future__ import annotations

from collections.abc import Sequence

from crossdock.model.trigger import Trigger
from crossdock.receive.reading import header
from crossdock.server.problems import Answer

Headers = Sequence[tuple[bytes, bytes]]

MAX_AGE = b"600"


def preflight(trigger: Trigger, headers: Headers) -> Answer:
    """The answer to a browser that asks before it calls."""
    allowed = [
        (b"access-control-allow-methods", ", ".join(trigger.methods).encode()),
        (b"access-control-allow-headers", header(headers, b"access-control-request-headers").encode("latin-1") or b"*"),
        (b"access-control-max-age", MAX_AGE),
    ]
    return allow(Answer(204, allowed, b""), trigger, headers)


def allow(answer: Answer, trigger: Trigger, headers: Headers) -> Answer:
    """The answer, readable by a page of an allowed origin."""
    origin = header(headers, b"origin")
    if not origin or not trigger.cors.allows(origin):
        return answer
    added = [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"X-Crossdock-Event, Location, Retry-After"),
        (b"vary", b"Origin"),
    ]
    return answer._replace(headers=[*answer.headers, *added])
