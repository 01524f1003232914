"""`fail`: ends the run with a message, and with an answer of its own choice for a caller who waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from crossdock.expressions import CompiledTree
from crossdock.model.expression import ExpressionError
from crossdock.model.outcome import Failure, Json, Result, Retry, StepOutcome, Stop
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fields import failure_kind_at, refuse, require_object, status_at, status_of, text_at, value_at

DEFAULT_STATUS = 502


@dataclass(frozen=True, slots=True)
class Fail:
    message: CompiledTree
    kind: str
    is_permanent: bool
    status: CompiledTree | None
    json: CompiledTree | None
    is_pure = True
    is_quick = True
    branches = ()
    records_input = False

    @property
    def steps(self) -> frozenset[str]:
        trees = (self.message, self.status, self.json)
        return frozenset().union(*(tree.steps for tree in trees if tree is not None))

    def prepare(self, names: Mapping[str, Json]) -> Json:
        given: dict[str, Json] = {"message": self.message.evaluate(names)}
        if self.status is not None:
            given["status"] = answer_status(self.status, names)
        if self.json is not None:
            given["json"] = self.json.evaluate(names)
        return given

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        failure = Failure(self.kind, str(given["message"]), context.path, self.is_permanent)
        if not self.is_permanent:
            return Retry(failure)
        return Stop(failure, chosen_answer(given, failure))


def answer_status(status: CompiledTree, names: Mapping[str, Json]) -> int:
    found = status_of(status.evaluate(names))
    if found is None:
        raise ExpressionError("status has to be a number from 200 to 599")
    return found


def chosen_answer(given: Json, failure: Failure) -> Result | None:
    """The answer to a waiting caller, where the step chooses one: its `json`, else the failure."""
    if "status" not in given and "json" not in given:
        return None
    body = given.get("json", {"error": {"kind": failure.kind, "message": failure.message}})
    headers = (("content-type", "application/json"),)
    return Result(given.get("status", DEFAULT_STATUS), headers, msgspec.json.encode(body))


def compile_fail(settings: Json, field: str, around: Compiling) -> Fail:
    known = ("message", "kind", "status", "json", "permanent")
    written = require_object(settings, field, allowed=known, required=("message",))
    if not isinstance(written.get("permanent", True), bool):
        refuse(f"{field}.permanent", "true or false is needed")
    return Fail(
        text_at(written["message"], f"{field}.message", around.names),
        failure_kind_at(written.get("kind", "failed"), f"{field}.kind"),
        written.get("permanent", True),
        status_at(written["status"], f"{field}.status", around.names) if "status" in written else None,
        value_at(written["json"], f"{field}.json", around.names) if "json" in written else None,
    )
