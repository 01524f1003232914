"""API tokens of the workspace: for programs, with a role and an end."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from crossdock.clock import system_now
from crossdock.model.errors import Invalid
from crossdock.model.time import format_instant, later
from crossdock.ui.forms import NO_ERRORS, Errors
from crossdock.ui.visit import Visit, reads, writes

LIST = "settings/tokens.html"
DAYS = (("30", "30 days"), ("90", "90 days"), ("365", "One year"), ("", "Never"))


async def show(visit: Visit) -> Response:
    return await _list(visit)


async def create(visit: Visit) -> Response:
    """The token's text is shown on this answer alone."""
    form = visit.sent
    days = form.text("days")
    ends = format_instant(later(system_now(), int(days) * 86_400.0)) if days.isdecimal() and len(days) < 5 else None
    try:
        made = await visit.cases.tokens.create(visit.actor, form.text("name"), form.text("role"), ends)
    except Invalid as error:
        return await _list(visit, 422, errors=Errors.of(error), typed=form)
    return await _list(visit, 201, made=made)


async def revoke(visit: Visit) -> Response:
    await visit.cases.tokens.revoke(visit.actor, visit.parameter("token_id"))
    return visit.go(visit.path("settings", "tokens"), "The token is revoked: it is refused from now on.")


async def _list(visit: Visit, status: int = 200, **names: Any) -> Response:
    found = await visit.cases.tokens.page(visit.actor, cursor=visit.cursor)
    given: dict[str, Any] = {"errors": NO_ERRORS, "typed": visit.sent, "made": None, **names}
    return visit.page(LIST, status, tokens=found.items, next=found.next, fields=visit.fields, days=DAYS, **given)


routes = (
    reads("/settings/tokens", show),
    writes("/settings/tokens", create),
    writes("/settings/tokens/{token_id}/revoke", revoke),
)
