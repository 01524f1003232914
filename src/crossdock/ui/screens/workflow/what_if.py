"""What another workflow would make of past events: asked for here, told by the page of the bulk job."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from crossdock.manage.bulk_jobs import DEFAULT_LAST, NewWhatIf
from crossdock.manage.refusals import field_errors, invalid
from crossdock.model.errors import FieldError, Invalid
from crossdock.ui.forms import NO_ERRORS, Errors
from crossdock.ui.screens.workflow.desk import Desk, open_desk, workflow_path
from crossdock.ui.screens.workflow.publishing import version_choices
from crossdock.ui.visit import Visit, reads, writes


async def show(visit: Visit) -> Response:
    """How many events to try, and with which workflow."""
    visit.actor.require("operator")
    desk = await open_desk(visit)
    chosen = visit.query("version") or ("draft" if desk.draft else "")
    return await _page(visit, desk, {"last": str(DEFAULT_LAST), "version": chosen})


async def begin(visit: Visit) -> Response:
    """Make the job and go on to its page, which shows how it gets on."""
    visit.actor.require("operator")
    desk = await open_desk(visit)
    try:
        job = await visit.cases.bulk_jobs.what_if(visit.actor, desk.id, _wanted(visit))
    except Invalid as error:
        typed = {"last": visit.sent.text("last"), "version": visit.sent.text("version")}
        return await _page(visit, desk, typed, Errors.of(error), 422)
    return visit.go(visit.path("bulk-jobs", job["id"]), "The events are being tried. Nothing outside is called.")


def _wanted(visit: Visit) -> NewWhatIf:
    last, version = visit.sent.text("last"), visit.sent.text("version")
    wanted: dict[str, Any] = {"draft": True} if version == "draft" else {"version": _whole(version, "version")}
    if last:
        wanted["last"] = _whole(last, "last")
    try:
        return NewWhatIf.model_validate(wanted)
    except ValidationError as error:
        raise invalid("the question", field_errors(error, NewWhatIf)) from None


def _whole(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise invalid("the question", [FieldError(field, "must be a whole number")])
    return int(text)


async def _page(
    visit: Visit, desk: Desk, typed: dict[str, str], errors: Errors = NO_ERRORS, status: int = 200
) -> Response:
    return visit.page(
        "workflow/what_if.html",
        status,
        integration=desk.integration,
        desk=desk,
        typed=typed,
        errors=errors,
        choices=[(name, words) for name, words in await version_choices(visit, desk) if name != "published"],
        at=lambda *parts: workflow_path(visit, *parts),
    )


routes = (
    reads("/integrations/{integration_id}/workflow/what-if", show),
    writes("/integrations/{integration_id}/workflow/what-if", begin),
)
