"""Handling an event once more: as it came, from a step on, with another workflow, or with an edited request; and what
another workflow would make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from crossdock.manage.refusals import field_errors, invalid
from crossdock.manage.trials import NewTrial, TrialRequest
from crossdock.model.errors import CrossdockError, FieldError, Invalid
from crossdock.model.event import REDACTED
from crossdock.model.outcome import Json
from crossdock.ui.bodies import show_value
from crossdock.ui.event_words import error_of
from crossdock.ui.forms import NO_ERRORS, Errors, Form
from crossdock.ui.visit import Visit, reads, writes

PAGE, WHAT_IF = "event/replay.html", "event/what_if.html"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
MOST_EDITED = 256 * 1024
"""Bytes of a body that can be edited in a form."""
_ABOUT_THE_CALL = frozenset({"content-length", "host", "transfer-encoding", "connection"})


async def show(visit: Visit) -> Response:
    visit.actor.require("operator")
    event = await visit.cases.events.show(visit.actor, visit.parameter("event_id"))
    typed = {"from_step": visit.query("from_step"), "workflow_version": visit.query("version")}
    return await _form(visit, event, {**_request_fields(event), **typed})


async def replay(visit: Visit) -> Response:
    """What the form asks for; without its fields (the button of the event's page) the same call once more."""
    event_id = visit.parameter("event_id")
    event = await visit.cases.events.show(visit.actor, event_id)
    try:
        made = await visit.cases.events.replay(visit.actor, event_id, _wanted(visit.sent, event))
    except Invalid as error:
        return await _form(visit, event, _typed(visit.sent), Errors.of(error), 422)
    return visit.go(visit.path("events", made["id"]), "This is the replay: a new event.")


async def _form(
    visit: Visit, event: Json, typed: Mapping[str, Any], errors: Errors = NO_ERRORS, status: int = 200
) -> Response:
    steps = [step["id"] for step in event["steps"] if "." not in step["id"]]
    return visit.page(
        PAGE,
        status,
        event=event,
        typed=typed,
        errors=errors,
        steps=steps,
        versions=await version_choices(visit, event["integration"]["id"]),
        can_edit_body=_editable_body(event) is not None,
        methods=METHODS,
    )


async def version_choices(visit: Visit, integration_id: str) -> list[tuple[str, str]]:
    """The workflow versions of an integration as choices, newest first; none when it is gone."""
    try:
        page = await visit.cases.workflows.versions(visit.actor, integration_id)
    except CrossdockError:
        return []
    return [(str(one["number"]), f"version {one['number']}{', published' * one['published']}") for one in page.items]


# --- the form and the document ---------------------------------------------------------------------------------------


def _request_fields(event: Json) -> dict[str, Any]:
    """The recorded request as the fields of the form."""
    request = event["request"]
    headers = [row for row in _rows(request["headers"]) if row["value"] != REDACTED]
    return {
        "method": request["method"],
        "query": _rows(request["query"]),
        "headers": [row for row in headers if row["key"].lower() not in _ABOUT_THE_CALL],
        "body": _editable_body(event) or "",
    }


def _editable_body(event: Json) -> str | None:
    """The body where it is text that a form can hold unchanged."""
    request = event["request"]
    if request["body_encoding"] != "utf-8" or request["size"] > MOST_EDITED or "\x00" in request["body"]:
        return None
    return str(request["body"])


def _rows(pairs: Mapping[str, Any]) -> list[dict[str, str]]:
    found = []
    for name, value in pairs.items():
        found += [{"key": name, "value": one} for one in (value if isinstance(value, list) else [value])]
    return found


def _typed(form: Form) -> dict[str, Any]:
    return {
        "workflow_version": form.text("workflow_version"),
        "from_step": form.text("from_step"),
        "method": form.text("method"),
        "query": form.rows("query.key", "query.value"),
        "headers": form.rows("headers.key", "headers.value"),
        "body": form.raw("body"),
    }


def _wanted(form: Form, event: Json) -> Json:
    """The document of the replay: only what is otherwise than it was."""
    wanted: dict[str, Any] = {}
    version = form.text("workflow_version")
    if version:
        wanted["workflow_version"] = _number(version)
    if form.text("from_step"):
        wanted["from_step"] = form.text("from_step")
    if "method" in form:
        typed, recorded = _typed(form), _request_fields(event)
        changes = {name: typed[name] for name in ("method", "query", "headers") if typed[name] != recorded[name]}
        if _editable_body(event) is not None and typed["body"] != recorded["body"].replace("\r\n", "\n"):
            changes["body"] = typed["body"]
        wanted["request"] = _checked(changes) or None
    return wanted


def _checked(changes: dict[str, Any]) -> Json:
    """The parts of the request that were changed; Invalid names those that no request can have."""
    document = {name: _gathered(value) if isinstance(value, list) else value for name, value in changes.items()}
    try:
        return TrialRequest.model_validate(document).model_dump(exclude_none=True)
    except ValidationError as error:
        found = field_errors(error, TrialRequest)
        raise invalid("the request", [FieldError(f"request.{one.field}", one.message) for one in found]) from None


def _gathered(rows: list[dict[str, str]]) -> dict[str, str | list[str]]:
    by_name: dict[str, list[str]] = {}
    for row in rows:
        by_name.setdefault(row["key"].strip(), []).append(row["value"])
    return {name: values[0] if len(values) == 1 else values for name, values in by_name.items()}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 11 and 0 < int(text) < 2**31):
        raise invalid("the replay", (FieldError("workflow_version", "must be the number of a version"),))
    return int(text)


# --- what if ---------------------------------------------------------------------------------------------------------


async def show_what_if(visit: Visit) -> Response:
    """What another version, or the draft, would make of the event: a dry run, with what its run recorded."""
    visit.actor.require("operator")
    event = await visit.cases.events.show(visit.actor, visit.parameter("event_id"))
    integration_id = event["integration"]["id"]
    choices = [("draft", "the draft"), *await version_choices(visit, integration_id)]
    chosen = visit.query("version")
    names: dict[str, Any] = {"event": event, "choices": choices, "chosen": chosen, "trial": None, "errors": NO_ERRORS}
    if not chosen:
        return visit.page(WHAT_IF, **names)
    try:
        named: dict[str, Any] = {"draft": True} if chosen == "draft" else {"version": _number(chosen)}
        trial = await visit.cases.trials.attempt(visit.actor, integration_id, NewTrial(event_id=event["id"], **named))
    except Invalid as error:
        return visit.page(WHAT_IF, 422, **{**names, "errors": Errors.of(error)})
    return visit.page(WHAT_IF, **names | {"trial": trial} | _compared(event, trial))


def _compared(event: Json, trial: Json) -> dict[str, Any]:
    """The steps of both ways side by side, and both results."""
    before = {step["id"]: step for step in event["steps"]}
    after = {step["id"]: step for step in trial["steps"]}
    names = [*after, *(name for name in before if name not in after)]
    return {
        "rows": [_row(name, before.get(name), after.get(name)) for name in names],
        "was": None if event["result"] is None else show_value(event["result"]["body"]),
        "would": None if trial["result"] is None else show_value(trial["result"]["body"]),
        "error": error_of(trial["error"]) if trial["error"] else None,
        "is_same_result": trial["result"] == event["result"],
    }


def _row(name: str, before: Json, after: Json) -> dict[str, Any]:
    if before is None or after is None:
        change = "added" if before is None else "not reached"
    elif before["status"] != after["status"]:
        change = f"{before['status']} becomes {after['status']}"
    elif before["output"] != after["output"]:
        change = "another output"
    else:
        change = "the same"
    return {
        "id": name,
        "type": (after or before)["type"],
        "change": change,
        "before": before["status"] if before else None,
        "after": after["status"] if after else None,
        "answered": after["answered"] if after else "",
        "output": show_value(after["output"], 1_500) if after and change not in ("the same", "not reached") else None,
    }


routes = (
    reads("/events/{event_id}/replay", show),
    writes("/events/{event_id}/replay", replay),
    reads("/events/{event_id}/what-if", show_what_if),
)
