"""What is measured: an integration, the calls that are made to it, and what a call has to leave behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

KEY = "key-of-the-load-generator"

WORKFLOW: dict[str, Any] = {
    "steps": [
        {
            "id": "order",
            "transform": {
                "number": "{{ body.number }}",
                "customer": "{{ body.customer.id }}",
                "total": "{{ body.quantity * body.price }}",
            },
        },
        {"id": "answer", "respond": {"status": 200, "json": {"order": "{{ steps.order }}", "event": "{{ event.id }}"}}},
    ]
}
"""Two steps: one builds an object, one makes the answer of it."""

SINK = "http://sink.invalid"
"""Stands in workflows for the address of the local sink, which is known when it runs."""

CALLING: dict[str, Any] = {
    "steps": [
        {
            "id": "booked",
            "http": {
                "method": "POST",
                "url": f"{SINK}/bookings",
                "json": {"number": "{{ body.number }}", "total": "{{ body.quantity * body.price }}"},
            },
        },
        {"id": "answer", "respond": {"json": {"booked": "{{ steps.booked.body.id }}"}}},
    ]
}
"""One call to another system, and an answer made of what it said."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`customers` is the number of different bodies that are sent in turn."""

    name: str
    about: str
    mode: str
    workflow: dict[str, Any] | None = None
    ordering_key: str | None = None
    ordered: bool = False
    customers: int = 1
    replies: bool = False

    def document(self, name: str, sink_url: str) -> dict[str, Any]:
        """The integration as the admin API takes it."""
        trigger: dict[str, Any] = {
            "methods": ["POST"],
            "authentication": {"mode": "api_keys"},
            "response_mode": self.mode,
            "ordered_delivery": self.ordered,
            "concurrency": 256,
        }
        if self.ordering_key is not None:
            trigger["ordering_key"] = self.ordering_key
        document: dict[str, Any] = {"name": name, "type": "webhook-trigger", "path": name, "trigger": trigger}
        if self.workflow is not None:
            document["workflow"] = json.loads(json.dumps(self.workflow).replace(SINK, sink_url))
        if self.replies:
            document["reply"] = {"url": f"{sink_url}/replies", "method": "POST"}
        return document

    def bodies(self) -> list[bytes]:
        return [order(customer) for customer in range(self.customers)]


def order(customer: int) -> bytes:
    """About 120 bytes, as a shop would send them."""
    document = {
        "number": "SO-2026-004711",
        "customer": {"id": f"C{customer:05d}", "name": "Nordwind GmbH"},
        "sku": "BX-20-BLUE",
        "quantity": 3,
        "price": 19.95,
    }
    return json.dumps(document, separators=(",", ":")).encode()


SCENARIOS = (
    Scenario("accept", "async, API key, no steps", "async"),
    Scenario("handle", "async, API key, transform + respond", "async", WORKFLOW),
    Scenario("answer", "sync, API key, transform + respond", "sync", WORKFLOW),
    Scenario("reply", "as handle, and the result is sent to a reply URL", "async", WORKFLOW, replies=True),
    Scenario("call", "async, API key, http step to a local sink + respond, reply URL", "async", CALLING, replies=True),
    Scenario("order-1", "as handle, ordered in one lane", "async", WORKFLOW, ordered=True),
    Scenario("order-100", "as handle, ordered in 100 lanes", "async", WORKFLOW, "{{ body.customer.id }}", True, 100),
)
