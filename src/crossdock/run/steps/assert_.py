"""`assert`: stops the run unless its conditions hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossdock.expressions import CompiledTree
from crossdock.model.outcome import Done, Failure, Json, StepOutcome, Stop
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fail import answer_status, chosen_answer
from crossdock.run.steps.fields import condition_at, failure_kind_at, refuse, require_object, status_at, text_at


@dataclass(frozen=True, slots=True)
class Assert:
    conditions: tuple[CompiledTree, ...]
    message: CompiledTree
    kind: str
    status: CompiledTree | None
    is_pure = True
    is_quick = True
    branches = ()
    records_input = False

    @property
    def steps(self) -> frozenset[str]:
        trees = (*self.conditions, self.message, self.status)
        return frozenset().union(*(tree.steps for tree in trees if tree is not None))

    def prepare(self, names: Mapping[str, Json]) -> Json:
        """Nothing when all conditions hold. The message is made only when it is needed: it may tell what is wrong."""
        if all(condition.evaluate(names) for condition in self.conditions):
            return None
        given: dict[str, Json] = {"message": self.message.evaluate(names)}
        if self.status is not None:
            given["status"] = answer_status(self.status, names)
        return given

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        if given is None:
            return Done(True)
        failure = Failure(self.kind, str(given["message"]), context.path, permanent=True)
        return Stop(failure, chosen_answer(given, failure))


def compile_assert(settings: Json, field: str, around: Compiling) -> Assert:
    known = ("that", "message", "kind", "status")
    written = require_object(settings, field, allowed=known, required=("that", "message"))
    that = written["that"]
    if that == []:
        refuse(f"{field}.that", "at least one condition is needed")
    if isinstance(that, list):
        conditions = tuple(
            condition_at(text, f"{field}.that[{index}]", around.names) for index, text in enumerate(that)
        )
    else:
        conditions = (condition_at(that, f"{field}.that", around.names),)
    return Assert(
        conditions,
        text_at(written["message"], f"{field}.message", around.names),
        failure_kind_at(written.get("kind", "assertion_failed"), f"{field}.kind"),
        status_at(written["status"], f"{field}.status", around.names) if "status" in written else None,
    )
