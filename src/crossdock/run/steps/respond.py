"""`respond`: sets the run's result. The first one counts."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from crossdock.expressions import CompiledTree
from crossdock.model.expression import OUTPUT_BYTES, ExpressionError
from crossdock.model.outcome import Done, Failure, Json, Result, StepOutcome, Stop
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fail import answer_status
from crossdock.run.steps.fields import refuse, require_object, status_at, status_of, text_at, value_at

CONTENTS = ("json", "text", "body")
_CONTENT_TYPES = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "body": "application/octet-stream",
}
BODILESS = frozenset({204, 205, 304})
RESERVED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-crossdock-event",
    }
)
"""Headers of the connection (RFC 9110, 7.6.1), and those that the server sets itself."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]{0,8192}")


@dataclass(frozen=True, slots=True)
class Respond:
    status: CompiledTree
    headers: tuple[tuple[str, CompiledTree], ...]
    content: tuple[str, CompiledTree] | None
    is_pure = True
    is_quick = True
    branches = ()
    records_input = False

    @property
    def steps(self) -> frozenset[str]:
        trees = [self.status, *(value for _, value in self.headers)]
        trees += [self.content[1]] if self.content else []
        return frozenset().union(*(tree.steps for tree in trees))

    def prepare(self, names: Mapping[str, Json]) -> Json:
        given: dict[str, Json] = {
            "status": answer_status(self.status, names),
            "headers": {name: _header_value(name, value.evaluate(names)) for name, value in self.headers},
        }
        if self.content is not None:
            given[self.content[0]] = self.content[1].evaluate(names)
        return given

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        try:
            result = _result(given)
        except ExpressionError as error:
            return Stop(Failure("invalid_response", str(error), context.path, permanent=True))
        return Done(given, result)


def _result(given: Json) -> Result:
    kind = next((kind for kind in CONTENTS if kind in given), None)
    body = b"" if kind is None else _body(kind, given[kind])
    if len(body) > OUTPUT_BYTES:
        raise ExpressionError(f"an answer is {OUTPUT_BYTES // 1024**2} MiB long at most")
    if body and given["status"] in BODILESS:
        raise ExpressionError(f"an answer with status {given['status']} can't have a body")
    headers = tuple((name.lower(), value) for name, value in given["headers"].items())
    if kind is not None and not any(name == "content-type" for name, _ in headers):
        headers = (("content-type", _CONTENT_TYPES[kind]), *headers)
    return Result(given["status"], headers, body)


def _body(kind: str, value: Json) -> bytes:
    if kind == "json":
        return msgspec.json.encode(value)
    if isinstance(value, str):
        return value.encode()
    if kind == "body" and isinstance(value, dict) and isinstance(value.get("base64"), str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, ValueError):
            raise ExpressionError("body.base64 is not Base64") from None
    if kind == "body":
        raise ExpressionError('body has to give text or {"base64": ...}; use json for other values')
    return msgspec.json.encode(value)


def _header_value(name: str, value: Json) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if not _HEADER_VALUE.fullmatch(text):
        raise ExpressionError(f"the header {name} has characters that a header can't carry, or is too long")
    return text.strip(" \t")


def compile_respond(settings: Json, field: str, around: Compiling) -> Respond:
    written = require_object(settings, field, allowed=("status", "headers", *CONTENTS))
    contents = [kind for kind in CONTENTS if kind in written]
    if len(contents) > 1:
        refuse(f"{field}.{contents[1]}", f"there is a {contents[0]} already; an answer has one of json, text and body")
    status = written.get("status", 200)
    if contents and status_of(status) in BODILESS:
        refuse(f"{field}.{contents[0]}", f"an answer with status {status} can't have a body")
    content = None
    if contents:
        kind = contents[0]
        compile_content = text_at if kind == "text" else value_at
        content = (kind, compile_content(written[kind], f"{field}.{kind}", around.names))
    headers = headers_at(written.get("headers", {}), f"{field}.headers", around.names)
    return Respond(status_at(status, f"{field}.status", around.names), headers, content)


def headers_at(written: Json, field: str, names: Collection[str]) -> tuple[tuple[str, CompiledTree], ...]:
    if not isinstance(written, dict):
        refuse(field, "an object of header names and their values is needed")
    headers = []
    for name, value in written.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            refuse(f"{field}.{name}", "this can't be a header's name")
        if name.lower() in RESERVED_HEADERS:
            refuse(f"{field}.{name}", "this header is set by the server and can't be chosen")
        if not isinstance(value, str | int | float):
            refuse(f"{field}.{name}", "text is needed; expressions may stand in it")
        compiled = value_at(value, f"{field}.{name}", names)
        if compiled.is_constant:
            _check_constant(name, value, f"{field}.{name}")
        headers.append((name, compiled))
    return tuple(headers)


def _check_constant(name: str, value: Json, field: str) -> None:
    try:
        _header_value(name, value)
    except ExpressionError as error:
        refuse(field, str(error))
