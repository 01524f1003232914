"""Sending an HTTP request to an address that somebody configured, and telling plainly what came of it.

A request is bounded in every direction: the whole exchange in time, the answer in bytes. Cookies are not kept, proxies
of the environment not used. Connections are kept for reuse; each new one is opened to an address that was checked
(`guard`, `resolve`).

There are two ways to send. `send` delivers something: the answer is kept for the record as it comes, cut where it gets
long, and a redirect is a failure. `ask` wants the answer: it is unpacked, and has to be whole.
"""

from __future__ import annotations

import asyncio
import functools
import io
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from crossdock import __version__
from crossdock.clock import Clock
from crossdock.model.delivery import SendReport
from crossdock.model.gate import OPEN, Gate
from crossdock.model.time import Instant
from crossdock.outbound.faults import describe_failure, readable
from crossdock.outbound.guard import Guard, Target, TargetRefused
from crossdock.outbound.resolve import CheckedResolver, Lookup, SystemLookup, calling, open_checked_socket
from crossdock.outbound.unpacking import ACCEPTED, BrokeOff, Unreadable, unpacker_for

Headers: TypeAlias = Sequence[tuple[str, str]]

KEEP_ALIVE_SECONDS = 15.0
STREAMED_BODY_BYTES = 512 * 1024
"""Larger bodies are written in pieces, so that other connections get their turn."""

_DEFAULT_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"Crossdock/{__version__}"}


_ACCEPT_ENCODING = ("Accept-Encoding", ACCEPTED)


@dataclass(frozen=True, slots=True)
class SendLimits:
    seconds: float = 30.0
    """For everything: resolving, connecting, sending and reading."""
    response_bytes: int = 1024 * 1024
    """What is read of the answer's body; the rest is cut off with the connection."""


DEFAULT_LIMITS = SendLimits()


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out. `url` is absolute."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""


@dataclass(slots=True)
class _Answer:
    """What has come in so far; it counts even when the rest does not come any more."""

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytearray = field(default_factory=bytearray)
    remark: str | None = None
    retry_after: float | None = None


_Read: TypeAlias = Callable[[aiohttp.ClientResponse, _Answer], Awaitable[None]]
"""Reads an answer's body."""


class HttpSender:
    """Sends requests; one for the whole process, used from its event loop, closed at its end."""

    def __init__(
        self,
        guard: Guard,
        clock: Clock,
        *,
        lookup: Lookup | None = None,
        trust: ssl.SSLContext | None = None,
        gate: Gate = OPEN,
    ) -> None:
        """`lookup` resolves names instead of the system; `trust` checks certificates instead of the system's store.

        `gate` is asked once the connection is there, before the first byte of a request leaves.
        """
        self._guard = guard
        self._gate = gate
        self.clock = clock
        self._system_lookup = SystemLookup() if lookup is None else None
        self._lookup = lookup or self._system_lookup
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None
        self._read_target = functools.lru_cache(maxsize=1_024)(guard.read_target)

    async def send(
        self, method: str, url: str, headers: Headers, body: bytes, limits: SendLimits = DEFAULT_LIMITS
    ) -> SendReport:
        """Send one request and report. Nothing that the other side does raises; a refused address is a report too."""
        read = functools.partial(_keep_beginning, limit=limits.response_bytes)
        return await self._try(Message(method, url, headers, body), limits.seconds, read)

    async def ask(
        self, message: Message, limits: SendLimits = DEFAULT_LIMITS, *, tls: ssl.SSLContext | None = None
    ) -> SendReport:
        """Send one request and report its whole answer, unpacked. Nothing that the other side does raises.

        An answer that is too long or can't be unpacked is an error that trying again can't help; a redirect is an
        answer like any other. `tls` checks certificates, and shows one, instead of what the sender was made with.
        """
        read = functools.partial(_read_whole, limit=limits.response_bytes)
        asking = Message(message.method, message.url, (*message.headers, _ACCEPT_ENCODING), message.body)
        return await self._try(asking, limits.seconds, read, tls)

    async def _try(
        self, message: Message, seconds: float, read: _Read, tls: ssl.SSLContext | None = None
    ) -> SendReport:
        started_at = self.clock()
        answer = _Answer()
        error: str | None = None
        permanent = False
        try:
            target = self._read_target(message.url)
            async with asyncio.timeout(seconds):
                await self._exchange(target, message, answer, tls, read)
        except (TargetRefused, Unreadable) as refusal:
            error, permanent = str(refusal), True
        except TimeoutError:
            error = _too_late(seconds, answer)
        except BrokeOff:
            error = f"the answer of {target.host}:{target.port} broke off before its end"
        except (aiohttp.ClientError, OSError) as failure:
            error = describe_failure(failure, f"{target.host}:{target.port}")
        except ValueError as failure:  # aiohttp refuses to write a header that would break the request apart
            error, permanent = f"the request can't be sent: {failure}", True
        return SendReport(
            started_at=started_at,
            finished_at=self.clock(),
            request_headers=tuple(message.headers),
            status=answer.status,
            response_headers=answer.headers,
            response_body=bytes(answer.body),
            error=error or answer.remark,
            permanent=permanent,
            retry_after=answer.retry_after,
        )

    async def close(self) -> None:
        """Close all connections. Nothing can be sent any more."""
        if self._session is not None:
            await self._session.close()
        if self._system_lookup is not None:
            self._system_lookup.close()

    async def _exchange(
        self, target: Target, message: Message, answer: _Answer, tls: ssl.SSLContext | None, read: _Read
    ) -> None:
        calling.set(target)
        body = message.body
        session = self._session or self._open_session()
        response = await session.request(
            message.method,
            target.url,
            headers=message.headers,
            data=io.BytesIO(body) if len(body) > STREAMED_BODY_BYTES else body or None,  # None has no content type
            allow_redirects=False,
            ssl=tls or True,
        )
        try:
            answer.status = response.status
            answer.headers = tuple((name.lower(), readable(value)) for name, value in response.headers.items())
            answer.retry_after = read_retry_after(response.headers.get("Retry-After"), self.clock())
            await read(response, answer)
        finally:
            response.close()  # keeps the connection for reuse when all was read, cuts it otherwise

    def _open_session(self) -> aiohttp.ClientSession:
        assert self._lookup is not None
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self._guard, self._lookup),
            use_dns_cache=False,  # the resolver judges an address with the URL that asks, so it is asked each time
            socket_factory=functools.partial(open_checked_socket, self._guard),
            ssl=self._trust or True,
            limit=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_DEFAULT_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None),  # `send` bounds the whole exchange itself
            auto_decompress=False,
            trust_env=False,
            request_class=_gated(self._gate),
        )
        return self._session


def _gated(gate: Gate) -> type[aiohttp.ClientRequest]:
    """Requests that ask the gate when they are about to be written."""
    if gate is OPEN:
        return aiohttp.ClientRequest

    class GatedRequest(aiohttp.ClientRequest):
        async def send(self, conn: Connection) -> aiohttp.ClientResponse:
            if not gate.may_act():
                await gate.passage()
            return await super().send(conn)

    return GatedRequest


async def _keep_beginning(response: aiohttp.ClientResponse, answer: _Answer, limit: int) -> None:
    if 300 <= response.status < 400:
        answer.remark = redirect_in_words(response.url, response.headers.get("Location"))
    async for chunk in response.content.iter_any():
        answer.body += chunk
        if len(answer.body) > limit:
            del answer.body[limit:]
            answer.remark = answer.remark or f"the answer is longer than {limit} bytes; the rest was not read"
            return


async def _read_whole(response: aiohttp.ClientResponse, answer: _Answer, limit: int) -> None:
    unpacker = unpacker_for(response.headers.get("Content-Encoding", ""))
    async for chunk in response.content.iter_any():
        unpacker.feed(chunk, answer.body, limit)
        if len(answer.body) > limit:
            del answer.body[limit:]
            raise Unreadable(f"the answer is longer than {limit} bytes; the rest was not read")
    unpacker.finish()


def read_retry_after(value: str | None, now: Instant) -> float | None:
    """Seconds of a Retry-After header, a number or an HTTP date (RFC 9110, 10.2.3); None when it is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (zoned - datetime.fromtimestamp(0, UTC)).total_seconds() - now / 1_000_000)


def _too_late(seconds: float, answer: _Answer) -> str:
    if answer.status is None:
        return f"no answer within {round(seconds, 2):g} s"
    return f"the answer's body was not complete within {seconds:g} s"


def redirect_in_words(url: URL, location: str | None) -> str:
    """Names the host only: the rest of a Location may carry credentials."""
    try:
        host = url.join(URL(location or "")).host
    except ValueError:
        host = None
    whereto = f" to {host}" if host and location is not None else ""
    return f"the answer redirects{whereto}; redirects are not followed: use the final address as the URL"
