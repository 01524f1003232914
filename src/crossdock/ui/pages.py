"""The pages and what their forms do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import Any, Protocol, TypeAlias
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router

from crossdock.clock import Clock
from crossdock.manage.actor import ROLES, Actor
from crossdock.manage.integrations import Integrations
from crossdock.manage.tokens import Tokens
from crossdock.model.errors import CrossdockError, Invalid, Malformed, MethodNotAllowed, NotFound, TooLarge
from crossdock.server.app import Receive, Scope, Send
from crossdock.server.problems import problem_response
from crossdock.store import Store
from crossdock.ui.origin import require_own_page
from crossdock.ui.sign_in import Sessions, forget_session, keep_session

FORM_BYTES = 64 * 1024
FORM_FIELDS = 50
SHOWN_INTEGRATIONS = 200

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
SignedInHandler: TypeAlias = Callable[[Request, Actor], Awaitable[Response]]

_templates = Environment(loader=PackageLoader("crossdock.ui"), autoescape=True, undefined=StrictUndefined)


class UseCases(Protocol):
    """What the pages work with."""

    @property
    def integrations(self) -> Integrations: ...
    @property
    def tokens(self) -> Tokens: ...


class Pages:
    """The ASGI application behind `/`."""

    def __init__(self, store: Store, cases: UseCases, clock: Clock) -> None:
        self._cases = cases
        self._sessions = Sessions(store, cases.tokens, clock)
        # Not a whole Starlette: its outermost part would answer unexpected errors in its own way and raise them again.
        routes = Router(
            [
                Route("/", self._for_signed_in(self._show_integrations)),
                Route("/sign-in", self._show_sign_in, methods=["GET"]),
                Route("/sign-in", self._sign_in, methods=["POST"]),
                Route("/sign-out", self._sign_out, methods=["POST"]),
                Route("/tokens", self._for_signed_in(self._create_token), methods=["POST"]),
                Route("/static/{name}", _static),
            ],
            redirect_slashes=False,
        )
        self._app = ExceptionMiddleware(routes, {CrossdockError: _show_error, HTTPException: _show_error})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # makes the router raise for unknown paths and methods instead of answering in plain text
        await self._app(scope, receive, send)

    def _for_signed_in(self, handler: SignedInHandler) -> Handler:
        async def answer(request: Request) -> Response:
            if request.method == "POST":
                require_own_page(request)
            actor = await self._sessions.actor(request)
            if actor is None:
                return RedirectResponse("/sign-in", 303)
            return await handler(request, actor)

        return answer

    # --- signing in ----------------------------------------------------------------------------------------------

    async def _show_sign_in(self, request: Request) -> Response:
        link = request.query_params.get("token", "")
        good = bool(link) and await self._sessions.is_good_link(link)
        error = "" if good or not link else "This sign-in link was used already, or is over."
        return page("sign_in.html", link=link if good else "", error=error)

    async def _sign_in(self, request: Request) -> Response:
        require_own_page(request)
        form = await read_form(request)
        link, token = form.get("link", ""), form.get("token", "").strip()
        if link:
            text = await self._sessions.begin_with_link(link)
            error = "This sign-in link was used already, or is over."
        else:
            text = await self._sessions.begin_with_token(token)
            error = "This is not an API token of an admin."
        if text is None:
            return page("sign_in.html", 403, link="", error=error)
        response = RedirectResponse("/", 303)
        keep_session(request, response, text)
        return response

    async def _sign_out(self, request: Request) -> Response:
        require_own_page(request)
        await self._sessions.end(request)
        response = RedirectResponse("/sign-in", 303)
        forget_session(request, response)
        return response

    # --- signed in -----------------------------------------------------------------------------------------------

    async def _show_integrations(self, _request: Request, actor: Actor) -> Response:
        return await self._overview(actor)

    async def _create_token(self, request: Request, actor: Actor) -> Response:
        form = await read_form(request)
        name, role = form.get("name", "").strip(), form.get("role", "")
        try:
            made = await self._cases.tokens.create(actor, name, role)
        except Invalid as error:
            messages = {one.field: one.message for one in error.errors}
            return await self._overview(actor, 422, name=name, role=role, errors=messages)
        return await self._overview(actor, 201, made=made)

    async def _overview(self, actor: Actor, status: int = 200, **more: Any) -> Response:
        found = await self._cases.integrations.page(actor, limit=SHOWN_INTEGRATIONS)
        shown = {"name": "", "role": "operator", "errors": {}, "made": None, **more}
        return page(
            "integrations.html",
            status,
            workspace=actor.workspace,
            integrations=found.items,
            has_more=found.next is not None,
            roles=ROLES,
            **shown,
        )


def page(template: str, status: int = 200, **names: Any) -> Response:
    """A page that no cache keeps."""
    text = _templates.get_template(template).render(names)
    return Response(text, status, {"cache-control": "no-store"}, media_type="text/html; charset=utf-8")


async def read_form(request: Request) -> dict[str, str]:
    """The text fields of a form; Invalid when it is no plain form, TooLarge over 64 KiB."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Invalid("this page takes plain forms only")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_BYTES:
                raise TooLarge(f"a form has {FORM_BYTES} bytes at most")
    except ClientDisconnect:
        raise Malformed("the form broke off") from None
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FORM_FIELDS))
    except ValueError:
        raise Invalid(f"a form has {FORM_FIELDS} fields at most") from None


async def _show_error(request: Request, error: Exception) -> Response:
    """A page for people, a problem document for programs."""
    told = problem_response(_as_ours(request, error))
    if "text/html" not in request.headers.get("accept", ""):
        response = Response(told.body, told.status)
        response.raw_headers = list(told.headers)
        return response
    return page("error.html", told.status, code=told.status, message=str(_as_ours(request, error)))


def _as_ours(request: Request, error: Exception) -> Exception:
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 404:
        return NotFound(f"There is no page at {request.url.path[:200]}.")
    allowed = (error.headers or {}).get("Allow", "GET").split(", ")
    return MethodNotAllowed(f"{request.method[:20]} is not possible at {request.url.path[:200]}.", tuple(allowed))


_TYPES = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _TYPES:
        raise NotFound(f"There is no file {name[:100]} here.")
    headers = {"cache-control": "max-age=3600", "content-type": _TYPES[name]}
    return Response(_read(name), headers=headers)


@cache
def _read(name: str) -> bytes:
    return files("crossdock.ui").joinpath("static", name).read_bytes()
