"""Signing in: one-time links become sessions, sessions become actors.

A link is used up by the button on its page, not by opening it: mail scanners and prefetching browsers open links too.
Texts of links and sessions are random and only their SHA-256 is stored.
"""

from __future__ import annotations

import secrets
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from crossdock.clock import Clock
from crossdock.manage.actor import Actor
from crossdock.manage.tokens import Tokens
from crossdock.model.time import Instant, later
from crossdock.store import Store
from crossdock.store.sessions import (
    add_link,
    add_session,
    anybody_signed_in,
    end_session,
    link_is_good,
    signed_in,
    trade_link,
)

LINK_SECONDS = 86_400.0
SESSION_SECONDS = 12 * 3_600.0


async def first_sign_in_path(store: Store, workspace_id: str, now: Instant) -> str | None:
    """The path of a new one-time sign-in link, good for a day; None once somebody has signed in."""
    if await store.read(anybody_signed_in):
        return None
    text = secrets.token_urlsafe(32)
    await store.write(add_link, _digest(text), workspace_id, now, later(now, LINK_SECONDS))
    return f"/sign-in?token={text}"


class Sessions:
    """Who sits before the browser. A signed-in browser has all rights of its workspace."""

    def __init__(self, store: Store, tokens: Tokens, clock: Clock) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock

    async def actor(self, request: Request) -> Actor | None:
        """Who is signed in; None for nobody."""
        text = request.cookies.get(_cookie_name(request))
        if not text:
            return None
        found = await self._store.read(signed_in, _digest(text), self._clock())
        return None if found is None else Actor("web workspace", found[0], found[1], "admin")

    async def is_good_link(self, link: str) -> bool:
        """Whether a link could be used now; it is not used up by asking."""
        return await self._store.read(link_is_good, _digest(link), self._clock())

    async def begin_with_link(self, link: str) -> str | None:
        """Use up a link; the text of the new session, None when the link is over or used."""
        text, now = secrets.token_urlsafe(32), self._clock()
        end = later(now, SESSION_SECONDS)
        return text if await self._store.write(trade_link, _digest(link), _digest(text), now, end) else None

    async def begin_with_token(self, token: str) -> str | None:
        """A session for whoever has an API token of an admin; None for any other text."""
        actor = self._tokens.authenticate(token)
        if actor is None or actor.role != "admin":
            return None
        text, now = secrets.token_urlsafe(32), self._clock()
        await self._store.write(add_session, _digest(text), actor.workspace_id, now, later(now, SESSION_SECONDS))
        return text

    async def end(self, request: Request) -> None:
        text = request.cookies.get(_cookie_name(request))
        if text:
            await self._store.write(end_session, _digest(text))


def keep_session(request: Request, response: Response, text: str) -> None:
    """Let the browser remember its session, out of reach for scripts and other sites."""
    response.set_cookie(
        _cookie_name(request),
        text,
        max_age=round(SESSION_SECONDS),
        path="/",
        httponly=True,
        samesite="lax",
        secure=_is_secure(request),
    )


def forget_session(request: Request, response: Response) -> None:
    response.delete_cookie(_cookie_name(request), path="/", httponly=True, secure=_is_secure(request))


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _cookie_name(request: Request) -> str:
    # `__Host-` binds a cookie to this very host, but browsers take it over HTTPS only
    return "__Host-crossdock" if _is_secure(request) else "crossdock"


def _digest(text: str) -> bytes:
    return sha256(text.encode(errors="replace")).digest()
