"""The health of integrations: the state, what is wrong, what was, and what somebody does about an issue."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from crossdock.api.answering import answer, answer_page
from crossdock.api.cases import Cases
from crossdock.api.describing import reads, takes, writes
from crossdock.api.documents import Note, PageOf
from crossdock.api.health_documents import Health, Issue, Snooze
from crossdock.api.reading import PAGE, Cursor, Limit, OptionalJsonBody, Who, checked
from crossdock.manage.health import Which

routes = APIRouter(prefix="/api/v1", tags=["health"])

ISSUE = "/integrations/{integration_id}/health/issues/{issue_id}"


@routes.get("/integrations/{integration_id}/health", **reads(Health))
async def show_health(
    cases: Cases, who: Who, integration_id: str, limit: Limit = PAGE, cursor: Cursor = None
) -> Response:
    """The state since when, with its open issues, and a page of what it was before."""
    return answer(await cases.health.show(who, integration_id, limit=limit, cursor=cursor))


@routes.get("/integrations/{integration_id}/health/issues", **reads(PageOf[Issue]))
async def list_issues(
    cases: Cases,
    who: Who,
    integration_id: str,
    status: Annotated[Which, Query(description="`open`, or `resolved` for those that are over.")] = "open",
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Issues, the newest first."""
    return answer_page(await cases.health.issues(who, integration_id, status, limit=limit, cursor=cursor))


@routes.post(f"{ISSUE}/acknowledge", **writes(Issue), openapi_extra=takes(Note, required=False))
async def acknowledge_issue(
    cases: Cases, who: Who, integration_id: str, issue_id: str, document: OptionalJsonBody
) -> Response:
    """Say that somebody has seen it. The state stays as it is."""
    wanted = checked(Note, document or {}, "the note")
    return answer(await cases.health.acknowledge(who, integration_id, issue_id, wanted.note))


@routes.post(f"{ISSUE}/snooze", **writes(Issue), openapi_extra=takes(Snooze))
async def snooze_issue(
    cases: Cases, who: Who, integration_id: str, issue_id: str, document: OptionalJsonBody
) -> Response:
    """Let it not count for the state for a while. If it is still there then, that is a change."""
    wanted = checked(Snooze, document or {}, "the snooze")
    until = cases.health.snooze_end(wanted.length, wanted.until)
    return answer(await cases.health.snooze(who, integration_id, issue_id, until, wanted.note))


@routes.post(f"{ISSUE}/wake", **writes(Issue))
async def wake_issue(cases: Cases, who: Who, integration_id: str, issue_id: str) -> Response:
    """Let a snoozed one count again."""
    return answer(await cases.health.wake(who, integration_id, issue_id))


@routes.post(f"{ISSUE}/resolve", **writes(Issue), openapi_extra=takes(Note, required=False))
async def resolve_issue(
    cases: Cases, who: Who, integration_id: str, issue_id: str, document: OptionalJsonBody
) -> Response:
    """End it and forget what was counted for it. It comes back when it is met again."""
    wanted = checked(Note, document or {}, "the note")
    return answer(await cases.health.resolve(who, integration_id, issue_id, wanted.note))
