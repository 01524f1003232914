"""Bulk jobs: making them, looking at them, pausing and stopping them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from crossdock.api import bulk_documents
from crossdock.api.answering import answer, answer_page
from crossdock.api.cases import Cases
from crossdock.api.describing import reads, takes, writes
from crossdock.api.documents import PageOf
from crossdock.api.reading import PAGE, Cursor, JsonBody, Limit, OptionalJsonBody, Who, checked
from crossdock.manage.bulk_jobs import NewBulkCancel, NewBulkReplay, NewWhatIf
from crossdock.model.bulk import BulkKind, BulkOutcome
from crossdock.model.outcome import Json

routes = APIRouter(prefix="/api/v1", tags=["bulk jobs"])

States = Annotated[str | None, Query(max_length=100, description="One or several states, divided by commas.")]


@routes.post("/events/replay", **writes(bulk_documents.BulkJob, 201), openapi_extra=takes(NewBulkReplay))
async def replay_events(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Handle all events that match once more, each as a new event, oldest first, at a limited speed."""
    return _made(await cases.bulk_jobs.replay(who, checked(NewBulkReplay, document, "the request")))


@routes.post("/events/cancel", **writes(bulk_documents.BulkJob, 201), openapi_extra=takes(NewBulkCancel))
async def cancel_events(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Stop the runs of all events that match and have not ended."""
    return _made(await cases.bulk_jobs.cancel_events(who, checked(NewBulkCancel, document, "the request")))


@routes.post(
    "/integrations/{integration_id}/what-if",
    **writes(bulk_documents.BulkJob, 201),
    openapi_extra=takes(NewWhatIf, required=False),
)
async def ask_what_if(cases: Cases, who: Who, integration_id: str, document: OptionalJsonBody) -> Response:
    """Try past events with the draft, another version or a given workflow, and tell what would change.

    Nothing outside is called: answers are those that were recorded.
    """
    wanted = checked(NewWhatIf, document or {}, "the request")
    return _made(await cases.bulk_jobs.what_if(who, integration_id, wanted))


@routes.get("/bulk-jobs", **reads(PageOf[bulk_documents.BulkJob]))
async def list_bulk_jobs(
    cases: Cases,
    who: Who,
    state: States = None,
    kind: BulkKind | None = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Bulk jobs, newest first. Ended ones are kept for 30 days."""
    return answer_page(await cases.bulk_jobs.page(who, state=state, kind=kind, limit=limit, cursor=cursor))


@routes.get("/bulk-jobs/{job_id}", **reads(bulk_documents.BulkJob))
async def show_bulk_job(cases: Cases, who: Who, job_id: str) -> Response:
    """How far a job is."""
    return answer(await cases.bulk_jobs.show(who, job_id))


@routes.get("/bulk-jobs/{job_id}/items", **reads(PageOf[bulk_documents.BulkItem]))
async def list_bulk_items(
    cases: Cases,
    who: Who,
    job_id: str,
    outcome: BulkOutcome | None = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """What each event came to so far: the new event, the reason why there is none, or the comparison."""
    return answer_page(await cases.bulk_jobs.items(who, job_id, outcome=outcome, limit=limit, cursor=cursor))


@routes.post("/bulk-jobs/{job_id}/pause", **writes(bulk_documents.BulkJob))
async def pause_bulk_job(cases: Cases, who: Who, job_id: str) -> Response:
    """Stop a job for a while: no further event is dealt with from the answer on."""
    return answer(await cases.bulk_jobs.move(who, job_id, "pause"))


@routes.post("/bulk-jobs/{job_id}/resume", **writes(bulk_documents.BulkJob))
async def resume_bulk_job(cases: Cases, who: Who, job_id: str) -> Response:
    """Let a paused job go on where it was."""
    return answer(await cases.bulk_jobs.move(who, job_id, "resume"))


@routes.post("/bulk-jobs/{job_id}/cancel", **writes(bulk_documents.BulkJob))
async def cancel_bulk_job(cases: Cases, who: Who, job_id: str) -> Response:
    """Stop a job for good. What was done stays done."""
    return answer(await cases.bulk_jobs.move(who, job_id, "cancel"))


def _made(job: Json) -> Response:
    return answer(job, 201, location=f"/api/v1/bulk-jobs/{job['id']}")
