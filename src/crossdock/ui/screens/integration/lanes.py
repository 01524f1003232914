"""The lanes of an ordered integration: what each waits for, and the operator's decision about its head."""

from __future__ import annotations

from typing import Literal

from starlette.responses import Response

from crossdock.model.errors import CrossdockError, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.visit import Visit

PAGE = "integration/lanes.html"
MOST_AT_ONCE = 200
DONE = {"retry": "tried again", "skip": "skipped", "park": "parked"}


async def show(visit: Visit) -> Response:
    """The lanes in which something waits, by key."""
    integration = await visit.cases.integrations.show(visit.actor, visit.parameter("integration_id"))
    page = await visit.cases.lanes.page(visit.actor, integration["id"], cursor=visit.cursor)
    return visit.show(
        PAGE,
        "lanes",
        integration=integration,
        lanes=[{**lane, "why": why(lane), "can_decide": lane["head"]["status"] != "running"} for lane in page.items],
        next=page.next,
        fields=visit.fields,
    )


async def decide(visit: Visit) -> Response:
    """Retry, skip or park the head of one lane, or of all that were chosen; what could not be done is told by name."""
    visit.actor.require("operator")
    integration_id = (await visit.cases.integrations.show(visit.actor, visit.parameter("integration_id")))["id"]
    decision = _decision(visit.parameter("decision"))
    only = visit.sent.text("only")
    chosen = [only] if only else list(dict.fromkeys(visit.sent.all("lanes")))[:MOST_AT_ONCE]
    back = visit.path("integrations", integration_id, "lanes")
    if not chosen:
        return visit.go(back, "Choose lanes first.", tone="warning")
    note, done, refused = visit.sent.text("note"), 0, []
    for value in chosen:
        lane, _, head = value.partition(":")  # the head that was shown, which may be another one by now
        try:
            await visit.cases.lanes.decide(
                visit.actor, integration_id, lane, decision, note=note, event_id=head or None
            )
        except CrossdockError as error:
            refused.append(str(error))
        else:
            done += 1
    said = (
        f"The {'head of one lane is' if done == 1 else f'heads of {done} lanes are'} {DONE[decision]}." if done else ""
    )
    if refused:
        said += f" Not done for {len(refused)}: " + "; ".join(refused[:3])
    return visit.go(back, said.strip(), tone="warning" if refused else "good")


def _decision(word: str) -> Literal["retry", "skip", "park"]:
    match word:
        case "retry" | "skip" | "park":
            return word
        case _:
            raise Invalid("the head of a lane can be retried, skipped or parked")


def why(lane: Json) -> str:
    """What a lane waits for, in words."""
    head = lane["head"]
    match head["status"], head["waiting_for"]:
        case _, "operator":
            return "Its head failed for good. It waits for a decision: retry, skip or park it."
        case _, "delay":
            return "Its head waits in a delay step."
        case "retrying", _:
            return "Its head failed and is tried again by itself."
        case "running", _:
            return "Its head is being worked on."
        case _:
            return "Its head is about to start."
