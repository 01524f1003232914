"""An OAuth authorization server for client credentials (RFC 6749, section 4.4), as strict as a real one.

It knows its client, gives tokens that no one can guess and that end, and says later whether a token is one of them.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from aiohttp import web

from tests.support.sink import Received


@dataclass(slots=True)
class AuthorizationServer:
    """To be called with requests to its token endpoint. `lifetime_seconds` is how long a token is good for."""

    client_id: str
    client_secret: str
    scopes: Sequence[str] = ()
    lifetime_seconds: float = 3_600.0
    granted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _good: dict[str, float] = field(default_factory=dict)

    async def __call__(self, request: Received) -> web.StreamResponse:
        problem = self._problem_with(request)
        if problem:
            self.refused.append(problem)
            return web.json_response({"error": problem}, status=401 if problem == "invalid_client" else 400)
        token = secrets.token_urlsafe(24)
        self.granted.append(token)
        self._good[token] = time.monotonic() + self.lifetime_seconds
        document: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime_seconds}
        return web.json_response(document, headers={"Cache-Control": "no-store"})

    def accepts(self, authorization: str) -> bool:
        """Whether an `Authorization` header has a token that is still good."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and time.monotonic() < self._good.get(token, 0.0)

    def revoke_all(self) -> None:
        """From now on no token is good that was given so far, whatever was said of its time."""
        self._good.clear()

    def _problem_with(self, request: Received) -> str | None:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        client = _basic(request.headers.get("authorization", "")) or (form.get("client_id"), form.get("client_secret"))
        if client != (self.client_id, self.client_secret):
            return "invalid_client"
        if request.method != "POST" or form.get("grant_type") != "client_credentials":
            return "unsupported_grant_type"
        return None if set(form.get("scope", "").split()) == set(self.scopes) else "invalid_scope"


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    name, _, secret = base64.b64decode(encoded).decode().partition(":")
    return unquote_plus(name), unquote_plus(secret)
