"""The answers of the receive stage, as ASGI messages."""

from __future__ import annotations

import msgspec

from crossdock.catalog import LiveIntegration
from crossdock.model.outcome import NULL_RESULT, Failure, Json, Result
from crossdock.model.time import Instant, format_instant, later
from crossdock.model.trigger import OnTimeout, ResponseMode, sync_timeout
from crossdock.model.verdict import Outcome
from crossdock.server.problems import RUN_FAILED, RUN_TIMEOUT, Answer, problem_answer

_encode = msgspec.json.Encoder().encode
_JSON = (b"content-type", b"application/json")

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length"})


def accepted_answer(live: LiveIntegration, event_id: str, received_at: Instant, *, duplicate: bool = False) -> Answer:
    """202: the event is recorded; where and until when its outcome comes."""
    integration = live.integration
    reply_by = None
    if integration.reply is not None and integration.trigger.request_timeout is not None:
        reply_by = format_instant(later(received_at, integration.trigger.request_timeout))
    status_url = f"/status/{event_id}"
    document: dict[str, Json] = {
        "id": event_id,
        "status": "accepted",
        "integration": integration.name,
        "received_at": format_instant(received_at),
        "reply_by": reply_by,
        "status_url": status_url,
    }
    if duplicate:
        document["duplicate"] = True
    body = _encode(document)
    return Answer(
        202,
        [
            _JSON,
            (b"content-length", b"%d" % len(body)),
            (b"location", status_url.encode()),
            (b"x-crossdock-event", event_id.encode()),
        ],
        body,
    )


def outcome_answer(live: LiveIntegration, event_id: str, received_at: Instant, outcome: Outcome | None) -> Answer:
    """What a caller who waits gets; None: the outcome did not come in time."""
    trigger = live.integration.trigger
    if outcome is None:
        if trigger.on_timeout is OnTimeout.ACCEPT:
            return accepted_answer(live, event_id, received_at)
        return timeout_answer(event_id, sync_timeout(trigger))
    if outcome.result is not None:
        return result_answer(event_id, outcome.result)
    if outcome.failure is not None:
        return failure_answer(event_id, outcome.failure)
    return result_answer(event_id, NULL_RESULT)


def result_answer(event_id: str, result: Result) -> Answer:
    """The run's own answer: its status, headers and body."""
    headers = [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in result.headers
        if name.lower() not in _HOP_BY_HOP
    ]
    body = b"" if result.status in (204, 304) else result.body
    if result.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    headers.append((b"x-crossdock-event", event_id.encode()))
    return Answer(result.status, headers, body)


def failure_answer(event_id: str, failure: Failure) -> Answer:
    """502: the run failed, and why."""
    return problem_answer(
        RUN_FAILED,
        f"the workflow failed: {failure.message}",
        [(b"x-crossdock-event", event_id.encode())],
        event_id=event_id,
        error=failure_document(failure),
    )


def timeout_answer(event_id: str, seconds: float) -> Answer:
    """504: the run goes on; where to ask for its result."""
    return problem_answer(
        RUN_TIMEOUT,
        f"the workflow did not end within {seconds:g} s; it goes on, ask at status_url for its result",
        [(b"x-crossdock-event", event_id.encode())],
        event_id=event_id,
        status_url=f"/status/{event_id}",
    )


def failure_document(failure: Failure) -> Json:
    """A failure as callers see it."""
    return {"kind": failure.kind, "message": failure.message, "step": failure.step}


def is_sync(live: LiveIntegration) -> bool:
    return live.integration.trigger.response_mode is ResponseMode.SYNC
