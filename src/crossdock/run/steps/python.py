"""`python`: calls a function of the workflows folder or of an installed package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossdock import workflows
from crossdock.expressions import CompiledTree
from crossdock.model.outcome import Done, Failure, Json, Retry, StepOutcome, Stop
from crossdock.run.functions import FUNCTION_NAME, FunctionMissing, Functions
from crossdock.run.plain import NotJson, plain
from crossdock.run.processes.pool import AllBusy, OutOfMemory, ProcessDied
from crossdock.run.raised import said
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fields import refuse, require_object, value_at
from crossdock.run.threads import TimedOut, TooManyHang

DEFAULT_TIMEOUT_SECONDS = 60.0
THREAD, PROCESS = "thread", "process"


@dataclass(frozen=True, slots=True)
class PythonCall:
    function: str
    arguments: CompiledTree
    isolation: str = THREAD
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
        functions = context.outside.functions
        try:
            function = functions.find(self.function)
            if self.isolation == PROCESS:
                return Done(await functions.call_isolated(function, given, _told(context), timeout))
            return Done(plain(await functions.call(function, _copied(given), _told(context), timeout)))
        except Exception as error:
            return self._failed(error, functions)

    def _failed(self, error: Exception, functions: Functions) -> StepOutcome:
        match error:
            case FunctionMissing():
                return Stop(Failure("function_missing", f"{self.function}: {error}", permanent=True))
            case NotJson():
                message = f"{self.function} returned what is not JSON: {error}"
                return Stop(Failure("not_json", message, permanent=True))
            case workflows.Retry():
                return Retry(Failure("python_retry", said(error), retry_after=_seconds(error.after_seconds)))
            case workflows.Stop():
                return Stop(Failure(error.kind, said(error), permanent=True))
            case TooManyHang() | AllBusy():
                return Retry(Failure("functions_busy", str(error)))
            case TimedOut():
                return Retry(Failure("timeout", f"{self.function} {error}"))
            case OutOfMemory():
                return Retry(Failure("out_of_memory", f"{self.function} {error}"))
            case ProcessDied():
                return Retry(Failure("process_died", f"{self.function}: {error}"))
            case _:
                return Retry(Failure("python_error", functions.describe(error)))


def _seconds(asked: Any) -> float | None:
    """How long a function asks to be left alone, if it is a time at all."""
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not 0 <= asked < math.inf:
        return None
    return float(asked)


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


def compile_python(settings: Json, field: str, around: Compiling) -> PythonCall:
    written = require_object(settings, field, allowed=("function", "arguments", "isolation"), required=("function",))
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
    misfit = around.functions.misfit(function, arguments) if around.functions is not None else None
    if misfit is not None:
        refuse(f"{field}.arguments", misfit)
    isolation = written.get("isolation", THREAD)
    if isolation not in (THREAD, PROCESS):
        refuse(f"{field}.isolation", "thread or process is needed")
    return PythonCall(function, value_at(arguments, f"{field}.arguments", around.names), isolation)
