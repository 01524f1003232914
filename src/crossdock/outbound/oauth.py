"""Access tokens by OAuth 2.0 client credentials (RFC 6749, 4.4).

A token is fetched once for everybody who needs it, kept until shortly before it ends, and fetched anew when the called
system refuses it. The token endpoint is called like any other address: through the guard, bounded in time and size.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote_plus, urlencode

import msgspec

from crossdock.model.delivery import SendReport, is_passing
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, later
from crossdock.outbound.client import HttpSender, Message, SendLimits
from crossdock.outbound.connection import OAuthClient
from crossdock.outbound.faults import first_line
from crossdock.outbound.redaction import Mask, as_basic, secrets_of

TOKEN_LIMITS = SendLimits(seconds=30.0, response_bytes=64 * 1024)
UNTOLD_LIFETIME_SECONDS = 300.0
"""Where the endpoint does not say how long its token lasts, or says what can't be."""
SHORTEST_LIFETIME_SECONDS = 10.0
"""A token that lasts no time at all would be fetched for each call; if it really ends sooner, the 401 renews it."""
LONGEST_LIFETIME_SECONDS = 86_400.0
MARGIN_SECONDS = 30.0
MAX_TOKEN_LENGTH = 16 * 1024
MAX_TOKENS = 1_024


@dataclass(frozen=True, slots=True)
class Token:
    text: str = field(repr=False)
    fresh_until: Instant


@dataclass(frozen=True, slots=True)
class NoToken:
    """Why there is none. `permanent`: asking again can't help."""

    message: str
    permanent: bool
    retry_after: float | None = None


Granted: TypeAlias = Token | NoToken
_Key: TypeAlias = tuple[str, OAuthClient]


class Tokens:
    """The tokens in use. Nothing here raises for what a token endpoint does."""

    def __init__(self, sender: HttpSender) -> None:
        self._sender = sender
        self._kept: dict[_Key, Token] = {}
        self._running: dict[_Key, asyncio.Task[Granted]] = {}
        self._told_in_body: set[_Key] = set()
        """Clients whose endpoint takes the secret in the form only."""

    async def token(self, client: OAuthClient, key: str, *, tls: ssl.SSLContext | None = None) -> Granted:
        """A token that is fresh. `key` says whose it is, such as a connection and its revision."""
        whose = (key, client)
        kept = self._kept.get(whose)
        if kept is not None and self._sender.clock() < kept.fresh_until:
            return kept
        running = self._running.get(whose)
        if running is None:
            running = asyncio.create_task(self._fetch(whose, tls))
            self._running[whose] = running
            running.add_done_callback(lambda task: self._finish(whose, task))
        return await asyncio.shield(running)  # whoever gives up leaves the fetch to the others

    def forget(self, client: OAuthClient, key: str, refused: Token) -> None:
        """The called system refused this token. A newer one that somebody fetched meanwhile is kept."""
        if self._kept.get((key, client)) == refused:
            del self._kept[key, client]

    async def close(self) -> None:
        """Break off what is being fetched."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _finish(self, whose: _Key, task: asyncio.Task[Granted]) -> None:
        del self._running[whose]
        if task.cancelled() or task.exception() is not None:
            return
        granted = task.result()
        if isinstance(granted, Token):
            if len(self._kept) >= MAX_TOKENS:
                self._kept.clear()
            self._kept[whose] = granted

    async def _fetch(self, whose: _Key, tls: ssl.SSLContext | None) -> Granted:
        """Ask with the client's secret in the Authorization header, which every endpoint has to take (RFC 6749, 2.3.1);
        where it is refused like that, in the form, because some take it only there."""
        client = whose[1]
        in_body = whose in self._told_in_body
        report = await self._sender.ask(_asking(client, in_body=in_body), TOKEN_LIMITS, tls=tls)
        if not in_body and _refuses_client(report):
            again = await self._sender.ask(_asking(client, in_body=True), TOKEN_LIMITS, tls=tls)
            if again.status == 200:
                self._note_told_in_body(whose)
                report = again
        granted = read_grant(report)
        if isinstance(granted, Token):
            return granted
        mask = Mask(secrets_of(client), shortest=3)  # short ones too: only people read this, so nothing is spoilt
        return NoToken(f"no access token: {mask.text(granted.message)}", granted.permanent, granted.retry_after)

    def _note_told_in_body(self, whose: _Key) -> None:
        if len(self._told_in_body) >= MAX_TOKENS:
            self._told_in_body.clear()
        self._told_in_body.add(whose)


def _asking(client: OAuthClient, *, in_body: bool) -> Message:
    form = [("grant_type", "client_credentials")]
    if client.scopes:
        form.append(("scope", " ".join(client.scopes)))
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json")]
    if in_body:
        form += [("client_id", client.client_id), ("client_secret", client.client_secret)]
    else:
        basic = as_basic(quote_plus(client.client_id), quote_plus(client.client_secret))
        headers.append(("Authorization", f"Basic {basic}"))
    return Message("POST", client.token_endpoint_url, headers, urlencode(form).encode())


def _refuses_client(report: SendReport) -> bool:
    document = _document(report.response_body)
    error = document.get("error") if isinstance(document, dict) else None
    return report.status == 401 or (report.status == 400 and error == "invalid_client")


def read_grant(report: SendReport) -> Granted:
    """The token in a token endpoint's answer (RFC 6749, 5.1), or why there is none (5.2)."""
    if report.status is None:
        return NoToken(f"the token endpoint gave no answer: {report.error}", report.permanent)
    document = _document(report.response_body)
    if report.status != 200:
        passing = is_passing(report.status)
        return NoToken(_refusal(report.status, document), not passing, report.retry_after if passing else None)
    if report.error is not None:
        return NoToken(f"the token endpoint's answer can't be used: {report.error}", report.permanent)
    if not isinstance(document, dict):
        told = dict(report.response_headers).get("content-type", "no type").partition(";")[0]
        return NoToken(f"the token endpoint answered what is no JSON object ({told[:60]}); check its URL", True)
    text, kind = document.get("access_token"), document.get("token_type", "Bearer")
    if not isinstance(text, str) or not text:
        return NoToken("the token endpoint's answer has no access_token", True)
    if len(text) > MAX_TOKEN_LENGTH or not all(0x21 <= ord(character) <= 0x7E for character in text):
        return NoToken("the token endpoint gave an access_token that no header can carry", True)
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return NoToken(
            f"the token endpoint gave a token of the type {kind!r:.40}; only bearer tokens can be used", True
        )
    return Token(text, later(report.finished_at, usable_seconds(document.get("expires_in"))))


def usable_seconds(expires_in: Json) -> float:
    """How long a token is used, by what the endpoint says of it: a number of seconds, or anything at all."""
    try:
        told = math.nan if expires_in is None or isinstance(expires_in, bool) else float(expires_in)
    except OverflowError:
        told = math.inf
    except (TypeError, ValueError):
        told = math.nan
    if math.isnan(told):
        told = UNTOLD_LIFETIME_SECONDS
    lifetime = min(max(told, SHORTEST_LIFETIME_SECONDS), LONGEST_LIFETIME_SECONDS)
    return lifetime - min(MARGIN_SECONDS, lifetime / 10)


def _document(body: bytes) -> Json:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _refusal(status: int, document: Json) -> str:
    if 300 <= status < 400:
        return f"the token endpoint redirects (status {status}); use its final address"
    error = document.get("error") if isinstance(document, dict) else None
    description = document.get("error_description") if isinstance(document, dict) else None
    said = [first_line(text) for text in (error, description) if isinstance(text, str) and text.strip()]
    return f"the token endpoint answered {status}" + (f": {', '.join(said)}" if said else "")
