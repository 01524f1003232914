"""What an `http` step makes of the answer: whether it is what was expected, and what its body holds."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from email.message import Message
from typing import TypeAlias

import msgspec

from crossdock.expressions.body import json_problem, read_body
from crossdock.expressions.json_path import Path, is_same
from crossdock.model.delivery import SendReport, is_passing
from crossdock.model.outcome import Done, Failure, Json, Retry, StepOutcome, Stop

RESPONSES = ("json", "text", "bytes")
BODILESS = frozenset({204, 205, 304})
LARGE_BYTES = 256 * 1024
"""Reading a larger body takes long enough for others to notice, so it is read in a thread."""
_SHOWN_CHARACTERS = 200
_Headers: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which answers are good. `shown` is how the statuses were written."""

    statuses: frozenset[int] = frozenset(range(200, 300))
    shown: str = "2xx"
    path: Path | None = None
    retries: bool = False
    """Whether an answer with other values may be better later."""


class _Unusable(Exception):
    """The body is not what the step wants; the message says why."""


async def judge(
    report: SendReport, given: dict[str, Json], expectation: Expectation, response: str | None
) -> StepOutcome:
    """What the report means for the step: its output, or what is wrong and whether trying again may help."""
    if report.status is None:
        return _failed(report, "http_unreachable", report.error or "no answer came")
    if report.status not in expectation.statuses:
        return _wrong_status(report, expectation)
    if report.error is not None:
        return _failed(report, "http_answer", report.error)
    headers = _gathered(report)
    try:
        if len(report.response_body) > LARGE_BYTES:
            body = await asyncio.to_thread(_read, report, headers, given, response)
            problem = await asyncio.to_thread(_mismatch, body, given, expectation)
        else:
            body = _read(report, headers, given, response)
            problem = _mismatch(body, given, expectation)
    except _Unusable as reason:
        return Stop(Failure("http_answer", str(reason), permanent=True))
    if problem is not None:
        failure = Failure("http_unexpected", problem, permanent=not expectation.retries)
        return Retry(failure) if expectation.retries else Stop(failure)
    return Done({"status": report.status, "headers": headers, "body": body})


def _failed(report: SendReport, kind: str, message: str) -> StepOutcome:
    if report.permanent:
        return Stop(Failure("http_refused" if report.status is None else kind, message, permanent=True))
    return Retry(Failure("http_unreachable", message, retry_after=report.retry_after))


def _wrong_status(report: SendReport, expectation: Expectation) -> StepOutcome:
    assert report.status is not None
    message = f"the answer has status {report.status}, and {expectation.shown} is expected"
    if 300 <= report.status < 400 and report.status != 304:
        message += f"; {report.error or 'it redirects: use the final address, or let the connection follow redirects'}"
    else:
        message += _beginning(report)
    if is_passing(report.status):
        return Retry(Failure("http_status", message, retry_after=report.retry_after))
    return Stop(Failure("http_status", message, permanent=True))


def _beginning(report: SendReport) -> str:
    """What the other side says about it, for an operator."""
    text = report.response_body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "ignore").strip()
    plain = " ".join(text.split())
    if not plain.isprintable() or not plain:
        return ""
    return f": {plain[:_SHOWN_CHARACTERS]}" + ("..." if len(plain) > _SHOWN_CHARACTERS else "")


def _gathered(report: SendReport) -> _Headers:
    """Names in lower case; repeated headers joined by commas (RFC 9110, 5.2)."""
    headers: _Headers = {}
    for name, value in report.response_headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _read(report: SendReport, headers: _Headers, given: dict[str, Json], response: str | None) -> Json:
    body, content_type = report.response_body, headers.get("content-type", "")
    match response:
        case "json":
            is_bodiless = report.status in BODILESS or given["method"] == "HEAD"
            return None if is_bodiless and not body else _read_json(body, content_type)
        case "text":
            return _read_text(body, content_type)
        case "bytes":
            return {"base64": base64.b64encode(body).decode("ascii")}
        case _:
            return _read_as_told(body, content_type)


def _read_as_told(body: bytes, content_type: str) -> Json:
    """By the content type. What is not what it claims to be stays text or bytes."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded" or media_type.startswith("multipart/"):
        content_type = "text/plain"
    if media_type.endswith("json"):
        body = _as_utf8(body, content_type)
    return read_body(content_type, body)


def _read_json(body: bytes, content_type: str) -> Json:
    body = _as_utf8(body, content_type)
    problem = json_problem(body)
    if problem is not None:
        told = content_type.partition(";")[0].strip() or "no content type"
        raise _Unusable(f"the answer's body ({told}) is not JSON: {problem}")
    return read_body("application/json", body)


def _read_text(body: bytes, content_type: str) -> str:
    """In the declared character set; in UTF-8 where that is unknown or wrong, with what is unreadable replaced."""
    try:
        return body.decode(_charset(content_type))
    except (LookupError, ValueError):
        return body.decode("utf-8", "replace")


def _as_utf8(body: bytes, content_type: str) -> bytes:
    """JSON is UTF-8 (RFC 8259, 8.1); some say, and send, something else."""
    charset = _charset(content_type)
    if charset in ("utf-8", "utf8", "us-ascii"):
        return body
    try:
        return body.decode(charset).encode()
    except (LookupError, ValueError):
        return body


def _charset(content_type: str) -> str:
    message = Message()
    message["Content-Type"] = content_type
    found = message.get_content_charset("utf-8")
    return "utf-8" if found in ("idna", "punycode", "unicode_escape", "raw_unicode_escape") else found


def _mismatch(body: Json, given: dict[str, Json], expectation: Expectation) -> str | None:
    """What the body lacks of what is expected; None when nothing."""
    if expectation.path is None:
        return None
    path = expectation.path.text
    found = expectation.path.find(body)
    if not found:
        return f"nothing is found at {path} in the answer's body"
    wanted = given.get("expected")
    if wanted is None:
        return None
    odd = [value for value in found if not any(is_same(value, one) for one in wanted)]
    if not odd:
        return None
    return f"{path} is {_shown(odd[0])} in the answer's body, and {_shown_list(wanted)} is expected"


def _shown(value: Json) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:60]}..."


def _shown_list(values: list[Json]) -> str:
    shown = " or ".join(_shown(value) for value in values[:5])
    return shown if len(values) <= 5 else f"{shown} or {len(values) - 5} others"
