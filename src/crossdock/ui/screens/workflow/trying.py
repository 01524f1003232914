"""The test drawer: a call, made up or from the past, goes through the workflow, and each step is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from crossdock.manage.outline import outline
from crossdock.manage.refusals import field_errors, invalid
from crossdock.manage.trials import NewTrial
from crossdock.model.errors import FieldError, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.ui.bodies import ShownBody, show_value
from crossdock.ui.curl_reading import PastedCall, read_curl
from crossdock.ui.forms import NO_ERRORS, Errors, Form
from crossdock.ui.screens.workflow.cards import deal
from crossdock.ui.screens.workflow.desk import Desk, open_desk, workflow_path
from crossdock.ui.screens.workflow.editor import find_card
from crossdock.ui.screens.workflow.opened import offered_events
from crossdock.ui.screens.workflow.places import every_step, place_steps, write_address
from crossdock.ui.visit import Visit, reads, writes
from crossdock.ui.yaml_reading import read_yaml

OUTSIDE = ("http", "sql", "python", "emit")
"""Kinds of steps that a live test really performs, or that call something of its own."""
_ANSWERED = {
    "performed": "performed",
    "recorded": "answered as recorded",
    "given": "answered as you said",
    "simulated": "not performed: its output is made up",
}
_FIELDS = {"event_id": "event", "request.body": "body", "request.query": "query", "request.headers": "headers"}


@dataclass(frozen=True, slots=True)
class TriedStep:
    """A step of a trial for the page."""

    told: dict[str, Any]
    answered: str
    href: str
    input: ShownBody | None
    output: ShownBody | None
    would: ShownBody | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial, for the page."""

    told: dict[str, Any]
    steps: list[TriedStep]
    answer: ShownBody
    reply: ShownBody | None
    remarks: list[str]


async def show(visit: Visit) -> Response:
    """The form of a test."""
    visit.actor.require("operator")
    desk = await open_desk(visit)
    event_id = visit.query("event")
    fields = {"from": "event" if event_id else "form", "event": event_id, "workflow": "draft" if desk.draft else ""}
    fields |= {"method": desk.integration["trigger"]["methods"][0], "query": "", "body": "", "curl": "", "recorded": ""}
    return await _page(visit, desk, {**fields, "headers": "Content-Type: application/json"})


async def attempt(visit: Visit) -> Response:
    """Take the call through the workflow. A live test is asked for first."""
    visit.actor.require("operator")
    desk = await open_desk(visit)
    form = visit.sent
    fields = {name: form.raw(name) for name in (*_TYPED, "from", "event", "workflow", "method")}
    remarks: list[str] = []
    try:
        wanted = await _wanted(form, remarks)
        is_asked = wanted.mode == "live" and form.text("do") != "live-agreed"
        if is_asked:
            return await _page(visit, desk, fields, asks=_effects(desk.document))
        told = await visit.cases.trials.attempt(visit.actor, desk.id, wanted)
    except Invalid as error:
        return await _page(visit, desk, fields, _at_fields(error), status=422)
    except NotFound as error:
        return await _page(visit, desk, fields, Errors({"event": str(error)}), status=422)
    return await _page(visit, desk, fields, outcome=_outcome(visit, desk, form, told, remarks))


_TYPED = ("query", "headers", "body", "curl", "recorded")


async def _page(
    visit: Visit,
    desk: Desk,
    fields: dict[str, str],
    errors: Errors = NO_ERRORS,
    *,
    status: int = 200,
    asks: list[Json] | None = None,
    outcome: Outcome | None = None,
) -> Response:
    return visit.show(
        "workflow/test.html",
        "test",
        status,
        integration=desk.integration,
        desk=desk,
        fields=fields,
        errors=errors,
        asks=asks,
        outcome=outcome,
        events=await offered_events(visit, desk),
        at=lambda *parts: workflow_path(visit, *parts),
    )


# --- what is asked for -----------------------------------------------------------------------------------------------


async def _wanted(form: Form, remarks: list[str]) -> NewTrial:
    """The trial; Invalid names the fields of the form."""
    wanted: dict[str, Any] = {"mode": "live" if form.text("do") in ("live", "live-agreed") else "dry_run"}
    if form.text("workflow") == "draft":
        wanted["draft"] = True
    match form.text("from"):
        case "event":
            if not form.text("event"):
                raise invalid("the test", [FieldError("event", "is to be chosen, or use another way to say the call")])
            wanted["event_id"] = form.text("event")
        case "curl":
            call = read_curl(form.raw("curl"))
            remarks += call.remarks
            wanted["request"] = _request_of(call)
        case _:
            wanted["request"] = _typed_request(form)
    recorded = await read_yaml(form.raw("recorded"), "recorded")
    if recorded is not None and not isinstance(recorded, dict):
        raise invalid(
            "the test", [FieldError("recorded", "names steps and their outputs, such as book: {status: 200}")]
        )
    wanted["recorded"] = recorded or {}
    try:
        return NewTrial.model_validate(wanted)
    except ValidationError as error:
        raise invalid("the test", field_errors(error, NewTrial)) from None


def _request_of(call: PastedCall) -> dict[str, Any]:
    request: dict[str, Any] = {
        "method": call.method,
        "path": call.path,
        "query": _gathered(call.query),
        "headers": _gathered(call.headers),
    }
    return request | ({"body": call.body} if call.body else {})


def _typed_request(form: Form) -> dict[str, Any]:
    query = [_pair(line, "=", "query") for line in form.raw("query").split("\n") if line.strip()]
    headers = [_pair(line, ":", "headers") for line in form.raw("headers").split("\n") if line.strip()]
    request: dict[str, Any] = {"query": _gathered(query), "headers": _gathered(headers)}
    if form.text("method"):
        request["method"] = form.text("method")
    if form.raw("body"):
        request["body"] = form.raw("body")
    return request


def _pair(line: str, sign: str, field: str) -> tuple[str, str]:
    name, found, value = line.partition(sign)
    if not found or not name.strip():
        raise invalid("the test", [FieldError(field, f"has the line {line[:60]!r}; write one name{sign} value a line")])
    return name.strip(), value.strip()


def _gathered(pairs: list[tuple[str, str]]) -> dict[str, str | list[str]]:
    found: dict[str, str | list[str]] = {}
    for name, value in pairs:
        before = found.get(name)
        found[name] = value if before is None else [*(before if isinstance(before, list) else [before]), value]
    return found


def _at_fields(error: Invalid) -> Errors:
    """The refusal at the fields of this form."""
    read = Errors.of(error)
    return Errors({_FIELDS.get(name, name): text for name, text in read.by_field.items()}, read.summary)


def _effects(document: Json) -> list[Json]:
    """The steps that a live test would really perform."""
    return [{"path": step.path, "kind": step.kind} for step in outline(document) if step.kind in OUTSIDE]


# --- what came of it -------------------------------------------------------------------------------------------------


def _outcome(visit: Visit, desk: Desk, form: Form, told: Json, remarks: list[str]) -> Outcome:
    hrefs = _hrefs(visit, desk) if bool(form.text("workflow") == "draft") == (desk.draft is not None) else {}
    steps = [_tried(step, hrefs.get(re.sub(r"\[\d+\]", "", step["id"]), "")) for step in told["steps"]]
    reply = None if told["reply"] is None else show_value(told["reply"]["body"])
    return Outcome(told, steps, show_value(told["answer"]["body"]), reply, remarks)


def _hrefs(visit: Visit, desk: Desk) -> dict[str, str]:
    """Where each step stands in the editor, by its path."""
    deck = deal(desk.document, ())
    found: dict[str, str] = {}
    for step in every_step(place_steps(desk.document)):
        at = write_address(step.address)
        opens = f"?step={at}" if visit.can("admin") else ""
        found[step.path] = f"{workflow_path(visit)}{opens}#{find_card(deck, at).anchor}"
    return found


def _tried(step: dict[str, Any], href: str) -> TriedStep:
    parts = [None if step[name] is None else show_value(step[name], 8_000) for name in ("input", "output", "would")]
    return TriedStep(step, _ANSWERED[step["answered"]], href, *parts)


routes = (
    reads("/integrations/{integration_id}/workflow/test", show),
    writes("/integrations/{integration_id}/workflow/test", attempt),
)
