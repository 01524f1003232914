"""Saving what was typed of a step, in its form or as YAML, and of the whole workflow as YAML."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response

from crossdock.manage.yaml_text import yaml_text
from crossdock.model.errors import Conflict, FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.conflicts import differences
from crossdock.ui.forms import NO_ERRORS, Errors, Form
from crossdock.ui.screens.workflow.cards import deal
from crossdock.ui.screens.workflow.desk import Desk, keep, open_desk, workflow_path
from crossdock.ui.screens.workflow.editing import Done, changed_meanwhile, go_on
from crossdock.ui.screens.workflow.editor import find_card, show_desk
from crossdock.ui.screens.workflow.kinds import KINDS
from crossdock.ui.screens.workflow.opened import Opened, look_ahead, offered_events, yaml_of
from crossdock.ui.screens.workflow.places import (
    PlacedStep,
    every_step,
    place_steps,
    replace_step,
    step_at,
    write_address,
)
from crossdock.ui.screens.workflow.step_forms import Fields, step_from
from crossdock.ui.visit import Visit, reads, writes
from crossdock.ui.yaml_reading import read_yaml

_ROWS = (("case", ("was", "when")), ("branch", ("was", "name")))


async def save_step(visit: Visit) -> Response:
    """Keep the step as it was typed; its problems are told at its card. With `do=preview` only show values."""
    visit.actor.require("admin")
    desk = await open_desk(visit)
    step = _same_step(visit, desk)
    if step is None:
        return changed_meanwhile(visit, desk)
    if visit.sent.text("do") == "preview":
        return await _previewed(visit, desk, step)
    try:
        written = await _read_step(visit.sent, step)
    except Invalid as error:
        return show_desk(visit, desk, await _as_typed(visit, desk, step, Errors.of(error)), 422)
    if visit.sent.text("seen") != desk.seen:
        return await _conflict(visit, desk, step, written)
    document = replace_step(desk.document, step.address, written)
    try:
        saved = await keep(visit, desk, document)
    except Conflict:
        return changed_meanwhile(visit, await open_desk(visit))
    now = replace(desk, document=document, draft=saved)
    return go_on(visit, now, Done(document, _said(now, step), step.address))


def _same_step(visit: Visit, desk: Desk) -> PlacedStep | None:
    """The step that the form is about: at its address, or where it stands by now."""
    if visit.sent.text("seen") == desk.seen:
        return step_at(desk.document, visit.sent.text("at"))
    was = visit.sent.text("was")
    return next((step for step in every_step(place_steps(desk.document)) if was and step.path == was), None)


def _said(desk: Desk, step: PlacedStep) -> str:
    count = find_card(deal(desk.document, desk.problems), write_address(step.address)).all_problems
    if not count:
        return "Saved in the draft."
    return f"Saved in the draft. {count} {'problem keeps' if count == 1 else 'problems keep'} it from being published."


async def _read_step(form: Form, step: PlacedStep) -> Json:
    """The step that was typed; Invalid names the fields."""
    if "yaml" not in form:
        return step_from(form, step.written, KINDS[step.kind])
    written = await read_yaml(form.raw("yaml"), "yaml")
    if not isinstance(written, dict):
        raise _wrong("yaml", "is no step: a step has an id and a kind, such as transform, with its settings")
    return written


async def _as_typed(visit: Visit, desk: Desk, step: PlacedStep, errors: Errors = NO_ERRORS) -> Opened:
    """The form again, with what was typed."""
    form = visit.sent
    is_yaml = "yaml" in form
    return Opened(
        at=write_address(step.address),
        path=step.path,
        kind=KINDS.get(step.kind),
        is_yaml=is_yaml,
        fields=None if is_yaml else _typed(form),
        yaml=form.raw("yaml") if is_yaml else yaml_of(step.written),
        errors=errors,
        event_id=form.text("event"),
        events=await offered_events(visit, desk),
    )


def _typed(form: Form) -> Fields:
    fields: Fields = _Blank({name: form.raw(name) for name, _ in form.fields})
    for name, columns in _ROWS:
        fields[name] = form.rows(*(f"{name}.{column}" for column in columns))
    return fields


class _Blank(dict[str, Any]):
    """Fields that a browser did not send are empty: switches that are off."""

    def __missing__(self, name: str) -> str:
        return ""


async def _conflict(visit: Visit, desk: Desk, step: PlacedStep, written: Json) -> Response:
    """What was typed, beside what somebody else has saved; sending it again saves it over theirs."""
    labels = {f"{step.kind}.{each.key}": each.label for each in KINDS[step.kind].settings} if step.kind in KINDS else {}
    opened = await _as_typed(visit, desk, step)
    found = differences(written, step.written, labels)
    who = desk.draft["updated_by"] if desk.draft else ""
    return show_desk(visit, desk, replace(opened, differences=found, who=who), 409)


# --- previews --------------------------------------------------------------------------------------------------------


async def _previewed(visit: Visit, desk: Desk, step: PlacedStep) -> Response:
    """The form with what its expressions give for the chosen event."""
    opened = await _as_typed(visit, desk, step)
    if not visit.sent.text("event"):
        errors = Errors({"event": "choose an event to see values for"})
        return show_desk(visit, desk, replace(opened, errors=errors), 422)
    try:
        shown, _ = await look_ahead(visit, desk, visit.sent, KINDS[step.kind])
    except Invalid as error:
        return show_desk(visit, desk, replace(opened, errors=Errors.of(error)), 422)
    return show_desk(visit, desk, replace(opened, previews=shown))


async def preview(visit: Visit) -> Response:
    """For the page's script: values by fields, and the names to choose from."""
    desk = await open_desk(visit)
    kind = KINDS.get(visit.sent.text("kind"))
    if kind is None:
        raise _wrong("kind", "is no kind of step")
    try:
        shown, names = await look_ahead(visit, desk, visit.sent, kind)
    except Invalid as error:
        return JSONResponse({"fields": {}, "names": [], "error": str(error)})
    fields = {name: {"text": each.text, "tone": each.tone} for name, each in shown.items()}
    return JSONResponse({"fields": fields, "names": list(names)}, headers={"cache-control": "no-store"})


# --- the whole workflow ----------------------------------------------------------------------------------------------


async def show_yaml(visit: Visit) -> Response:
    """The whole workflow as YAML."""
    desk = await open_desk(visit)
    return _yaml_page(visit, desk, _whole(desk.document))


async def save_yaml(visit: Visit) -> Response:
    """Keep the whole workflow as it was typed."""
    visit.actor.require("admin")
    desk = await open_desk(visit)
    text = visit.sent.raw("yaml")
    try:
        document = await read_yaml(text, "yaml")
        if not isinstance(document, dict) or not isinstance(document.get("steps"), list):
            raise _wrong("yaml", "is no workflow: it begins with `steps:` and a list of steps")
        if visit.sent.text("seen") != desk.seen:
            return _yaml_page(visit, desk, text, status=409, is_conflict=True)
        saved = await keep(visit, desk, document)
    except Invalid as error:
        return _yaml_page(visit, desk, text, Errors.of(error), 422)
    except Conflict:
        return _yaml_page(visit, await open_desk(visit), text, status=409, is_conflict=True)
    return go_on(visit, replace(desk, document=document, draft=saved), Done(document, "Saved in the draft."))


def _yaml_page(
    visit: Visit, desk: Desk, text: str, errors: Errors = NO_ERRORS, status: int = 200, *, is_conflict: bool = False
) -> Response:
    return visit.page(
        "workflow/yaml.html",
        status,
        integration=desk.integration,
        desk=desk,
        text=text,
        errors=errors,
        theirs=_whole(desk.document) if is_conflict else None,
        is_editable=visit.can("admin"),
        at=lambda *parts: workflow_path(visit, *parts),
    )


def _whole(document: Json) -> str:
    if not document.get("steps") and set(document) <= {"steps"}:
        return "steps: []\n"
    text = yaml_of(document)
    return text if text.lstrip().startswith("{") else yaml_text(document)


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field} {message}", (FieldError(field, message),))


routes = (
    writes("/integrations/{integration_id}/workflow/steps/save", save_step),
    writes("/integrations/{integration_id}/workflow/preview", preview),
    reads("/integrations/{integration_id}/workflow/yaml", show_yaml),
    writes("/integrations/{integration_id}/workflow/yaml", save_yaml),
)
