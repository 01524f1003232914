"""The catalog of external systems, tokens, settings, nodes and what waits for them."""

from __future__ import annotations

from fastapi import APIRouter, Response

from crossdock.api import documents, fleet_documents
from crossdock.api.answering import answer, answer_nothing, answer_page
from crossdock.api.cases import Cases
from crossdock.api.describing import reads, takes, writes
from crossdock.api.documents import PageOf
from crossdock.api.reading import PAGE, Cursor, JsonBody, Limit, Who, checked
from crossdock.manage.administration import require_administrator
from crossdock.manage.integrations import external_systems
from crossdock.manage.paging import Page

routes = APIRouter(prefix="/api/v1", tags=["installation"])


@routes.get("/external-systems", **reads(PageOf[documents.ExternalSystem]))
async def list_external_systems(_who: Who) -> Response:
    """The types that an integration can have, with their fields, defaults, help and samples."""
    return answer_page(Page(external_systems()))


@routes.get("/tokens", **reads(PageOf[documents.Token]))
async def list_tokens(cases: Cases, who: Who, limit: Limit = PAGE, cursor: Cursor = None) -> Response:
    """The API tokens of the workspace, oldest first."""
    return answer_page(await cases.tokens.page(who, limit=limit, cursor=cursor))


@routes.post("/tokens", **writes(documents.CreatedToken, 201), openapi_extra=takes(documents.NewToken))
async def create_token(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Make an API token. Its text is told this once."""
    wanted = checked(documents.NewToken, document, "the token")
    made = await cases.tokens.create(who, wanted.name, wanted.role, wanted.expires_at)
    return answer(made, 201, location=f"/api/v1/tokens/{made['id']}")


@routes.delete("/tokens/{token_id}", **writes(None, 204))
async def revoke_token(cases: Cases, who: Who, token_id: str) -> Response:
    """Revoke an API token: it is refused from now on."""
    await cases.tokens.revoke(who, token_id)
    return answer_nothing()


@routes.get("/settings", **reads(PageOf[documents.Setting]))
async def list_settings(cases: Cases, who: Who) -> Response:
    """The settings in force, for administrators. Secrets only say whether they are set."""
    require_administrator(who)
    return answer_page(Page(cases.settings()))


@routes.get("/about", **reads(fleet_documents.About))
async def show_about(cases: Cases, who: Who) -> Response:
    """The version of this program, and the database under it."""
    return answer(await cases.fleet.about(who))


@routes.get("/nodes", **reads(PageOf[fleet_documents.Node]))
async def list_nodes(cases: Cases, who: Who) -> Response:
    """The processes that work on this database: their state, their clocks, and what they hold."""
    return answer_page(await cases.fleet.nodes(who))


@routes.get("/backlog", **reads(PageOf[fleet_documents.Backlog]))
async def list_backlog(cases: Cases, who: Who, limit: Limit = PAGE, cursor: Cursor = None) -> Response:
    """The integrations with unfinished work, the one with most first; and their deepest lanes with why each waits."""
    return answer_page(await cases.fleet.backlog(who, limit=limit, cursor=cursor))
