"""HTTP/1.1 on a connection, with limits on time and size.

uvicorn's httptools protocol reads and writes requests; what it lacks against slow, oversized and ambiguous senders is
added here. Rules:

- A request head is complete within `head_seconds` of its first byte (or of the connection), a body within
  `body_seconds` of its head. A kept connection is closed after `idle_seconds` without a request, and a client that
  does not read its answer after `write_seconds`.
- A request target over `target_bytes` is 414, a head over `head_bytes` or with more than `header_count` fields 431.
- More than `pipelined_requests` requests sent ahead on one connection are 429.
- Whatever the parser refuses is 400 and the end of the connection: both Content-Length and Transfer-Encoding, several
  or garbled lengths, broken chunks, line folding, control characters. RFC 9112, sections 6.3 and 11.2.
- A refusal never overtakes the answers to earlier requests on the same connection.
- `Upgrade` is ignored, as RFC 9110 section 7.8 allows, instead of losing the body: some clients send
  `Upgrade: h2c` with every plain request.

Deadlines are one number per connection, compared by one sweep for all of them: a request costs no timer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from crossdock.server import problems
from crossdock.server.gathering import GatheringTransport
from crossdock.server.problems import Answer, Problem

NEVER = math.inf
LINGER_SECONDS = 2.0
"""How long a refused sender may go on sending: closing at once could reset the connection before it reads why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection may take, in seconds and bytes."""

    head_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 20.0
    write_seconds: float = 30.0
    head_bytes: int = 64 * 1024
    target_bytes: int = 16 * 1024
    header_count: int = 256
    pipelined_requests: int = 256
    discard_bytes: int = 4 * 1024 * 1024
    """How much of a body nobody reads is taken in before the connection is closed."""

    def sweep_seconds(self) -> float:
        """How often deadlines are compared: often enough for the shortest of them."""
        return min(1.0, min(self.head_seconds, self.body_seconds, self.idle_seconds, self.write_seconds) / 4)


class Phase(Enum):
    IDLE = "between requests"
    HEAD = "in a request head"
    BODY = "in a request body"
    REFUSED = "answered with a refusal, about to close"


class Refusal(Exception):
    """Raised inside the parser's callbacks to stop parsing."""

    def __init__(self, problem: Problem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


class Guard:
    """The connections of one server and the sweep over their deadlines. It runs while there are connections."""

    def __init__(self, limits: Limits, refused: Callable[[str], None]) -> None:
        self.limits = limits
        self.refused = refused
        self._connections: set[GuardedProtocol] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connection: GuardedProtocol) -> None:
        self._connections.add(connection)
        if self._timer is None:
            self._timer = connection.loop.call_later(self.limits.sweep_seconds(), self._sweep, connection.loop)

    def forget(self, connection: GuardedProtocol) -> None:
        self._connections.discard(connection)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in [each for each in self._connections if each.is_late(now)]:
            connection.give_up()
        self._timer = loop.call_later(self.limits.sweep_seconds(), self._sweep, loop) if self._connections else None


def guarded_protocol(limits: Limits, refused: Callable[[str], None]) -> type[GuardedProtocol]:
    """The protocol class for one server, to be passed as `http` of uvicorn's Config.

    `refused` is told the kind of problem for every request that was refused here.
    """
    return type("LimitedProtocol", (GuardedProtocol,), {"guard": Guard(limits, refused)})


class GuardedProtocol(HttpToolsProtocol):
    guard: ClassVar[Guard]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits = self.guard.limits
        self.deadline = NEVER
        self.stalled_at = NEVER
        self._phase = Phase.IDLE
        self._head_at_most = 0
        self._head_at_least = 0
        self._discarded = 0
        self._upgrade_ignored = False
        self._refusal: Answer | None = None

    # --- the connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(GatheringTransport(transport, self.loop))  # type: ignore[arg-type]
        self.deadline = self.loop.time() + self.limits.head_seconds
        self.guard.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase is Phase.REFUSED:
            return
        if phase is Phase.HEAD:
            self._head_at_most += len(data)
            self._head_at_least += len(data)
        else:
            self._head_at_most = len(data)
            self._head_at_least = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as pause:
            self._go_on_without_upgrade(data[pause.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse_for(error)
        else:
            if self._phase is Phase.HEAD and self._head_at_least > self.limits.head_bytes:
                self._refuse_for(self._oversized_head())
            elif self.deadline is NEVER:
                self._set_deadline_for_the_rest()

    def _set_deadline_for_the_rest(self) -> None:
        """Half a head or half a body has come. Whole requests, the usual case, need no deadline at all."""
        if self._phase is Phase.HEAD:
            self.deadline = self.loop.time() + self.limits.head_seconds
        elif self._phase is Phase.BODY:
            self.deadline = self.loop.time() + self.limits.body_seconds

    def pause_writing(self) -> None:
        self.stalled_at = self.loop.time() + self.limits.write_seconds
        super().pause_writing()

    def resume_writing(self) -> None:
        self.stalled_at = NEVER
        super().resume_writing()

    # --- what the parser finds ---

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self.limits.pipelined_requests:
            raise Refusal(problems.TOO_MANY, "Too many requests were sent ahead on this connection.")
        self._phase = Phase.HEAD
        self.deadline = NEVER
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._head_at_most > self.limits.head_bytes or len(self.url) > self.limits.target_bytes:
            self._check_head_size()
        if len(self.headers) > self.limits.header_count:
            raise Refusal(problems.HEAD_TOO_LARGE, f"More than {self.limits.header_count} header fields.")
        if self.parser.get_http_version() not in ("1.1", "1.0"):
            raise Refusal(problems.MALFORMED, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if self.parser.should_upgrade():
            self._ignore_upgrade()
            return
        super().on_headers_complete()
        self._phase = Phase.BODY
        self._discarded = 0
        self.deadline = NEVER

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > self.limits.discard_bytes:
                self.transport.abort()
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._upgrade_ignored:
            return
        self._phase = Phase.IDLE
        cycle = self.cycle
        if cycle.response_complete:
            self.deadline = self._idle_deadline()
            return
        self.deadline = NEVER
        cycle.more_body = False
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        # Differs from uvicorn's: no timer is armed for the idle time, the sweep sees to it.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._send_refusal(self._refusal)
        elif self._phase is Phase.IDLE:
            self.deadline = self._idle_deadline()

    def _idle_deadline(self) -> float:
        return self.loop.time() + self.limits.idle_seconds

    # --- time ---

    def is_late(self, now: float) -> bool:
        return now >= self.deadline or now >= self.stalled_at

    def give_up(self) -> None:
        """End a connection whose deadline has passed: with 408 when half a request has come, silently otherwise."""
        if self.loop.time() >= self.stalled_at:
            self.transport.abort()
        elif self.flow.read_paused:
            self.deadline = self.loop.time() + self.limits.body_seconds  # we, not the client, are behind
        elif self._phase is Phase.HEAD:
            self._refuse(problems.REQUEST_TIMEOUT, "The request head was not complete in time.")
        elif self._phase is Phase.BODY:
            self._refuse(problems.REQUEST_TIMEOUT, "The request body was not complete in time.")
        elif self._phase is Phase.REFUSED:
            self.transport.abort()
        elif self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    # --- size ---

    def _check_head_size(self) -> None:
        """Measure exactly; only for heads that came in large pieces."""
        if len(self.url) > self.limits.target_bytes:
            raise Refusal(problems.TARGET_TOO_LONG, f"A request target has {self.limits.target_bytes} bytes at most.")
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self.limits.head_bytes:
            raise self._oversized_head()

    def _oversized_head(self) -> Refusal:
        if len(self.url) > self.limits.target_bytes:
            return Refusal(problems.TARGET_TOO_LONG, f"A request target has {self.limits.target_bytes} bytes at most.")
        return Refusal(problems.HEAD_TOO_LARGE, f"A request head has {self.limits.head_bytes} bytes at most.")

    # --- upgrades ---

    def _ignore_upgrade(self) -> None:
        if self.parser.get_method() == b"CONNECT":
            raise Refusal(problems.MALFORMED, "CONNECT is not supported here.")
        self._upgrade_ignored = True

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read the same request again without its Upgrade field: the parser took the body for another protocol."""
        self._upgrade_ignored = False
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        lines += [name + b": " + value for name, value in self.headers if name not in (b"upgrade", b"http2-settings")]
        self.parser = httptools.HttpRequestParser(self)
        self._phase = Phase.IDLE
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    # --- refusals ---

    def _refuse_for(self, error: Exception) -> None:
        cause = error if isinstance(error, Refusal) else error.__context__
        if isinstance(cause, Refusal):
            self._refuse(cause.problem, str(cause))
        else:
            self._refuse(problems.MALFORMED, f"This is not valid HTTP/1.1: {str(error) or 'unreadable'}.")

    def _refuse(self, problem: Problem, detail: str) -> None:
        """Answer with a problem and close, once earlier requests have their answers."""
        self.guard.refused(problem.slug)
        answer = problems.problem_answer(problem, detail)
        broken_in_body, self._phase = self._phase is Phase.BODY, Phase.REFUSED
        self.deadline = NEVER
        if broken_in_body and not self._withdraw_broken_request():
            return
        if self.cycle is None or self.cycle.response_complete or self.cycle.disconnected:
            self._send_refusal(answer)
        else:
            self._refusal = answer
            self.flow.pause_reading()

    def _withdraw_broken_request(self) -> bool:
        """Take back the request whose body broke off. False when its answer has begun: only closing is left."""
        cycle = self.cycle
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            cycle.disconnected = False
            return True
        if cycle.response_started:
            self.transport.close()
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        return True

    def _send_refusal(self, answer: Answer) -> None:
        fields = [*self.server_state.default_headers, *answer.headers, (b"connection", b"close")]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        self.transport.write(STATUS_LINE[answer.status] + head + b"\r\n" + answer.body)
        self.deadline = self.loop.time() + LINGER_SECONDS
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
