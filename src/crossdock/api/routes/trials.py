"""Trying workflows out."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from crossdock.api import trial_documents
from crossdock.api.answering import answer, answer_nothing
from crossdock.api.cases import Cases
from crossdock.api.describing import takes, writes
from crossdock.api.reading import JsonBody, Who, checked
from crossdock.manage.previews import NewPreview
from crossdock.manage.trials import NewTrial

routes = APIRouter(prefix="/api/v1", tags=["workflows"])


@routes.post(
    "/integrations/{integration_id}/workflow/test",
    **writes(trial_documents.Trial),
    openapi_extra=takes(NewTrial),
)
async def try_workflow(cases: Cases, who: Who, integration_id: str, document: JsonBody, request: Request) -> Response:
    """Take a made-up or a past event through a workflow, and tell each step, the answer and the reply.

    Nothing is recorded. In a dry run only databases are read, nothing else outside is called; with `mode: live` steps
    with side effects are really performed, each once.
    """
    wanted = checked(NewTrial, document, "the trial")
    trial = asyncio.ensure_future(cases.trials.attempt(who, integration_id, wanted))
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((trial, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not trial.done():
            trial.cancel()
    if trial.cancelled() or not trial.done():
        return answer_nothing()  # to nobody
    return answer(trial.result())


@routes.post(
    "/integrations/{integration_id}/workflow/preview",
    **writes(trial_documents.Preview),
    openapi_extra=takes(NewPreview),
)
async def preview_expressions(cases: Cases, who: Who, integration_id: str, document: JsonBody) -> Response:
    """What expressions give for a past event, and what they may begin with. Nothing outside is reached."""
    return answer(await cases.trials.preview(who, integration_id, checked(NewPreview, document, "the preview")))


async def _gone(request: Request) -> None:
    """Ends when whoever asked has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
