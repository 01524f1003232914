"""`parallel`: branches side by side; it is done when all of them are."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

from crossdock.model.outcome import Done, Json, StepOutcome
from crossdock.run.steps.blocks import inner_of, is_pure, is_quick, outcome_of
from crossdock.run.steps.contract import Compiling, StepContext, Steps, StepsEnd
from crossdock.run.steps.fields import refuse, require_object
from crossdock.run.steps.side_by_side import side_by_side

MAX_BRANCHES = 16


@dataclass(frozen=True, slots=True)
class Parallel:
    branches: tuple[Steps, ...]
    is_pure: bool
    is_quick: bool
    records_input = False
    steps: frozenset[str] = frozenset()

    def prepare(self, names: Mapping[str, Json]) -> Json:
        return None

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        inner = inner_of(context)
        halt = inner.halt()

        def run(number: int) -> Awaitable[StepsEnd]:
            return inner.run(self.branches[number], halt=halt)

        ends = await side_by_side(len(self.branches), len(self.branches), run, halt)
        if isinstance(ends, list):
            return Done({step_id: output for end in ends for step_id, output in end.outputs.items()})
        return outcome_of(ends, None)


def compile_parallel(settings: Json, field: str, around: Compiling) -> Parallel:
    written = require_object(settings, field, allowed=("branches",), required=("branches",))
    documents = written["branches"]
    if not isinstance(documents, dict) or not 2 <= len(documents) <= MAX_BRANCHES:
        refuse(f"{field}.branches", f"an object with 2 to {MAX_BRANCHES} branches is needed: a name and its steps each")
    branches = tuple(
        around.compile_steps(steps, f"{field}.branches.{name}", around.names) for name, steps in documents.items()
    )
    return Parallel(branches, is_pure(branches), is_quick(branches))
