"""What an `http` step sends: its evaluated settings, checked in words, and the request made of them."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import quote_plus, urlencode

import msgspec

from crossdock.model.expression import OUTPUT_BYTES, ExpressionError
from crossdock.model.outcome import Json
from crossdock.outbound.connection import Pairs
from crossdock.outbound.request import HttpRequest
from crossdock.run.steps.fields import kind_of

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CONTENTS = ("json", "form", "text", "body")
MAX_URL_LENGTH = 8_192
MAX_HEADER_VALUE = 8_192
RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that follow from the request, or belong to the connection below it (RFC 9110, 7.6.1)."""

_CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
    "body": "application/octet-stream",
}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


def checked_method(value: Json) -> str:
    method = value.upper() if isinstance(value, str) else ""
    if method not in METHODS:
        shown = repr(value[:20]) if isinstance(value, str) else kind_of(value)
        raise ExpressionError(f"http.method is {shown}, and one of {', '.join(METHODS)} is needed")
    return method


def checked_url(value: Json) -> str:
    if not isinstance(value, str):
        raise ExpressionError(f"http.url is {kind_of(value)}, and text is needed")
    if len(value) > MAX_URL_LENGTH:
        raise ExpressionError(f"http.url is {len(value)} characters long, and {MAX_URL_LENGTH} are the most")
    return value


def checked_fields(value: Json, place: str) -> dict[str, Json]:
    """Fields of a query or a form; those that are null are left out."""
    if not isinstance(value, dict):
        raise ExpressionError(f"{place} is {kind_of(value)}, and an object of names and values is needed")
    for name, one in value.items():
        if isinstance(one, dict | list):
            raise ExpressionError(f"{place}.{name} is {kind_of(one)}, and text or a number is needed")
    return {name: one for name, one in value.items() if one is not None}


def checked_headers(value: Json) -> dict[str, Json]:
    """Headers that can be sent; those that are null are left out."""
    if not isinstance(value, dict):
        raise ExpressionError(f"http.headers is {kind_of(value)}, and an object of names and values is needed")
    headers = {name: checked_header(name, one) for name, one in value.items() if one is not None}
    if len({name.lower() for name in headers}) < len(headers):
        raise ExpressionError("http.headers has a name twice; upper and lower case make no difference in them")
    return headers


def checked_header(name: str, value: Json) -> str:
    place = f"http.headers.{name[:128]}"
    if not _HEADER_NAME.fullmatch(name):
        raise ExpressionError(f"{place!r} can't be a header's name")
    if name.lower() in RESERVED_HEADERS:
        raise ExpressionError(f"{place} is set by Crossdock and can't be chosen")
    if isinstance(value, dict | list) or value is None:
        raise ExpressionError(f"{place} is {kind_of(value)}, and text or a number is needed")
    text = as_text(value).strip(" \t")
    if len(text) > MAX_HEADER_VALUE:
        raise ExpressionError(f"{place} is {len(text)} characters long, and {MAX_HEADER_VALUE} are the most")
    if not _HEADER_VALUE.fullmatch(text):
        raise ExpressionError(f"{place} has a line break or another character that a header can't carry")
    return text


def checked_content(kind: str, value: Json) -> Json:
    """What `form`, `text` or `body` gives, if it can be sent; any JSON can."""
    if kind == "form":
        return checked_fields(value, "http.form")
    if kind == "text" and isinstance(value, dict | list):
        raise ExpressionError(f"http.text is {kind_of(value)}, and text is needed; send other values as json")
    if kind == "body" and not isinstance(value, str) and not _is_base64(value):
        raise ExpressionError(
            f'http.body is {kind_of(value)}, and text or {{"base64": ...}} is needed; send other values as json'
        )
    return value


def request_of(given: dict[str, Json], key_header: str | None, key: str, timeout: float | None) -> HttpRequest:
    """The request, from what the step's settings gave; ExpressionError when it is too large.

    `key_header` carries the idempotency `key` with methods that change something.
    """
    kind = next((kind for kind in CONTENTS if kind in given), None)
    headers: list[tuple[str, str]] = list(given.get("headers", {}).items())
    named = {name.lower() for name, _ in headers}
    if kind is not None and "content-type" not in named:
        headers.append(("Content-Type", _CONTENT_TYPES[kind]))
    if key_header is not None and given["method"] not in ("GET", "HEAD") and key_header.lower() not in named:
        headers.append((key_header, key))
    return HttpRequest(
        method=given["method"],
        url=given["url"],
        query=_pairs(given.get("query", {})),
        headers=tuple(headers),
        body=b"" if kind is None else _encoded(kind, given[kind]),
        timeout=timeout,
    )


def as_text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _pairs(fields: dict[str, Json]) -> Pairs:
    return tuple((name, as_text(value)) for name, value in fields.items())


def _encoded(kind: str, value: Json) -> bytes:
    match kind:
        case "json":
            body = msgspec.json.encode(value)
        case "form":
            body = urlencode(_pairs(value), quote_via=quote_plus, errors="replace").encode()
        case "body" if isinstance(value, dict):
            body = _from_base64(value["base64"])
        case _:
            body = as_text(value).encode(errors="replace")
    if len(body) > OUTPUT_BYTES:
        raise ExpressionError(
            f"http.{kind} is {len(body)} bytes long, and {OUTPUT_BYTES // 1024**2} MiB are the most; send it in parts"
        )
    return body


def _is_base64(value: Json) -> bool:
    return isinstance(value, dict) and isinstance(value.get("base64"), str)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ExpressionError("http.body.base64 is not Base64") from None
