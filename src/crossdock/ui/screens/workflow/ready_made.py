"""Workflows and steps to begin with: common shapes that work as they stand, but for addresses and names."""

from __future__ import annotations

from dataclasses import dataclass

from crossdock.model.outcome import Json


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """Some steps that belong together."""

    name: str
    title: str
    line: str
    picture: str
    steps: tuple[Json, ...]


READY_MADE: tuple[ReadyMade, ...] = (
    ReadyMade(
        "echo",
        "Take over and answer",
        "Picks a few values out of the call and hands them back.",
        "respond",
        (
            {"id": "picked", "transform": {"id": "{{ event.id }}", "received": "{{ body | default(none) }}"}},
            {"id": "answer", "respond": {"status": 200, "json": "{{ steps.picked }}"}},
        ),
    ),
    ReadyMade(
        "check",
        "Check before going on",
        "Refuses what is incomplete with a status of its own, and goes on with the rest.",
        "assert",
        (
            {
                "id": "complete",
                "assert": {
                    "that": ["{{ body.id is defined }}"],
                    "message": "the call has no id",
                    "kind": "incomplete",
                    "status": 422,
                },
            },
            {"id": "answer", "respond": {"status": 200, "json": {"accepted": "{{ body.id }}"}}},
        ),
    ),
    ReadyMade(
        "forward",
        "Hand on to another system",
        "Sends what came to an HTTP address, again where that fails, and answers with what it said.",
        "http",
        (
            {
                "id": "forwarded",
                "http": {"method": "POST", "url": "https://example.com/orders", "json": "{{ body }}"},
                "retry": {"attempts": 4, "delay": "PT2S"},
                "timeout": "PT20S",
            },
            {"id": "answer", "respond": {"status": 200, "json": {"status": "{{ steps.forwarded.status }}"}}},
        ),
    ),
    ReadyMade(
        "route",
        "Go different ways",
        "Does one thing or another, as a field of the call says.",
        "switch",
        (
            {
                "id": "route",
                "switch": {
                    "cases": [
                        {
                            "when": "{{ body.total | default(0) > 1000 }}",
                            "steps": [{"id": "large", "transform": {"queue": "approval"}}],
                        }
                    ],
                    "default": [{"id": "small", "transform": {"queue": "direct"}}],
                },
            },
            {"id": "answer", "respond": {"json": "{{ steps.route }}"}},
        ),
    ),
    ReadyMade(
        "lines",
        "Work through a list",
        "Does the same for each line of an order, and adds up the results.",
        "for_each",
        (
            {
                "id": "lines",
                "for_each": {
                    "over": "{{ body.lines | default([]) }}",
                    "as": "line",
                    "steps": [
                        {
                            "id": "priced",
                            "transform": {"sku": "{{ line.sku }}", "total": "{{ line.quantity * line.price }}"},
                        }
                    ],
                },
            },
            {
                "id": "answer",
                "respond": {
                    "json": {"lines": "{{ steps.lines }}", "total": "{{ steps.lines | sum(attribute='total') }}"}
                },
            },
        ),
    ),
)


def ready_made(name: str) -> ReadyMade | None:
    return next((each for each in READY_MADE if each.name == name), None)
