"""`transform`: builds its output from a tree with expressions, or by one JSONata expression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossdock import workflows
from crossdock.expressions import CompiledTree, Uncompilable
from crossdock.expressions.jsonata import HOW_TO_INSTALL, CompiledJsonata, compile_jsonata
from crossdock.model.outcome import Done, Failure, Json, Retry, StepOutcome, Stop
from crossdock.run.plain import NotJson
from crossdock.run.processes.pool import AllBusy, NotThere, OutOfMemory, ProcessDied, Raised
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fields import refuse, value_at
from crossdock.run.threads import TimedOut

JSONATA = "jsonata"
JSONATA_SECONDS = 5.0
_EVALUATE = "crossdock.run.jsonata:evaluate"


@dataclass(frozen=True, slots=True)
class Transform:
    tree: CompiledTree
    is_pure = True
    is_quick = True
    branches = ()
    records_input = False

    @property
    def steps(self) -> frozenset[str]:
        return self.tree.steps

    def prepare(self, names: Mapping[str, Json]) -> Json:
        return self.tree.evaluate(names)

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        return Done(given)


@dataclass(frozen=True, slots=True)
class Reshape:
    """A transform in JSONata: evaluated in a worker process, because only a process can be held to limits of memory and
    time whatever the expression says."""

    expression: CompiledJsonata
    is_pure = True
    is_quick = False
    branches = ()
    records_input = False

    @property
    def steps(self) -> frozenset[str]:
        return self.expression.steps

    def prepare(self, names: Mapping[str, Json]) -> Json:
        return self.expression.given(names)

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        timeout = JSONATA_SECONDS if context.timeout is None else context.timeout
        try:
            return Done(await context.outside.functions.expressions.call(_EVALUATE, given, timeout))
        except workflows.Stop as stop:
            return Stop(Failure(stop.kind, str(stop), permanent=True))
        except (NotJson, Raised) as error:
            return Stop(Failure("expression", f"the JSONata expression gives no JSON: {error}", permanent=True))
        except NotThere as missing:
            return Stop(Failure("expression", f"{HOW_TO_INSTALL} ({missing})", permanent=True))
        except TimedOut as error:
            return Retry(Failure("timeout", f"the JSONata expression {error}"))
        except OutOfMemory as error:
            return Retry(Failure("out_of_memory", f"the JSONata expression {error}"))
        except ProcessDied as error:
            return Retry(Failure("process_died", f"the JSONata expression: {error}; it may have run out of memory"))
        except AllBusy as error:
            return Retry(Failure("functions_busy", str(error)))


def compile_transform(settings: Json, field: str, around: Compiling) -> Transform | Reshape:
    if isinstance(settings, dict) and settings.keys() == {JSONATA}:
        try:
            return Reshape(compile_jsonata(settings[JSONATA], f"{field}.{JSONATA}", names=around.names))
        except Uncompilable as error:
            refuse(error.field, str(error))
    return Transform(value_at(settings, field, around.names))
