"""`python`: calls a function of the workflows folder or of an installed package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossdock import workflows
from crossdock.expressions import CompiledTree
from crossdock.model.expression import OUTPUT_BYTES
from crossdock.model.outcome import Done, Failure, Json, Retry, StepOutcome, Stop
from crossdock.run.functions import FUNCTION_NAME, FunctionMissing
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fields import refuse, require_object, value_at
from crossdock.run.threads import TimedOut, TooManyHang

DEFAULT_TIMEOUT_SECONDS = 60.0
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class PythonCall:
    function: str
    arguments: CompiledTree
    is_pure = False
    is_quick = False
    branches = ()
    records_input = True

    @property
    def steps(self) -> frozenset[str]:
        return self.arguments.steps

    def prepare(self, names: Mapping[str, Json]) -> Json:
        return self.arguments.evaluate(names)

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        timeout = DEFAULT_TIMEOUT_SECONDS if context.timeout is None else context.timeout
        try:
            function = context.outside.functions.find(self.function)
            returned = await context.outside.functions.call(function, _copied(given), _told(context), timeout)
        except FunctionMissing as missing:
            return Stop(Failure("function_missing", f"{self.function}: {missing}", permanent=True))
        except TimedOut:
            return Retry(Failure("timeout", f"{self.function} did not return within {timeout:g} s"))
        except TooManyHang as full:
            return Retry(Failure("functions_busy", str(full)))
        except workflows.Retry as again:
            return Retry(Failure("python_retry", str(again), retry_after=again.after_seconds))
        except workflows.Stop as stop:
            return Stop(Failure(stop.kind, str(stop), permanent=True))
        except Exception as error:
            return Retry(Failure("python_error", context.outside.functions.describe(error)))
        return self._outcome(returned)

    def _outcome(self, returned: Any) -> StepOutcome:
        try:
            return Done(_plain(returned, "result", _Size()))
        except _NotJson as problem:
            return Stop(Failure("not_json", f"{self.function} returned what is not JSON: {problem}", permanent=True))


def _told(context: StepContext) -> Json:
    return {
        "event_id": context.event.id,
        "idempotency_key": context.idempotency_key,
        "attempt": context.attempt,
        "step": context.path,
    }


def _copied(value: Json) -> Json:
    """A deep copy: the function may change what it gets, and other steps see the same values."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


class _NotJson(Exception):
    """The message names the place and what stands there."""


class _Size:
    def __init__(self) -> None:
        self.left = OUTPUT_BYTES

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise _NotJson(f"it is larger than {OUTPUT_BYTES // 1024**2} MiB")


def _plain(value: Any, place: str, size: _Size, depth: int = 0) -> Json:
    """A copy made of JSON types only, so that the function can't change what was recorded."""
    if depth > _MAX_DEPTH:
        raise _NotJson(f"it is nested more than {_MAX_DEPTH} deep (or contains itself)")
    size.spend(4)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _NotJson(f"{place} is {value}, and JSON has finite numbers only")
        return float(value)
    if isinstance(value, str):
        return _plain_text(value, place, size)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise _NotJson(f"{place} has the key {key!r:.60}, and keys have to be text")
        return {
            _plain_text(key, place, size): _plain(item, f"{place}.{key}", size, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{index}]", size, depth + 1) for index, item in enumerate(value)]
    raise _NotJson(f"{place} is a {type(value).__name__}")


def _plain_text(value: str, place: str, size: _Size) -> str:
    text = str(value)
    size.spend(len(text))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _NotJson(f"{place} has half of a surrogate pair, which is no character") from None
    return text


def compile_python(settings: Json, field: str, around: Compiling) -> PythonCall:
    written = require_object(settings, field, allowed=("function", "arguments"), required=("function",))
    function = written["function"]
    if not isinstance(function, str) or not FUNCTION_NAME.fullmatch(function):
        refuse(f"{field}.function", "a function is written as module:name, such as orders:book")
    problem = around.functions.problem(function) if around.functions is not None else None
    if problem is not None:
        refuse(f"{field}.function", problem)
    arguments = written.get("arguments", {})
    if not isinstance(arguments, dict):
        refuse(f"{field}.arguments", "an object is needed: each argument's name and value")
    for name in arguments:
        if not isinstance(name, str) or not name.isidentifier():
            refuse(f"{field}.arguments.{name}", "this can't be the name of an argument")
    return PythonCall(function, value_at(arguments, f"{field}.arguments", around.names))
