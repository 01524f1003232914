"""One's own account: the password, and where one is signed in."""

from __future__ import annotations

from math import ceil
from typing import Any

from starlette.responses import Response

from crossdock.manage.sessions import SignInRefused, Throttled
from crossdock.model.errors import Invalid
from crossdock.ui.forms import NO_ERRORS, Errors
from crossdock.ui.visit import Visit, reads, writes

PAGE = "settings/account.html"
MOST_SESSIONS = 100
"""That somebody has at once: the store ends the oldest beyond them."""


async def show_first(visit: Visit) -> Response:
    """The settings begin with what everybody has."""
    return visit.go(visit.path("settings", "me"))


async def show(visit: Visit) -> Response:
    return await _page(visit)


async def change_password(visit: Visit) -> Response:
    current, new, again = (visit.sent.raw(name) for name in ("current", "password", "again"))
    if new != again:
        return await _page(visit, 422, errors=Errors({"again": "is not the same as the new password"}))
    address = visit.request.client.host if visit.request.client is not None else ""
    sessions = visit.cases.sessions
    try:
        refused = await sessions.change_password(visit.signed_in, current, new, source_ip=address)
    except Invalid as error:
        return await _page(visit, 422, errors=Errors.of(error))
    match refused:
        case SignInRefused():
            return await _page(visit, 422, errors=Errors({"current": "is not your password"}))
        case Throttled(retry_after_seconds=seconds):
            words = f"Too many tries failed. Wait {ceil(seconds)} seconds, then try again."
            return await _page(visit, 429, errors=Errors({}, words))
        case None:
            return visit.go(visit.path("settings", "me"), "The password is changed; all other sessions have ended.")


async def end_session(visit: Visit) -> Response:
    await visit.cases.sessions.end(visit.signed_in, visit.parameter("session_id"))
    return visit.go(visit.path("settings", "me"), "That session has ended.")


async def end_others(visit: Visit) -> Response:
    await visit.cases.sessions.end_others(visit.signed_in)
    return visit.go(visit.path("settings", "me"), "All other sessions have ended.")


async def _page(visit: Visit, status: int = 200, **names: Any) -> Response:
    given: dict[str, Any] = {"errors": NO_ERRORS, **names}
    found = await visit.cases.sessions.page(visit.signed_in, limit=MOST_SESSIONS)
    return visit.page(PAGE, status, sessions=found.items, **given)


routes = (
    reads("/settings", show_first),
    reads("/settings/me", show),
    writes("/settings/me/password", change_password),
    writes("/settings/me/sessions/end-others", end_others),
    writes("/settings/me/sessions/{session_id}/end", end_session),
)
