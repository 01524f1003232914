"""JSONata, evaluated. This runs in a worker process: the engine keeps to limits of steps, depth and sizes, and what it
might overlook costs that process and nobody else.

Evaluation is pure: the clock and chance stand still, so that the same names give the same value.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NoReturn, TypeAlias, TypedDict

import jlens
import re2

from crossdock import workflows
from crossdock.model.expression import OUTPUT_BYTES, place_in
from crossdock.model.outcome import Json

MAX_STEPS = 10_000_000
"""Of the engine; they take about a second."""
MAX_DEPTH = 1_000
MAX_ITEMS = 1_000_000
"""Elements of a list that the evaluation makes."""
MAX_MATCHES = 100_000
"""Of a regular expression in one text."""
EXACT_UP_TO = 2**53
"""JSONata's numbers are those of JavaScript."""

_Place: TypeAlias = "tuple[_Place, str | int] | None"
"""Keys on the way to a value, the last one first."""


class Written(TypedDict):
    """An expression, as it was compiled."""

    source: str
    """It finds its regular expressions by `$ṡ(index, text)`."""
    offset: int
    """Where in the source begins what somebody wrote."""
    patterns: list[str]
    """Its regular expressions."""
    read: Any
    """What it reads of the names."""


def evaluate(expression: Written, names: dict[str, Json], now: str, seed: int) -> Json:
    """The expression's value; null where it has none. `workflows.Stop` with the place of what went wrong."""
    source, offset = expression["source"], expression["offset"]
    evaluation = _compiled(source, tuple(expression["patterns"]))
    _refuse_inexact(names, expression["read"])
    try:
        return evaluation.expression.evaluate(
            names,
            {"ṡ": evaluation.find},
            max_steps=MAX_STEPS,
            max_depth=MAX_DEPTH,
            max_array_length=MAX_ITEMS,
            max_string_length=OUTPUT_BYTES,
            max_result_size=OUTPUT_BYTES,
            now=now,
            seed=seed,
        )
    except jlens.JlensError as error:
        position = None if error.position is None else max(0, error.position - offset)
        _stop(f"{error}{place_in(source[offset:], position, error.token)}")


class _Evaluation:
    """An expression, ready to be evaluated."""

    def __init__(self, source: str, patterns: tuple[str, ...]) -> None:
        self.expression = jlens.Expression(source)
        self._patterns = [re2.compile(pattern) for pattern in patterns]

    def find(self, index: int, text: str) -> list[Json]:
        """All matches of a regular expression in a text, as JSONata tells them."""
        matches: list[Json] = []
        offset, counted = 0, 0
        for match in self._patterns[index].finditer(text):
            if match.start() == match.end():
                _stop("a regular expression matches a text of no length")
            if len(matches) == MAX_MATCHES:
                _stop(f"a regular expression matches more than {MAX_MATCHES} times")
            offset += _units(text[counted : match.start()])
            counted = match.end()
            end = offset + _units(match[0])
            matches.append({"match": match[0], "start": offset, "end": end, "groups": list(match.groups())})
            offset = end
        return matches


@lru_cache(maxsize=256)
def _compiled(source: str, patterns: tuple[str, ...]) -> _Evaluation:
    return _Evaluation(source, patterns)


def _units(text: str) -> int:
    """The length of a text in JavaScript, by which matches are placed."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _refuse_inexact(names: dict[str, Json], read: Any) -> None:
    """Refuse integers that the expression reads and the engine would round: an id that changes is worse than none."""
    rest: list[tuple[_Place, Json, Any]] = [(None, names, read)]
    while rest:
        place, value, part = rest.pop()
        if isinstance(value, dict):
            keys = value if part is True else part.keys() & value.keys()
            rest += [((place, key), value[key], part if part is True else part[key]) for key in keys]
        elif isinstance(value, list):
            rest += [((place, index), element, part) for index, element in enumerate(value)]
        elif part is True and isinstance(value, int) and abs(value) > EXACT_UP_TO:
            _stop(f"{_in_words(place)} is {value}, and JSONata is exact up to {EXACT_UP_TO} only; use {{{{ ... }}}}")


def _in_words(place: _Place) -> str:
    words = ""
    while place is not None:
        place, key = place
        words = (f"[{key}]" if isinstance(key, int) else f".{key}") + words
    return words[1:]


def _stop(message: str) -> NoReturn:
    raise workflows.Stop(message, kind="expression") from None
