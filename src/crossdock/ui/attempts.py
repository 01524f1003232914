"""Tries to send a reply or a notification, as pages show them."""

from __future__ import annotations

from typing import Any

from crossdock.model.outcome import Json
from crossdock.ui.bodies import sent_bytes, show_body


def shown_attempt(attempt: Json) -> dict[str, Any]:
    """A try with its bodies ready to be shown, and told in a few words."""
    request, response = attempt["request"], attempt["response"]
    sent = request.get("body")
    return {
        **attempt,
        "told": _told(attempt),
        "sent": None if sent is None else show_body(sent.encode(errors="replace"), _content_type(request)),
        "answered": None if response is None else show_body(sent_bytes(response) or b"", _content_type(response)),
    }


def _told(attempt: Json) -> str:
    response = attempt["response"]
    if response is None:
        return "no answer"
    return f"answered {response['status']}"


def _content_type(part: Json) -> str:
    found = next((value for name, value in part["headers"].items() if name.lower() == "content-type"), "")
    return found if isinstance(found, str) else found[-1]
