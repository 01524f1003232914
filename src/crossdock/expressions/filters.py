"""What expressions may call: filters, tests and functions.

An allow list, because the engine comes with filters that allocate as much as they are told to (`format`, `indent`,
`slice`), and with functions that are not pure (`now`, `random`). Filters whose output can outgrow their input are
ours and count first. Everything is removed from the engine that is not listed here.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import msgspec

from crossdock.expressions.patience import check_time
from crossdock.expressions.views import as_json, as_text, view
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
    " rejectattr reverse select selectattr split sum title trim truncate upper urlencode"
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


def _join(values: Any, separator: str = "", attribute: str | None = None) -> str:
    items = [as_text(_attribute(value, attribute)) for value in _list("join", values)]
    size = sum(map(len, items)) + len(separator) * max(len(items) - 1, 0)
    if size > OUTPUT_BYTES:
        raise ExpressionError("join: the text would be too long")
    return separator.join(items)


def _sort(values: Any, reverse: bool = False, case_sensitive: bool = False, attribute: str | None = None) -> Json:
    """Of one kind only, numbers or texts: comparing anything else takes its time and means nothing."""
    items = _list("sort", values)
    keys = [_attribute(item, attribute) for item in items]
    if all(isinstance(key, str) for key in keys):
        keys = keys if case_sensitive else [key.casefold() for key in keys]
    elif not all(isinstance(key, int | float) for key in keys):
        raise ExpressionError("sort: texts or numbers are needed; name the attribute of objects to sort them by")
    order = sorted(range(len(items)), key=keys.__getitem__, reverse=bool(reverse))
    return [items[place] for place in order]


def _unique(values: Any, attribute: str | None = None) -> Json:
    """The first of those that are the same. Compared as JSON, so that it takes no longer for objects."""
    items = _list("unique", values)
    first: dict[bytes, Json] = {}
    for item in items:
        first.setdefault(msgspec.json.encode(_attribute(item, attribute), order="deterministic"), item)
    return list(first.values())


def _attribute(item: Json, path: str | None) -> Json:
    if path is None:
        return item
    for key in str(path).split("."):
        if not isinstance(item, dict) or key not in item:
            raise ExpressionError(f"an element has no {path}")
        item = item[key]
    return item


def _list(name: str, values: Any) -> list[Json]:
    plain = as_json(values)
    if not isinstance(plain, list):
        raise ExpressionError(f"{name}: a list is needed, not {_word(plain)}")
    return plain


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
    return number


def _round(value: Any, digits: int = 0) -> Any:
    plain = as_json(value)
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise ExpressionError(f"round: a number is needed, not {_word(plain)}")
    return round(plain, min(max(int(digits), -400), 400))


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


def _viewed(own: Callable[..., Any]) -> Callable[..., Any]:
    """What a filter gives goes back into the engine, so it has to be without Python methods too."""

    @wraps(own)
    def give(*args: Any, **kwargs: Any) -> Any:
        check_time()
        return view(own(*args, **kwargs))

    return give


_OWN: dict[str, Callable[..., Any]] = {
    "float": _float,
    "frombase64": _frombase64,
    "fromjson": _fromjson,
    "int": _int,
    "join": _join,
    "pad": _pad,
    "replace": _replace,
    "round": _round,
    "sort": _sort,
    "string": as_text,
    "tobase64": _tobase64,
    "tojson": _tojson,
    "unique": _unique,
}
OWN_FILTERS = {name: _viewed(own) for name, own in _OWN.items()}
GUARD_FILTERS: dict[str, Callable[..., Any]] = {_NUMBER_FILTER: _require_number}
FILTERS = _ENGINE_FILTERS | OWN_FILTERS.keys()
