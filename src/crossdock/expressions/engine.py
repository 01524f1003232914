"""MiniJinja under limits: one environment for each compiled piece of code, so that none can reach another.

`EngineCode` gives a native value: the engine's finalizer sees it before it would become text. `EngineTemplate` gives
text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import minijinja

from crossdock.expressions.filters import GUARD_FILTERS, OWN_FILTERS, REMOVED_FILTERS, REMOVED_FUNCTIONS
from crossdock.expressions.paths import explain_missing, names_in
from crossdock.expressions.patience import check_time
from crossdock.expressions.source import Code, Text, guarded
from crossdock.expressions.views import as_json, as_text, view
from crossdock.model.expression import OUTPUT_BYTES, ExpressionError
from crossdock.model.outcome import Json

FUEL = 100_000
"""Instructions that one evaluation may take."""
ENGINE_ERRORS = (minijinja.TemplateError, ExpressionError, TypeError, ValueError, LookupError, AttributeError)
"""What rendering raises: the engine's own error, or what a filter of ours raises, which it passes on unchanged."""
_LEAST_FUEL = 2_000
_REPEATED_LITERAL_BYTES = 4 * OUTPUT_BYTES
"""Bounds what loops may write of a template's own words, which no finalizer sees."""


class EngineCode:
    """A piece of code that gives a native value."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._roots = names_in((code,))
        self._values: list[Any] = []
        self._lock = threading.Lock()  # the finalizer hands the value over through this object
        self._engine = _Engine("{{ " + guarded(code) + " }}", self._capture, FUEL)

    def evaluate(self, names: Mapping[str, Json]) -> Json:
        check_time()
        context = _context(self._roots, names)
        with self._lock:
            self._values.clear()
            try:
                rest = self._engine.render(context)
            except ENGINE_ERRORS as error:
                raise _explained(error, self._code, names) from None
            values = self._values.copy()
        if rest or len(values) != 1:
            raise ExpressionError(f"{self._code.shown} is not one expression")
        return as_json(values[0])

    def _capture(self, value: Any) -> str:
        self._values.append(value)
        return ""


class EngineTemplate:
    """A text with blocks, rendered as a whole."""

    def __init__(self, text: Text) -> None:
        self._roots = names_in(tuple(text.codes))
        self._size = 0
        self._lock = threading.Lock()
        literals = max((len(part) for part in text.parts if isinstance(part, str)), default=1)
        fuel = max(_LEAST_FUEL, min(FUEL, _REPEATED_LITERAL_BYTES // max(literals, 1)))
        source, self._places = _guarded_source(text)
        self._engine = _Engine(source, self._write, fuel)

    def evaluate(self, names: Mapping[str, Json]) -> str:
        check_time()
        context = _context(self._roots, names)
        with self._lock:
            self._size = 0
            try:
                text = self._engine.render(context)
            except ENGINE_ERRORS as error:
                raise _explained(error, self._code_at(error), names) from None
        if len(text) > OUTPUT_BYTES:
            raise ExpressionError(f"the text is longer than {OUTPUT_BYTES // 1024**2} MiB")
        return text

    def _code_at(self, error: Exception) -> Code:
        place = error.range[0] if isinstance(error, minijinja.TemplateError) and error.range else 0
        return next((code for end, code in self._places if place < end), self._places[-1][1])

    def _write(self, value: Any) -> str:
        check_time()
        text = as_text(value)
        self._size += len(text)
        if self._size > OUTPUT_BYTES:
            raise ExpressionError(f"the text is longer than {OUTPUT_BYTES // 1024**2} MiB")
        return text


class _Engine:
    """One compiled source in an environment of its own."""

    def __init__(self, source: str, finalizer: Callable[[Any], str], fuel: int) -> None:
        self._source = source
        self._finalizer = finalizer
        self._fuel = fuel
        self._environment = self._compiled()

    def render(self, context: dict[str, Any]) -> str:
        try:
            return self._environment.render_template("code", **context)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # a class that can't be imported, and no Exception
                raise
            self._environment = self._compiled()  # the one that panicked keeps its lock for ever
            raise ExpressionError("the engine can't work this out") from None

    def _compiled(self) -> minijinja.Environment:
        environment = minijinja.Environment(
            undefined_behavior="strict",
            fuel=self._fuel,
            debug=False,
            pycompat=False,
            keep_trailing_newline=True,
            finalizer=self._finalizer,
        )
        for name in REMOVED_FILTERS:
            environment.remove_filter(name)
        for name in REMOVED_FUNCTIONS:
            environment.remove_global(name)
        for name, own in (OWN_FILTERS | GUARD_FILTERS).items():
            environment.add_filter(name, own)
        try:
            environment.add_template("code", self._source)
        except minijinja.TemplateError as error:
            raise ExpressionError(_reason(error)) from None
        return environment


def _context(roots: Sequence[str], names: Mapping[str, Json]) -> dict[str, Any]:
    try:
        return {root: view(names[root]) for root in roots}
    except KeyError as missing:
        raise ExpressionError(f"{missing.args[0]} is not there") from None


def _guarded_source(text: Text) -> tuple[str, list[tuple[int, Code]]]:
    """The source as the engine gets it, and where in it each piece of code ends."""
    source, position = "", 0
    places = []
    for code in text.codes:
        source += text.source[position : code.start] + guarded(code)
        places.append((len(source.encode()), code))  # the engine counts bytes
        position = code.end
    return source + text.source[position:], places


def _explained(error: Exception, code: Code, names: Mapping[str, Json]) -> ExpressionError:
    if isinstance(error, ExpressionError):
        return error
    if not isinstance(error, minijinja.TemplateError):  # a filter of ours was called with the wrong arguments
        return ExpressionError(f"{code.shown}: {str(error).lstrip('_')}")
    if error.kind == "UndefinedError":
        return ExpressionError(explain_missing(code, names))
    return ExpressionError(f"{code.shown}: {_reason(error)}")


def _reason(error: minijinja.TemplateError) -> str:
    if error.kind == "OutOfFuel":
        return "this takes too long"
    return error.detail or error.message.partition(" (in code:")[0]
