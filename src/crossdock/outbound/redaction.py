"""What must not be seen of a call: the connection's credentials, wherever they turn up again."""

from __future__ import annotations

import base64
import functools
import html
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never
from urllib.parse import quote, quote_plus

import msgspec

from crossdock.model.delivery import SendReport
from crossdock.model.time import Instant
from crossdock.outbound.connection import (
    Authentication,
    BasicCredentials,
    BearerToken,
    CustomHeaders,
    HttpConnection,
    NoAuthentication,
    OAuthClient,
    Pairs,
)

REDACTED = "[redacted]"
SHORTEST_SECRET = 8
"""Shorter texts turn up by chance, and hiding them would spoil answers."""

_TELLING = re.compile(
    r"(^|[-_])(token|secret|password|authorization|cookie|credentials?|signature|(api|access|auth)[-_]?key)$",
    re.IGNORECASE,
)
_ESCAPE = re.compile("%[0-9A-F]{2}")
_CSRF = re.compile(r"x-(csrf|xsrf)-token", re.IGNORECASE)
_SECRET_WORDS = ("authorization", "token", "secret", "key", "password", "cookie", "credential", "signature", "auth")
_NEVER_SECRET = frozenset({"accept", "accept-language", "content-type", "user-agent", "prefer"})


@functools.lru_cache(maxsize=1_024)
def is_telling(name: str) -> bool:
    """Whether a header of this name carries a credential. A CSRF token is none: it is worth nothing without one."""
    return _TELLING.search(name) is not None and _CSRF.fullmatch(name) is None


@functools.lru_cache(maxsize=1_024)
def is_sealed(name: str) -> bool:
    """Whether a header of this name is kept sealed where a connection has it: rather once too often."""
    lower = name.lower()
    return any(word in lower for word in _SECRET_WORDS)


def shown_headers(headers: Iterable[tuple[str, str]]) -> Pairs:
    return tuple((name, REDACTED if is_telling(name) else value) for name, value in headers)


class Mask:
    """Hides texts in whatever comes back, those of `shortest` characters and more."""

    def __init__(self, secrets: Iterable[str], *, shortest: int = SHORTEST_SECRET) -> None:
        forms = {form for secret in secrets if len(secret) >= shortest for form in _forms(secret)}
        self._texts = sorted(forms, key=len, reverse=True)  # a longer one may hold a shorter one
        self._bytes = [text.encode() for text in self._texts]

    def text(self, text: str) -> str:
        for secret in self._texts:
            if secret in text:
                text = text.replace(secret, REDACTED)
        return text

    def content(self, content: bytes) -> bytes:
        for secret in self._bytes:
            if secret in content:
                content = content.replace(secret, REDACTED.encode())
        return content

    def report(self, report: SendReport, *, started_at: Instant, request_headers: Pairs) -> SendReport:
        """The report of a whole call, without the secrets, wherever the other side repeats them."""
        return replace(
            report,
            started_at=started_at,
            request_headers=request_headers,
            response_headers=tuple((name, self.text(value)) for name, value in report.response_headers),
            response_body=self.content(report.response_body),
            error=None if report.error is None else self.text(report.error),
        )


@functools.lru_cache(maxsize=256)
def mask_for(connection: HttpConnection, token: str = "") -> Mask:
    """Hides what the connection keeps secret, and the access token that it uses now."""
    sealed = [(name, value) for name, value in connection.headers if is_sealed(name)]
    return Mask([*secrets_of(connection.authentication), *_header_secrets(sealed), token])


def secrets_of(authentication: Authentication) -> list[str]:
    match authentication:
        case NoAuthentication():
            return []
        case BearerToken(token):
            return [token]
        case BasicCredentials(username, password):
            return [password, as_basic(username, password)]
        case CustomHeaders(headers):
            return _header_secrets(headers)
        case OAuthClient(client_id, client_secret):
            return [client_secret, as_basic(quote_plus(client_id), quote_plus(client_secret))]
        case _:
            assert_never(authentication)


def as_basic(username: str, password: str) -> str:
    """Both as they stand behind `Basic` (RFC 7617)."""
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def _header_secrets(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Each value, and what follows a scheme such as `Bearer`."""
    values = [value for name, value in headers if name.lower() not in _NEVER_SECRET]
    return [*values, *(value.partition(" ")[2] for value in values)]


def _forms(secret: str) -> set[str]:
    """The secret as it stands, and as others write it: in JSON, in JSON inside JSON, in a URL, in HTML."""
    in_json = _in_json(secret)
    quoted = {quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")}
    quoted |= {_ESCAPE.sub(lambda escape: escape[0].lower(), form) for form in quoted}
    twice = {form for once in in_json for form in _in_json(once)}
    return {secret, html.escape(secret), html.escape(secret, quote=False)} | in_json | twice | quoted


def _in_json(text: str) -> set[str]:
    """The inside of a JSON string: in UTF-8 or in ASCII only, with `/` as it is or escaped."""
    plain = {msgspec.json.encode(text).decode()[1:-1], json.dumps(text)[1:-1]}
    return plain | {form.replace("/", "\\/") for form in plain}
