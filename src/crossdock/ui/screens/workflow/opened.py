"""The step that is open in the editor: its form, or its YAML, with errors, previews and what somebody else changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crossdock.manage.events import EventQuery
from crossdock.manage.previews import NewPreview
from crossdock.manage.yaml_text import yaml_text
from crossdock.model.errors import FieldError, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.ui.conflicts import Difference
from crossdock.ui.forms import NO_ERRORS, Errors, Form
from crossdock.ui.screens.workflow.cards import Card
from crossdock.ui.screens.workflow.desk import Desk
from crossdock.ui.screens.workflow.kinds import KINDS, Kind
from crossdock.ui.screens.workflow.places import PlacedStep, write_address
from crossdock.ui.screens.workflow.step_forms import Fields, read_scalar, read_tree, written_fields
from crossdock.ui.visit import Visit

EVENTS_OFFERED = 20
_LONGEST_VALUE = 2_000


@dataclass(frozen=True, slots=True)
class Shown:
    """What an expression gives: `tone` is good, bad or quiet."""

    text: str
    tone: str = "good"


@dataclass(frozen=True, slots=True)
class Opened:
    """A step open for editing. `fields` is None where only its YAML can be edited."""

    at: str
    path: str
    kind: Kind | None
    is_yaml: bool
    fields: Fields | None
    yaml: str
    errors: Errors = NO_ERRORS
    previews: dict[str, Shown] = field(default_factory=dict)
    event_id: str = ""
    events: Sequence[Json] = ()
    differences: Sequence[Difference] | None = None
    who: str = ""


def yaml_of(step: Json) -> str:
    """The step as YAML; a large one as JSON, which is quicker to write."""
    text = json.dumps(step, ensure_ascii=False, indent=2)
    return text if len(text) > 128 * 1024 else yaml_text(step)


async def open_step(visit: Visit, desk: Desk, step: PlacedStep, *, as_yaml: bool) -> Opened:
    """The step as it is in the draft."""
    fields = written_fields(step.written)
    return Opened(
        at=write_address(step.address),
        path=step.path,
        kind=KINDS.get(step.kind),
        is_yaml=as_yaml or fields is None,
        fields=fields,
        yaml=yaml_of(step.written),
        event_id=visit.query("event"),
        events=await offered_events(visit, desk),
    )


async def offered_events(visit: Visit, desk: Desk) -> Sequence[Json]:
    """The newest events of the integration, to try expressions and workflows with."""
    page = await visit.cases.events.page(visit.actor, EventQuery(integration=desk.id), limit=EVENTS_OFFERED)
    return page.items


def problems_as_errors(card: Card) -> Errors:
    """What keeps the step from being published, at the fields of its form."""
    found: dict[str, str] = {}
    for problem in card.problems:
        found.setdefault(problem.field or "step", problem.message)
    return Errors(found)


# --- previews --------------------------------------------------------------------------------------------------------


def preview_of(form: Form, kind: Kind) -> tuple[dict[str, Json], dict[str, Json], dict[str, Shown]]:
    """The values and conditions of a step's form by its fields, and what can't be read of them."""
    reading = _Reading({}, {}, {})
    for setting in kind.settings:
        text, name = form.raw(f"s.{setting.key}"), f"s.{setting.key}"
        if not setting.has_expressions or not text.strip() or setting.shape == "choice":
            continue
        if setting.shape == "tree":
            reading.tree(name, text, f"{kind.name}.{setting.key}")
        elif setting.shape == "lines":
            reading.conditions.update({f"{name}/{n}": line for n, line in enumerate(text.split("\n")) if line.strip()})
        else:
            reading.values[name] = read_scalar(text.strip()) if setting.shape == "scalar" else text.strip()
    if form.text("content"):
        text = form.raw("content_value")
        if form.text("content") == "text":
            reading.values["content_value"] = text
        else:
            reading.tree("content_value", text, form.text("content"))
    if kind.name == "transform" and form.text("language") != "jsonata":
        reading.tree("tree", form.raw("tree"), "transform")
    if kind.name == "delay" and form.text("how") == "until":
        reading.values["time"] = form.text("time")
    rows = form.rows("case.was", "case.when")
    reading.conditions.update({f"case.when/{n}": row["when"] for n, row in enumerate(rows) if row["when"].strip()})
    if form.text("when"):
        reading.conditions["when"] = form.text("when")
    return reading.values, reading.conditions, reading.unread


@dataclass(frozen=True, slots=True)
class _Reading:
    values: dict[str, Json]
    conditions: dict[str, Json]
    unread: dict[str, Shown]

    def tree(self, name: str, text: str, path: str) -> None:
        if not text.strip():
            return
        try:
            self.values[name] = read_tree(text, path)
        except Invalid as error:
            self.unread[name] = Shown(error.errors[0].message, "bad")


async def look_ahead(visit: Visit, desk: Desk, form: Form, kind: Kind) -> tuple[dict[str, Shown], Sequence[Json]]:
    """What the fields of the form give for the chosen event, and the names that expressions may use there.

    Without an event there is nothing to look at; Invalid when it is none of the integration.
    """
    values, conditions, unread = preview_of(form, kind)
    event_id = form.text("event")
    if not event_id:
        return {}, ()
    wanted = NewPreview(
        event_id=event_id[:64],
        values=values,
        conditions=conditions,
        at=form.text("was")[:1_000],
        workflow=desk.document,
    )
    try:
        told = await visit.cases.trials.preview(visit.actor, desk.id, wanted)
    except NotFound as error:
        raise Invalid(str(error), (FieldError("event", "is not there any more; choose another one"),)) from None
    shown = {name: _shown(each) for name, each in {**told["values"], **told["conditions"]}.items()}
    return _joined(shown | unread), told["names"]


def _shown(told: dict[str, Any]) -> Shown:
    if "error" in told:
        return Shown(str(told["error"])[:_LONGEST_VALUE], "bad")
    if told.get("truncated"):
        return Shown(f"a value of {told['size']} bytes", "quiet")
    text = json.dumps(told["value"], ensure_ascii=False, indent=2 if isinstance(told["value"], dict | list) else None)
    return Shown(text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…")


def _joined(shown: dict[str, Shown]) -> dict[str, Shown]:
    """Several of one field in one: `s.that/0` and `s.that/1` are told as `s.that`."""
    found: dict[str, Shown] = {}
    for name, each in shown.items():
        field_name = name if name.startswith("case.when/") else name.partition("/")[0]
        before = found.get(field_name)
        if before is None:
            found[field_name] = each
        else:
            tone = "bad" if "bad" in (before.tone, each.tone) else each.tone
            found[field_name] = Shown(f"{before.text}\n{each.text}", tone)
    return found
