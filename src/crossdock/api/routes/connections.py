"""Connections: stored addresses and credentials of the systems that steps call."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from crossdock.api.answering import answer, answer_nothing, answer_page
from crossdock.api.cases import Cases
from crossdock.api.connection_documents import Connection, ConnectionTested, ConnectionToSave, ConnectionUse
from crossdock.api.describing import reads, takes, writes
from crossdock.api.documents import PageOf
from crossdock.api.reading import PAGE, Cursor, JsonBody, Limit, OptionalJsonBody, Who

routes = APIRouter(prefix="/api/v1", tags=["connections"])

Search = Annotated[str, Query(max_length=200, description="Part of a name, upper and lower case alike.")]


@routes.get("/connections", **reads(PageOf[Connection]))
async def list_connections(
    cases: Cases,
    who: Who,
    q: Search = "",
    kind: Literal["http", "sql"] | None = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Connections by name, without secrets."""
    return answer_page(await cases.connections.page(who, q=q, kind=kind, limit=limit, cursor=cursor))


@routes.post("/connections", **writes(Connection, 201), openapi_extra=takes(ConnectionToSave))
async def create_connection(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Make a connection. Its secrets are kept encrypted and never shown again."""
    made = await cases.connections.create(who, document)
    return answer(made, 201, location=f"/api/v1/connections/{made['id']}")


@routes.post("/connections/test", **writes(ConnectionTested), openapi_extra=takes(ConnectionToSave))
async def test_unsaved_connection(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Use the connection that a document would make once; nothing is saved."""
    return answer(await cases.connections.test_unsaved(who, document))


@routes.get("/connections/{connection_id}", **reads(Connection))
async def show_connection(cases: Cases, who: Who, connection_id: str) -> Response:
    """The whole document, without secrets, and who uses it."""
    return answer(await cases.connections.show(who, connection_id))


@routes.patch("/connections/{connection_id}", **writes(Connection), openapi_extra=takes(None))
async def change_connection(cases: Cases, who: Who, connection_id: str, document: JsonBody) -> Response:
    """Merge a part of the document (RFC 7396). Secrets that it leaves out are kept. A used name can't be changed."""
    return answer(await cases.connections.change(who, connection_id, document))


@routes.delete("/connections/{connection_id}", **writes(None, 204))
async def delete_connection(cases: Cases, who: Who, connection_id: str) -> Response:
    """Delete with all secrets; 409 while a workflow or a draft uses it."""
    await cases.connections.delete(who, connection_id)
    return answer_nothing()


@routes.get("/connections/{connection_id}/used-by", **reads(PageOf[ConnectionUse]))
async def list_uses_of_connection(
    cases: Cases, who: Who, connection_id: str, limit: Limit = PAGE, cursor: Cursor = None
) -> Response:
    """The integrations whose published workflow or draft names it."""
    return answer_page(await cases.connections.used_by(who, connection_id, limit=limit, cursor=cursor))


@routes.post("/connections/{connection_id}/test", **writes(ConnectionTested), openapi_extra=takes(None, required=False))
async def test_connection(cases: Cases, who: Who, connection_id: str, document: OptionalJsonBody) -> Response:
    """Use it once: a GET of its `base_url`, or a question to its database. A body is merged first and not saved."""
    return answer(await cases.connections.test(who, connection_id, document))
