"""Calling a system for a step: the connection's address and credentials are put in here and nowhere else.

What comes back shows none of them. Credentials go to the connection's origin only, whatever the step's URL and the
answers say.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import replace

from crossdock.model.delivery import SendReport
from crossdock.model.time import Instant
from crossdock.outbound.client import HttpSender, Message, SendLimits
from crossdock.outbound.connection import (
    BasicCredentials,
    BearerToken,
    CustomHeaders,
    HttpConnection,
    OAuthClient,
    Pairs,
)
from crossdock.outbound.guard import TargetRefused
from crossdock.outbound.oauth import NoToken, Token, Tokens
from crossdock.outbound.redaction import REDACTED, as_basic, is_sealed, mask_for, shown_headers
from crossdock.outbound.redirects import MAX_REDIRECTS, is_redirect, next_message
from crossdock.outbound.request import HttpRequest
from crossdock.outbound.tls import TlsCache, TlsUnusable
from crossdock.outbound.urls import origin_of, request_url

DEFAULT_SECONDS = 30.0


class HttpCaller:
    """Calls systems; one for the whole process. `close` comes before the sender's."""

    def __init__(self, sender: HttpSender) -> None:
        self._sender = sender
        self._tls = TlsCache()
        self._tokens = Tokens(sender)

    async def call(self, request: HttpRequest, connection: HttpConnection | None) -> SendReport:
        """Send one request and report; nothing that the other side does raises."""
        started_at = self._sender.clock()
        try:
            url = request_url(connection.base_url if connection else None, request.url, request.query)
            if connection is not None:
                return await _Call(self._sender, self._tokens, self._tls, request, connection, url).go(started_at)
        except (TargetRefused, TlsUnusable) as refusal:
            return _unsent(request, started_at, str(refusal), permanent=True)
        limits = SendLimits(request.timeout or DEFAULT_SECONDS, request.response_bytes)
        report = await self._sender.ask(Message(request.method, url, request.headers, request.body), limits)
        return replace(report, request_headers=shown_headers(report.request_headers))

    async def close(self) -> None:
        """Break off what is being fetched for calls."""
        await self._tokens.close()


class _Call:
    """One call through a connection: with a token where it takes one, and along redirects where it allows them."""

    def __init__(
        self,
        sender: HttpSender,
        tokens: Tokens,
        tls: TlsCache,
        request: HttpRequest,
        connection: HttpConnection,
        url: str,
    ) -> None:
        self._sender = sender
        self._tokens = tokens
        self._request = request
        self._connection = connection
        self._url = url
        self._tls = tls
        self._seconds = request.timeout or connection.timeout
        self._deadline = asyncio.get_running_loop().time() + self._seconds
        self._token: Token | None = None
        self._is_home = True
        """The last request went to the connection's own origin, as the first of a try always does (`request_url`)."""

    async def go(self, started_at: Instant) -> SendReport:
        report = await self._try()
        client = self._connection.authentication
        is_refused = report.status == 401 and self._is_home
        if is_refused and isinstance(client, OAuthClient) and self._token is not None:
            self._tokens.forget(client, self._token_key, self._token)
            report = await self._try()
        mask = mask_for(self._connection, self._token.text if self._token else "")
        return mask.report(report, started_at=started_at, request_headers=self._shown_headers())

    @property
    def _token_key(self) -> str:
        return f"{self._connection.id}:{self._connection.revision}"

    async def _try(self) -> SendReport:
        """One exchange, with whatever redirects follow."""
        started_at = self._sender.clock()
        try:
            credentials = await self._credentials()
        except TimeoutError:
            return _unsent(self._request, started_at, f"no access token within {self._seconds:g} s")
        if isinstance(credentials, NoToken):
            told = credentials
            return _unsent(
                self._request, started_at, told.message, permanent=told.permanent, retry_after=told.retry_after
            )
        own = _without(self._connection.headers, (*credentials, *self._request.headers))
        headers = (*own, *_without(self._request.headers, credentials), *credentials)
        message = Message(self._request.method, self._url, headers, self._request.body)
        self._is_home = True
        report = await self._ask(message, started_at)
        if self._connection.follow_redirects and is_redirect(report.status):
            names = frozenset(name.lower() for name, _ in (*own, *credentials))
            return await self._follow(report, message, names)
        return report

    async def _ask(self, message: Message, started_at: Instant) -> SendReport:
        left = round(self._deadline - asyncio.get_running_loop().time(), 3)
        if left <= 0:
            return _unsent(self._request, started_at, f"no answer within {round(self._seconds, 2):g} s")
        tls = self._tls_for(is_own=self._is_home)
        return await self._sender.ask(message, SendLimits(left, self._request.response_bytes), tls=tls)

    async def _follow(self, report: SendReport, message: Message, own_headers: frozenset[str]) -> SendReport:
        """Go where the answers lead. Each hop is judged by the guard like any other URL."""
        seen = {(message.method, message.url)}
        for _ in range(MAX_REDIRECTS):
            if report.status is None or not is_redirect(report.status):
                return report
            location = next((value for name, value in report.response_headers if name == "location"), None)
            try:
                message = next_message(message, report.status, location, own_headers)
            except TargetRefused as refusal:
                return replace(report, error=str(refusal), permanent=True)
            if (message.method, message.url) in seen:
                return replace(report, error="the answers redirect in a circle", permanent=True)
            seen.add((message.method, message.url))
            self._is_home = self._is_own(message.url)
            report = await self._ask(message, report.started_at)
        if not is_redirect(report.status):
            return report
        return replace(report, error=f"the answers redirect more than {MAX_REDIRECTS} times", permanent=True)

    async def _credentials(self) -> Pairs | NoToken:
        """The headers that authenticate; TimeoutError when a token does not come in time."""
        match self._connection.authentication:
            case BearerToken(token):
                return (("Authorization", f"Bearer {token}"),)
            case BasicCredentials(username, password):
                return (("Authorization", f"Basic {as_basic(username, password)}"),)
            case CustomHeaders(headers):
                return headers
            case OAuthClient() as client:
                return await self._fetch_token(client)
            case _:
                return ()

    async def _fetch_token(self, client: OAuthClient) -> Pairs | NoToken:
        tls = self._tls_for(is_own=self._is_own(client.token_endpoint_url))
        async with asyncio.timeout_at(self._deadline):
            granted = await self._tokens.token(client, self._token_key, tls=tls)
        if isinstance(granted, NoToken):
            return granted
        self._token = granted
        return (("Authorization", f"Bearer {granted.text}"),)

    def _is_own(self, url: str) -> bool:
        return origin_of(url) == origin_of(self._connection.base_url)

    def _tls_for(self, *, is_own: bool) -> ssl.SSLContext | None:
        return self._tls.own(self._connection) if is_own else self._tls.other(self._connection)

    def _shown_headers(self) -> Pairs:
        """What was sent, without values that are nobody's business."""
        match self._connection.authentication:
            case CustomHeaders(headers):
                hidden = tuple((name, REDACTED) for name, _ in headers)
            case BearerToken() | BasicCredentials() | OAuthClient():
                hidden = (("Authorization", REDACTED),)
            case _:
                hidden = ()
        own = _without(self._connection.headers, (*hidden, *self._request.headers))
        sealed = tuple((name, REDACTED if is_sealed(name) else value) for name, value in own)
        return (*sealed, *shown_headers(_without(self._request.headers, hidden)), *hidden)


def _without(headers: Iterable[tuple[str, str]], stronger: Iterable[tuple[str, str]]) -> Pairs:
    """The headers whose names are not among the stronger ones."""
    names = {name.lower() for name, _ in stronger}
    return tuple((name, value) for name, value in headers if name.lower() not in names)


def _unsent(
    request: HttpRequest, now: Instant, error: str, *, permanent: bool = False, retry_after: float | None = None
) -> SendReport:
    return SendReport(
        now, now, shown_headers(request.headers), error=error, permanent=permanent, retry_after=retry_after
    )
