"""The names that expressions begin with, made from an event.

Each is made when it is first asked for: most expressions need one of them, and the body may be large.
"""

from __future__ import annotations

from crossdock.expressions.body import read_body
from crossdock.model.event import Event
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant


class EventNames(dict[str, Json]):
    """A mapping of names that fills itself. `steps` is there for the caller to add outputs to."""

    __slots__ = ("_attempt", "_event", "_integration")

    def __init__(self, event: Event, integration: str, attempt: int) -> None:
        super().__init__(steps={}, vars={})
        self._event = event
        self._integration = integration
        self._attempt = attempt

    def __missing__(self, name: str) -> Json:
        match name:
            case "body":
                value = read_body(self._event.request.content_type, self._event.request.body)
            case "query":
                value = _query(self._event.request.query)
            case "headers":
                value = _headers(self._event.request.headers)
            case "event":
                value = _event(self._event, self._integration, self._attempt)
            case _:
                raise KeyError(name)
        self[name] = value
        return value


def event_names(event: Event, integration: str = "", attempt: int = 1) -> EventNames:
    """Names for expressions over the event. `integration` is the integration's name, `attempt` counts from 1."""
    return EventNames(event, integration, attempt)


def _query(pairs: tuple[tuple[str, str], ...]) -> dict[str, Json]:
    """The text of each parameter; the list of its texts where it is repeated."""
    values: dict[str, Json] = {}
    for name, value in pairs:
        if name not in values:
            values[name] = value
        elif isinstance(values[name], list):
            values[name].append(value)
        else:
            values[name] = [values[name], value]
    return values


def _headers(pairs: tuple[tuple[str, str], ...]) -> dict[str, Json]:
    """Names in lower case; repeated headers joined by commas (RFC 9110, 5.2)."""
    values: dict[str, Json] = {}
    for name, value in pairs:
        key = name.lower()
        values[key] = f"{values[key]}, {value}" if key in values else value
    return values


def _event(event: Event, integration: str, attempt: int) -> dict[str, Json]:
    return {
        "id": event.id,
        "received_at": format_instant(event.received_at),
        "method": event.request.method,
        "path": event.request.path,
        "integration": {"id": event.integration_id, "name": integration or event.integration_id},
        "replay_of": event.replay_of,
        "attempt": attempt,
    }
