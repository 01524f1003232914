"""Paths without a workspace, such as `/integrations/int_...` in a notification: where they lead whoever asks."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from crossdock.manage.sessions import SignedIn
from crossdock.manage.use_cases import UseCases
from crossdock.model.errors import NotFound
from crossdock.ui.cookies import LAST_WORKSPACE

_LISTS = ("integrations", "events", "notification-webhooks", "connections", "settings")


async def lead_on(request: Request, cases: UseCases, signed_in: SignedIn) -> Response:
    """To the same page in the workspace that has the thing, or in the one that was looked at last."""
    first, _, rest = request.path_params["path"].partition("/")
    query = f"?{request.url.query}" if request.url.query else ""
    if first == "w" and rest.strip("/") and rest.endswith("/"):  # typed by hand with a slash too many
        return RedirectResponse(quote("/w/" + rest.strip("/")) + query, 303)
    if first and first not in _LISTS:
        raise NotFound(f"There is no page at {request.url.path[:200]}.")
    slug = await _workspace_of(cases, signed_in, first, rest.partition("/")[0]) or _last_workspace(request, signed_in)
    tail = request.url.path.rstrip("/")
    return RedirectResponse(f"/w/{slug}{tail}{query}", 303)


def _last_workspace(request: Request, signed_in: SignedIn) -> str:
    slugs = [membership.slug for membership in signed_in.memberships]
    last = request.cookies.get(LAST_WORKSPACE)
    return last if last in slugs else signed_in.shown_first


async def _workspace_of(cases: UseCases, signed_in: SignedIn, kind: str, thing_id: str) -> str | None:
    show = {
        "integrations": cases.integrations.show,
        "events": cases.events.show,
        "connections": cases.connections.show,
        "notification-webhooks": cases.webhooks.show,
    }.get(kind)
    if show is None or not thing_id or thing_id == "new":
        return None
    for membership in signed_in.memberships:
        try:
            await show(signed_in.actor(membership.slug), thing_id)
        except NotFound:
            continue
        return membership.slug
    return None
