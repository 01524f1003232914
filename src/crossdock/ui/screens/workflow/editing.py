"""Deeds of the editor: each changes the workflow and saves it as the draft at once.

A deed names its step by address and by path. When somebody else has changed the draft meanwhile, nothing is done: the
page says so, and offers to do it to the draft as it is now, if the step is still there.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from starlette.responses import Response

from crossdock.model.errors import Conflict, FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.said import LONGEST
from crossdock.ui.screens.workflow.cards import deal
from crossdock.ui.screens.workflow.desk import Desk, keep, open_desk, workflow_path
from crossdock.ui.screens.workflow.editor import find_card
from crossdock.ui.screens.workflow.kinds import KIND_NAMES, KINDS
from crossdock.ui.screens.workflow.places import (
    Address,
    PlacedStep,
    duplicate_step,
    every_step,
    fresh_id,
    ids_of,
    insert_step,
    list_at,
    move_step,
    place_steps,
    put_step,
    remove_step,
    step_at,
    value_at,
    write_address,
)
from crossdock.ui.screens.workflow.ready_made import ready_made
from crossdock.ui.visit import Visit, writes

MOST_UNDONE = LONGEST // 2
"""Characters of a packed step that an undo carries; what is larger is asked for before it is deleted."""
_LARGEST_STEP = 1024 * 1024
THE_END = 10**6
"""A position behind every step."""


@dataclass(frozen=True, slots=True)
class Done:
    """A changed document, what is said of it, and the address of the step that the page shows then."""

    document: Json
    said: str
    shows: Address | None = None
    opens: bool = False
    by: str = ""
    """The direction that a step was moved in: the page goes on at that button."""
    undo: dict[str, str] | None = None


async def change(visit: Visit, make: Callable[[Desk], Done]) -> Response:
    """Do it to the draft and go back to the editor."""
    desk = await open_desk(visit)
    if visit.sent.text("seen") != desk.seen:
        return changed_meanwhile(visit, desk)
    done = make(desk)
    try:
        saved = await keep(visit, desk, done.document)
    except Conflict:
        return changed_meanwhile(visit, await open_desk(visit))
    return go_on(visit, replace(desk, document=done.document, draft=saved), done)


def go_on(visit: Visit, desk: Desk, done: Done) -> Response:
    """To the editor, at the step that was changed."""
    path = workflow_path(visit)
    if done.shows is not None:
        at = write_address(done.shows)
        card = find_card(deal(desk.document, ()), at)
        by = f"&by={done.by}" if done.by else ""
        path += f"?{'step' if done.opens else 'moved'}={at}{by}#{card.anchor}"
    undo = workflow_path(visit, "steps", "restore") if done.undo else ""
    return visit.go(path, done.said, undo=undo, **{**(done.undo or {}), **({"seen": desk.seen} if undo else {})})


def changed_meanwhile(visit: Visit, desk: Desk) -> Response:
    """What somebody else did, and what can be done now."""
    step = _same_step(visit, desk)
    fields = visit.sent.without("page_token", "seen", "at").fields
    again = [*fields, ("seen", desk.seen), *([("at", write_address(step.address))] if step else [])]
    is_possible = step is not None or not visit.sent.text("was")
    return visit.page(
        "workflow/changed.html",
        409,
        integration=desk.integration,
        desk=desk,
        action=visit.request.url.path,
        again=again if is_possible else None,
        was=visit.sent.text("was"),
        at=lambda *parts: workflow_path(visit, *parts),
    )


def _same_step(visit: Visit, desk: Desk) -> PlacedStep | None:
    """The step that the form was about, where it stands now."""
    was = visit.sent.text("was")
    return next((step for step in every_step(place_steps(desk.document)) if was and step.path == was), None)


def named(step: PlacedStep) -> str:
    return step.id or "The step"


# --- deeds -----------------------------------------------------------------------------------------------------------


async def add(visit: Visit) -> Response:
    """A new step of a kind, or the steps of a ready-made one, at a place."""
    form = visit.sent
    chosen, start = form.text("kind"), ready_made(form.text("start"))
    if chosen not in KIND_NAMES and start is None:
        words = "choose one of " + ", ".join(KINDS)
        raise Invalid(f"there is no kind of step {chosen[:60]!r}: {words}", (FieldError("kind", words),))

    def make(desk: Desk) -> Done:
        into, position = list_at(desk.document, form.text("into")), form.whole("position", THE_END)
        steps = start.steps if start else ({"id": chosen, chosen: KINDS[chosen].begins},)
        document, taken = desk.document, ids_of(desk.document)
        if start is not None and taken & {step.id for step in every_step(place_steps({"steps": list(steps)}))}:
            steps = _with_own_ids(steps, taken)
        for n, step in enumerate(steps):
            own = step if start else {**step, "id": fresh_id(step["id"], taken)}
            document = insert_step(document, into, position + n, own)
        said = f"{start.title} was added to the draft." if start else f"{KINDS[chosen].words} was added to the draft."
        place = min(position, len(value_at(document, into)) - len(steps))
        return Done(document, said, (*into, place), opens=start is None)

    return await change(visit, make)


def _with_own_ids(steps: tuple[Json, ...], taken: set[str]) -> tuple[Json, ...]:
    """The steps as copies beside those that have their ids already."""
    document: Json = {
        "steps": [*({"id": name, "transform": {}} for name in sorted(taken)), {"id": "all", "for_each": {}}]
    }
    document["steps"][-1]["for_each"]["steps"] = list(steps)
    copied, there = duplicate_step(document, ("steps", len(document["steps"]) - 1))
    return tuple(value_at(copied, there)["for_each"]["steps"])


async def move(visit: Visit) -> Response:
    """A step up or down in its list."""
    direction = "up" if visit.sent.text("by") == "up" else "down"

    def make(desk: Desk) -> Done:
        step = step_at(desk.document, visit.sent.text("at"))
        document, there = move_step(desk.document, step.address, -1 if direction == "up" else 1)
        count = len(value_at(document, there[:-1]))
        return Done(document, f"{named(step)} is now step {int(there[-1]) + 1} of {count}.", there, by=direction)

    return await change(visit, make)


async def put(visit: Visit) -> Response:
    """A step at another place, into a block or out of one."""

    def make(desk: Desk) -> Done:
        step = step_at(desk.document, visit.sent.text("at"))
        into, position = list_at(desk.document, visit.sent.text("into")), visit.sent.whole("position", THE_END)
        document, there = put_step(desk.document, step.address, into, position)
        return Done(document, f"{named(step)} stands here now.", there)

    return await change(visit, make)


async def duplicate(visit: Visit) -> Response:
    """A copy right behind the step, with an id of its own."""

    def make(desk: Desk) -> Done:
        step = step_at(desk.document, visit.sent.text("at"))
        document, there = duplicate_step(desk.document, step.address)
        return Done(document, f"A copy of {named(step)} stands behind it.", there)

    return await change(visit, make)


async def delete(visit: Visit) -> Response:
    """Take a step out. The message brings it back; a step that is too large for that is asked for first."""
    desk = await open_desk(visit)
    if visit.sent.text("seen") == desk.seen and not visit.sent.is_on("agreed"):
        step = step_at(desk.document, visit.sent.text("at"))
        if len(_packed(step.written)) > MOST_UNDONE:
            return visit.page(
                "workflow/delete.html",
                integration=desk.integration,
                desk=desk,
                step=step,
                fields=visit.sent.without("page_token").fields,
                at=lambda *parts: workflow_path(visit, *parts),
            )
    return await change(visit, lambda desk: _without(visit, desk))


def _without(visit: Visit, desk: Desk) -> Done:
    step = step_at(desk.document, visit.sent.text("at"))
    packed = _packed(step.written)
    undo = {"into": write_address(step.address[:-1]), "position": str(step.position), "step": packed}
    said = f"{named(step)} was deleted from the draft."
    return Done(remove_step(desk.document, step.address), said, undo=undo if len(packed) <= MOST_UNDONE else None)


async def restore(visit: Visit) -> Response:
    """Bring a deleted step back to its place."""
    form = visit.sent

    def make(desk: Desk) -> Done:
        into = list_at(desk.document, form.text("into"))
        step = _unpacked(form.text("step"))
        document = insert_step(desk.document, into, form.whole("position", THE_END), step)
        count = len(value_at(document, into))
        there = (*into, min(form.whole("position", THE_END), count - 1))
        return Done(document, "The step is back.", there)

    return await change(visit, make)


def _packed(step: Json) -> str:
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(step).encode(), 9)).decode()


def _unpacked(text: str) -> Json:
    try:
        raw = zlib.decompressobj().decompress(base64.urlsafe_b64decode(text), _LARGEST_STEP)
        step = json.loads(raw)
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        raise Invalid("The step can't be brought back: what was kept of it is not whole.") from None
    if not isinstance(step, dict):
        raise Invalid("The step can't be brought back: what was kept of it is no step.")
    return step


routes = (
    writes("/integrations/{integration_id}/workflow/steps/add", add),
    writes("/integrations/{integration_id}/workflow/steps/move", move),
    writes("/integrations/{integration_id}/workflow/steps/put", put),
    writes("/integrations/{integration_id}/workflow/steps/duplicate", duplicate),
    writes("/integrations/{integration_id}/workflow/steps/delete", delete),
    writes("/integrations/{integration_id}/workflow/steps/restore", restore),
)
