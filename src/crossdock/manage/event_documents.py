"""Events, their runs, steps and deliveries as JSON documents. Pure: rows in, documents out."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterable

from crossdock.expressions import read_body
from crossdock.manage.step_lists import shown_steps, waiting_step
from crossdock.model.event import Request
from crossdock.model.outcome import Failure, Json, Result
from crossdock.model.run import StepStatus
from crossdock.model.states import DeliveryState, ReplyState, RunState, WaitingFor, reply_state
from crossdock.model.time import Instant, format_instant
from crossdock.store.events import AttemptRow, DeliveryRow, EventLine, EventStory, RunRow
from crossdock.store.step_lines import StepLine

SHOWN_BYTES = 1024 * 1024
"""Bodies over this are left out of documents; `/events/{id}/body` gives them."""


def line_document(line: EventLine, reply: DeliveryState | None) -> Json:
    """An event in a list."""
    return {
        **_head_document(line),
        "request": {
            "method": line.method,
            "path": line.path,
            "content_type": line.content_type,
            "size": line.size,
            "key_label": line.key_label,
            "source_ip": line.source_ip,
        },
        "reply": {"status": reply_state(reply).value},
    }


def story_document(story: EventStory) -> Json:
    """An event with all that is known of it."""
    line = story.line
    behind = None if story.lane_head == line.id else story.lane_head
    return {
        **_head_document(line),
        "waiting_for": waiting_document(line.run, waiting_step(story.steps, line.run.due_at), behind),
        "request": request_document(story.event.request, line.key_label),
        "result": None if story.result is None else result_document(story.result),
        "steps": shown_steps(story.steps),
        "steps_total": len(story.steps),
        "reply": reply_document(story.replies),
        "cancel_requested": line.run.cancel_requested,
        "replays": story.replays.ids,
        "replays_total": story.replays.total,
        "emitted": story.emitted.ids,
        "emitted_total": story.emitted.total,
    }


def _head_document(line: EventLine) -> Json:
    run = line.run
    return {
        "id": line.id,
        "integration": {"id": line.integration_id, "name": line.integration_name},
        "status": run.state.value,
        "waiting_for": waiting_document(run),
        "next_attempt_at": _instant(next_attempt_at(run)),
        "received_at": format_instant(line.received_at),
        "started_at": _instant(run.started_at),
        "finished_at": _instant(run.finished_at),
        "workflow_version": run.workflow_number or None,
        "attempts": run.attempts,
        "error": _run_error(run),
        "lane": lane_key(run.lane_id),
        "replay_of": line.replay_of,
        "emitted_by": line.emitted_by,
        "depth": line.depth,
    }


def _run_error(run: RunRow) -> Json:
    if run.error_kind is None or run.state is RunState.SUCCEEDED:
        return None
    return {"kind": run.error_kind, "message": run.error_message, "step": run.error_step}


def lane_key(lane_id: str | None) -> str | None:
    """The ordering key of a lane: its id is the integration's, a colon and the key."""
    return None if lane_id is None else lane_id.partition(":")[2]


def next_attempt_at(run: RunRow) -> Instant | None:
    """When the run goes on by itself; None when that is not a matter of time."""
    is_timed = run.state is RunState.RETRYING or run.waiting_for is WaitingFor.DELAY
    return run.due_at if is_timed else None


def waiting_document(run: RunRow, step: StepLine | None = None, behind: str | None = None) -> Json:
    """Why nobody works on the run now, and what happens next; None when somebody does or it is over.

    `step` is the one that the run waits for, `behind` the head of its lane, where they are known.
    """
    told = _waiting(run, step, behind)
    if told is None:
        return None
    reason, words = told
    return {
        "reason": reason,
        "words": words,
        "until": _instant(next_attempt_at(run)),
        "step": _step_of(run, step),
        "behind": behind,
    }


def _step_of(run: RunRow, step: StepLine | None) -> str | None:
    """The step that it is about; an error that a run had before it went on is not."""
    match run.state, run.waiting_for:
        case RunState.QUEUED, _:
            return None
        case RunState.WAITING, WaitingFor.DELAY:
            return None if step is None else step.id
        case _:
            return run.error_step


def _waiting(run: RunRow, step: StepLine | None, behind: str | None) -> tuple[str, str] | None:
    match run.state, run.waiting_for:
        case RunState.QUEUED, _ if behind is not None:
            return "lane", f"It waits for its turn behind {behind}, the head of its lane."
        case RunState.QUEUED, _ if run.lane_id is not None:
            return "lane", "It waits for its turn in its lane."
        case RunState.QUEUED, _:
            return "slot", "It waits for a free slot."
        case RunState.RETRYING, _:
            return "retry", f"Attempt {run.attempts} failed; the next one starts at {format_instant(run.due_at)}."
        case RunState.WAITING, WaitingFor.DELAY:
            return _delayed(format_instant(run.due_at), step)
        case RunState.WAITING, WaitingFor.OPERATOR:
            return "operator", "Its attempts are used up and it holds its lane; retry, skip or park it."
        case RunState.WAITING, WaitingFor.PARKED:
            return "parked", "It was taken out of its lane; retry or cancel it."
        case _:
            return None


def _delayed(until: str, step: StepLine | None) -> tuple[str, str]:
    if step is None:
        return "delay", f"It goes on at {until}."
    if step.status is StepStatus.FAILED:
        return "retry", f"The step {step.id!r} failed; it is tried again at {until}."
    return "delay", f"The step {step.id!r} waits until {until}."


def request_document(request: Request, key_label: str | None) -> Json:
    body, encoding = body_text(request.body)
    return {
        "method": request.method,
        "path": request.path,
        "query": pairs_document(request.query),
        "headers": pairs_document(request.headers),
        "content_type": request.content_type,
        "size": len(request.body),
        "body": body,
        "body_encoding": encoding,
        "key_label": key_label,
        "source_ip": request.source_ip,
    }


def body_text(body: bytes) -> tuple[str | None, str]:
    """The body as text and how: `utf-8` as it is, `base64`, or `omitted` when it is too large to be shown."""
    if len(body) > SHOWN_BYTES:
        return None, "omitted"
    try:
        return body.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


def pairs_document(pairs: Iterable[tuple[str, str]]) -> Json:
    """Names with their values; a name that is there several times has a list."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        found[name].append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def result_document(result: Result) -> Json:
    content_type = next((value for name, value in result.headers if name.lower() == "content-type"), "")
    body = read_body(content_type, result.body) if len(result.body) <= SHOWN_BYTES else None
    return {"status": result.status, "headers": pairs_document(result.headers), "body": body}


def failure_document(failure: Failure | None) -> Json:
    if failure is None:
        return None
    return {"kind": failure.kind, "message": failure.message, "step": failure.step}


def reply_document(replies: tuple[DeliveryRow, ...]) -> Json:
    """The reply that counts, the newest one, with every try."""
    if not replies:
        return {"status": ReplyState.NONE.value, "delivery_id": None, "next_attempt_at": None, "attempts": []}
    delivery = replies[-1]
    return {
        "status": reply_state(delivery.state).value,
        "delivery_id": delivery.id,
        "next_attempt_at": _next_try(delivery),
        "attempts": [attempt_document(attempt) for attempt in delivery.tries],
    }


def delivery_document(delivery: DeliveryRow) -> Json:
    return {
        "id": delivery.id,
        "kind": delivery.kind.value,
        "status": delivery.state.value,
        "integration_id": delivery.integration_id or None,
        "event_id": delivery.event_id,
        "created_at": format_instant(delivery.created_at),
        "expires_at": _instant(delivery.expires_at),
        "finished_at": _instant(delivery.finished_at),
        "next_attempt_at": _next_try(delivery),
        "error": delivery.last_error,
        "attempts": [attempt_document(attempt) for attempt in delivery.tries],
    }


def attempt_document(attempt: AttemptRow) -> Json:
    response = None
    if attempt.status is not None:
        body, encoding = body_text(attempt.response_body)
        response = {
            "status": attempt.status,
            "headers": pairs_document(json.loads(attempt.response_headers)),
            "body": body,
            "body_encoding": encoding,
        }
    return {
        "number": attempt.number,
        "started_at": format_instant(attempt.started_at),
        "finished_at": format_instant(attempt.finished_at),
        "duration_ms": round((attempt.finished_at - attempt.started_at) / 1_000, 3),
        "request": _sent_document(attempt),
        "response": response,
        "error": attempt.error,
    }


def _sent_document(attempt: AttemptRow) -> Json:
    """What was sent. The body of a reply is not kept: it can be made anew from its event."""
    headers = pairs_document(json.loads(attempt.request_headers))
    if attempt.request_body is None:
        return {"headers": headers}
    return {"headers": headers, "body": attempt.request_body.decode(errors="replace")}


def _next_try(delivery: DeliveryRow) -> str | None:
    waits = delivery.state in (DeliveryState.QUEUED, DeliveryState.RETRYING)
    return format_instant(delivery.due_at) if waits else None


def _instant(moment: Instant | None) -> str | None:
    return None if moment is None else format_instant(moment)
