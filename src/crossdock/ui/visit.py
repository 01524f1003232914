"""One request of somebody who is signed in: who asks, in which workspace, and how to answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from crossdock.manage.actor import ROLES, Actor, Role
from crossdock.manage.administration import is_administrator
from crossdock.manage.sessions import SignedIn
from crossdock.manage.use_cases import UseCases
from crossdock.ui.cookies import LAST_WORKSPACE, keep_last_workspace
from crossdock.ui.forms import NO_FORM, Form, read_form, without_nul
from crossdock.ui.origin import TOKEN_FIELD, TOKEN_HEADER, page_token
from crossdock.ui.rendering import html, render, render_part
from crossdock.ui.said import Said, forget_said, keep_said, read_said

ScreenHandler: TypeAlias = "Callable[[Visit], Awaitable[Response]]"


@dataclass(frozen=True, slots=True)
class ScreenRoute:
    """A page or a deed of a screen; `path` stands after `/w/{workspace}`."""

    path: str
    handler: ScreenHandler
    method: str


def reads(path: str, handler: ScreenHandler) -> ScreenRoute:
    """A page: GET changes nothing."""
    return ScreenRoute(path, handler, "GET")


def writes(path: str, handler: ScreenHandler) -> ScreenRoute:
    """What a form does: POST, from a page of ours only."""
    return ScreenRoute(path, handler, "POST")


@dataclass(frozen=True, slots=True)
class Visit:
    """A request, its actor and the use cases. Handlers of screens get this and answer with one of its methods."""

    request: Request
    cases: UseCases
    signed_in: SignedIn
    actor: Actor
    cookie: str
    """The session's secret text: for the page's token alone."""
    sent: Form = NO_FORM
    """The form of a POST."""

    # --- what was asked ----------------------------------------------------------------------------------------------

    def parameter(self, name: str) -> str:
        """A parameter of the path."""
        return without_nul(str(self.request.path_params[name]))

    def query(self, name: str, otherwise: str = "") -> str:
        """A field of the URL's query, without white space around it."""
        return without_nul(self.request.query_params.get(name, otherwise)).strip()

    @property
    def cursor(self) -> str | None:
        """Where a list goes on; None at its beginning."""
        return self.query("cursor") or None

    @property
    def fields(self) -> dict[str, list[str]]:
        """The URL's query, to make links that change one field of it."""
        query = self.request.query_params
        return {name: query.getlist(name) for name in query}

    @property
    def is_partial(self) -> bool:
        """Whether a part of the page is asked for, to be put into the page that is open."""
        return self.request.headers.get("hx-request-type") == "partial"

    def can(self, role: Role) -> bool:
        """Whether the actor has this role or a higher one."""
        return ROLES.index(self.actor.role) >= ROLES.index(role)

    @property
    def is_administrator(self) -> bool:
        """Whether the actor administers the installation, here and now."""
        return is_administrator(self.actor)

    # --- where things are --------------------------------------------------------------------------------------------

    def path(self, *parts: str) -> str:
        """The path of a page of this workspace: `path("events", id)`."""
        return "/".join(["", "w", self.actor.workspace, *(quote(part, safe="") for part in parts)])

    @property
    def workspace_name(self) -> str:
        """The name of this workspace, for people."""
        return next(one.name for one in self.signed_in.memberships if one.slug == self.actor.workspace)

    @property
    def here(self) -> str:
        """The path and query of this page."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    # --- how to answer -----------------------------------------------------------------------------------------------

    def page(self, template: str, status: int = 200, **names: Any) -> Response:
        """The whole page."""
        said = read_said(self.request)
        response = html(render(template, **self._names(), said=said, **names), status)
        if said is not None:
            forget_said(self.request, response)
        if self.request.cookies.get(LAST_WORKSPACE) != self.actor.workspace:
            keep_last_workspace(self.request, response, self.actor.workspace)
        return response

    def part(self, template: str, block: str, status: int = 200, **names: Any) -> Response:
        """One block of the page's template."""
        return html(render_part(template, block, **self._names(), said=None, **names), status)

    def show(self, template: str, block: str, status: int = 200, **names: Any) -> Response:
        """The block when a part of the page is asked for, the whole page otherwise."""
        if self.is_partial:
            return self.part(template, block, status, **names)
        return self.page(template, status, **names)

    def go(self, path: str, said: str = "", *, tone: str = "good", undo: str = "", **fields: str) -> Response:
        """On to a page after a deed, which there is told of. `undo` is the path of the deed that takes it back, and
        `fields` is what its form sends."""
        if self.request.headers.get("hx-request") == "true":
            response = Response(status_code=204, headers={"hx-redirect": path})
        else:
            response = RedirectResponse(path, 303)
        if said:
            keep_said(self.request, response, Said(said, tone, undo, tuple(fields.items())))
        return response

    def load_anew(self) -> Response:
        """Have the whole page loaded once more, where a part of it was asked for."""
        return Response(status_code=204, headers={"hx-refresh": "true"})

    def _names(self) -> dict[str, Any]:
        return {"visit": self, "actor": self.actor, "path": self.path, "can": self.can, "page_token": self.page_token}

    @property
    def page_token(self) -> str:
        return page_token(self.cookie)


async def with_form(visit: Visit) -> tuple[Visit, str]:
    """The visit with its form read, and the page's token that came with it."""
    form = await read_form(visit.request)
    token = visit.request.headers.get(TOKEN_HEADER) or form.text(TOKEN_FIELD)
    read = Visit(visit.request, visit.cases, visit.signed_in, visit.actor, visit.cookie, form)
    return read, token
