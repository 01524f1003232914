"""What expressions may call: filters, tests and functions.

An allow list, because the engine comes with filters that allocate as much as they are told to (`format`, `indent`,
`slice`), and with functions that are not pure (`now`, `random`). Filters whose output can outgrow their input are
ours and count first. Everything is removed from the engine that is not listed here.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from crossdock.expressions.views import ExactNumber, as_json, as_text
from crossdock.model.expression import OUTPUT_BYTES, ExpressionError
from crossdock.model.outcome import Json


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TESTS = _names(
    "boolean defined divisibleby endingwith eq equalto even false float ge greaterthan gt in int integer iterable le"
    " lessthan lower lt mapping ne none number odd sequence startingwith string true undefined upper"
)
FUNCTIONS = _names("range")
_ENGINE_FILTERS = _names(
    "abs bool capitalize count d default dictsort first groupby items last length lines list lower map max min reject"
    " rejectattr reverse select selectattr sort split sum title trim truncate unique upper urlencode"
)
REMOVED_FILTERS = _names(
    "attr batch chain dateformat datetimeformat e escape filesizeformat format indent pluralize pprint random safe"
    " slice striptags timeformat wordcount wordwrap zip"
)
REMOVED_FUNCTIONS = _names("cycler debug dict joiner lipsum namespace now randrange")

_NUMBER_FILTER = "number_or_error"
NUMBER_GUARD = f"|{_NUMBER_FILTER} "


def _tojson(value: Any, indent: int | None = None) -> str:
    encoded = msgspec.json.encode(as_json(value))
    if len(encoded) > OUTPUT_BYTES:
        raise ExpressionError("tojson: the text would be too long")
    if indent is not None:
        encoded = msgspec.json.format(encoded, indent=min(max(int(indent), 0), 8))
    return encoded.decode()


def _fromjson(value: Any) -> Json:
    text = _text("fromjson", value)
    if text.count("[") + text.count("{") > 100_000:
        raise ExpressionError("fromjson: the text has too many lists and objects")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise ExpressionError("fromjson: the text is not JSON") from None


def _join(values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    if isinstance(values, str):
        raise ExpressionError("join: a list is needed, not text")
    items = [as_text(value if attribute is None else value[attribute]) for value in values]
    size = sum(map(len, items)) + len(separator) * max(len(items) - 1, 0)
    if size > OUTPUT_BYTES:
        raise ExpressionError("join: the text would be too long")
    return separator.join(items)


def _replace(value: Any, old: Any, new: Any) -> str:
    text, search, substitute = _text("replace", value), as_text(old), as_text(new)
    size = len(text) + text.count(search) * (len(substitute) - len(search))
    if size > OUTPUT_BYTES:
        raise ExpressionError("replace: the text would be too long")
    return text.replace(search, substitute)


def _int(value: Any, default: Any = None) -> Any:
    return _number(int, "int", value, default)


def _float(value: Any, default: Any = None) -> Any:
    return _number(float, "float", value, default)


def _number(kind: type[int] | type[float], name: str, value: Any, default: Any) -> Any:
    """`default` is for text that is no number; a list or an object is an error all the same."""
    plain = as_json(value)
    if not isinstance(plain, str | int | float):
        raise ExpressionError(f"{name}: a number or text is needed, not {_word(plain)}")
    try:
        if kind is int and isinstance(plain, str) and not plain.strip().lstrip("+-").isdecimal():
            plain = float(plain)
        number = kind(plain)
    except (ValueError, OverflowError):
        number = math.nan
    if isinstance(number, float) and not math.isfinite(number):
        if default is not None:
            return default
        raise ExpressionError(f"{name}: {as_text(plain)[:40]!r} is not a number; give a default as in {name}(0)")
    return ExactNumber.of(number)


def _round(value: Any, digits: int = 0) -> Any:
    plain = as_json(value)
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise ExpressionError(f"round: a number is needed, not {_word(plain)}")
    return ExactNumber.of(round(plain, min(max(int(digits), -400), 400)))


def _require_number(value: Any) -> Any:
    if isinstance(value, int | float):
        return value
    raise ExpressionError(f"* multiplies numbers, not {_word(as_json(value))}; the filters int and float make numbers")


def _pad(value: Any, width: int, fill: str = " ") -> str:
    text = as_text(value)
    if not isinstance(fill, str) or len(fill) != 1:
        raise ExpressionError("pad: fill with one character")
    if width > 10_000:
        raise ExpressionError("pad: the width is 10000 at most")
    return text.rjust(int(width), fill)


def _tobase64(value: Any) -> str:
    return base64.b64encode(as_text(value).encode(errors="replace")).decode()


def _frombase64(value: Any) -> str:
    try:
        return base64.b64decode(_text("frombase64", value), validate=True).decode()
    except (binascii.Error, ValueError):
        raise ExpressionError("frombase64: the text is not the Base64 of UTF-8 text") from None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ExpressionError(f"{name}: text is needed, not {_word(as_json(value))}")
    return str(value)


def _word(value: Json) -> str:
    if isinstance(value, bool):
        return "true or false"
    words = {str: "text", list: "a list", dict: "an object", type(None): "null"}
    return words.get(type(value), "a number")


OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "float": _float,
    "frombase64": _frombase64,
    "fromjson": _fromjson,
    "int": _int,
    "join": _join,
    "pad": _pad,
    "replace": _replace,
    "round": _round,
    "string": as_text,
    "tobase64": _tobase64,
    "tojson": _tojson,
}
GUARD_FILTERS: dict[str, Callable[..., Any]] = {_NUMBER_FILTER: _require_number}
FILTERS = _ENGINE_FILTERS | OWN_FILTERS.keys()
