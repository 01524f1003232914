"""Plain references such as `body.customer.id` or `steps.order["total"]`: read without the engine, and explained.

Most expressions are nothing else. Reading them here keeps every number exactly as it was sent, costs a tenth, and
tells what is missing. The same walk explains what the engine only calls "undefined".
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from crossdock.expressions.source import WORDS, Code, Token
from crossdock.model.outcome import Json

Path: TypeAlias = tuple[str | int, ...]
"""A name, and the keys and indexes that follow it."""

_SHOWN_FIELDS = 12
_SHOWN_NAME = 60


def path_of(code: Code) -> Path | None:
    """The path, if the code is one plain reference and nothing else."""
    path, end = _path_at(code.tokens, 0)
    return path if path and end == len(code.tokens) else None


def paths_in(code: Code) -> list[Path]:
    """Every reference in the code, in order. One whose key is worked out ends before it."""
    return [path for path, _ in _paths(code.tokens)]


def locals_of(codes: Sequence[Code]) -> frozenset[str]:
    """The names that `for` blocks give to their elements."""
    found: set[str] = set()
    for code in codes:
        if code.opening == "{%" and code.tokens[0].text == "for":
            texts = [token.text for token in code.tokens]
            end = texts.index("in") if "in" in texts else len(texts)
            found.update(token.text for token in code.tokens[1:end] if token.kind == "name")
    return frozenset(found)


def names_in(codes: Sequence[Code]) -> tuple[str, ...]:
    """The names that the codes take from outside. (The engine's own list of them misses those in slices.)"""
    return tuple(sorted({str(path[0]) for code in codes for path in paths_in(code)} - locals_of(codes)))


def explain_missing(code: Code, names: Mapping[str, Json]) -> str:
    """Which reference of the code finds nothing, and what is there instead."""
    for path, end in _paths(code.tokens):
        missing = missing_at(path, names)
        if missing is not None and not (missing == len(path) - 1 and _is_guarded(code.tokens, end)):
            return missing_in_words(path, names)
    return f"{code.shown} needs a value that is not there"


def missing_at(path: Path, names: Mapping[str, Json]) -> int | None:
    """Where along the path nothing is there; None when the path finds a value or begins with a local name."""
    value: Json = names
    for position, key in enumerate(path):
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return position or None
    return None


def missing_in_words(path: Path, names: Mapping[str, Json]) -> str:
    """What is not there along a path that finds nothing, and what is there."""
    position = missing_at(path, names)
    if position is None:
        return f"{path[0]} is not there"
    value: Json = names
    for key in path[:position]:
        value = value[key]
    return f"{written(path[: position + 1])} is not there; {written(path[:position])} {_what_is(value)}"


def written(path: Path) -> str:
    """The path as people write it."""
    text = str(path[0])
    for key in path[1:]:
        if isinstance(key, str):
            shown = key if len(key) <= _SHOWN_NAME else key[:_SHOWN_NAME] + "..."
            text += f".{shown}" if key.isidentifier() else f"[{shown!r}]"
        else:
            text += f"[{key}]"
    return text


def _what_is(value: Json) -> str:
    if isinstance(value, dict):
        if not value:
            return "is an empty object"
        names = [name if len(name) <= _SHOWN_NAME else name[:_SHOWN_NAME] + "..." for name in list(value)]
        more = f" and {len(names) - _SHOWN_FIELDS} more" if len(names) > _SHOWN_FIELDS else ""
        return f"has {', '.join(names[:_SHOWN_FIELDS])}{more}"
    if isinstance(value, list):
        return f"is a list of {len(value)}"
    words = {str: "is text", bool: "is true or false", type(None): "is null"}
    return words.get(type(value), "is a number")


def _paths(tokens: Sequence[Token]) -> Iterator[tuple[Path, int]]:
    index = 0
    while index < len(tokens):
        path, end = _path_at(tokens, index)
        if path:
            yield path, end
        # A subscript that is worked out holds references of its own, so go on right behind what was read.
        index = max(end, index + 1)


def _path_at(tokens: Sequence[Token], index: int) -> tuple[Path, int]:
    """The path that begins at `index`, and the index behind it; nothing where no reference begins."""
    token = tokens[index]
    before = tokens[index - 1].text if index else ""
    after = tokens[index + 1].text if index + 1 < len(tokens) else ""
    is_argument_name = after == "=" and before in ("(", ",")
    if token.kind != "name" or token.text in WORDS or before in (".", "|", "is") or after == "(" or is_argument_name:
        return (), index + 1
    if before == "not" and index > 1 and tokens[index - 2].text == "is":
        return (), index + 1
    path: list[str | int] = [token.text]
    index += 1
    while index < len(tokens):
        key, end = _key_at(tokens, index)
        if key is None:
            break
        path.append(key)
        index = end
    return tuple(path), index


def _key_at(tokens: Sequence[Token], index: int) -> tuple[str | int | None, int]:
    texts = [token.text for token in tokens[index : index + 4]]
    kinds = [token.kind for token in tokens[index : index + 4]]
    if texts[0] == "." and kinds[1:2] == ["name"]:
        return texts[1], index + 2
    if texts[0] == "[" and texts[2:3] == ["]"]:
        if kinds[1] == "text":
            return _text_constant(texts[1]), index + 3
        if kinds[1] == "number" and texts[1].isdecimal():
            return int(texts[1]), index + 3
    if texts[:2] == ["[", "-"] and texts[3:4] == ["]"] and texts[2].isdecimal():
        return -int(texts[2]), index + 4
    return None, index


def _text_constant(literal: str) -> str | None:
    """The text of a quoted literal; None for escapes that Python and the engine may read differently."""
    if "\\" in literal or "\n" in literal:
        return None
    value = ast.literal_eval(literal)
    return value if isinstance(value, str) else None


def _is_guarded(tokens: Sequence[Token], index: int) -> bool:
    """Whether the code itself copes with a missing value: `| default(...)`, `is defined`."""
    following = [token.text for token in tokens[index : index + 3]]
    if following[:1] == ["|"]:
        return following[1:2] in (["default"], ["d"])
    return following[:1] == ["is"] and ("defined" in following or "undefined" in following)
