"""What a form means, in words and as a call: shown beside it while it is filled in.

The form may be half filled in or wrong; what can't be understood is told as it was typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from crossdock.connectors import SampleCall
from crossdock.manage.fields import slug
from crossdock.model.outcome import Json
from crossdock.ui.durations import as_iso, in_words, is_duration
from crossdock.ui.forms import Form
from crossdock.ui.integration_form.writing import DURATIONS
from crossdock.ui.rendering import format_bytes

_JSON = ("Content-Type", "application/json")
_SAMPLE_BODY = '{"customer": {"id": "4711", "name": "Harbour Supplies"}}'


@dataclass(frozen=True, slots=True)
class Summary:
    """A form in words. `sentences` are pairs of a heading and what holds."""

    sentences: tuple[tuple[str, str], ...]
    curl: str
    is_open: bool
    """Whether anybody may call."""
    becomes: dict[str, str]
    """By the name of a field: what is made of what was typed there."""


def summarise(document: Json, sent: Form, url: str, *, keys: int) -> Summary:
    """`document` is what the form says, `url` the address, `keys` how many keys there are or will be."""
    trigger = document["trigger"]
    sentences = (
        ("Calls", _calls(trigger, url)),
        ("Access", _access(trigger, keys)),
        ("Input", _input(trigger)),
        ("Answer", _answer(trigger)),
        ("Handling", _handling(document)),
        ("Reply", _reply(document)),
        ("Health", _health(document["health"])),
        ("Status", _status(document)),
    )
    is_open = trigger["authentication"]["mode"] == "none"
    return Summary(sentences, sample_call(trigger).curl(url), is_open, becomes(sent))


def path_of(document: Json) -> str:
    """The path as it will be: the one that was typed, or what is made of the name."""
    return document["path"] or slug(document["name"]) or "path"


def becomes(sent: Form) -> dict[str, str]:
    """What Crossdock understands of durations and sizes that were typed."""
    found = {}
    for name in DURATIONS:
        iso = as_iso(sent.text(name))
        found[name] = f"{in_words(iso)} ({iso})" if is_duration(iso) else ""
    size = sent.text("trigger.max_body_bytes")
    found["trigger.max_body_bytes"] = format_bytes(int(size)) if size.isdecimal() and len(size) < 16 else ""
    made = "" if sent.text("path") else slug(sent.text("name"))
    found["path"] = f"Made from the name: {made}" if made else ""
    return found


def sample_call(trigger: Json) -> SampleCall:
    """A call that this trigger takes, with names in the place of credentials."""
    methods = trigger["methods"] or ["POST"]
    method = next((one for one in ("POST", "PUT", "PATCH") if one in methods), methods[0])
    headers = [header for header in (_credential(trigger["authentication"]),) if header]
    body = "" if method in ("GET", "DELETE") else _SAMPLE_BODY
    if body:
        headers.append(_JSON)
    parameters = [(one["name"], one["default"] or "1") for one in trigger["query_parameters"] if one["name"]]
    return SampleCall(method, urlencode(parameters), tuple(headers), body)


def _credential(authentication: Json) -> tuple[str, str] | None:
    match authentication["mode"]:
        case "api_keys":
            return "X-API-Key", "$API_KEY"
        case "platform_token":
            return "X-Platform-Token", "$PLATFORM_TOKEN"
        case "basic":
            return "Authorization", 'Basic $(printf %s "$USERNAME:$PASSWORD" | base64 -w0)'
    return None


# --- sentences -------------------------------------------------------------------------------------------------------


def _calls(trigger: Json, url: str) -> str:
    methods = _either(trigger["methods"]) or "No method yet"
    origins = trigger["cors"]["origins"]
    pages = f" Web pages of {_listed(origins)} may call it from a browser." if origins else ""
    return f"{methods} to {url}.{pages}"


def _access(trigger: Json, keys: int) -> str:
    limit = trigger["rate_limit"]
    limited = (
        f" At most {limit['requests'] or '?'} calls in {_span(limit['per'], 'PT1S')}; more get 429." if limit else ""
    )
    return _callers(trigger["authentication"], keys) + limited


def _callers(authentication: Json, keys: int) -> str:
    match authentication["mode"]:
        case "api_keys":
            count = {0: "an API key, and there is none yet", 1: "its API key"}.get(keys, f"one of its {keys} API keys")
            return f"Callers send {count} as X-API-Key or bearer token."
        case "platform_token":
            return "Callers send the platform token as X-Platform-Token or bearer token."
        case "basic":
            user = authentication["username"]
            return f"Callers sign in as {user} by HTTP Basic." if user else "Callers sign in by HTTP Basic."
    return "Anyone who knows the address may call it."


def _input(trigger: Json) -> str:
    size = trigger["max_body_bytes"]
    most = format_bytes(size) if isinstance(size, int) else "1.0 MiB" if size is None else f"{size} bytes"
    kind = "Only JSON bodies" if trigger["require_json"] else "Bodies of any type"
    parts = [
        f"{kind} up to {most}" + (", valid against the schema" if trigger["body_schema"] is not None else "") + "."
    ]
    named = [one for one in trigger["query_parameters"] if one["name"]]
    needed = [one["name"] for one in named if one["required"]]
    if needed:
        parts.append(f"Without {_listed(needed)} in the query a call is refused.")
    parts += [f"{one['name']} is {one['default']} where it is missing." for one in named if one["default"]]
    twins = trigger["deduplicate"]
    if twins:
        parts.append(f"A call that repeats its key within {_span(twins['within'], 'PT24H')} runs nothing.")
    return " ".join(parts)


def _answer(trigger: Json) -> str:
    timeout = trigger["request_timeout"]
    if trigger["response_mode"] == "async":
        return "At once: 202 with the event’s id. The work goes on behind it."
    late = "202 with the event’s id" if trigger["on_timeout"] == "accept" else "504 with the event’s id"
    longest = _span(timeout, "PT60S")
    return f"The caller waits for the result, up to {longest}; after that it gets {late}, and the work goes on."


def _handling(document: Json) -> str:
    trigger, retry = document["trigger"], document["retry"] or {}
    if trigger["ordered_delivery"]:
        among = " among those with the same key" if trigger["ordering_key"] else ""
        then = "the next one goes on" if trigger["on_exhausted"] == "skip" else "the order waits for a decision"
        order = f"One after the other{among}, in the order of acceptance; when one fails for good, {then}."
    else:
        order = f"Up to {trigger['concurrency'] or 16} side by side, in no fixed order."
    attempts = retry.get("attempts") or (1 if trigger["response_mode"] == "sync" and not retry else 5)
    tries = "A failed run is not tried again." if attempts == 1 else f"A failed run is tried up to {attempts} times."
    return f"{order} {tries} Finished events are kept for {_span(document['retention'], 'P30D')}."


def _reply(document: Json) -> str:
    reply, trigger = document["reply"], document["trigger"]
    if reply is None:
        return "None."
    timeout = trigger["request_timeout"]
    until = f", until {in_words(timeout)} after acceptance" if timeout else ""
    method = (reply["method"] or "POST").lower()
    return f"The handled event is sent to {reply['url'] or 'an address that is missing'} by {method.upper()}{until}."


def _health(health: Json) -> str:
    window, few, many = health["window"] or 20, health["warning_failures"] or 1, health["error_failures"] or 5
    parts = [f"Of the last {window} runs, {few} failed is a warning, {many} an error."]
    if health["silence"]:
        parts.append(f"No call for {in_words(health['silence'])} is a warning.")
    if health["backlog"]:
        parts.append(f"A call that waits for {in_words(health['backlog'])} is a warning.")
    refused = health["rejected_calls"]
    if refused:
        parts.append(
            f"More than {refused['calls'] or 0} refused calls in {_span(refused['per'], 'PT5M')} are a warning."
        )
    return " ".join(parts)


def _status(document: Json) -> str:
    if document["status"] == "enabled":
        return "Enabled: calls are taken."
    return "Disabled: calls are refused with 403 until it is enabled."


def _span(iso: Json, otherwise: str) -> str:
    return in_words(iso or otherwise)


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
