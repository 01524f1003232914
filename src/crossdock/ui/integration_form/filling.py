"""An integration document as the fields of its form."""

from __future__ import annotations

import json
from collections.abc import Iterator

from crossdock.manage.documents import default_document
from crossdock.model.outcome import Json
from crossdock.ui.forms import Form

_PARTS = {
    "trigger": ("request_timeout", "on_timeout", "ordering_key", "on_exhausted", "concurrency", "max_body_bytes"),
    "retry": ("attempts", "delay", "factor", "max_delay"),
    "health": ("window", "warning_failures", "error_failures", "silence", "backlog"),
}
"""Fields that stand in the document as text or numbers."""


def fill_new(type_: str, name: str = "") -> Form:
    """The form of a new integration of this type."""
    return fill({**default_document(type_), "name": name, "path": ""})


def fill(document: Json) -> Form:
    """The form that says this document. Secrets are not in it: they are write-only."""
    return Form(tuple((name, _text(value)) for name, value in _fields(document) if value is not None))


def _fields(document: Json) -> Iterator[tuple[str, Json]]:
    trigger = document["trigger"]
    for name in ("name", "status", "path", "retention"):
        yield name, document[name]
    for part, names in _PARTS.items():
        for name in names:
            yield f"{part}.{name}", (document[part] or {}).get(name)
    yield from _trigger_fields(trigger)
    reply = document["reply"] or {"url": None, "method": None, "headers": {}}
    yield "reply.url", reply["url"]
    yield "reply.method", reply["method"]
    for key, value in reply["headers"].items():
        yield "reply.headers.key", key
        yield "reply.headers.value", value
    yield from _pair("health.rejected_calls", document["health"]["rejected_calls"], "calls", "per")


def _trigger_fields(trigger: Json) -> Iterator[tuple[str, Json]]:
    for method in trigger["methods"]:
        yield "trigger.methods", method
    yield "trigger.authentication.mode", trigger["authentication"]["mode"]
    yield "trigger.authentication.username", trigger["authentication"]["username"]
    for parameter in trigger["query_parameters"]:
        yield "query.name", parameter["name"]
        yield "query.required", "yes" if parameter["required"] else "no"
        yield "query.default", parameter["default"] or ""
    yield "trigger.response_mode", "on" if trigger["response_mode"] == "sync" else None
    yield "trigger.ordered_delivery", "on" if trigger["ordered_delivery"] else None
    yield "trigger.require_json", "on" if trigger["require_json"] else None
    yield from _pair("trigger.rate_limit", trigger["rate_limit"], "requests", "per")
    yield from _pair("trigger.deduplicate", trigger["deduplicate"], "key", "within")
    schema = trigger["body_schema"]
    yield "trigger.body_schema", None if schema is None else json.dumps(schema, indent=2, ensure_ascii=False)
    yield "trigger.cors.origins", "\n".join(trigger["cors"]["origins"])


def _pair(path: str, part: Json, *names: str) -> Iterator[tuple[str, Json]]:
    for name in names:
        yield f"{path}.{name}", (part or {}).get(name)


def _text(value: Json) -> str:
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
