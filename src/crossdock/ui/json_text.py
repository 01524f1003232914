"""JSON as it was written, over several lines and with its parts marked.

The text is not read and written anew: members that are there twice, long numbers and escapes stay as they came. It is
gone through once, without recursion, and only as far as it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from crossdock.ui.inert import visible

DEEPEST_INDENT = 32
"""Levels that are indented; deeper ones stand as far to the right as this one."""

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+|"', re.DOTALL)
_KEY_FOLLOWS = re.compile(r"\s*:")


@dataclass(frozen=True, slots=True)
class Written:
    """Text for a page, and whether it is all of it."""

    markup: Markup
    is_whole: bool


def written_json(text: str, most: int) -> Written:
    """JSON text over several lines, cut after about `most` characters."""
    parts: list[str] = []
    size = 0
    for part, length in _lines(text, most):
        if size > most:
            return Written(Markup("".join(parts)), False)  # noqa: S704 - each part is escaped by `visible`
        parts.append(part)
        size += length
    return Written(Markup("".join(parts)), True)  # noqa: S704 - each part is escaped by `visible`


def _lines(text: str, most: int) -> Iterator[tuple[str, int]]:
    """The pieces of the text with the line breaks between them, and how many characters each shows."""
    level, opened = 0, False
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in "}]":
            level = max(0, level - 1)
            if not opened:
                yield _line_end(level)
        elif opened:
            yield _line_end(level)
        opened = token in "{["
        level += opened
        yield _marked(token, most, is_key=token[0] == '"' and _KEY_FOLLOWS.match(text, found.end()) is not None)
        if token == ",":
            yield _line_end(level)
        elif token == ":":
            yield " ", 1


def _line_end(level: int) -> tuple[str, int]:
    indent = "  " * min(level, DEEPEST_INDENT)
    return f"\n{indent}", 1 + len(indent)


def _marked(token: str, most: int, *, is_key: bool) -> tuple[str, int]:
    if token in "{}[],:":
        return token, 1
    kind = "key" if is_key else "string" if token[0] == '"' else "word" if token[0].isalpha() else "number"
    shown = token if len(token) <= most else f"{token[:most]}…"
    return f'<span class="json-{kind}">{visible(shown)}</span>', len(shown)
