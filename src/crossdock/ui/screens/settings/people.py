"""People: who is a member of which workspace with which role, and how somebody gets in for the first time."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from crossdock.model.errors import CrossdockError, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.ui.forms import NO_ERRORS, Errors
from crossdock.ui.visit import Visit, reads, writes

LIST, ONE = "settings/people.html", "settings/person.html"
MOST_WORKSPACES = 200


async def show_list(visit: Visit) -> Response:
    return await _list(visit)


async def create(visit: Visit) -> Response:
    """A new user with a role here, and the link for the first password: it is shown on this answer alone."""
    form = visit.sent
    document: Json = {"login": form.text("login"), "memberships": {visit.actor.workspace: form.text("role", "viewer")}}
    if form.text("name"):
        document["name"] = form.text("name")
    try:
        made = await visit.cases.users.create(visit.actor, document)
    except Invalid as error:
        return await _list(visit, 422, errors=Errors.of(error), typed=form)
    return await _one(visit, made["id"], 201, link=made["link"])


async def add_member(visit: Visit) -> Response:
    """Somebody who has an account already becomes a member of this workspace."""
    login, role = visit.sent.text("login"), visit.sent.text("role", "viewer")
    try:
        await visit.cases.users.set_member(visit.actor, visit.actor.workspace, login, {"role": role})
    except Invalid as error:
        return await _list(visit, 422, member_errors=Errors.of(error), typed=visit.sent)
    except NotFound:
        wrong = Errors({"login": "nobody has this login; an administrator can add a new user"})
        return await _list(visit, 422, member_errors=wrong, typed=visit.sent)
    return visit.go(visit.path("settings", "people"), f"{login} is a member of this workspace now.")


async def show_one(visit: Visit) -> Response:
    return await _one(visit, visit.parameter("user_id"))


async def save(visit: Visit) -> Response:
    """Name, roles, and whether the user may sign in."""
    user_id, form = visit.parameter("user_id"), visit.sent
    roles = zip(form.all("role.workspace"), form.all("role.role"), strict=False)
    patch: Json = {"memberships": {slug: role or None for slug, role in roles}}
    if visit.is_administrator:
        patch |= {"name": form.text("name"), "disabled": not form.is_on("enabled")}
    try:
        await visit.cases.users.change(visit.actor, user_id, patch)
    except Invalid as error:
        return await _one(visit, user_id, 422, errors=Errors.of(error))
    return visit.go(visit.path("settings", "people"), "Saved. It holds from the next click of that person on.")


async def make_link(visit: Visit) -> Response:
    user_id = visit.parameter("user_id")
    return await _one(visit, user_id, 201, link=await visit.cases.users.link(visit.actor, user_id))


async def end_sessions(visit: Visit) -> Response:
    user_id = visit.parameter("user_id")
    await visit.cases.users.end_sessions(visit.actor, user_id)
    return visit.go(visit.path("settings", "people", user_id), "Signed out everywhere.")


async def end_session(visit: Visit) -> Response:
    user_id = visit.parameter("user_id")
    await visit.cases.users.end_session(visit.actor, user_id, visit.parameter("session_id"))
    return visit.go(visit.path("settings", "people", user_id), "That session has ended.")


async def delete(visit: Visit) -> Response:
    await visit.cases.users.delete(visit.actor, visit.parameter("user_id"))
    return visit.go(visit.path("settings", "people"), "The user is deleted and signed out.")


async def _list(visit: Visit, status: int = 200, **names: Any) -> Response:
    found = await visit.cases.users.page(visit.actor, q=visit.query("q"), cursor=visit.cursor)
    given: dict[str, Any] = {"errors": NO_ERRORS, "member_errors": NO_ERRORS, "typed": visit.sent, **names}
    return visit.page(LIST, status, users=found.items, next=found.next, fields=visit.fields, **given)


async def _one(visit: Visit, user_id: str, status: int = 200, **names: Any) -> Response:
    user = await visit.cases.users.show(visit.actor, user_id)
    found = await visit.cases.workspaces.page(visit.actor, limit=MOST_WORKSPACES)
    try:
        sessions = (await visit.cases.users.sessions(visit.actor, user_id, limit=20)).items
    except CrossdockError:  # for administrators only
        sessions = []
    given: dict[str, Any] = {"errors": NO_ERRORS, "link": None, **names}
    return visit.page(ONE, status, user=user, workspaces=found.items, sessions=sessions, **given)


routes = (
    reads("/settings/people", show_list),
    writes("/settings/people", create),
    writes("/settings/people/members", add_member),
    reads("/settings/people/{user_id}", show_one),
    writes("/settings/people/{user_id}", save),
    writes("/settings/people/{user_id}/link", make_link),
    writes("/settings/people/{user_id}/sessions/end", end_sessions),
    writes("/settings/people/{user_id}/sessions/{session_id}/end", end_session),
    writes("/settings/people/{user_id}/delete", delete),
)
