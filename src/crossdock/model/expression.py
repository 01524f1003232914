"""What an expression language has to offer; `crossdock.expressions` implements it.

Expressions are `{{ ... }}` inside any text. A text that is one whole expression gives the native value, anything
else gives text. They see plain JSON only: no files, no network, no secrets, no Python objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from crossdock.model.outcome import Json

EXPRESSION_BYTES = 8 * 1024
TEMPLATE_BYTES = 64 * 1024
OUTPUT_BYTES = 8 * 1024 * 1024

NAMES = ("body", "query", "headers", "event", "steps", "vars", "item")
"""What an expression may begin with."""


class ExpressionError(Exception):
    """The text does not compile, or its evaluation failed; the message names the field and says why."""


class Expression(Protocol):
    """A compiled text or JSON tree. Evaluating it twice with the same names gives the same value."""

    def evaluate(self, names: Mapping[str, Json]) -> Json:
        """The value; ExpressionError when a name is missing, a limit is hit or the value is not JSON."""


def place_in(source: str, position: int | None, token: str | None = None) -> str:
    """A place in a text as people count, to be put behind a message: ` (line 2, column 5)`; nothing where it is not
    known. `position` is an offset, or the end of the `token` in front of it."""
    if position is None:
        return ""
    if token and source[:position].endswith(token):
        position -= len(token)
    return f" (line {source.count(chr(10), 0, position) + 1}, column {position - source.rfind(chr(10), 0, position)})"
