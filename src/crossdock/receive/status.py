"""The document at the status URL: how an event stands, for whoever sent it."""

from __future__ import annotations

import msgspec

from crossdock.expressions import read_body
from crossdock.model.outcome import Json
from crossdock.model.states import RunState
from crossdock.model.time import format_instant
from crossdock.receive.answering import failure_document
from crossdock.server.problems import Answer
from crossdock.store.status import EventStatus


def status_answer(status: EventStatus) -> Answer:
    document: dict[str, Json] = {
        "id": status.event_id,
        "status": status.state.value,
        "received_at": format_instant(status.received_at),
        "finished_at": format_instant(status.finished_at) if status.finished_at is not None else None,
    }
    if status.result is not None:
        result = status.result
        content_type = next((value for name, value in result.headers if name.lower() == "content-type"), "")
        document["result"] = {
            "status": result.status,
            "headers": dict(result.headers),
            "body": read_body(content_type, result.body),
        }
    elif status.state is RunState.SUCCEEDED:
        document["result"] = None
    if status.failure is not None and status.state is not RunState.SUCCEEDED:
        document["error"] = failure_document(status.failure)
    body = msgspec.json.encode(document)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    return Answer(200, headers, body)
