"""Events that were chosen one by one: each is replayed or canceled at once, and what could not be is told."""

from __future__ import annotations

from starlette.responses import Response

from crossdock.manage.paging import MAX_LIMIT
from crossdock.model.errors import FieldError, Invalid, Refused
from crossdock.ui.said import is_own_path
from crossdock.ui.visit import Visit

DEEDS = {"replay": "replayed", "cancel": "canceled"}


async def do_to_chosen(visit: Visit) -> Response:
    """Back to the list, with how many it was done to and the first reason of those it could not be done to."""
    visit.actor.require("operator")
    deed, chosen = visit.sent.text("deed"), list(dict.fromkeys(visit.sent.all("event_id")))
    if deed not in DEEDS:
        raise Invalid("nothing was asked for", (FieldError("deed", f"must be one of {', '.join(DEEDS)}"),))
    if not 0 < len(chosen) <= MAX_LIMIT:
        raise Invalid(f"choose 1 to {MAX_LIMIT} events; for more take all that match")
    done, refusals = 0, list[str]()
    for event_id in chosen:
        try:
            await _do(visit, deed, event_id)
            done += 1
        except Refused as error:
            refusals.append(str(error))
    said = f"{done} of {len(chosen)} events were {DEEDS[deed]}." if refusals else f"{_events(done)} {DEEDS[deed]}."
    if refusals:
        said += f" {len(refusals)} could not be: {refusals[0]}"
    back = visit.sent.text("back")
    own = back if is_own_path(back) and back.startswith(f"{visit.path()}/") else visit.path("events")
    return visit.go(own, said, tone="warning" if refusals else "good")


async def _do(visit: Visit, deed: str, event_id: str) -> None:
    if deed == "replay":
        await visit.cases.events.replay(visit.actor, event_id, {})
    else:
        await visit.cases.events.cancel(visit.actor, event_id)


def _events(count: int) -> str:
    return "1 event was" if count == 1 else f"{count} events were"
