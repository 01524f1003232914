"""Users, their links and sessions, and who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from crossdock.api.answering import answer, answer_nothing, answer_page
from crossdock.api.cases import Cases
from crossdock.api.describing import reads, takes, writes
from crossdock.api.documents import PageOf
from crossdock.api.people_documents import CreatedUser, Me, Session, SignInLink, User
from crossdock.api.reading import PAGE, Cursor, JsonBody, Limit, Who
from crossdock.manage.user_documents import NewUser, UserPart

routes = APIRouter(prefix="/api/v1", tags=["people"])

Search = Annotated[str, Query(max_length=200, description="Part of a login or name, upper and lower case alike.")]


@routes.get("/me", **reads(Me))
async def show_me(cases: Cases, who: Who) -> Response:
    """Who asks, in which workspace, and with which role."""
    return answer(await cases.users.me(who))


@routes.get("/users", **reads(PageOf[User]))
async def list_users(cases: Cases, who: Who, q: Search = "", limit: Limit = PAGE, cursor: Cursor = None) -> Response:
    """Users by login: all for administrators, the members of the workspace for its admins."""
    return answer_page(await cases.users.page(who, q=q, limit=limit, cursor=cursor))


@routes.post("/users", **writes(CreatedUser, 201), openapi_extra=takes(NewUser))
async def create_user(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Make a user, with a one-time link to set a password by; it is told this once. Administrators only."""
    made = await cases.users.create(who, document)
    return answer(made, 201, location=f"/api/v1/users/{made['id']}")


@routes.get("/users/{user_id}", **reads(User))
async def show_user(cases: Cases, who: Who, user_id: str) -> Response:
    """One user."""
    return answer(await cases.users.show(who, user_id))


@routes.patch("/users/{user_id}", **writes(User), openapi_extra=takes(UserPart))
async def change_user(cases: Cases, who: Who, user_id: str, document: JsonBody) -> Response:
    """Merge a part of the document (RFC 7396): null in `memberships` takes a role away. Whoever is disabled is out."""
    return answer(await cases.users.change(who, user_id, document))


@routes.delete("/users/{user_id}", **writes(None, 204))
async def delete_user(cases: Cases, who: Who, user_id: str) -> Response:
    """Delete a user, who is signed out at once. 409 for the last administrator."""
    await cases.users.delete(who, user_id)
    return answer_nothing()


@routes.post("/users/{user_id}/link", **writes(SignInLink))
async def create_link(cases: Cases, who: Who, user_id: str) -> Response:
    """Make a one-time link to set a password by, told this once; those before it are of no use any more."""
    return answer(await cases.users.link(who, user_id))


@routes.get("/users/{user_id}/sessions", **reads(PageOf[Session]))
async def list_sessions(cases: Cases, who: Who, user_id: str, limit: Limit = PAGE, cursor: Cursor = None) -> Response:
    """Where a user is signed in, the newest first."""
    return answer_page(await cases.users.sessions(who, user_id, limit=limit, cursor=cursor))


@routes.delete("/users/{user_id}/sessions", **writes(None, 204))
async def end_sessions(cases: Cases, who: Who, user_id: str) -> Response:
    """Sign a user out everywhere; links that were not used yet end, too."""
    await cases.users.end_sessions(who, user_id)
    return answer_nothing()


@routes.delete("/users/{user_id}/sessions/{session_id}", **writes(None, 204))
async def end_session(cases: Cases, who: Who, user_id: str, session_id: str) -> Response:
    """Sign a user out in one browser."""
    await cases.users.end_session(who, user_id, session_id)
    return answer_nothing()
