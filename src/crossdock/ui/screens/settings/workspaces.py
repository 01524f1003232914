"""Workspaces: made, renamed, and deleted when they are empty."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from crossdock.model.errors import Invalid
from crossdock.model.outcome import Json
from crossdock.ui.forms import NO_ERRORS, Errors
from crossdock.ui.visit import Visit, reads, writes

LIST = "settings/workspaces.html"


async def show(visit: Visit) -> Response:
    visit.actor.require("admin")
    return await _list(visit)


async def create(visit: Visit) -> Response:
    document: Json = {"slug": visit.sent.text("slug")}
    if visit.sent.text("name"):
        document["name"] = visit.sent.text("name")
    try:
        made = await visit.cases.workspaces.create(visit.actor, document)
    except Invalid as error:
        return await _list(visit, 422, errors=Errors.of(error))
    return visit.go(f"/w/{made['slug']}", f"The workspace {made['name']} is ready.")


async def rename(visit: Visit) -> Response:
    slug = visit.parameter("slug")
    try:
        await visit.cases.workspaces.change(visit.actor, slug, {"name": visit.sent.text("name")})
    except Invalid as error:
        return await _list(visit, 422, errors=Errors({}, str(error)))
    return visit.go(visit.path("settings", "workspaces"), "Renamed.")


async def delete(visit: Visit) -> Response:
    await visit.cases.workspaces.delete(visit.actor, visit.parameter("slug"))
    return visit.go(visit.path("settings", "workspaces"), "The workspace is deleted.")


async def _list(visit: Visit, status: int = 200, **names: Any) -> Response:
    found = await visit.cases.workspaces.page(visit.actor, cursor=visit.cursor)
    given: dict[str, Any] = {"errors": NO_ERRORS, "typed": visit.sent, **names}
    return visit.page(LIST, status, workspaces=found.items, next=found.next, fields=visit.fields, **given)


routes = (
    reads("/settings/workspaces", show),
    writes("/settings/workspaces", create),
    writes("/settings/workspaces/{slug}/rename", rename),
    writes("/settings/workspaces/{slug}/delete", delete),
)
