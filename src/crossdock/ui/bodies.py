"""Bodies of requests and answers as pages show them: JSON over several lines, a form as a table, bytes in hex.

Whatever a body says it is, it becomes text that does nothing. What is long is cut, and the page says so.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl

from markupsafe import Markup

from crossdock.expressions import json_problem
from crossdock.model.outcome import Json
from crossdock.ui.inert import visible
from crossdock.ui.json_text import written_json

View: TypeAlias = Literal["pretty", "raw", "hex"]

MOST_PRETTY = 40_000
MOST_RAW = 64_000
"""Characters that are shown of a body."""
MOST_HEX = 2_048
"""Bytes that are shown of a body in hex."""
MOST_PAIRS = 200
_WORDS: Mapping[str, str] = {"pretty": "Pretty", "raw": "Raw", "hex": "Bytes"}

_NOTHING = Markup()


@dataclass(frozen=True, slots=True)
class ShownBody:
    """A body, in one of its views."""

    size: int
    """Bytes of the whole."""
    kind: str
    """`empty`, `json`, `form`, `text` or `binary`."""
    view: View
    views: tuple[tuple[View, str], ...]
    """The views that there are, with their names."""
    text: Markup = _NOTHING
    pairs: tuple[tuple[str, str], ...] = ()
    """A form's fields, in the pretty view."""
    is_whole: bool = True
    remark: str = ""
    """What has to be said of it: why it can't be shown as what it says it is."""


def show_body(body: bytes, content_type: str, view: str = "") -> ShownBody:
    """A body in the view that is asked for, or in the one that tells most."""
    if not body:
        return ShownBody(0, "empty", "raw", ())
    text, remark = _decoded(body)
    if text is None:
        return _in_hex(body, "binary", (("hex", "Bytes"),), remark)
    kind, remark = _kind(body, text, content_type, remark)
    views = _views(("pretty", "raw", "hex") if kind in ("json", "form") else ("raw", "hex"))
    chosen = next((name for name, _ in views if name == view), views[0][0])
    match chosen:
        case "pretty" if kind == "form":
            pairs = parse_qsl(text[:MOST_RAW], keep_blank_values=True)
            is_whole = len(pairs) <= MOST_PAIRS and len(text) <= MOST_RAW
            return ShownBody(len(body), kind, chosen, views, pairs=tuple(pairs[:MOST_PAIRS]), is_whole=is_whole)
        case "pretty":
            written = written_json(text, MOST_PRETTY)
            return ShownBody(len(body), kind, chosen, views, written.markup, is_whole=written.is_whole, remark=remark)
        case "raw":
            shown = visible(text[:MOST_RAW])
            return ShownBody(len(body), kind, chosen, views, shown, is_whole=len(text) <= MOST_RAW, remark=remark)
        case _:
            return _in_hex(body, kind, views, remark)


def show_value(value: Json, most: int = MOST_PRETTY) -> ShownBody:
    """A JSON value as a document has it: the output of a step, the body of a result."""
    text = json.dumps(value, ensure_ascii=False, indent=None)
    size = len(text.encode(errors="replace"))
    if isinstance(value, str):
        return ShownBody(size, "text", "raw", (), visible(value[:most]), is_whole=len(value) <= most)
    written = written_json(text, most)
    return ShownBody(size, "json", "pretty", (), written.markup, is_whole=written.is_whole)


def sent_bytes(part: Mapping[str, Any]) -> bytes | None:
    """The bytes of a `body` with its `body_encoding`; None where the document leaves them out."""
    body, encoding = part.get("body"), part.get("body_encoding", "utf-8")
    if body is None:
        return None if encoding == "omitted" else b""
    return base64.b64decode(body) if encoding == "base64" else str(body).encode(errors="replace")


def hex_lines(body: bytes) -> str:
    """Sixteen bytes a line: where they begin, their numbers, and the ASCII characters among them."""
    lines = []
    for start in range(0, len(body), 16):
        part = body[start : start + 16]
        numbers = f"{part[:8].hex(' ')}  {part[8:].hex(' ')}"
        letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{start:08x}  {numbers:<48}  {letters}")
    return "\n".join(lines)


def _decoded(body: bytes) -> tuple[str | None, str]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, f"These bytes are no text in UTF-8: byte {error.start} can’t be read."
    if "\x00" in text:
        return None, "This is no text: it has NUL characters."
    return text, ""


def _kind(body: bytes, text: str, content_type: str, remark: str) -> tuple[str, str]:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        return "form", remark
    says_json = media_type in ("application/json", "text/json") or media_type.endswith("+json")
    if says_json or text.lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
        problem = json_problem(body)
        if problem is None:
            return "json", remark
        if says_json:
            return "text", f"It says that it is JSON, and can’t be read as that: {problem}."
    return "text", remark


def _views(names: tuple[View, ...]) -> tuple[tuple[View, str], ...]:
    return tuple((name, _WORDS[name]) for name in names)


def _in_hex(body: bytes, kind: str, views: tuple[tuple[View, str], ...], remark: str) -> ShownBody:
    shown = Markup.escape(hex_lines(body[:MOST_HEX]))
    return ShownBody(len(body), kind, "hex", views, shown, is_whole=len(body) <= MOST_HEX, remark=remark)
