"""An event in words: what came, how long it waited and ran, what each step made of it, what was answered and sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crossdock.cli.output import colored, compact
from crossdock.model.outcome import Json
from crossdock.model.story import between, duration_words, summary


def tell(event: dict[str, Any]) -> str:
    """The whole story of an event document, for a terminal."""
    return "\n".join(
        [*_head(event), *_request(event), *_steps(event), *_end(event), *_reply(event), *_relatives(event)]
    )


def integration_name(event: dict[str, Any]) -> str:
    integration = event.get("integration")
    if isinstance(integration, dict):
        return str(integration.get("name") or integration.get("id"))
    return str(integration or "")


def _head(event: dict[str, Any]) -> Iterator[str]:
    yield f"{event['id']}  {integration_name(event)}  {colored(event['status'])}"
    sentence = summary(event)
    yield sentence[0].upper() + sentence[1:] + "."
    if event.get("replay_of"):
        yield f"A replay of {event['replay_of']}."
    if event.get("lane") is not None:
        yield f"In the lane {event['lane']!r}." if event["lane"] else "In the integration's only lane."
    if event.get("emitted_by"):
        yield f"Emitted by {event['emitted_by']}."
    if event.get("waiting_for"):
        yield str(event["waiting_for"]["words"])


def _request(event: dict[str, Any]) -> Iterator[str]:
    request = event.get("request") or {}
    query = "&".join(f"{name}={value}" for name, value in _pairs(request.get("query")))
    yield ""
    yield f"Request  {request.get('method', '')} {request.get('path', '')}{f'?{query}' if query else ''}"
    facts = [f"{request.get('size', 0)} bytes"]
    if request.get("content_type"):
        facts.append(f"of {request['content_type']}")
    if request.get("source_ip"):
        facts.append(f"from {request['source_ip']}")
    if request.get("key_label"):
        facts.append(f"with the key {request['key_label']!r}")
    yield f"  {' '.join(facts)}"
    if request.get("size"):
        yield f"  body    {_body_words(request)}"


def _steps(event: dict[str, Any]) -> Iterator[str]:
    steps = event.get("steps") or []
    if steps:
        yield ""
        yield f"Steps    of workflow version {event.get('workflow_version')}"
    yield from tell_steps(steps)
    left_out = (event.get("steps_total") or 0) - len(steps)
    if left_out > 0:
        yield f"  and {left_out} more: crossdock events steps {event['id']}"


def tell_steps(steps: list[dict[str, Any]]) -> Iterator[str]:
    """Step documents in words, those inside blocks under them."""
    number = 0
    for step in steps:
        outer = step["id"].count(".")
        number += outer == 0
        mark = f"  {number}. " if outer == 0 else " " * (3 + 2 * outer)
        yield f"{mark}{step['id']} ({step['type']}) {_step_words(step)}"
        for name in ("input", "output"):
            if step.get(name) is not None:
                yield f"{' ' * len(mark)}{name:<8}{compact(step[name])}"
        if step.get("error"):
            yield f"{' ' * len(mark)}error   {_error_words(step['error'])}"


def _step_words(step: dict[str, Any]) -> str:
    took = between(step.get("started_at"), step.get("finished_at"))
    parts = [colored(step["status"])]
    if step.get("until"):
        parts.append(f"until {step['until']}")
    elif took is not None:
        parts.append(f"in {duration_words(took)}")
    words = " ".join(parts)
    if (step.get("attempts") or 0) > 1:
        words += f", {step['attempts']} attempts"
    return f"{words}, taken over" if step.get("reused") else words


def _end(event: dict[str, Any]) -> Iterator[str]:
    result, error = event.get("result"), event.get("error")
    if result:
        yield ""
        yield f"Result   {result.get('status')}"
        yield f"  body    {compact(result.get('body'))}"
    if error:
        yield ""
        step = f" in step {error['step']}" if error.get("step") else ""
        yield f"Error    {_error_words(error)}{step}"


def _reply(event: dict[str, Any]) -> Iterator[str]:
    reply = event.get("reply") or {}
    if not reply or reply.get("status") in (None, "none"):
        return
    yield ""
    yield f"Reply    {colored(reply['status'])}"
    for number, attempt in enumerate(reply.get("attempts") or [], 1):
        took = between(attempt.get("started_at"), attempt.get("finished_at"))
        spent = "" if took is None else f" in {duration_words(took)}"
        yield f"  {number}. {attempt.get('started_at', '')}  {_attempt_words(attempt)}{spent}"
    if reply.get("next_attempt_at"):
        yield f"  next at {reply['next_attempt_at']}"


def _relatives(event: dict[str, Any]) -> Iterator[str]:
    """The events that came of this one."""
    for name, title in (("emitted", "Emitted"), ("replays", "Replays")):
        ids = event.get(name) or []
        for number, event_id in enumerate(ids):
            if number == 0:
                yield ""
            yield f"{title if number == 0 else '':<9}{event_id}"
        more = (event.get(f"{name}_total") or 0) - len(ids)
        if more > 0:
            yield f"         and {more} more"


def _body_words(request: dict[str, Any]) -> str:
    match request.get("body_encoding"):
        case "omitted":
            return "too large to be shown; the API gives it at /events/{id}/body"
        case "base64":
            return f"{compact(request.get('body'))} (base64)"
        case _:
            return compact(request.get("body"))


def _attempt_words(attempt: dict[str, Any]) -> str:
    request, response = attempt.get("request") or {}, attempt.get("response") or {}
    target = " ".join(str(request[name]) for name in ("method", "url") if request.get(name))
    status = response.get("status") or attempt.get("status")
    outcome = f"answered {status}" if status else str(attempt.get("error") or "no answer")
    return f"{target} {outcome}".strip()


def _error_words(error: Json) -> str:
    if not isinstance(error, dict):
        return str(error)
    return f"{error.get('kind', 'error')}: {error.get('message', '')}"


def _pairs(query: Json) -> list[tuple[str, Json]]:
    """Query parameters as pairs, whether they came as an object (of values or lists) or as a list of pairs."""
    if isinstance(query, dict):
        return [(name, one) for name, value in query.items() for one in (value if isinstance(value, list) else [value])]
    return [(str(pair[0]), pair[1]) for pair in query or []]
