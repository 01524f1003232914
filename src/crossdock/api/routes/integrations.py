"""Integrations with their keys and signing secrets, and what happens in them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from crossdock.api import documents
from crossdock.api.answering import answer, answer_nothing, answer_page
from crossdock.api.cases import Cases
from crossdock.api.describing import reads, takes, writes
from crossdock.api.documents import PageOf
from crossdock.api.reading import PAGE, Cursor, JsonBody, Limit, Who, checked
from crossdock.manage.documents import IntegrationPart
from crossdock.manage.keys import KeyChange, NewKey

routes = APIRouter(prefix="/api/v1", tags=["integrations"])

Search = Annotated[str, Query(max_length=200, description="Part of a name or path, upper and lower case alike.")]


@routes.get("/integrations", **reads(PageOf[documents.IntegrationLine]))
async def list_integrations(
    cases: Cases,
    who: Who,
    q: Search = "",
    kind: Annotated[str | None, Query(alias="type", max_length=64)] = None,
    status: Literal["enabled", "disabled"] | None = None,
    health: Annotated[
        str | None, Query(max_length=100, description="One or several states of health, divided by commas.")
    ] = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Integrations by name, without their workflows."""
    return answer_page(
        await cases.integrations.page(who, q=q, type=kind, status=status, health=health, limit=limit, cursor=cursor)
    )


@routes.post("/integrations", **writes(documents.Integration, 201), openapi_extra=takes(IntegrationPart))
async def create_integration(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Make an integration. What is left out comes from its type."""
    made = await cases.integrations.create(who, document)
    return answer(made, 201, location=f"/api/v1/integrations/{made['id']}")


@routes.get("/integrations/{integration_id}", **reads(documents.Integration))
async def show_integration(cases: Cases, who: Who, integration_id: str) -> Response:
    """The whole document, without secrets."""
    return answer(await cases.integrations.show(who, integration_id))


@routes.patch("/integrations/{integration_id}", **writes(documents.Integration), openapi_extra=takes(None))
async def change_integration(cases: Cases, who: Who, integration_id: str, document: JsonBody) -> Response:
    """Merge a part of the document (RFC 7396): null removes. `revision` makes the change depend on it."""
    return answer(await cases.integrations.change(who, integration_id, document))


@routes.delete("/integrations/{integration_id}", **writes(None, 204))
async def delete_integration(cases: Cases, who: Who, integration_id: str) -> Response:
    """Delete with keys, workflows and secrets. Unfinished runs are canceled."""
    await cases.integrations.delete(who, integration_id)
    return answer_nothing()


@routes.get("/integrations/{integration_id}/signing-secret", **reads(documents.SigningSecret))
async def show_signing_secret(cases: Cases, who: Who, integration_id: str) -> Response:
    """The secret that replies are signed with (Standard Webhooks), for the receiver."""
    return answer({"signing_secret": await cases.integrations.signing_secret(who, integration_id)})


@routes.post("/integrations/{integration_id}/signing-secret/rotate", **writes(documents.SigningSecret))
async def rotate_signing_secret(cases: Cases, who: Who, integration_id: str) -> Response:
    """Replace the signing secret at once."""
    return answer({"signing_secret": await cases.integrations.rotate_signing_secret(who, integration_id)})


# --- keys ------------------------------------------------------------------------------------------------------------


@routes.get("/integrations/{integration_id}/keys", **reads(PageOf[documents.Key]))
async def list_keys(
    cases: Cases, who: Who, integration_id: str, limit: Limit = PAGE, cursor: Cursor = None
) -> Response:
    """The API keys, oldest first, known by their labels and last characters."""
    return answer_page(await cases.keys.page(who, integration_id, limit=limit, cursor=cursor))


@routes.post("/integrations/{integration_id}/keys", **writes(documents.AddedKey, 201), openapi_extra=takes(NewKey))
async def add_key(cases: Cases, who: Who, integration_id: str, document: JsonBody) -> Response:
    """Add a key: a given one, or a new one. Its text is told this once."""
    wanted = checked(NewKey, document, "the key")
    made = await cases.keys.add(who, integration_id, wanted.label, wanted.key, wanted.expires_at)
    return answer(made, 201, location=f"/api/v1/integrations/{integration_id}/keys/{made['id']}")


@routes.get("/integrations/{integration_id}/keys/{key_id}", **reads(documents.Key))
async def show_key(cases: Cases, who: Who, integration_id: str, key_id: str) -> Response:
    """One key."""
    return answer(await cases.keys.show(who, integration_id, key_id))


@routes.patch("/integrations/{integration_id}/keys/{key_id}", **writes(documents.Key), openapi_extra=takes(KeyChange))
async def change_key(cases: Cases, who: Who, integration_id: str, key_id: str, document: JsonBody) -> Response:
    """Relabel a key, disable or enable it, set or lift (null) its end."""
    return answer(await cases.keys.change(who, integration_id, key_id, document))


@routes.delete("/integrations/{integration_id}/keys/{key_id}", **writes(None, 204))
async def delete_key(cases: Cases, who: Who, integration_id: str, key_id: str) -> Response:
    """Forget a key: calls with it are refused from now on."""
    await cases.keys.delete(who, integration_id, key_id)
    return answer_nothing()


# --- what happens in them --------------------------------------------------------------------------------------------


@routes.get("/integrations/{integration_id}/stats", **reads(documents.Stats))
async def show_stats(
    cases: Cases,
    who: Who,
    integration_id: str,
    start: str | None = None,
    end: str | None = None,
    interval: str | None = None,
) -> Response:
    """Counts, rates and times by interval: the last 24 hours by the hour, or `start`, `end` and `interval` (PT5M)."""
    return answer(await cases.stats.show(who, integration_id, start=start, end=end, interval=interval))


@routes.get("/integrations/{integration_id}/lanes", **reads(PageOf[documents.Lane]))
async def list_lanes(
    cases: Cases, who: Who, integration_id: str, limit: Limit = PAGE, cursor: Cursor = None
) -> Response:
    """The lanes of an ordered integration in which something waits."""
    return answer_page(await cases.lanes.page(who, integration_id, limit=limit, cursor=cursor))
