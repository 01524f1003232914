"""A database's complaint, in words that may be recorded: its own, without the values that were passed to it.

Databases repeat values in their messages ("Duplicate entry 'x@y.example' for key"). Messages end up in logs, events and
answers, where parameters have no business; so whatever looks like one is replaced by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from crossdock.model.outcome import Json
from crossdock.outbound.request import SqlFailed
from crossdock.outbound.sql_driver import Kind, Trouble

LONGEST_MESSAGE = 500
_SURE_LENGTH = 4
"""Shorter values are only looked for in quotes and brackets: a 1 stands everywhere."""
_CUT_LENGTH = 30
"""Databases cut long values: so much of the beginning is enough to know one."""

_ENTRY = re.compile(r"(entry|value:?) '.*' (for key|for column|for function|at row)", re.IGNORECASE | re.DOTALL)
_NEAR = re.compile(r"near '(?P<rest>.*)' at line", re.DOTALL)


def failed(trouble: Trouble, statement: str, parameters: Mapping[str, Json]) -> SqlFailed:
    """What a step is told. The connection's name is put in front by whoever knows it."""
    kind = Kind.ERROR if trouble.kind is Kind.NO_TABLE else trouble.kind
    words = " ".join(cleaned(trouble.words, statement, parameters).split())
    if len(words) > LONGEST_MESSAGE:
        words = f"{words[:LONGEST_MESSAGE]}…"
    return SqlFailed(kind, words, permanent=not kind.is_passing)


def cleaned(words: str, statement: str, parameters: Mapping[str, Json]) -> str:
    """The words, with parameters' names for their values."""
    words = _NEAR.sub(lambda found: f"near '{_common(found['rest'], statement)}' at line", words)
    words = _ENTRY.sub(r"\1 '…' \2", words)
    values = [(value, name) for name, given in parameters.items() for value in _texts(given)]
    for value, name in sorted(values, key=lambda pair: len(pair[0]), reverse=True):
        words = _without(words, value, f":{name}")
    return words


def _texts(value: Json) -> Iterator[str]:
    """The ways in which a value may be written."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        if value.strip():
            yield value
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _without(words: str, value: str, name: str) -> str:
    if len(value) > _CUT_LENGTH:
        return re.sub(re.escape(value[:_CUT_LENGTH]) + r"[^'\"]*", lambda _: name, words)
    pattern = re.escape(value)
    if len(value) >= _SURE_LENGTH:
        return re.sub(rf"(?<!\w){pattern}(?!\w)", lambda _: name, words)
    return re.sub(rf"(?<=['\"(]){pattern}(?=['\")])", lambda _: name, words)


def _common(found: str, statement: str) -> str:
    """MySQL shows the text around a mistake, values included: only what the step itself has written is kept."""
    for length in range(len(found), 0, -1):
        if found[:length] in statement:
            return found if length == len(found) else f"{found[:length]}…"
    return "…"
