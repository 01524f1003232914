"""Workflows of an integration: what is published, versions, the draft."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from crossdock.api import workflow_documents as documents
from crossdock.api.answering import answer, answer_nothing, answer_page
from crossdock.api.cases import Cases
from crossdock.api.describing import reads, takes, writes
from crossdock.api.documents import PageOf
from crossdock.api.reading import (
    PAGE,
    Cursor,
    JsonBody,
    Limit,
    OptionalJsonBody,
    Who,
    checked,
)

routes = APIRouter(
    prefix="/api/v1/integrations/{integration_id}/workflow",
    tags=["workflows"],
)

Version = "A version's number, `published` or `draft`."
Revision = Annotated[int | None, Query(ge=0, le=2**53, description="The draft's `revision` that was read.")]


@routes.get("", **reads(documents.WorkflowVersion))
async def show_workflow(cases: Cases, who: Who, integration_id: str) -> Response:
    """The published version; number 0 without steps when there is none."""
    return answer(await cases.workflows.current(who, integration_id))


@routes.put("", **writes(documents.WorkflowVersion), openapi_extra=takes(None))
async def put_workflow(cases: Cases, who: Who, integration_id: str, document: JsonBody) -> Response:
    """Write the next version, `{"steps": [...]}`, and publish it."""
    return answer(await cases.workflows.put(who, integration_id, document))


@routes.get("/versions", **reads(PageOf[documents.WorkflowVersion]))
async def list_workflow_versions(
    cases: Cases, who: Who, integration_id: str, limit: Limit = PAGE, cursor: Cursor = None
) -> Response:
    """All versions, newest first."""
    return answer_page(await cases.workflows.versions(who, integration_id, limit=limit, cursor=cursor))


@routes.get("/versions/{number}", **reads(documents.WorkflowVersion))
async def show_workflow_version(cases: Cases, who: Who, integration_id: str, number: int) -> Response:
    """One version."""
    return answer(await cases.workflows.version(who, integration_id, number))


@routes.get("/differences", **reads(documents.VersionDifferences))
async def show_workflow_differences(
    cases: Cases,
    who: Who,
    integration_id: str,
    before: Annotated[str, Query(alias="from", max_length=20, description=Version)] = "published",
    after: Annotated[str, Query(alias="to", max_length=20, description=Version)] = "draft",
) -> Response:
    """What differs between two versions: step by step, and as text. By default from the published one to the draft."""
    return answer(await cases.workflows.differences(who, integration_id, before, after))


# --- publishing ------------------------------------------------------------------------------------------------------


@routes.get("/publications", **reads(PageOf[documents.Publication]))
async def list_workflow_publications(
    cases: Cases, who: Who, integration_id: str, limit: Limit = PAGE, cursor: Cursor = None
) -> Response:
    """Which version was published when, and by whom; newest first. Number 0: the workflow was taken away."""
    return answer_page(await cases.workflows.publications(who, integration_id, limit=limit, cursor=cursor))


@routes.post("/versions/{number}/publish", **writes(documents.WorkflowVersion))
async def publish_workflow_version(cases: Cases, who: Who, integration_id: str, number: int) -> Response:
    """Let new events run through this version; runs that have begun keep theirs."""
    return answer(await cases.workflows.publish(who, integration_id, number))


@routes.post("/rollback", **writes(documents.WorkflowVersion))
async def roll_back_workflow(cases: Cases, who: Who, integration_id: str) -> Response:
    """Publish the version that was published before; once more, the one before that."""
    return answer(await cases.workflows.roll_back(who, integration_id))


# --- the draft -------------------------------------------------------------------------------------------------------


@routes.get("/draft", **reads(documents.WorkflowDraft))
async def show_workflow_draft(cases: Cases, who: Who, integration_id: str) -> Response:
    """The draft, with the problems that keep it from being published."""
    return answer(await cases.drafts.show(who, integration_id))


@routes.put("/draft", **writes(documents.WorkflowDraft), openapi_extra=takes(documents.DraftToSave))
async def save_workflow_draft(cases: Cases, who: Who, integration_id: str, document: JsonBody) -> Response:
    """Keep the draft, even while it does not compile. With `revision` only if nobody else saved it since; 0: if there
    is none yet."""
    wanted = checked(documents.DraftToSave, document, "the draft")
    saved = await cases.drafts.save(
        who, integration_id, wanted.document, based_on=wanted.based_on, revision=wanted.revision
    )
    return answer(saved)


@routes.delete("/draft", **writes(None, 204))
async def discard_workflow_draft(cases: Cases, who: Who, integration_id: str, revision: Revision = None) -> Response:
    """Forget the draft."""
    await cases.drafts.discard(who, integration_id, revision=revision)
    return answer_nothing()


@routes.post(
    "/draft/publish",
    **writes(documents.WorkflowVersion),
    openapi_extra=takes(documents.DraftToPublish, required=False),
)
async def publish_workflow_draft(cases: Cases, who: Who, integration_id: str, document: OptionalJsonBody) -> Response:
    """Make the draft the next version and publish it. 409 when another version was published since, unless forced."""
    wanted = checked(documents.DraftToPublish, document or {}, "the request")
    made = await cases.drafts.publish(who, integration_id, force=wanted.force, revision=wanted.revision)
    return answer(made)
