"""Reads the part of PromQL that our dashboard and alert rules use, and says what an expression asks for.

It knows less than Prometheus does and refuses the rest, so what passes here is understood there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

AGGREGATIONS = {"sum", "max", "min", "avg", "count"}
FUNCTIONS = {"rate": 1, "increase": 1, "abs": 1, "vector": 1, "histogram_quantile": 2}
RANGED = {"rate", "increase"}
OPERATORS = {"+", "-", "*", "/", "==", "!=", ">", "<", ">=", "<=", "and", "or", "unless"}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?![\w.]))|(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)|(?P<string>\"[^\"\\]*\")"
    r"|(?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])|(?P<sign>=~|!~|==|!=|>=|<=|[-+*/<>=(){},]))"
)


@dataclass(frozen=True)
class Selector:
    """A metric that is asked for: its labels, how (`rate`, `increase`, or None), and what it is grouped by."""

    name: str
    matched: frozenset[str]
    function: str | None
    grouped_by: frozenset[str]


class Malformed(Exception):
    """Not PromQL, or more of it than is known here."""


def selectors(expression: str) -> list[Selector]:
    """What an expression asks for; Malformed when it can't be read."""
    reader = _Reader(list(_tokens(expression)))
    found = reader.expression(None, frozenset())
    if reader.position != len(reader.tokens):
        raise Malformed(f"unexpected {reader.tokens[reader.position]!r} in {expression}")
    if not found:
        raise Malformed(f"{expression} asks for no metric")
    return found


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    position, text = 0, expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Malformed(f"can't read {text[position:]!r}")
        position = match.end()
        kind = match.lastgroup or ""
        yield kind, match[kind]


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.position = 0

    def _next(self) -> tuple[str, str]:
        return self.tokens[self.position] if self.position < len(self.tokens) else ("end", "")

    def _take(self, *wanted: str) -> str:
        kind, text = self._next()
        if not {kind, text} & set(wanted):
            raise Malformed(f"{text or 'the end'!r} stands where {' or '.join(wanted)} should")
        self.position += 1
        return text

    def _has(self, *texts: str) -> bool:
        return self._next()[1] in texts

    def expression(self, function: str | None, groups: frozenset[str]) -> list[Selector]:
        found = self._operand(function, groups)
        while self._has(*OPERATORS):
            self.position += 1
            found += self._operand(function, groups)
        return found

    def _operand(self, function: str | None, groups: frozenset[str]) -> list[Selector]:
        kind, text = self._next()
        if kind == "number":
            self.position += 1
            return []
        if text == "(":
            return self._arguments(1, function, groups)
        self._take("name")
        if text in AGGREGATIONS:
            return self._aggregation()
        if text in FUNCTIONS:
            return self._arguments(FUNCTIONS[text], text if text in RANGED else None, groups)
        return [self._selector(text, function, groups)]

    def _aggregation(self) -> list[Selector]:
        groups: frozenset[str] = frozenset()
        if self._has("by"):
            self.position += 1
            groups = frozenset(self._names())
        return self._arguments(1, None, groups)

    def _names(self) -> Iterator[str]:
        self._take("(")
        yield self._take("name")
        while self._has(","):
            self.position += 1
            yield self._take("name")
        self._take(")")

    def _arguments(self, count: int, function: str | None, groups: frozenset[str]) -> list[Selector]:
        self._take("(")
        found = self.expression(function, groups)
        for _ in range(count - 1):
            self._take(",")
            found += self.expression(function, groups)
        self._take(")")
        return found

    def _selector(self, name: str, function: str | None, groups: frozenset[str]) -> Selector:
        matched = []
        if self._has("{"):
            self.position += 1
            while not self._has("}"):
                matched.append(self._take("name"))
                self._take("=", "=~", "!=", "!~")
                self._take("string")
                if not self._has("}"):
                    self._take(",")
            self.position += 1
        has_range = self._next()[0] == "range"
        self.position += has_range
        if has_range != (function in RANGED):
            raise Malformed(f"{name} {'has' if has_range else 'lacks'} a range")
        return Selector(name, frozenset(matched), function, groups)
