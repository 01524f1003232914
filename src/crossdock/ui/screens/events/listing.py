"""The list of events, of a workspace or of one integration, with its histogram and filters; and refused calls."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from crossdock.manage.events import EventsFound
from crossdock.model.errors import Invalid
from crossdock.model.outcome import Json
from crossdock.model.story import between
from crossdock.ui.forms import NO_ERRORS, Errors
from crossdock.ui.pictures.histogram import KINDS, histogram
from crossdock.ui.rendering import format_took
from crossdock.ui.screens.events.filters import Wanted
from crossdock.ui.visit import Visit

PART = "events/part.html"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REASONS = {
    "disabled": "The integration is disabled",
    "invalid": "It did not fit what the integration asks for",
    "malformed": "It could not be read",
    "media_type": "Its content type is not taken",
    "method": "Its method is not allowed",
    "rate_limit": "There were more calls than are allowed",
    "too_large": "Its body is too large",
    "unauthenticated": "Its credential was missing or wrong",
}
_COUNTED_AS = dict.fromkeys(("queued", "running", "waiting", "retrying"), "unfinished")
"""What the counts call the states of runs, where they know them under another name."""
SHOWN = 40
"""Events on a page: somebody who goes through it by the Tab key comes to its end."""
MOST_CHOICES = 200
"""Integrations that the filter offers."""

_WAITS = {
    "lane": "for its turn in the lane",
    "slot": "for a free place",
    "retry": "for its next try",
    "delay": "for its delay",
    "operator": "for a decision",
}
"""What a row says of the reasons for which nobody works on an event; its page says more."""


async def show_list(visit: Visit) -> Response:
    """All events of the workspace."""
    return await _show(visit, "events/events.html", None, {})


async def show_of_integration(visit: Visit) -> Response:
    """The events of one integration, as a tab of its page."""
    integration = await visit.cases.integrations.show(visit.actor, visit.parameter("integration_id"))
    return await _show(visit, "events/of_integration.html", integration["id"], {"integration": integration})


async def show_refused(visit: Visit) -> Response:
    """Calls that were refused at the door: they are counted, and nothing of them is kept."""
    chosen = visit.query("integration") or None
    refused = await visit.cases.events.refused(visit.actor, chosen)
    told = [{**each, "words": REASONS.get(each["reason"], "It could not be taken")} for each in refused]
    return visit.page("events/refused.html", refused=told, chosen=chosen, choices=await _choices(visit))


async def _show(visit: Visit, template: str, owner: str | None, names: dict[str, Any]) -> Response:
    try:
        wanted = Wanted.of(visit, owner)
        found = await visit.cases.events.look(visit.actor, wanted.query, limit=SHOWN, cursor=visit.cursor)
        picture = await _picture(visit, wanted)
    except Invalid as error:
        return await _refused_filter(visit, template, owner, names, error)
    shown = {**names, **_names(visit, wanted, found), **picture, "errors": NO_ERRORS}
    if visit.is_partial:
        return visit.part(PART, "list", **shown)
    return visit.page(template, choices=[] if owner else await _choices(visit), **shown)


async def _refused_filter(
    visit: Visit, template: str, owner: str | None, names: dict[str, Any], error: Invalid
) -> Response:
    """The page with what is wrong with its filter, and every field as it was."""
    fields = {name: value[-1] for name, value in visit.fields.items() if name not in ("cursor", "last")}
    wanted = Wanted(fields, owner)
    shown = {**names, **_names(visit, wanted, EventsFound([], None, 0, None)), "histogram": "", "is_coarse": False}
    choices = [] if owner else await _choices(visit)
    return visit.page(template, 422, choices=choices, errors=Errors.of(error), **shown)


def _names(visit: Visit, wanted: Wanted, found: EventsFound) -> dict[str, Any]:
    return {
        "wanted": wanted,
        "here": visit.request.url.path,
        "events": [_row(visit, event, wanted) for event in found.items],
        "found": found,
        "is_first": not visit.cursor,
        "methods": METHODS,
    }


def _row(visit: Visit, event: Json, wanted: Wanted) -> dict[str, Any]:
    """An event as a row of the table."""
    seconds = between(event["received_at"], event["finished_at"])
    waiting = event["waiting_for"]
    return {
        **event,
        "href": f"{visit.path('events', event['id'])}{wanted.narrowed(integration=wanted.integration).text}",
        "took": format_took(None if seconds is None else seconds * 1_000),
        "waits": _WAITS.get(waiting["reason"], "") if waiting else "",
    }


async def _picture(visit: Visit, wanted: Wanted) -> dict[str, Any]:
    """The histogram over the list, of the states that are shown, and what it knows nothing of."""
    counts = await visit.cases.traffic.histogram(visit.actor, wanted.query)
    kinds = [kind for kind in KINDS if not wanted.states or kind in {_COUNTED_AS.get(s, s) for s in wanted.states}]
    drawn = histogram(counts, lambda start, end: wanted.but(from_=start, until=end, last=None), kinds)
    return {"histogram": drawn, "is_coarse": bool(counts["left_out"])}


async def _choices(visit: Visit) -> list[tuple[str, str]]:
    """The integrations that can be chosen, by name."""
    names = await visit.cases.overview.names(visit.actor)
    return list(names.items())[:MOST_CHOICES]
