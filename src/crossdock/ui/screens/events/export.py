"""The events that match as a file: CSV for spreadsheets, JSON lines for programs; without bodies."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response

from crossdock.manage.events import EventQuery
from crossdock.manage.paging import MAX_LIMIT
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.downloads import stream
from crossdock.ui.screens.events.filters import Wanted
from crossdock.ui.visit import Visit

MOST_EXPORTED = 10_000
MOST_LOOKS = 200
"""Pages that are read for one file: with rare matches most of them are short."""
FORMATS = ("csv", "jsonl")
COLUMNS = (
    "id",
    "integration",
    "status",
    "received_at",
    "started_at",
    "finished_at",
    "method",
    "path",
    "key",
    "source_ip",
    "size",
    "attempts",
    "reply",
    "error_kind",
    "error",
    "replay_of",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula when a cell begins with it (OWASP, CSV injection)."""


async def export(visit: Visit) -> Response:
    """The newest 10,000 events that match, as a download."""
    kind = visit.query("format", "csv")
    if kind not in FORMATS:
        raise Invalid("there is no such file", (FieldError("format", f"must be one of {', '.join(FORMATS)}"),))
    query = Wanted.of(visit).query
    await visit.cases.events.look(visit.actor, query, limit=1)  # what is wrong with the filter is told before the file
    lines = _csv_lines(visit, query) if kind == "csv" else _json_lines(visit, query)
    return stream(lines, f"events.{kind}")


async def _csv_lines(visit: Visit, query: EventQuery) -> AsyncIterator[bytes]:
    yield _csv([list(COLUMNS)])
    async for events in _pages(visit, query):
        yield _csv([_cells(event) for event in events])


async def _json_lines(visit: Visit, query: EventQuery) -> AsyncIterator[bytes]:
    async for events in _pages(visit, query):
        yield b"".join(msgspec.json.encode(event) + b"\n" for event in events)


async def _pages(visit: Visit, query: EventQuery) -> AsyncIterator[list[Json]]:
    left, cursor = MOST_EXPORTED, None
    for _ in range(MOST_LOOKS):
        found = await visit.cases.events.look(visit.actor, query, limit=min(MAX_LIMIT, left), cursor=cursor)
        yield found.items
        left, cursor = left - len(found.items), found.next
        if cursor is None or left <= 0:
            return


def _cells(event: Json) -> list[str]:
    request, error = event["request"], event["error"] or {}
    values = {
        **event,
        "integration": event["integration"]["name"],
        "method": request["method"],
        "path": request["path"],
        "key": request["key_label"],
        "source_ip": request["source_ip"],
        "size": request["size"],
        "reply": event["reply"]["status"],
        "error_kind": error.get("kind"),
        "error": error.get("message"),
    }
    return [_cell(values[name]) for name in COLUMNS]


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="replace")
