"""The request of a replay: the recorded one, with what people change of it.

An edited request has to be one that the integration would take from a caller. What is not edited is not asked again:
it was taken when it came.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import replace

import msgspec

from crossdock.catalog import LiveIntegration
from crossdock.expressions import json_problem, read_body
from crossdock.manage.refusals import invalid
from crossdock.model.errors import FieldError
from crossdock.model.event import CREDENTIAL_HEADERS, REDACTED, Request
from crossdock.model.outcome import Json
from crossdock.model.trigger import Trigger

_ABOUT_THE_BODY = ("content-length", "transfer-encoding", "content-encoding")
"""Headers that tell of the old body, and are not true of the new one."""

Pairs = tuple[tuple[str, str], ...]


def edited_request(request: Request, changes: Mapping[str, Json], live: LiveIntegration) -> Request:
    """`request` with `method`, `query`, `headers` and `body` replaced where `changes` has them.

    A body that is not text is JSON, and its content type says so; text keeps the content type that was there, and
    with `body_encoding: base64` it stands for bytes. Credentials in headers are not kept. Invalid names the fields
    that the integration would refuse.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    edited = request
    if "method" in given:
        edited = replace(edited, method=given["method"])
    if "query" in given:
        edited = replace(edited, query=_with_defaults(tuple(_pairs(given["query"])), live.integration.trigger))
    if "headers" in given:
        headers = tuple((name.lower(), value) for name, value in _pairs(given["headers"]))
        named = dict(headers).get("content-type", request.content_type)
        edited = replace(edited, headers=tuple(map(_without_credential, headers)), content_type=named)
    if "body" in given:
        body, is_json = _bytes_of(given["body"], given.get("body_encoding") or "utf-8")
        names_type = any(name.lower() == "content-type" for name in given.get("headers", {}))
        if is_json and not names_type and not _is_json_type(edited.content_type):
            edited = replace(edited, content_type="application/json")
        kept = tuple(pair for pair in edited.headers if pair[0].lower() not in _ABOUT_THE_BODY)
        edited = replace(edited, body=body, headers=kept)
    edited = replace(edited, headers=_with_content_type(edited.headers, edited.content_type))
    errors = list(_refusals(edited, given, live))
    if errors:
        raise invalid("the request", errors)
    return edited


def _pairs(values: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """A name with several values is there several times."""
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            yield name, one


def _without_credential(header: tuple[str, str]) -> tuple[str, str]:
    return (header[0], REDACTED) if header[0] in CREDENTIAL_HEADERS else header


def _with_defaults(query: Pairs, trigger: Trigger) -> Pairs:
    sent = {name for name, _ in query}
    declared = trigger.query_parameters
    return (*query, *((p.name, p.default) for p in declared if p.default is not None and p.name not in sent))


def _with_content_type(headers: Pairs, content_type: str) -> Pairs:
    """The headers, saying the content type that the body has."""
    if not content_type or dict(headers).get("content-type") == content_type:
        return headers
    return (*(pair for pair in headers if pair[0].lower() != "content-type"), ("content-type", content_type))


def _bytes_of(body: Json, encoding: str) -> tuple[bytes, bool]:
    """The body's bytes, and whether it was given as a JSON value."""
    if not isinstance(body, str):
        if encoding != "utf-8":
            raise invalid("the request", (FieldError("request.body", "must be text where body_encoding is base64"),))
        return msgspec.json.encode(body), True
    try:
        return (body.encode() if encoding == "utf-8" else base64.b64decode(body, validate=True)), False
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise invalid("the request", (FieldError("request.body", f"is not {encoding}: {error}"),)) from None


def _is_json_type(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


# --- would it be taken? ----------------------------------------------------------------------------------------------


def _refusals(request: Request, changes: Mapping[str, Json], live: LiveIntegration) -> Iterator[FieldError]:
    trigger = live.integration.trigger
    if "method" in changes and request.method not in trigger.methods:
        yield FieldError("request.method", f"is not accepted by the integration; it takes {', '.join(trigger.methods)}")
    if "query" in changes:
        sent = {name for name, _ in request.query}
        missing = (p.name for p in trigger.query_parameters if p.required and p.name not in sent)
        yield from (FieldError(f"request.query.{name}", "is required by the integration") for name in missing)
    if "body" in changes:
        yield from _body_refusals(request.body, live)


def _body_refusals(body: bytes, live: LiveIntegration) -> Iterator[FieldError]:
    trigger = live.integration.trigger
    if len(body) > trigger.max_body_bytes:
        most = f"the integration takes {trigger.max_body_bytes} (max_body_bytes)"
        yield FieldError("request.body", f"has {len(body)} bytes, and {most}")
        return
    if not trigger.require_json and live.check_body is None:
        return
    problem = json_problem(body)
    if problem is not None:
        yield FieldError("request.body", f"is not readable as JSON, which the integration asks for: {problem}")
    elif live.check_body is not None:
        problems = live.check_body(read_body("application/json", body))
        yield from (FieldError("request.body", f"does not fit the integration's schema: {text}") for text in problems)
