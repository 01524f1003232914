"""A request body as expressions see it. Never raises: what can't be read as what it claims to be stays text or bytes.

    JSON        the value; unreadable JSON is its text
    form        an object of texts; a name given several times has the list of them
    multipart   the same, and a file is {"filename", "content_type", "base64"}
    text, XML   the text
    other       the text if it is UTF-8, else {"base64": ...}

An empty body is null.
"""

from __future__ import annotations

import base64
import codecs
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from crossdock.model.outcome import Json

MAX_JSON_DEPTH = 100
MAX_FORM_FIELDS = 1_000
_BYTE_ORDER_MARK = codecs.BOM_UTF8
_BINARY_TYPES = ("image/", "audio/", "video/", "font/", "application/octet-stream", "application/zip")
_UNWANTED_CODECS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape"})
"""Codecs of Python for text that nobody sends; some take quadratic time."""

# The parser would write a log line for each malformed byte, at the word of whoever sends the request.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


class _Unreadable(Exception):
    """The body is not what it claims to be; the message says why."""


def read_body(content_type: str, body: bytes) -> Json:
    """The JSON value that stands for the body in expressions."""
    if not body:
        return None
    media_type = content_type.partition(";")[0].strip().lower()
    try:
        if not media_type or _is_json(media_type):
            return _read_json(body)
        if media_type == "application/x-www-form-urlencoded":
            return _read_form(body)
        if media_type == "multipart/form-data":
            return _read_multipart(content_type, body)
    except _Unreadable:
        return _text_or_bytes(body, "")
    if media_type.startswith(_BINARY_TYPES):
        return _as_base64(body)
    return _text_or_bytes(body, content_type)


def json_problem(body: bytes) -> str | None:
    """Why the body can't be read as JSON; None when it can."""
    if not body:
        return "the body is empty"
    try:
        _read_json(body)
    except _Unreadable as reason:
        return str(reason)
    return None


def _is_json(media_type: str) -> bool:
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def _read_json(body: bytes) -> Json:
    try:
        value = msgspec.json.decode(body.removeprefix(_BYTE_ORDER_MARK))
    except RecursionError:
        raise _Unreadable(f"it is nested more than {MAX_JSON_DEPTH} deep") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise _Unreadable(str(error)) from None
    if body.count(b"{") + body.count(b"[") > MAX_JSON_DEPTH and _is_deeper(value, MAX_JSON_DEPTH):
        raise _Unreadable(f"it is nested more than {MAX_JSON_DEPTH} deep")
    return value


def _is_deeper(value: Json, limit: int) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _inside(value: Json) -> Iterable[Json]:
    return value.values() if isinstance(value, dict) else value


def _read_form(body: bytes) -> Json:
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError as error:
        raise _Unreadable(str(error)) from None
    return _gathered(fields)


def _gathered(fields: Iterable[tuple[str, Json]]) -> dict[str, Json]:
    """One value for each name, or the list of them where a name is given several times."""
    values: dict[str, list[Json]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


@dataclass(slots=True)
class _Part:
    headers: dict[str, str] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)

    def field(self) -> tuple[str, Json]:
        disposition, options = parse_options_header(self.headers.get("content-disposition"))
        name = options.get(b"name")
        if disposition != b"form-data" or name is None:
            raise _Unreadable("a part has no name")
        filename = options.get(b"filename")
        if filename is None:
            return name.decode(errors="replace"), _text_or_bytes(bytes(self.content), "")
        document = {
            "filename": filename.decode(errors="replace"),
            "content_type": self.headers.get("content-type", ""),
            **_as_base64(bytes(self.content)),
        }
        return name.decode(errors="replace"), document


class _Parts:
    """Gathers what the multipart parser reports."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.is_complete = False
        self._name = bytearray()
        self._value = bytearray()

    def on_part_begin(self) -> None:
        if len(self.parts) >= MAX_FORM_FIELDS:
            raise _Unreadable(f"it has more than {MAX_FORM_FIELDS} parts")
        self.parts.append(_Part())

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content += data[start:end]

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self.parts[-1].headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name.clear()
        self._value.clear()

    def on_end(self) -> None:
        self.is_complete = True


def _read_multipart(content_type: str, body: bytes) -> Json:
    boundary = _parameters(content_type).get(b"boundary")
    if not boundary:
        raise _Unreadable("its content type names no boundary")
    found = _Parts()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": found.on_part_begin,
                "on_part_data": found.on_part_data,
                "on_header_field": found.on_header_field,
                "on_header_value": found.on_header_value,
                "on_header_end": found.on_header_end,
                "on_end": found.on_end,
            },
        )
        parser.write(body)
    except (FormParserError, ValueError) as error:
        raise _Unreadable(str(error)) from None
    if not found.is_complete:
        raise _Unreadable("it ends before its last boundary")
    return _gathered(part.field() for part in found.parts)


def _text_or_bytes(body: bytes, content_type: str) -> Json:
    """The text in the declared character set, or in UTF-8; the bytes in Base64 where it is neither."""
    charset = _parameters(content_type).get(b"charset", b"utf-8").decode("latin-1")
    try:
        if charset.lower().replace("-", "_") not in _UNWANTED_CODECS:
            return body.removeprefix(_BYTE_ORDER_MARK).decode(charset)
    except LookupError:
        return _text_or_bytes(body, "")
    except ValueError:
        return _as_base64(body)
    return _text_or_bytes(body, "")


def _parameters(content_type: str) -> dict[bytes, bytes]:
    """The parameters of a content type. Its characters are bytes (RFC 9110, 5.5); others are replaced."""
    return parse_options_header(content_type.encode("latin-1", "replace").decode("latin-1"))[1]


def _as_base64(body: bytes) -> dict[str, Json]:
    return {"base64": base64.b64encode(body).decode("ascii")}
