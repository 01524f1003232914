"""The ASGI application behind everything that is neither the API nor a hook: which page answers, and to whom.

Every page of a workspace lies under `/w/{slug}` and is shown to its members alone: to others it does not exist. Paths
without that prefix lead on to the workspace that has the thing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router

from crossdock.manage.sessions import Sessions
from crossdock.manage.single_sign_on import SingleSignOn
from crossdock.manage.use_cases import UseCases
from crossdock.model.errors import CrossdockError, MethodNotAllowed, NotFound
from crossdock.server.app import Receive, Scope, Send
from crossdock.server.problems import problem_response
from crossdock.ui.cookies import session_text
from crossdock.ui.forms import read_form
from crossdock.ui.leading import lead_on
from crossdock.ui.oidc import SignOnPages
from crossdock.ui.origin import TOKEN_FIELD, is_from_own_page, require_own_page
from crossdock.ui.rendering import html, render
from crossdock.ui.screens import SCREENS
from crossdock.ui.sign_in import SignIn, sign_in_path
from crossdock.ui.static import answer_static
from crossdock.ui.visit import ScreenRoute, Visit, with_form

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
LEAST_COMPRESSED = 1_000


class Workspace:
    """Pages for people: signing in, the screens of each workspace, and the files that they load."""

    def __init__(self, cases: UseCases, sessions: Sessions, single_sign_on: SingleSignOn | None = None) -> None:
        self._cases = cases
        self._sessions = sessions
        # Not a whole Starlette: its outermost part would answer unexpected errors in its own way and raise them again.
        routes = Router(
            [
                Route("/static/{version}/{path:path}", answer_static),
                *SignIn(sessions, single_sign_on.name if single_sign_on else None).routes,
                *(SignOnPages(single_sign_on).routes if single_sign_on else ()),
                *(
                    Route(f"/w/{{workspace}}{route.path}", self._for_members(route), methods=[route.method])
                    for screen in SCREENS
                    for route in screen
                ),
                Route("/{path:path}", self._lead_on),
            ],
            redirect_slashes=False,
        )
        told = ExceptionMiddleware(routes, {CrossdockError: _show_error, HTTPException: _show_error})
        self._app = GZipMiddleware(told, minimum_size=LEAST_COMPRESSED, compresslevel=4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # makes the router raise for unknown paths and methods instead of answering in plain text
        await self._app(scope, receive, send)

    def _for_members(self, route: ScreenRoute) -> Handler:
        async def answer(request: Request) -> Response:
            cookie = session_text(request)
            signed_in = await self._sessions.recognise(cookie) if cookie else None
            if signed_in is None or cookie is None:
                return await _ask_to_sign_in(request)
            actor = signed_in.actor(request.path_params["workspace"])
            visit = Visit(request, self._cases, signed_in, actor, cookie)
            try:
                if route.method == "POST":
                    visit, token = await with_form(visit)
                    require_own_page(request, cookie, token)
                return await route.handler(visit)
            except CrossdockError as error:
                return _refuse(visit, error)

        return answer

    async def _lead_on(self, request: Request) -> Response:
        """To the page of a workspace that a path without one means."""
        cookie = session_text(request)
        signed_in = await self._sessions.recognise(cookie) if cookie else None
        if signed_in is None:
            return await _ask_to_sign_in(request)
        return await lead_on(request, self._cases, signed_in)


async def _ask_to_sign_in(request: Request) -> Response:
    """To the sign-in and back. What a form sent when its session was over is shown again, ready to be sent anew."""
    if request.method == "GET":
        here = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        path = sign_in_path(here)
        if request.headers.get("hx-request") == "true":
            return Response(status_code=204, headers={"hx-redirect": path})
        return RedirectResponse(path, 303)
    if is_from_own_page(request) is not True:
        return RedirectResponse("/sign-in", 303)
    form = await read_form(request)
    fields = form.without(TOKEN_FIELD).fields
    return html(render("sign_in/ended.html", action=request.url.path, fields=fields), 401)


def _refuse(visit: Visit, error: CrossdockError) -> Response:
    """A refusal as a page with the workspace around it; as a message where a part of a page was asked for."""
    told = problem_response(error)
    if visit.request.headers.get("hx-request") == "true":
        response = visit.part("refused.html", "message", told.status, message=str(error))
        response.headers["hx-retarget"] = "#notices"
        response.headers["hx-reswap"] = "beforeend"
        return response
    return visit.page("refused.html", told.status, code=told.status, message=str(error))


async def _show_error(request: Request, error: Exception) -> Response:
    """A page for people, a problem document for programs, where nobody is known."""
    ours = _as_ours(request, error)
    told = problem_response(ours)
    if "text/html" in request.headers.get("accept", ""):
        return html(render("error.html", status=told.status, message=str(ours)), told.status)
    response = Response(told.body, told.status)
    response.raw_headers = list(told.headers)
    return response


def _as_ours(request: Request, error: Exception) -> Exception:
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 404:
        return NotFound(f"There is no page at {request.url.path[:200]}.")
    allowed = (error.headers or {}).get("Allow", "GET").split(", ")
    return MethodNotAllowed(f"{request.method[:20]} is not possible at {request.url.path[:200]}.", tuple(allowed))
