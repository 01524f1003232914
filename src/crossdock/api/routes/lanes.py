"""An operator's decision about the head of a lane."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from crossdock.api import documents
from crossdock.api.answering import answer
from crossdock.api.cases import Cases
from crossdock.api.describing import takes, writes
from crossdock.api.reading import OptionalJsonBody, Who, checked
from crossdock.manage.lanes import Decision

routes = APIRouter(
    prefix="/api/v1/integrations/{integration_id}/lanes/{lane}",
    tags=["lanes"],
)
_TOLD: dict[str, Any] = {
    **writes(documents.Decided),
    "openapi_extra": takes(documents.LaneDecision, required=False),
}


@routes.post("/retry", **_TOLD)
async def retry_head(cases: Cases, who: Who, integration_id: str, lane: str, document: OptionalJsonBody) -> Response:
    """Start the head again now, with all its attempts."""
    return await _decide(cases, who, (integration_id, lane), "retry", document)


@routes.post("/skip", **_TOLD)
async def skip_head(cases: Cases, who: Who, integration_id: str, lane: str, document: OptionalJsonBody) -> Response:
    """Let the head end as failed, so that the lane goes on."""
    return await _decide(cases, who, (integration_id, lane), "skip", document)


@routes.post("/park", **_TOLD)
async def park_head(cases: Cases, who: Who, integration_id: str, lane: str, document: OptionalJsonBody) -> Response:
    """Take the head out of the lane and keep it until somebody retries or cancels it."""
    return await _decide(cases, who, (integration_id, lane), "park", document)


async def _decide(cases: Cases, who: Who, place: tuple[str, str], decision: Decision, document: Any) -> Response:
    wanted = checked(documents.LaneDecision, document or {}, "the decision")
    return answer(await cases.lanes.decide(who, *place, decision, note=wanted.note, event_id=wanted.event_id))
