"""`http`: calls a system, through one of the workspace's connections or without.

Credentials come from the connection alone: they are no part of what the step gives, and so of nothing that is recorded.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from crossdock.expressions import CompiledTree
from crossdock.expressions.json_path import BadPath, Path, compile_path
from crossdock.model.expression import ExpressionError
from crossdock.model.outcome import Failure, Json, StepOutcome, Stop
from crossdock.outbound.connection import ConnectionKind, HttpConnection
from crossdock.outbound.redaction import is_telling
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.exchange import call
from crossdock.run.steps.fields import kind_of, refuse, require_object, text_at, value_at
from crossdock.run.steps.http_answer import RESPONSES, Expectation, judge
from crossdock.run.steps.http_request import (
    CONTENTS,
    checked_content,
    checked_fields,
    checked_header,
    checked_headers,
    checked_method,
    checked_url,
    request_of,
)

KEYS = ("method", "url", "connection", "query", "headers", *CONTENTS, "expect", "response", "idempotency_header")
DEFAULT_KEY_HEADER = "Idempotency-Key"
MAX_VALUES = 100
_ABSOLUTE = re.compile(r"https?://|\{", re.IGNORECASE)
_WITH_CREDENTIALS = re.compile(r"https?://[^/?#{]*@", re.IGNORECASE)
_STATUS_CLASS = re.compile(r"[2-5]xx", re.IGNORECASE)
_Check: TypeAlias = Callable[[Json], Json]


@dataclass(frozen=True, slots=True)
class Http:
    method: CompiledTree
    url: CompiledTree
    connection: str | None
    query: CompiledTree | None
    headers: CompiledTree | None
    content: tuple[str, CompiledTree] | None
    expectation: Expectation
    values: CompiledTree | None
    response: str | None
    key_header: str | None
    is_pure = False
    is_quick = False
    branches = ()
    records_input = True

    @property
    def steps(self) -> frozenset[str]:
        trees = (self.method, self.url, self.query, self.headers, self.content and self.content[1], self.values)
        return frozenset().union(*(tree.steps for tree in trees if tree is not None))

    def prepare(self, names: Mapping[str, Json]) -> Json:
        """The request as it is shown and recorded: without credentials, which the connection adds on the way out."""
        given: dict[str, Json] = {
            "method": checked_method(self.method.evaluate(names)),
            "url": checked_url(self.url.evaluate(names)),
        }
        if self.connection is not None:
            given["connection"] = self.connection
        if self.query is not None:
            given["query"] = checked_fields(self.query.evaluate(names), "http.query")
        if self.headers is not None:
            given["headers"] = checked_headers(self.headers.evaluate(names))
        if self.content is not None:
            kind, tree = self.content
            given[kind] = checked_content(kind, tree.evaluate(names))
        if self.values is not None:
            given["expected"] = _checked_values(self.values.evaluate(names))
        return given

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        try:
            connection = self._find_connection(context)
            request = request_of(given, self.key_header, context.idempotency_key, context.timeout)
        except LookupError as missing:
            return Stop(Failure("connection_missing", str(missing.args[0]), permanent=True))
        except ExpressionError as error:
            return Stop(Failure("http_request", str(error), permanent=True))
        report = await call(request, connection, context)
        return await judge(report, given, self.expectation, self.response)

    def _find_connection(self, context: StepContext) -> HttpConnection | None:
        """The connection as it is now; LookupError says why there is none."""
        if self.connection is None:
            return None
        found = context.outside.find_connection(context.event.integration_id, self.connection)
        if not isinstance(found, HttpConnection):
            raise LookupError(_wrong_kind(self.connection, found.kind))
        return found


def compile_http(settings: Json, field: str, around: Compiling) -> Http:
    written = require_object(settings, field, allowed=KEYS, required=("url",))
    contents = [kind for kind in CONTENTS if kind in written]
    if len(contents) > 1:
        refuse(
            f"{field}.{contents[1]}", f"there is a {contents[0]} already; a request has one of {', '.join(CONTENTS)}"
        )
    method = written.get("method", "POST" if contents else "GET")
    connection = _connection_at(written, field, around)
    response = written.get("response")
    if response is not None and response not in RESPONSES:
        refuse(f"{field}.response", f"one of {', '.join(RESPONSES)} is needed; without it, the content type decides")
    expectation, values = _expectation_at(written.get("expect", {}), f"{field}.expect", around)
    headers = written.get("headers")
    if isinstance(headers, dict):
        _refuse_credentials(headers, f"{field}.headers", around)
    return Http(
        _checked(text_at(method, f"{field}.method", around.names), f"{field}.method", checked_method),
        _url_at(written["url"], f"{field}.url", connection, around),
        connection,
        _fields_at(written["query"], f"{field}.query", _checked_field, around) if "query" in written else None,
        _fields_at(written["headers"], f"{field}.headers", _checked_header, around) if "headers" in written else None,
        _content_at(contents, written, field, around),
        expectation,
        values,
        response,
        _key_header_at(written.get("idempotency_header", DEFAULT_KEY_HEADER), f"{field}.idempotency_header"),
    )


def _connection_at(written: dict[str, Json], field: str, around: Compiling) -> str | None:
    name = written.get("connection")
    if name is None:
        return None
    place = f"{field}.connection"
    if not isinstance(name, str) or not name or "{{" in name or "{%" in name:
        refuse(place, "the name of a connection is needed, without expressions")
    if around.connections is None:
        return name
    kind = around.connections.get(name)
    if kind is None:
        there = ", ".join(sorted(other for other, kind in around.connections.items() if kind == ConnectionKind.HTTP))
        refuse(place, f"there is no connection {name!r} in this workspace; for http there are: {there or 'none'}")
    if kind != ConnectionKind.HTTP:
        refuse(place, _wrong_kind(name, kind))
    return name


def _wrong_kind(name: str, kind: str) -> str:
    return f"{name!r} is a connection of kind {kind}, and this step needs one of kind http"


def _url_at(url: Json, field: str, connection: str | None, around: Compiling) -> CompiledTree:
    compiled = _checked(text_at(url, field, around.names), field, checked_url)
    if connection is None and not _ABSOLUTE.match(url):
        refuse(field, "write the URL in full, from https:// on, or name the connection that it is relative to")
    if _WITH_CREDENTIALS.match(url):
        refuse(field, "a URL carries no user:password@; put them into a connection, and name that")
    return compiled


def _fields_at(settings: Json, field: str, check: Callable[[str, Json], Json], around: Compiling) -> CompiledTree:
    """Query, headers or form: an object, or an expression that gives one."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            place = f"{field}.{name}"
            _checked(value_at(value, place, around.names), place, functools.partial(check, str(name)))
    elif not isinstance(settings, str) or value_at(settings, field, around.names).is_constant:
        refuse(field, "an object of names and values is needed, or an expression that gives one")
    return value_at(settings, field, around.names)


def _checked_field(name: str, value: Json) -> Json:
    return checked_fields({name: value}, "this")


def _checked_header(name: str, value: Json) -> Json:
    return None if value is None else checked_header(name, value)


def _refuse_credentials(headers: dict[str, Json], field: str, around: Compiling) -> None:
    """A credential that is written down here would be shown with every event."""
    for name, value in headers.items():
        if is_telling(str(name)) and value_at(value, f"{field}.{name}", around.names).is_constant:
            refuse(
                f"{field}.{name}",
                "a credential written here is shown to whoever sees the workflow or its events; put it into a"
                " connection, and name that",
            )


def _content_at(
    contents: list[str], written: dict[str, Json], field: str, around: Compiling
) -> tuple[str, CompiledTree] | None:
    if not contents:
        return None
    kind = contents[0]
    if kind == "form":
        return kind, _fields_at(written[kind], f"{field}.form", _checked_field, around)
    compiled = value_at(written[kind], f"{field}.{kind}", around.names)
    return kind, _checked(compiled, f"{field}.{kind}", lambda value: checked_content(kind, value))


def _key_header_at(settings: Json, field: str) -> str | None:
    if settings is False:
        return None
    if not isinstance(settings, str):
        refuse(field, "the name of a header is needed, or false for none")
    try:
        checked_header(settings, "key")
    except ExpressionError as error:
        refuse(field, str(error))
    return settings


def _expectation_at(settings: Json, field: str, around: Compiling) -> tuple[Expectation, CompiledTree | None]:
    written = require_object(settings, field, allowed=("status", "json_path", "values", "retry"))
    for key in ("values", "retry"):
        if key in written and "json_path" not in written:
            refuse(f"{field}.{key}", "this says what is expected at json_path, so write that too")
    retries = written.get("retry", False)
    if not isinstance(retries, bool):
        refuse(f"{field}.retry", "true or false is needed")
    values = None
    if "values" in written:
        values = _checked(
            value_at(written["values"], f"{field}.values", around.names), f"{field}.values", _checked_values
        )
    path = _path_at(written["json_path"], f"{field}.json_path") if "json_path" in written else None
    if "status" not in written:
        return Expectation(path=path, retries=retries), values
    listed = written["status"] if isinstance(written["status"], list) else [written["status"]]
    if not listed:
        refuse(f"{field}.status", "at least one status is needed")
    statuses = frozenset().union(*(_statuses(one, f"{field}.status") for one in listed))
    return Expectation(statuses, " or ".join(str(one).lower() for one in listed), path, retries), values


def _statuses(written: Json, field: str) -> frozenset[int]:
    """The statuses that a number, or a class such as `2xx`, stands for."""
    if isinstance(written, str) and _STATUS_CLASS.fullmatch(written):
        first = int(written[0]) * 100
        return frozenset(range(first, first + 100))
    if isinstance(written, str) and re.fullmatch(r"[2-5][0-9]{2}", written):
        written = int(written)
    if isinstance(written, bool) or not isinstance(written, int) or not 200 <= written <= 599:
        refuse(field, "a status is a number from 200 to 599 or a class such as 2xx; several stand in a list")
    return frozenset({written})


def _path_at(settings: Json, field: str) -> Path:
    if not isinstance(settings, str):
        refuse(field, "a JSONPath is needed, such as $.data.status")
    try:
        return compile_path(settings)
    except BadPath as error:
        refuse(field, str(error))


def _checked_values(value: Json) -> list[Json]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
        raise ExpressionError(
            f"http.expect.values is {kind_of(value)}, and a list of 1 to {MAX_VALUES} values is needed"
        )
    return value


def _checked(compiled: CompiledTree, field: str, check: _Check) -> CompiledTree:
    """What has no expression is checked now, the rest when it is known."""
    if compiled.is_constant:
        try:
            check(compiled.evaluate({}))
        except ExpressionError as error:
            refuse(field, str(error))
    return compiled
