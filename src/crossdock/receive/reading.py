"""The request as it is kept: query with defaults, headers without credentials, the body to its limit."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from crossdock.model.errors import FieldError, Invalid, Malformed, TooLarge, UnsupportedMedia
from crossdock.model.event import REDACTED
from crossdock.model.trigger import QueryParameter, Trigger
from crossdock.receive.authenticate import CREDENTIAL_HEADERS
from crossdock.server.app import Receive

MAX_QUERY_FIELDS = 1_000
_LENGTH_DIGITS = 18


class Disconnected(Exception):
    """The caller went away before the body was complete: there is nothing to record and nobody to answer."""


def read_headers(headers: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Names in lower case (the server has made them so), values as Latin-1, which loses no byte (RFC 9110, 5.5)."""
    return tuple(
        (name.decode("latin-1"), REDACTED if name in CREDENTIAL_HEADERS else value.decode("latin-1"))
        for name, value in headers
    )


def header(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> str:
    """The value of a header, empty when it is missing."""
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return ""


def read_query(raw: bytes, declared: Sequence[QueryParameter]) -> tuple[tuple[str, str], ...]:
    """All parameters in order, those with a default that were not sent at the end; Invalid when one is missing."""
    if not raw and not declared:
        return ()
    try:
        pairs = parse_qsl(
            raw.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="replace"
        )
    except ValueError:
        raise Malformed(f"the query has more than {MAX_QUERY_FIELDS} parameters") from None
    sent = {name for name, _ in pairs}
    missing = [p.name for p in declared if p.required and p.name not in sent]
    if missing:
        raise Invalid(
            f"the query parameter {', '.join(missing)} is required",
            tuple(FieldError(f"query.{name}", "is required") for name in missing),
        )
    defaults = [(p.name, p.default) for p in declared if p.default is not None and p.name not in sent]
    return (*pairs, *defaults)


async def read_body(receive: Receive, headers: Sequence[tuple[bytes, bytes]], trigger: Trigger) -> bytes:
    """The whole body. TooLarge as soon as the limit is passed, declared or real; compressed bodies are refused."""
    limit = trigger.max_body_bytes
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and (len(value) > _LENGTH_DIGITS or int(value) > limit):
            raise _too_large(limit)
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise UnsupportedMedia("send the body without Content-Encoding: compressed bodies are not accepted")
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    return await _read_rest(receive, bytearray(body), limit)


async def _read_rest(receive: Receive, parts: bytearray, limit: int) -> bytes:
    more = True
    while more:
        if len(parts) > limit:
            raise _too_large(limit)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts += message.get("body", b"")
        more = message.get("more_body", False)
    if len(parts) > limit:
        raise _too_large(limit)
    return bytes(parts)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than the {limit} bytes that this integration takes")
