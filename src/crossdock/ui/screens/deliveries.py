"""One delivery, a reply or a notification, with every try to send it; and sending it once more."""

from __future__ import annotations

from starlette.responses import Response

from crossdock.model.errors import NotFound
from crossdock.model.outcome import Json
from crossdock.ui.attempts import shown_attempt
from crossdock.ui.visit import Visit, reads, writes

_MEANINGS = {
    "queued": "It waits for a free sender and goes out by itself.",
    "sending": "It is being sent now.",
    "retrying": "The last try failed in passing. It is tried again by itself.",
    "delivered": "It arrived.",
    "failed": "It was refused for good, or its tries are used up. It is not sent again by itself; you can resend it.",
    "expired": "Its time was over before it could be delivered. It is not sent again by itself; you can resend it.",
    "canceled": "Its target was removed or switched off while it waited.",
}
_UNFINISHED = ("queued", "sending", "retrying")


async def show(visit: Visit) -> Response:
    delivery = await visit.cases.deliveries.show(visit.actor, visit.parameter("delivery_id"))
    if visit.is_partial and delivery["status"] not in _UNFINISHED:
        return visit.load_anew()
    return visit.show(
        "deliveries/delivery.html",
        "now",
        delivery=delivery,
        meaning=_MEANINGS[delivery["status"]],
        is_unfinished=delivery["status"] in _UNFINISHED,
        attempts=[shown_attempt(attempt) for attempt in reversed(delivery["attempts"])],
        owner=_owner(visit, delivery),
        integration_name=await _integration_name(visit, delivery["integration_id"]),
        is_reply=delivery["kind"] == "reply",
    )


def _owner(visit: Visit, delivery: Json) -> tuple[str, str]:
    """Where the delivery comes from: the address of the page, and what to call it."""
    if delivery["event_id"]:
        return visit.path("events", delivery["event_id"]), "Event"
    if delivery["webhook_id"]:
        return visit.path("notification-webhooks", delivery["webhook_id"], "deliveries"), "Deliveries of the webhook"
    return visit.path("integrations", delivery["integration_id"] or ""), "Integration"


async def _integration_name(visit: Visit, integration_id: str | None) -> str:
    """Its id where it is gone."""
    if integration_id is None:
        return ""
    try:
        return str((await visit.cases.integrations.show(visit.actor, integration_id))["name"])
    except NotFound:
        return integration_id


async def resend(visit: Visit) -> Response:
    made = await visit.cases.deliveries.resend(visit.actor, visit.parameter("delivery_id"))
    return visit.go(visit.path("deliveries", made["id"]), "It is sent once more: this is the new delivery.")


routes = (
    reads("/deliveries/{delivery_id}", show),
    writes("/deliveries/{delivery_id}/resend", resend),
)
