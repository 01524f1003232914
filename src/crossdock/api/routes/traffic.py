"""Traffic over time, what needs attention, and how many events match."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from crossdock.api import traffic_documents as documents
from crossdock.api.answering import answer, answer_page
from crossdock.api.cases import Cases
from crossdock.api.describing import reads
from crossdock.api.documents import PageOf
from crossdock.api.reading import PAGE, Cursor, Limit, Who
from crossdock.api.routes.events import EventsAsked
from crossdock.manage.traffic import Span

routes = APIRouter(prefix="/api/v1", tags=["traffic"])

Over = Annotated[Span, Query(description="How far back.")]


@routes.get("/traffic", **reads(documents.Traffic))
async def show_traffic(cases: Cases, who: Who, span: Over = "PT24H") -> Response:
    """Counts of all integrations together, point by point."""
    return answer(await cases.traffic.of_workspace(who, span))


@routes.get("/integrations/{integration_id}/traffic", **reads(documents.TimedTraffic))
async def show_traffic_of_integration(cases: Cases, who: Who, integration_id: str, span: Over = "PT24H") -> Response:
    """Counts and percentiles of an integration, point by point."""
    return answer(await cases.traffic.of_integration(who, integration_id, span))


@routes.get("/overview", **reads(documents.Overview))
async def show_overview(cases: Cases, who: Who) -> Response:
    """What needs attention first, the last 24 hours, the busiest and the slowest integrations."""
    return answer(await cases.overview.show(who))


@routes.get("/overview/integrations", **reads(PageOf[documents.AttentionLine]))
async def list_by_attention(
    cases: Cases,
    who: Who,
    q: Annotated[str, Query(max_length=200, description="Part of a name or path.")] = "",
    kind: Annotated[str | None, Query(alias="type", max_length=64)] = None,
    status: Literal["enabled", "disabled"] | None = None,
    health: Annotated[str | None, Query(max_length=100, description="States, divided by commas.")] = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Integrations by need of attention, then by name, with what happens in them."""
    found = cases.overview.integrations(who, q=q, type=kind, status=status, health=health, limit=limit, cursor=cursor)
    return answer_page(await found)


@routes.get("/events/histogram", **reads(documents.Histogram))
async def show_histogram(cases: Cases, who: Who, asked: EventsAsked) -> Response:
    """Counts of events over time: by integration and times, the last 24 hours where none are given."""
    return answer(await cases.traffic.histogram(who, asked))


@routes.get("/events/count", **reads(documents.Matches))
async def count_events(cases: Cases, who: Who, asked: EventsAsked) -> Response:
    """How many events match: up to 10,000, and of those that can be looked at in a moment."""
    return answer(await cases.events.count(who, asked))


@routes.get("/events/refused", **reads(documents.RefusedCalls))
async def list_refused_calls(
    cases: Cases,
    who: Who,
    integration: Annotated[str | None, Query(max_length=64, description="An integration's id.")] = None,
) -> Response:
    """Calls that were refused, by integration and reason: how many, and when the last came. They are not stored."""
    return answer({"items": await cases.events.refused(who, integration)})


@routes.get("/events/{event_id}/story", **reads(documents.Story))
async def show_story(cases: Cases, who: Who, event_id: str) -> Response:
    """What happened to an event: in a sentence, and as the bars of a waterfall."""
    return answer((await cases.events.story(who, event_id))[1])
