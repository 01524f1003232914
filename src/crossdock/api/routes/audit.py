"""The audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from crossdock.api.answering import answer, answer_page
from crossdock.api.audit_documents import AuditEntry, AuditLine
from crossdock.api.cases import Cases
from crossdock.api.describing import reads
from crossdock.api.documents import PageOf
from crossdock.api.reading import PAGE, Cursor, Limit, Who
from crossdock.manage.audit import SEARCH_CHARACTERS, AuditQuery

routes = APIRouter(prefix="/api/v1", tags=["audit log"])

Id = Annotated[str | None, Query(max_length=64)]
Action = Annotated[
    str | None, Query(max_length=81, description="`integration.changed`, or `integration` for all of that group.")
]
Text = Annotated[
    str | None,
    Query(max_length=SEARCH_CHARACTERS, description="Looked for in names, actions, notes and documents."),
]
Time = Annotated[str | None, Query(max_length=64, description="RFC 3339 with an offset, such as 2026-11-22T14:03:12Z.")]


@routes.get("/audit", **reads(PageOf[AuditLine]))
async def list_audit(
    cases: Cases,
    who: Who,
    subject: Id = None,
    actor: Id = None,
    action: Action = None,
    q: Text = None,
    since: Time = None,
    until: Time = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Who changed what in the workspace, newest first; for admins.

    A page looks at 10,000 entries at most: with filters it may be short, or empty, while `next` goes on.
    """
    query = AuditQuery(subject, actor, action, q, since, until)
    return answer_page(await cases.audit.page(who, query, limit=limit, cursor=cursor))


@routes.get("/audit/{entry_id}", **reads(AuditEntry))
async def show_audit_entry(cases: Cases, who: Who, entry_id: str) -> Response:
    """One change with how it was before and after; for admins."""
    return answer(await cases.audit.show(who, entry_id))
