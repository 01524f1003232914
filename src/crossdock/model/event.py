"""An accepted call, and its body as expressions see it."""

from __future__ import annotations

from crossdock.model.time import Instant
from crossdock.model.value import value

CREDENTIAL_HEADERS = frozenset(
    {"authorization", "x-api-key", "x-platform-token", "cookie", "proxy-authorization", "x-auth-token"}
)
"""Kept out of the record: their values are replaced by `REDACTED`."""
REDACTED = "[redacted]"


@value
class Request:
    """What was called, byte for byte. Repeated query parameters and headers are kept, in order."""

    method: str
    path: str
    """As it was sent, percent-decoded, with the leading `/`."""
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    """Names in lower case. Those of `CREDENTIAL_HEADERS` say `[redacted]`."""
    content_type: str
    body: bytes
    key_id: str | None = None
    """The API key that was used."""
    source_ip: str = ""


@value
class Event:
    """One accepted call. Immutable."""

    id: str
    integration_id: str
    received_at: Instant
    request: Request
    replay_of: str | None = None
    emitted_by: str | None = None
    """The event whose workflow made this one."""
    depth: int = 0
    """How many events stand before it in a chain of events that emit others."""


def run_id_of(event_id: str) -> str:
    """The id of the run that processes the event: each event has exactly one (a replay is a new event)."""
    return "run_" + event_id.removeprefix("evt_")
