"""Workspaces and their members."""

from __future__ import annotations

from fastapi import APIRouter, Response

from crossdock.api.answering import answer, answer_nothing, answer_page
from crossdock.api.cases import Cases
from crossdock.api.describing import reads, takes, writes
from crossdock.api.documents import CreatedToken, NewToken, PageOf
from crossdock.api.people_documents import User, Workspace
from crossdock.api.reading import PAGE, Cursor, JsonBody, Limit, Who, checked
from crossdock.manage.user_documents import Member, NewWorkspace, WorkspacePart

routes = APIRouter(prefix="/api/v1", tags=["people"])


@routes.get("/workspaces", **reads(PageOf[Workspace]))
async def list_workspaces(cases: Cases, who: Who, limit: Limit = PAGE, cursor: Cursor = None) -> Response:
    """Workspaces by slug: all for administrators, its own one for everybody else."""
    return answer_page(await cases.workspaces.page(who, limit=limit, cursor=cursor))


@routes.post("/workspaces", **writes(Workspace, 201), openapi_extra=takes(NewWorkspace))
async def create_workspace(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Make a workspace. Its slug stands in the addresses of its endpoints, and never changes."""
    made = await cases.workspaces.create(who, document)
    return answer(made, 201, location=f"/api/v1/workspaces/{made['slug']}")


@routes.get("/workspaces/{slug}", **reads(Workspace))
async def show_workspace(cases: Cases, who: Who, slug: str) -> Response:
    """One workspace."""
    return answer(await cases.workspaces.show(who, slug))


@routes.patch("/workspaces/{slug}", **writes(Workspace), openapi_extra=takes(WorkspacePart))
async def change_workspace(cases: Cases, who: Who, slug: str, document: JsonBody) -> Response:
    """Give another name."""
    return answer(await cases.workspaces.change(who, slug, document))


@routes.delete("/workspaces/{slug}", **writes(None, 204))
async def delete_workspace(cases: Cases, who: Who, slug: str) -> Response:
    """Delete an empty workspace, with its memberships and API tokens; 409 says what is in it."""
    await cases.workspaces.delete(who, slug)
    return answer_nothing()


@routes.post("/workspaces/{slug}/tokens", **writes(CreatedToken, 201), openapi_extra=takes(NewToken))
async def create_token_of_workspace(cases: Cases, who: Who, slug: str, document: JsonBody) -> Response:
    """Make an API token of another workspace, the first one of a new workspace for example. Administrators only."""
    wanted = checked(NewToken, document, "the token")
    made = await cases.workspaces.create_token(who, slug, wanted.name, wanted.role, wanted.expires_at)
    return answer(made, 201, location=f"/api/v1/tokens/{made['id']}")


@routes.put("/workspaces/{slug}/members/{login}", **writes(User), openapi_extra=takes(Member))
async def set_member(cases: Cases, who: Who, slug: str, login: str, document: JsonBody) -> Response:
    """Let a user who exists be a member with a role."""
    return answer(await cases.users.set_member(who, slug, login, document))


@routes.delete("/workspaces/{slug}/members/{login}", **writes(None, 204))
async def remove_member(cases: Cases, who: Who, slug: str, login: str) -> Response:
    """Let a user be no member any more."""
    await cases.users.remove_member(who, slug, login)
    return answer_nothing()
