"""Bulk jobs: one thing done to many events. Asking for one, watching, pausing and stopping it, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, nan
from typing import Any, Literal, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from crossdock.manage.bulk_jobs import NewBulkCancel, NewBulkReplay
from crossdock.manage.refusals import field_errors, invalid
from crossdock.model.bulk import DEFAULT_RATE, FINAL_BULK_STATES, BulkKind, BulkOutcome, BulkState
from crossdock.model.errors import CrossdockError, FieldError, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.ui.forms import NO_ERRORS, Errors, Form
from crossdock.ui.rendering import format_took
from crossdock.ui.screens.events.filters import CONDITIONS, Wanted
from crossdock.ui.screens.replay import version_choices
from crossdock.ui.visit import Visit, reads, writes

Move = Literal["pause", "resume", "cancel"]
_Document = TypeVar("_Document", bound=BaseModel)

LIST, NEW, JOB = "bulk_jobs/list.html", "bulk_jobs/new.html", "bulk_jobs/job.html"
KINDS: Mapping[str, str] = {"replay": "Replay", "cancel": "Cancel", "what_if": "What if"}
_MOVED: Mapping[str, str] = {"pause": "paused", "resume": "going on", "cancel": "canceled"}
_OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "replay": ("replayed", "skipped", "failed"),
    "cancel": ("canceled", "skipped", "failed"),
    "what_if": ("unchanged", "changed", "new_failure", "fixed_failure", "unknown"),
}
_CONDITIONS: Mapping[str, str] = {
    "integration": "Integration",
    "status": "Status",
    "q": "Text",
    "key": "Key",
    "received_after": "From",
    "received_before": "Until",
    "has_failed_reply": "Reply failed",
    "method": "Method",
    "replay_of": "Replays of",
}


async def show_list(visit: Visit) -> Response:
    state, kind = visit.query("state") or None, visit.query("kind")
    page = await visit.cases.bulk_jobs.page(
        visit.actor,
        state=state,
        kind=BulkKind(kind) if kind in set(BulkKind) else None,
        cursor=visit.cursor,
    )
    states = [one.value for one in BulkState]
    return visit.show(LIST, "list", jobs=page.items, next=page.next, states=states, kinds=KINDS)


# --- asking for one --------------------------------------------------------------------------------------------------


async def show_new(visit: Visit) -> Response:
    """How many events match, and the form that asks for a reason."""
    visit.actor.require("operator")
    return await _form(visit, Wanted.of(visit), {"rate": f"{DEFAULT_RATE:g}"})


async def create(visit: Visit) -> Response:
    sent = visit.sent
    fields = {name: sent.text(name) for name in CONDITIONS if sent.text(name)}
    wanted = Wanted.from_fields(visit, fields)
    try:
        job = await _add(visit, wanted, sent)
    except Invalid as error:
        typed = {name: sent.raw(name) for name in ("reason", "rate", "workflow_version")}
        return await _form(visit, wanted, typed, Errors.of(error), 422)
    return visit.go(visit.path("bulk-jobs", job["id"]), "The job was begun.")


async def _add(visit: Visit, wanted: Wanted, form: Form) -> Json:
    # a list without conditions stands for everything up to now
    selection = wanted.selection() or {"received_before": visit.cases.events.since("PT0S")}
    document: dict[str, Any] = {"filter": selection, "rate": _rate(form)}
    if form.text("reason"):
        document["reason"] = form.text("reason")
    if _kind(visit) == "cancel":
        return await visit.cases.bulk_jobs.cancel_events(visit.actor, _checked(NewBulkCancel, document))
    if form.text("workflow_version"):
        document["workflow_version"] = form.number("workflow_version")
    return await visit.cases.bulk_jobs.replay(visit.actor, _checked(NewBulkReplay, document))


async def _form(
    visit: Visit, wanted: Wanted, typed: Mapping[str, str], errors: Errors = NO_ERRORS, status: int = 200
) -> Response:
    kind, query = _kind(visit), wanted.query
    matches = None
    if not errors:
        try:
            matches = await visit.cases.events.count(visit.actor, query)
        except Invalid as error:
            errors, status = Errors.of(error), 422
    versions = await version_choices(visit, query.integration) if kind == "replay" and query.integration else []
    return visit.page(
        NEW,
        status,
        kind=kind,
        words_of_kind=KINDS[kind],
        wanted=wanted,
        conditions=await _told(visit, wanted.selection()),
        matches=matches,
        typed=typed,
        errors=errors,
        versions=versions,
    )


def _kind(visit: Visit) -> str:
    kind = visit.parameter("kind")
    if kind not in ("replay", "cancel"):
        raise NotFound(f"there is no bulk job of the kind {kind[:40]}")
    return kind


def _rate(form: Form) -> float:
    text = form.text("rate").replace(",", ".")
    try:
        number = float(text) if text else DEFAULT_RATE
    except ValueError:
        number = nan
    if not isfinite(number):
        raise invalid("the request", (FieldError("rate", "must be a number"),))
    return number


def _checked(model: type[_Document], document: Json) -> _Document:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid("the request", field_errors(error, model)) from None


# --- one job ---------------------------------------------------------------------------------------------------------


async def show(visit: Visit) -> Response:
    job_id, outcome = visit.parameter("job_id"), visit.query("outcome")
    job = await visit.cases.bulk_jobs.show(visit.actor, job_id)
    chosen = BulkOutcome(outcome) if outcome in set(BulkOutcome) else None
    items = await visit.cases.bulk_jobs.items(visit.actor, job_id, outcome=chosen, cursor=visit.cursor)
    return visit.show(
        JOB,
        "now",
        job=job,
        words_of_kind=KINDS[job["kind"]],
        is_over=BulkState(job["state"]) in FINAL_BULK_STATES,
        conditions=await _told(visit, job["filter"]),
        dealt_with=job["done"] + job["skipped"] + job["failed"],
        remaining=format_took(job["remaining_seconds"] * 1_000) if job["remaining_seconds"] else "",
        items=items.items,
        next=items.next,
        outcomes=_OUTCOMES[job["kind"]],
        outcome=outcome if chosen else "",
    )


async def move(visit: Visit) -> Response:
    job_id, wanted = visit.parameter("job_id"), visit.parameter("move")
    if wanted not in get_args(Move):
        raise NotFound("a bulk job can be paused, resumed and canceled")
    await visit.cases.bulk_jobs.move(visit.actor, job_id, cast(Move, wanted))
    return visit.go(visit.path("bulk-jobs", job_id), f"The job is {_MOVED[wanted]}.")


async def _told(visit: Visit, selection: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The conditions of a filter in words."""
    told = []
    for name, value in selection.items():
        words = str(value)
        if name == "integration":
            words = await _name_of(visit, words)
        elif name == "has_failed_reply":
            words = "yes" if value else "no"
        told.append((_CONDITIONS.get(name, name), words))
    return told


async def _name_of(visit: Visit, integration_id: str) -> str:
    try:
        return str((await visit.cases.integrations.show(visit.actor, integration_id))["name"])
    except CrossdockError:
        return integration_id


routes = (
    reads("/bulk-jobs", show_list),
    reads("/bulk-jobs/new/{kind}", show_new),
    writes("/bulk-jobs/new/{kind}", create),
    reads("/bulk-jobs/{job_id}", show),
    writes("/bulk-jobs/{job_id}/{move}", move),
)
