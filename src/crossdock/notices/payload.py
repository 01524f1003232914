"""The payload: what a notification tells, as templates see it and as it goes out where there is no template.

Made of immutable changes, so that every try of a delivery tells the same. It is bounded whatever the changes hold: long
messages are cut, and what would not fit is left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from crossdock.model.health import HealthChange, HealthStatus, ToldIssue
from crossdock.model.outcome import Json
from crossdock.model.time import SECOND, Instant, format_instant

STATUS_CHANGED = "integration.status_changed"
DIGEST = "integration.digest"

MESSAGE_CHARACTERS = 2_000
"""How much of an issue's message is told."""
MAX_ISSUES = 100
"""Issues that `data` tells."""
MAX_CHANGES = 200
"""Changes that one digest tells."""
CHANGES_CHARACTERS = 256 * 1024
"""Of messages in `changes`, so that the output of a template that repeats them has room."""
_NAME_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class About:
    """What is known of an integration when it is told of. `url` leads to it in the workspace."""

    name: str
    type: str
    url: str


AboutOf: TypeAlias = Callable[[str], About]


def payload_of(changes: Sequence[HealthChange], about: AboutOf, *, is_digest: bool = False) -> dict[str, Json]:
    """The payload of these changes, the oldest first; there is at least one.

    In a digest `data` is the integration that is worst off now, and its issues are those of all of them, each with the
    name of its integration in front where there are several.
    """
    latest = {change.integration_id: change for change in changes}
    told = max(latest.values(), key=lambda change: (_GRAVITY[change.status], change.at)) if is_digest else changes[-1]
    shown = changes[-MAX_CHANGES:]
    elements = _elements(shown, about)
    data = _told_of(told, about)
    if is_digest and len(latest) > 1:
        data["issues"] = _issues_of_all(latest.values(), about)
    return {
        "event_type": DIGEST if is_digest else STATUS_CHANGED,
        "event_time": format_instant(changes[-1].at),
        "data": data,
        "changes": elements,
        "changes_left_out": len(changes) - len(elements),
    }


_GRAVITY: Mapping[HealthStatus, int] = MappingProxyType(
    {
        HealthStatus.ERROR: 4,
        HealthStatus.WARNING: 3,
        HealthStatus.ACTIVE: 2,
        HealthStatus.INITIALIZING: 1,
        HealthStatus.DISABLED: 0,
    }
)


def _elements(changes: Sequence[HealthChange], about: AboutOf) -> list[Json]:
    """The newest that fit, the oldest of them first."""
    elements: list[Json] = []
    room = CHANGES_CHARACTERS
    for change in reversed(changes):
        element = {"event_time": format_instant(change.at), **_told_of(change, about)}
        room -= sum(len(issue["message"]) for issue in element["issues"])
        if room < 0 and elements:
            break
        elements.append(element)
    return elements[::-1]


def _told_of(change: HealthChange, about: AboutOf) -> dict[str, Json]:
    known = about(change.integration_id)
    return {
        "id": change.integration_id,
        "name": _clean(known.name, _NAME_CHARACTERS),
        "type": known.type,
        "status": change.status.value,
        "previous_status": change.previous_status.value,
        "url": _clean(known.url, MESSAGE_CHARACTERS),
        "issues": [_issue(issue) for issue in change.issues[:MAX_ISSUES]],
    }


def _issues_of_all(changes: Iterable[HealthChange], about: AboutOf) -> list[Json]:
    """Errors first, so that a cut list keeps what matters most."""
    named = [
        _issue(
            ToldIssue(issue.status, f"{_clean(about(change.integration_id).name, _NAME_CHARACTERS)}: {issue.message}")
        )
        for change in changes
        for issue in change.issues
    ]
    return sorted(named, key=lambda issue: issue["status"] != HealthStatus.ERROR)[:MAX_ISSUES]


def _issue(issue: ToldIssue) -> dict[str, Json]:
    return {"status": issue.status.value, "message": _clean(issue.message, MESSAGE_CHARACTERS)}


def _clean(text: str, most: int) -> str:
    """The text as any receiver can read it: whole characters, not too many. Half a surrogate pair is no character."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut if cut.isascii() else cut.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# --- what it looks like --------------------------------------------------------------------------------------------

_STATUSES = [status.value for status in HealthStatus]


def _text(description: str, **more: Json) -> dict[str, Json]:
    return {"type": "string", "description": description, **more}


def _whole(description: str, properties: dict[str, Json]) -> dict[str, Json]:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list_of(description: str, items: dict[str, Json]) -> dict[str, Json]:
    return {"type": "array", "description": description, "items": items}


_ISSUES = _list_of(
    "What is wrong; empty when nothing is.",
    _whole(
        "One thing that is wrong.",
        {
            "status": _text("How bad it is.", enum=[HealthStatus.WARNING.value, HealthStatus.ERROR.value]),
            "message": _text(f"What is wrong, in words; {MESSAGE_CHARACTERS} characters at most."),
        },
    ),
)
_TOLD_OF: dict[str, Json] = {
    "id": _text("The integration's id. It stays the same for ever."),
    "name": _text("The integration's name."),
    "type": _text("The external system type, such as webhook-trigger."),
    "status": _text("The state that the integration is in now.", enum=_STATUSES),
    "previous_status": _text("The state that it was in before.", enum=_STATUSES),
    "url": _text("A link to the integration in the workspace."),
    "issues": _ISSUES,
}

PAYLOAD_SCHEMA: dict[str, Json] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Payload of a notification",
    **_whole(
        "An integration's state has changed.",
        {
            "event_type": _text(f"{STATUS_CHANGED}, or {DIGEST} for a digest.", enum=[STATUS_CHANGED, DIGEST]),
            "event_time": _text(
                "When the state changed, RFC 3339 in UTC. In a digest: the last time.", format="date-time"
            ),
            "data": _whole(
                "The integration. In a digest, the one that is worst off now, with the issues of all of them.", _TOLD_OF
            ),
            "changes": _list_of(
                "An element for each change that is told, the oldest first: one, except in a digest.",
                _whole("One change.", {"event_time": _text("When it happened.", format="date-time"), **_TOLD_OF}),
            ),
            "changes_left_out": {
                "type": "integer",
                "minimum": 0,
                "description": f"How many older changes did not fit: a digest tells {MAX_CHANGES} at most. Beyond a"
                " thousand they are not counted.",
            },
        },
    ),
}
"""Describes every payload. Templates are checked against it."""


# --- examples ------------------------------------------------------------------------------------------------------


def mock_payload(now: Instant) -> dict[str, Json]:
    """What a test sends. Whoever reads it at the other end sees that it is one."""
    return payload_of([_mock_changes(now + SECOND)[1]], _mock_about)


def mock_recovery(now: Instant) -> dict[str, Json]:
    """An integration that is well again: there are no issues."""
    return payload_of([_mock_changes(now)[2]], _mock_about)


def mock_digest(now: Instant) -> dict[str, Json]:
    """Several changes of two integrations."""
    return payload_of(_mock_changes(now), _mock_about, is_digest=True)


def _mock_about(integration_id: str) -> About:
    name = "Test of this webhook" if integration_id == _MOCK_IDS[0] else "Another test of this webhook"
    return About(name, "webhook-trigger", f"https://crossdock.example/integrations/{integration_id}")


_MOCK_IDS = ("int_00000000000000000000000000", "int_00000000000000000000000001")


def _mock_changes(now: Instant) -> list[HealthChange]:
    warning = ToldIssue(HealthStatus.WARNING, "This is a test: a reply could not be delivered, the target answered 410")
    error = ToldIssue(HealthStatus.ERROR, "This is a test: 5 of the last 20 runs failed, http at step send")
    first, second = _MOCK_IDS
    return [
        HealthChange("hch_1", first, now - 2 * SECOND, HealthStatus.WARNING, HealthStatus.ACTIVE, (warning,)),
        HealthChange("hch_2", first, now - SECOND, HealthStatus.ERROR, HealthStatus.WARNING, (error, warning)),
        HealthChange("hch_3", second, now, HealthStatus.ACTIVE, HealthStatus.WARNING),
    ]
