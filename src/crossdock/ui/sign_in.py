"""Signing in and out: by password, or by a one-time link that sets one.

Opening a link uses nothing up; its form does. Where a sign-in leads afterwards is always a page of this site.
"""

from __future__ import annotations

from math import ceil
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from crossdock.manage.sessions import Begun, Sessions, SignInRefused, Throttled
from crossdock.model.errors import Invalid, TooMany
from crossdock.ui.cookies import forget_session, keep_session, session_text
from crossdock.ui.forms import NO_ERRORS, Errors, Form, read_form
from crossdock.ui.origin import TOKEN_FIELD, page_token, require_own_page
from crossdock.ui.rendering import html, render
from crossdock.ui.said import is_own_path

VISITOR = "crossdock-visitor"
"""The cookie behind the page's token where nobody is signed in yet."""
_REFUSED = "Login or password is wrong."


def sign_in_path(then: str) -> str:
    """The sign-in that leads to a page of this site afterwards."""
    return "/sign-in" if then in ("", "/") else "/sign-in?" + urlencode({"next": then})


class SignIn:
    """The pages of whoever is not signed in."""

    def __init__(self, sessions: Sessions, provider: str | None = None) -> None:
        self._sessions = sessions
        self._provider = provider
        """What people call the OpenID provider; None without one."""

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/sign-in", self._show, methods=["GET"]),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route("/sign-in/link", self._use_link, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        link = request.query_params.get("token")
        if link is not None:
            return await self._show_link(request, link)
        cookie = session_text(request)
        if cookie and await self._sessions.recognise(cookie) is not None:
            return RedirectResponse(_then(request.query_params.get("next", "")), 303)
        return self._page(request, next=request.query_params.get("next", ""))

    async def _sign_in(self, request: Request) -> Response:
        form = await _own_form(request)
        login = form.text("login")
        try:
            answer = await self._sessions.sign_in(login, form.raw("password"), **_from_where(request))
        except TooMany as error:
            return self._page(request, 429, login=login, next=form.text("next"), error=str(error))
        match answer:
            case Begun(text=text):
                return await self._signed_in(request, text, _then(form.text("next")))
            case SignInRefused():
                return self._page(request, 403, login=login, next=form.text("next"), error=_REFUSED)
            case Throttled(retry_after_seconds=seconds):
                words = f"Too many tries failed. Wait {ceil(seconds)} seconds, then try again."
                response = self._page(request, 429, login=login, next=form.text("next"), error=words)
                response.headers["retry-after"] = str(ceil(seconds))
                return response

    async def _show_link(self, request: Request, link: str, status: int = 200, **typed: Any) -> Response:
        purpose = await self._sessions.purpose(link)
        names: dict[str, Any] = {"login": "", "name": "", "errors": NO_ERRORS, "token": link, **typed}
        if purpose is None:
            return _answer(request, "sign_in/link.html", 410, is_good=False)
        if not purpose.is_first:
            names |= {"login": purpose.login, "name": purpose.name}
        return _answer(request, "sign_in/link.html", status, is_good=True, is_first=purpose.is_first, **names)

    async def _use_link(self, request: Request) -> Response:
        form = await _own_form(request)
        typed = {"login": form.text("login"), "name": form.text("name")}
        link, password = form.text("token"), form.raw("password")
        try:
            begun = await self._sessions.begin_with_link(link, password=password, **typed, **_from_where(request))
        except Invalid as error:
            return await self._show_link(request, link, 422, errors=Errors.of(error), **typed)
        if begun is None:
            return await self._show_link(request, link)
        return await self._signed_in(request, begun.text, "/")

    async def _signed_in(self, request: Request, text: str, then: str) -> Response:
        """The new session takes the place of the one that this browser had."""
        before = session_text(request)
        if before:
            await self._sessions.sign_out(before)
        response = RedirectResponse(then, 303)
        keep_session(request, response, text)
        return response

    async def _sign_out(self, request: Request) -> Response:
        form = await read_form(request)
        cookie = session_text(request)
        require_own_page(request, cookie, form.text(TOKEN_FIELD))
        if cookie:
            await self._sessions.sign_out(cookie)
        response = RedirectResponse("/sign-in", 303)
        forget_session(request, response)
        response.headers["clear-site-data"] = '"cache"'  # so that the back button brings no page of the session again
        return response

    def _page(self, request: Request, status: int = 200, **typed: Any) -> Response:
        names = {"login": "", "next": "", "error": "", "provider": self._provider, **typed}
        return _answer(request, "sign_in/sign_in.html", status, **names)


def _answer(request: Request, template: str, status: int, **names: Any) -> Response:
    visitor = request.cookies.get(VISITOR) or token_urlsafe(24)
    response = html(render(template, page_token=page_token(visitor), **names), status)
    secure = request.url.scheme == "https"
    response.set_cookie(VISITOR, visitor, max_age=86_400, path="/", httponly=True, samesite="lax", secure=secure)
    return response


async def _own_form(request: Request) -> Form:
    form = await read_form(request)
    require_own_page(request, request.cookies.get(VISITOR), form.text(TOKEN_FIELD))
    return form


def _from_where(request: Request) -> dict[str, str]:
    address = request.client.host if request.client is not None else ""
    return {"source_ip": address, "agent": request.headers.get("user-agent", "")}


def _then(text: str) -> str:
    return text if text and is_own_path(text) else "/"
