"""What a Python function returned, made plain: JSON types only, and no more of them than a step may hand on."""

from __future__ import annotations

import math
from json.encoder import encode_basestring
from typing import Any

from crossdock.model.expression import OUTPUT_BYTES
from crossdock.model.outcome import Json

_MAX_DEPTH = 100


class NotJson(Exception):
    """The message names the place and what stands there."""


def plain(value: Any) -> Json:
    """A copy made of JSON types only, so that the function can't change what was recorded; NotJson."""
    return _plain(value, "result", _Size(), 0)


class _Size:
    """What is left of the bytes that the value may have as JSON."""

    def __init__(self) -> None:
        self.left = OUTPUT_BYTES

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise NotJson(f"it is larger than {OUTPUT_BYTES // 1024**2} MiB")


def _plain(value: Any, place: str, size: _Size, depth: int) -> Json:
    if depth > _MAX_DEPTH:
        raise NotJson(f"it is nested more than {_MAX_DEPTH} deep (or contains itself)")
    if value is None or isinstance(value, bool):
        size.spend(5 if value is False else 4)
        return value
    if isinstance(value, int):
        return _plain_integer(value, place, size)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotJson(f"{place} is {value}, and JSON has finite numbers only")
        number = float(value)
        size.spend(len(repr(number)))
        return number
    if isinstance(value, str):
        return _plain_text(value, place, size)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise NotJson(f"{place} has the key {key!r:.60}, and keys have to be text")
        size.spend(2 * len(value) + 1)
        return {
            _plain_text(key, place, size): _plain(item, f"{place}.{key}", size, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        size.spend(len(value) + 1)
        return [_plain(item, f"{place}[{index}]", size, depth + 1) for index, item in enumerate(value)]
    raise NotJson(f"{place} is a {type(value).__name__}")


def _plain_integer(value: int, place: str, size: _Size) -> int:
    number = int(value)
    try:
        size.spend(len(repr(number)))
    except ValueError:  # Python's own limit; readers of JSON have one as well
        raise NotJson(f"{place} is an integer of more than 4,300 digits") from None
    return number


def _plain_text(value: str, place: str, size: _Size) -> str:
    text = str(value)
    if len(text) > size.left:  # before it is copied
        size.spend(len(text))
    try:
        size.spend(len(encode_basestring(text).encode()))
    except UnicodeEncodeError:
        raise NotJson(f"{place} has half of a surrogate pair, which is no character") from None
    return text
