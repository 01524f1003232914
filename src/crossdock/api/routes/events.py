"""Events and deliveries."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from crossdock.api import documents
from crossdock.api.answering import answer, answer_page
from crossdock.api.cases import Cases
from crossdock.api.describing import reads, takes, writes
from crossdock.api.documents import PageOf
from crossdock.api.reading import PAGE, Cursor, Limit, OptionalJsonBody, Who, checked
from crossdock.api.traffic_documents import EventList
from crossdock.manage.events import SEARCH_CHARACTERS, EventQuery

routes = APIRouter(prefix="/api/v1", tags=["events"])

Text = Annotated[
    str | None,
    Query(max_length=SEARCH_CHARACTERS, description="Looked for in ids, paths, and bodies of up to 1 MiB, as it is."),
]
States = Annotated[str | None, Query(max_length=100, description="One or several states, divided by commas.")]
Time = Annotated[str | None, Query(max_length=64, description="RFC 3339 with an offset, such as 2026-11-22T14:03:12Z.")]
Key = Annotated[str | None, Query(max_length=200, description="An API key's id or label.")]


async def _asked(
    integration: Annotated[str | None, Query(max_length=64, description="An integration's id.")] = None,
    status: States = None,
    q: Text = None,
    key: Key = None,
    received_after: Time = None,
    received_before: Time = None,
    has_failed_reply: bool | None = None,
    method: Annotated[str | None, Query(max_length=16, description="Such as POST.")] = None,
    replay_of: Annotated[str | None, Query(max_length=64, description="The id of the event that was replayed.")] = None,
) -> EventQuery:
    return EventQuery(integration, status, q, key, received_after, received_before, has_failed_reply, method, replay_of)


EventsAsked = Annotated[EventQuery, Depends(_asked)]


@routes.get("/events", **reads(EventList))
async def list_events(
    cases: Cases, who: Who, asked: EventsAsked, limit: Limit = PAGE, cursor: Cursor = None
) -> Response:
    """Events, newest first.

    A page looks at a bounded number of events: with filters it may be short, or empty, while `next` goes on.
    """
    found = await cases.events.look(who, asked, limit=limit, cursor=cursor)
    return answer({"items": found.items, "next": found.next, "searched_until": found.searched_until})


@routes.get("/events/{event_id}", **reads(documents.Event))
async def show_event(cases: Cases, who: Who, event_id: str) -> Response:
    """An event with its run, steps, result and reply."""
    return answer(await cases.events.show(who, event_id))


@routes.get("/events/{event_id}/steps", **reads(PageOf[documents.Step]))
async def list_event_steps(
    cases: Cases,
    who: Who,
    event_id: str,
    prefix: Annotated[str, Query(max_length=1_000, description="How their paths begin: `lines[3].`")] = "",
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """All steps of an event's run in the order of the workflow, with whole inputs and outputs."""
    return answer_page(await cases.events.steps(who, event_id, prefix=prefix, limit=limit, cursor=cursor))


_BYTES = {
    "description": "The bytes that were sent; their type stands in the event.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


@routes.get(
    "/events/{event_id}/body",
    response_model=None,
    responses={**reads(None)["responses"], 200: _BYTES},
    response_class=Response,
)
async def show_event_body(cases: Cases, who: Who, event_id: str) -> Response:
    """The body, byte for byte. It is a download whatever it says it is: a caller's HTML must not run here."""
    _, body = await cases.events.body(who, event_id)
    headers = {"content-disposition": f'attachment; filename="{event_id}.body"', "cache-control": "no-store"}
    return Response(body, media_type="application/octet-stream", headers=headers)


@routes.post(
    "/events/{event_id}/replay",
    **writes(documents.Replayed, 201),
    openapi_extra=takes(documents.Replay, required=False),
)
async def replay_event(cases: Cases, who: Who, event_id: str, document: OptionalJsonBody) -> Response:
    """Handle the same call once more, as a new event: from a step on, with another version, with an edited request."""
    wanted = checked(documents.Replay, document or {}, "the replay")
    made = await cases.events.replay(who, event_id, wanted.model_dump())
    return answer(made, 201, location=f"/api/v1/events/{made['id']}")


@routes.post("/events/{event_id}/retry", **writes(documents.Event))
async def retry_event(cases: Cases, who: Who, event_id: str) -> Response:
    """Start now what waits for its next attempt or for an operator, with all its attempts."""
    return answer(await cases.events.retry(who, event_id))


@routes.post("/events/{event_id}/cancel", **writes(documents.Event))
async def cancel_event(cases: Cases, who: Who, event_id: str) -> Response:
    """Stop the run: at once when it waits, at its next step when it is being worked on."""
    return answer(await cases.events.cancel(who, event_id))


@routes.get("/deliveries/{delivery_id}", **reads(documents.Delivery))
async def show_delivery(cases: Cases, who: Who, delivery_id: str) -> Response:
    """A delivery with every try to send it."""
    return answer(await cases.deliveries.show(who, delivery_id))


@routes.post("/deliveries/{delivery_id}/resend", **writes(documents.Delivery, 201))
async def resend_delivery(cases: Cases, who: Who, delivery_id: str) -> Response:
    """Send the same message again, as a new delivery without a time limit."""
    made = await cases.deliveries.resend(who, delivery_id)
    return answer(made, 201, location=f"/api/v1/deliveries/{made['id']}")
