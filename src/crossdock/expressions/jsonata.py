"""JSONata, the second expression language: compiled and checked here, evaluated in a process of its own.

An expression sees one object with all the names. What it reads of it is known when it is compiled: steps that do not
exist are refused then, and only what is read travels to the process that evaluates it (`run/jsonata.py`).

The engine is an extra. It is imported when an expression asks for it. Regular expressions are RE2's.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from typing import Any

from crossdock.expressions.jsonata_regexes import Regexes, take_out
from crossdock.expressions.tree import Uncompilable
from crossdock.model.expression import TEMPLATE_BYTES, place_in
from crossdock.model.outcome import Json

HOW_TO_INSTALL = "JSONata is not installed on this server; install it with: pip install 'crossdock[jsonata]'"

_Read = Any
"""What is read of a value: True for all of it, or for each key what is read of that one's value."""


class CompiledJsonata:
    """An expression that can be evaluated. `steps` are the ids of the steps that it refers to."""

    __slots__ = ("_names", "_read", "_regexes", "steps")

    def __init__(self, regexes: Regexes, read: _Read, names: frozenset[str]) -> None:
        self._regexes = regexes
        self._names = names
        self._read = read
        steps = {} if read is True else read.get("steps", {})
        self.steps = frozenset() if steps is True else frozenset(steps)

    def given(self, names: Mapping[str, Json]) -> dict[str, Json]:
        """What its evaluation needs: the source, the part of the names that it reads, and what is held still for it."""
        read = dict.fromkeys(self._names, True) if self._read is True else self._read
        event = names["event"]
        return {
            "expression": {**self._regexes._asdict(), "read": self._read},
            "names": {name: _cut(names[name], part) for name, part in read.items()},
            "now": event["received_at"],
            "seed": zlib.crc32(event["id"].encode()),
        }


def compile_jsonata(source: Json, field: str, *, names: Collection[str]) -> CompiledJsonata:
    """Compile an expression over an object with these names; Uncompilable says what is wrong, and where in the text."""
    try:
        import jlens
        import re2  # noqa: F401 - asked for by `_take_out`
    except ImportError:
        raise Uncompilable(field, HOW_TO_INSTALL) from None
    if not isinstance(source, str):
        raise Uncompilable(field, "a JSONata expression is text, such as \"{'total': $sum(body.lines.price)}\"")
    if len(source.encode(errors="replace")) > TEMPLATE_BYTES:
        raise Uncompilable(field, f"the expression is longer than {TEMPLATE_BYTES // 1024} KiB")
    try:
        reads = jlens.Expression(source).reads()
    except UnicodeEncodeError:
        raise Uncompilable(field, "the expression has half of a surrogate pair, which is no character") from None
    except jlens.JlensError as error:
        raise Uncompilable(field, f"{error}{place_in(source, error.position, error.token)}") from None
    read = reads.get("input", {})
    problem = _unknown(reads, names)
    if problem is not None:
        raise Uncompilable(field, problem)
    return CompiledJsonata(_take_out(source, field), read, frozenset(names))


def _unknown(reads: Mapping[str, Any], names: Collection[str]) -> str | None:
    """What the expression refers to that is not there."""
    if reads.get("everyBinding"):
        return "$eval is not there: what it would run can't be checked before"
    for name in reads["bindings"]:
        return f"there is no ${name}: it is no function of JSONata, and nothing is bound to it"
    read = reads.get("input", {})
    for name in {} if read is True else read:
        if name not in names:
            return f"there is no {name!r}; the names are {', '.join(sorted(names))}"
    return None


def _take_out(source: str, field: str) -> Regexes:
    """Take the regular expressions out, each of them checked."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        regexes = take_out(source)
        for pattern in regexes.patterns:
            re2.compile(pattern, options)
    except ValueError as error:
        raise Uncompilable(field, f"the expression has {error}") from None
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise Uncompilable(field, f"the regular expression /{pattern}/ is not one of RE2's: {reason}") from None
    return regexes


def _cut(value: Json, read: _Read) -> Json:
    """The part of a value that is read. Lists stay whole: to go through them costs more than to hand them over."""
    if read is True or not isinstance(value, dict):
        return value
    return {key: _cut(value[key], part) for key, part in read.items() if key in value}
