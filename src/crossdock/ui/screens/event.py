"""One event: its story, its steps, what was asked and answered, and what can be done about it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlsplit

from markupsafe import Markup
from starlette.responses import Response

from crossdock.model.errors import CrossdockError, NotFound
from crossdock.model.outcome import Json
from crossdock.model.story import between
from crossdock.ui.attempts import shown_attempt
from crossdock.ui.bodies import sent_bytes, show_body, show_value
from crossdock.ui.curl import curl_command, left_out, takes_file
from crossdock.ui.downloads import body_file, download
from crossdock.ui.event_words import ENDED, error_of, waiting_words
from crossdock.ui.pictures.waterfall import waterfall
from crossdock.ui.rendering import format_took, query_string, time_element
from crossdock.ui.screens.events.filters import Wanted
from crossdock.ui.visit import Visit, reads, writes

PAGE = "event/event.html"
INLINE_STEPS = 40
"""Steps with a panel on the page of the event; all of them have one on the page of its steps."""
STEP_CHARACTERS = 3_000
"""Of an input or output in a panel."""
RELATIVES = 10
_ACCEPTED = "\x00"
"""Stands for the time of acceptance in the sentence, until the page writes it in its own way."""


async def show(visit: Visit) -> Response:
    event_id = visit.parameter("event_id")
    event, story = await visit.cases.events.story(visit.actor, event_id, accepted=_ACCEPTED)
    if visit.is_partial and not _is_open(event):
        return visit.load_anew()  # it has come to its end: steps, result and reply are to be seen too
    whole = await _whole_body(visit, event)
    names = {
        "event": {**event, "error": error_of(event["error"]) if event["error"] else None},
        **_heading(visit, event, story),
        **_steps(visit, event),
        **await _request(visit, event, whole),
        **_outcome(event),
        "relatives": _relatives(visit, event),
        **await _neighbours(visit, event_id),
    }
    return visit.show(PAGE, "now", **names)


async def _whole_body(visit: Visit, event: Json) -> bytes:
    """The body, which the document has only up to a size."""
    body = sent_bytes(event["request"])
    return body if body is not None else (await visit.cases.events.body(visit.actor, event["id"]))[1]


# --- how it stands ---------------------------------------------------------------------------------------------------


def _heading(visit: Visit, event: Json, story: Json) -> dict[str, Any]:
    before, _, after = story["summary"].partition(_ACCEPTED)
    is_unfinished = event["status"] not in ENDED
    error = event["error"]
    return {
        "story": Markup("{}{}{}").format(before, time_element(event["received_at"], "exact"), after),
        "waterfall": waterfall(story["bars"], story["duration_ms"], lambda step: f"#step-{quote(step)}"),
        "is_unfinished": is_unfinished,
        "is_open": _is_open(event),
        "waiting": waiting_words(visit, event),
        "step_href": f"#step-{quote(error['step'])}" if error and error["step"] else "",
    }


def _is_open(event: Json) -> bool:
    """Whether something is still to happen by itself, or by an operator."""
    return event["status"] not in ENDED or event["reply"]["status"] == "pending"


async def _neighbours(visit: Visit, event_id: str) -> dict[str, Any]:
    """The events beside it in the list that it was opened from."""
    wanted = Wanted.of(visit)
    near = await visit.cases.events.neighbours(visit.actor, event_id, wanted.query)
    return {**near, "list_query": wanted.text}


# --- steps -----------------------------------------------------------------------------------------------------------


def _steps(visit: Visit, event: Json) -> dict[str, Any]:
    shown = event["steps"][:INLINE_STEPS]
    is_single = len(shown) == 1
    panels = [step_panel(visit, event, step, is_open=is_single) for step in shown]
    return {"steps": panels, "steps_left": event["steps_total"] > len(shown)}


def step_panel(visit: Visit, event: Json, step: Json, *, is_open: bool = False) -> dict[str, Any]:
    """A step as its panel shows it."""
    values = {name: show_value(step[name], STEP_CHARACTERS) for name in ("input", "output")}
    addresses = {
        f"{name}_href": ""
        if values[name].is_whole and not _is_left_out(step[name])
        else _value_path(visit, event, step, name)
        for name in values
    }
    return {
        **step,
        **values,
        **addresses,
        "error": error_of(step["error"]) if step["error"] else None,
        "is_open": is_open or step["status"] in ("failed", "waiting"),
        "has_output": step["output"] is not None or step["status"] == "succeeded",
        "is_top": "." not in step["id"],
        "told": _told(step),
        "href": _workflow_path(visit, event, step["id"]),
    }


def _is_left_out(value: Json) -> bool:
    """Whether a document tells only the size of a value that is too large for it."""
    return isinstance(value, dict) and value.keys() == {"truncated", "size"} and value["truncated"] is True


def _value_path(visit: Visit, event: Json, step: Json, name: str) -> str:
    return f"{visit.path('events', event['id'], 'steps', step['id'])}?value={name}"


def _workflow_path(visit: Visit, event: Json, step_id: str) -> str:
    """Where the step stands in the version that the run went through; '' where there is none."""
    if not event["workflow_version"]:
        return ""
    workflow = visit.path("integrations", event["integration"]["id"], "workflow")
    names = ".".join(part.partition("[")[0] for part in step_id.split("."))
    return f"{workflow}?version={event['workflow_version']}#step-{quote(names)}"


def _told(step: Json) -> str:
    if step["reused"] or step["status"] == "skipped":
        return ""
    tries = f", {step['attempts']} tries" if step["attempts"] > 1 else ""
    return f"{format_took(_milliseconds(step))}{tries}"


def _milliseconds(part: Json) -> float | None:
    seconds = between(part["started_at"], part["finished_at"])
    return None if seconds is None else seconds * 1_000


async def show_steps(visit: Visit) -> Response:
    """All steps of a run, page by page."""
    event_id = visit.parameter("event_id")
    event = await visit.cases.events.show(visit.actor, event_id)
    page = await visit.cases.events.steps(
        visit.actor, event_id, prefix=visit.query("prefix"), limit=INLINE_STEPS, cursor=visit.cursor
    )
    panels = [step_panel(visit, event, step) for step in page.items]
    return visit.page("event/steps.html", event=event, steps=panels, next=page.next, prefix=visit.query("prefix"))


async def download_value(visit: Visit) -> Response:
    """The whole input or output of a step, as a file."""
    event_id, step_id = visit.parameter("event_id"), visit.parameter("step_id")
    name = "input" if visit.query("value") == "input" else "output"
    page = await visit.cases.events.steps(visit.actor, event_id, prefix=step_id, limit=1)
    step = next((one for one in page.items if one["id"] == step_id), None)
    if step is None:
        raise NotFound(f"the event has no step {step_id[:200]}")
    text = json.dumps(step[name], ensure_ascii=False, indent=2).encode(errors="replace")
    return download(text, f"{event_id}.{name}.json")


async def download_body(visit: Visit) -> Response:
    """The body, byte for byte."""
    event_id = visit.parameter("event_id")
    content_type, body = await visit.cases.events.body(visit.actor, event_id)
    return download(body, body_file(event_id, content_type))


# --- the request -----------------------------------------------------------------------------------------------------


async def _request(visit: Visit, event: Json, body: bytes) -> dict[str, Any]:
    request = event["request"]
    shown = show_body(body, request["content_type"], visit.query("view"))
    file_name = body_file(event["id"], request["content_type"])
    fields = visit.fields
    return {
        "request_body": shown,
        "body_views": [
            (f"{visit.request.url.path}{query_string(fields, view=name)}#request", words, name == shown.view)
            for name, words in shown.views
        ],
        "curl": curl_command(await _origin(visit, event), request, body, file_name),
        "curl_left_out": left_out(request),
        "curl_takes_file": takes_file(body),
    }


async def _origin(visit: Visit, event: Json) -> str:
    """Where callers find the hooks; this site's own address when the integration is gone."""
    try:
        url = urlsplit((await visit.cases.integrations.show(visit.actor, event["integration"]["id"]))["url"])
    except CrossdockError:
        url = urlsplit("")
    if url.netloc:
        return f"{url.scheme}://{url.netloc}"
    return f"{visit.request.url.scheme}://{visit.request.url.netloc}"


# --- what came of it -------------------------------------------------------------------------------------------------


def _outcome(event: Json) -> dict[str, Any]:
    result = event["result"]
    return {
        "result_body": None if result is None else show_value(result["body"]),
        "attempts": [shown_attempt(attempt) for attempt in event["reply"]["attempts"]],
    }


def _relatives(visit: Visit, event: Json) -> list[tuple[str, list[str], int, str]]:
    """Titles, ids, how many there are, and where all of them are listed."""
    replays = f"{visit.path('events')}?replay_of={event['id']}"
    return [
        ("Replays of it", event["replays"][:RELATIVES], event["replays_total"], replays),
        ("Emitted by it", event["emitted"][:RELATIVES], event["emitted_total"], ""),
    ]


# --- deeds -----------------------------------------------------------------------------------------------------------


async def cancel(visit: Visit) -> Response:
    event_id = visit.parameter("event_id")
    event = await visit.cases.events.cancel(visit.actor, event_id)
    is_over = event["status"] == "canceled"
    said = "The event was canceled." if is_over else "The event is being canceled: it stops at its next step."
    return visit.go(visit.path("events", event_id), said)


async def retry(visit: Visit) -> Response:
    event_id = visit.parameter("event_id")
    await visit.cases.events.retry(visit.actor, event_id)
    return visit.go(visit.path("events", event_id), "It starts now, with all its attempts.")


routes = (
    reads("/events/{event_id}", show),
    reads("/events/{event_id}/body", download_body),
    reads("/events/{event_id}/steps", show_steps),
    reads("/events/{event_id}/steps/{step_id:path}", download_value),
    writes("/events/{event_id}/cancel", cancel),
    writes("/events/{event_id}/retry", retry),
)
