"""A form as an integration document.

Every field is there: what is empty becomes null, which in a new integration means its default, and in a change the way
back to it. Secrets are different: an empty one is left out, so that it stays as it is. What can't be read as a number
or a duration is handed on as text, for the check of the document to refuse at its field.
"""

from __future__ import annotations

import json

from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.durations import as_iso
from crossdock.ui.forms import Form

DURATIONS = (
    "trigger.request_timeout",
    "trigger.rate_limit.per",
    "trigger.deduplicate.within",
    "retry.delay",
    "retry.max_delay",
    "retention",
    "health.silence",
    "health.backlog",
    "health.rejected_calls.per",
)
"""Fields of the form that hold a duration."""
_LONGEST_WHOLE = 18
_DEEP = RecursionError, ValueError


def read_document(sent: Form) -> Json:
    """The document that a form says, without type and workflow. Invalid when the body schema is not JSON."""
    mode = sent.text("trigger.authentication.mode", "none")
    document = {
        "name": sent.text("name"),
        "status": sent.text("status", "disabled"),
        "path": sent.text("path") or None,
        "trigger": _trigger(sent, mode),
        "reply": _reply(sent),
        "retry": _or_none(
            attempts=_whole(sent, "retry.attempts"),
            delay=_duration(sent, "retry.delay"),
            factor=_number(sent, "retry.factor"),
            max_delay=_duration(sent, "retry.max_delay"),
        ),
        "health": _health(sent),
        "retention": _duration(sent, "retention"),
    }
    if mode != "platform_token":
        document["platform_token"] = None
    elif sent.text("platform_token"):
        document["platform_token"] = sent.text("platform_token")
    return document


def patch_of(document: Json, current: Json) -> Json:
    """The document as a change of the current one: reply headers that are gone are taken away by name."""
    reply, saved = document["reply"], current.get("reply")
    if reply is None or not saved:
        return document
    gone = dict.fromkeys(name for name in saved["headers"] if name not in reply["headers"])
    return {**document, "reply": {**reply, "headers": {**gone, **reply["headers"]}}}


def _trigger(sent: Form, mode: str) -> Json:
    is_ordered = sent.is_on("trigger.ordered_delivery")
    return {
        "methods": sent.all("trigger.methods"),
        "authentication": _authentication(sent, mode),
        "query_parameters": [_parameter(row) for row in parameter_rows(sent)],
        "response_mode": "sync" if sent.is_on("trigger.response_mode") else "async",
        "request_timeout": _duration(sent, "trigger.request_timeout"),
        "on_timeout": sent.text("trigger.on_timeout") or None,
        "ordered_delivery": is_ordered,
        "ordering_key": (sent.text("trigger.ordering_key") or None) if is_ordered else None,
        "on_exhausted": sent.text("trigger.on_exhausted") or None,
        "concurrency": _whole(sent, "trigger.concurrency"),
        "rate_limit": _or_none(
            requests=_whole(sent, "trigger.rate_limit.requests"), per=_duration(sent, "trigger.rate_limit.per")
        ),
        "max_body_bytes": _whole(sent, "trigger.max_body_bytes"),
        "require_json": sent.is_on("trigger.require_json"),
        "deduplicate": _or_none(
            key=sent.text("trigger.deduplicate.key") or None, within=_duration(sent, "trigger.deduplicate.within")
        ),
        "body_schema": _schema(sent.raw("trigger.body_schema")),
        "cors": {"origins": sent.raw("trigger.cors.origins").split()},
    }


def _authentication(sent: Form, mode: str) -> Json:
    """Switching to another way forgets the name and the password of this one."""
    if mode != "basic":
        return {"mode": mode, "username": None, "password": None}
    written = {"mode": mode, "username": sent.text("trigger.authentication.username") or None}
    password = sent.raw("trigger.authentication.password")
    return {**written, "password": password} if password else written


def parameter_rows(sent: Form) -> list[dict[str, str]]:
    """The rows of query parameters in which something stands: whether it is required always does."""
    rows = sent.rows("query.name", "query.required", "query.default")
    return [row for row in rows if row["name"].strip() or row["default"]]


def _parameter(row: dict[str, str]) -> Json:
    return {
        "name": row["name"].strip(),
        "required": row["required"] == "yes",
        "default": row["default"] or None,
    }


def _reply(sent: Form) -> Json:
    headers = {row["key"].strip(): row["value"] for row in sent.rows("reply.headers.key", "reply.headers.value")}
    url = sent.text("reply.url")
    if not url and not headers:
        return None
    return {"url": url or None, "method": sent.text("reply.method") or None, "headers": headers}


def _health(sent: Form) -> Json:
    return {
        "window": _whole(sent, "health.window"),
        "warning_failures": _whole(sent, "health.warning_failures"),
        "error_failures": _whole(sent, "health.error_failures"),
        "silence": _duration(sent, "health.silence"),
        "backlog": _duration(sent, "health.backlog"),
        "rejected_calls": _or_none(
            calls=_whole(sent, "health.rejected_calls.calls"), per=_duration(sent, "health.rejected_calls.per")
        ),
    }


def _schema(text: str) -> Json:
    if not text.strip():
        return None
    try:
        schema = json.loads(text)
    except _DEEP as error:
        message = f"is not JSON: {error}"
        raise Invalid(f"the body schema {message}", (FieldError("trigger.body_schema", message),)) from None
    return schema


def _or_none(**values: Json) -> Json:
    """The part of a document, or None where nothing of it is given."""
    return None if all(value is None for value in values.values()) else values


def _duration(sent: Form, name: str) -> Json:
    text = sent.text(name)
    return as_iso(text) if text else None


def _whole(sent: Form, name: str) -> Json:
    text = sent.text(name)
    if not text:
        return None
    is_whole = text.isascii() and text.lstrip("-").isdigit() and len(text) <= _LONGEST_WHOLE
    return int(text) if is_whole and not text.startswith("--") else text


def _number(sent: Form, name: str) -> Json:
    text = sent.text(name)
    if not text:
        return None
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text
