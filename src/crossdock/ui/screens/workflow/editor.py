"""The workflow editor's page: the steps as cards, the flow as a picture, one step open in a form, and the palette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.responses import Response

from crossdock.model.errors import NotFound
from crossdock.ui.pictures.flow import FlowStep, draw_flow
from crossdock.ui.screens.workflow.cards import Card, CardList, Deck, count_steps, deal
from crossdock.ui.screens.workflow.desk import Desk, look_at, open_desk, workflow_path
from crossdock.ui.screens.workflow.kinds import KINDS
from crossdock.ui.screens.workflow.opened import Opened, open_step, problems_as_errors
from crossdock.ui.screens.workflow.places import PlacedStep, list_at, step_at, write_address
from crossdock.ui.screens.workflow.ready_made import READY_MADE
from crossdock.ui.visit import Visit

TEMPLATE = "workflow/editor.html"


async def show(visit: Visit) -> Response:
    """The draft; the published workflow where there is none; with `version` that one, to be looked at."""
    if visit.query("version"):
        return show_desk(visit, await look_at(visit, visit.query("version")))
    desk = await open_desk(visit)
    opened = None
    if visit.query("step") and visit.can("admin"):
        step = step_at(desk.document, visit.query("step"))
        opened = await open_step(visit, desk, step, as_yaml=visit.query("as") == "yaml")
        card = find_card(deal(desk.document, desk.problems), opened.at)
        opened = replace(opened, errors=problems_as_errors(card))
    return show_desk(visit, desk, opened)


def show_desk(visit: Visit, desk: Desk, opened: Opened | None = None, status: int = 200) -> Response:
    """The page. `opened` is the step that is being edited."""
    deck = deal(desk.document, desk.problems)
    return visit.page(
        TEMPLATE,
        status,
        integration=desk.integration,
        desk=desk,
        deck=deck,
        picture=picture_of(deck),
        count=count_steps(desk.document),
        opened=opened,
        adding=_adding(visit, desk) if opened is None and desk.version is None and visit.can("admin") else None,
        kinds=list(KINDS.values()),
        ready_made=READY_MADE,
        at=lambda *parts: workflow_path(visit, *parts),
        moved=visit.query("moved"),
        moving=_moving(visit, desk),
        is_editable=visit.can("admin") and desk.version is None,
    )


def _adding(visit: Visit, desk: Desk) -> tuple[str, int] | None:
    """The list and the position that a step is being chosen for."""
    if not visit.query("into"):
        return None
    position = visit.query("position")
    into = write_address(list_at(desk.document, visit.query("into")))
    return into, int(position[:6]) if position.isascii() and position.isdigit() else 0


def _moving(visit: Visit, desk: Desk) -> PlacedStep | None:
    """The step that a new place is being chosen for."""
    if not visit.query("moving") or desk.version is not None or not visit.can("admin"):
        return None
    return step_at(desk.document, visit.query("moving"))


def find_card(deck: Deck, at: str) -> Card:
    """The card of the step at an address; NotFound when there is none."""
    waiting: list[CardList] = [deck.list]
    while waiting:
        for card in waiting.pop().cards:
            if card.at == at:
                return card
            waiting += card.lists
    raise NotFound("There is no such step in the workflow any more.")


def picture_of(deck: Deck) -> str:
    steps = _flow_steps(deck.list.cards)
    return draw_flow(steps, f"The flow: {', '.join(step.name for step in steps) or 'no steps'}"[:500])


def _flow_steps(cards: Sequence[Card]) -> tuple[FlowStep, ...]:
    return tuple(
        FlowStep(
            card.id or "without an id",
            card.kind,
            "failed" if card.all_problems else "",
            tuple((each.name, _flow_steps(each.cards)) for each in card.lists),
        )
        for card in cards
    )
