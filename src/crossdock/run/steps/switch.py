"""`switch`: the first branch whose condition holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossdock.expressions import CompiledTree
from crossdock.model.outcome import Done, Json, StepOutcome
from crossdock.run.steps.blocks import inner_of, is_pure, is_quick, outcome_of
from crossdock.run.steps.contract import Compiling, Finished, StepContext, Steps
from crossdock.run.steps.fields import condition_at, refuse, require_object

MAX_CASES = 32


@dataclass(frozen=True, slots=True)
class Switch:
    """`branches` are those of the cases, in their order, and the default's last."""

    conditions: tuple[CompiledTree, ...]
    branches: tuple[Steps, ...]
    is_pure: bool
    is_quick: bool
    records_input = True

    @property
    def steps(self) -> frozenset[str]:
        return frozenset().union(*(condition.steps for condition in self.conditions))

    def prepare(self, names: Mapping[str, Json]) -> Json:
        """Which case it is, counted from 0; null for the default."""
        holding = (index for index, condition in enumerate(self.conditions) if condition.evaluate(names))
        return {"case": next(holding, None)}

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        steps = self.branches[-1 if given["case"] is None else given["case"]]
        if not steps:
            return Done({})
        end = await inner_of(context).run(steps)
        return outcome_of(end, end.outputs if isinstance(end, Finished) else None)


def compile_switch(settings: Json, field: str, around: Compiling) -> Switch:
    written = require_object(settings, field, allowed=("cases", "default"), required=("cases",))
    cases = written["cases"]
    if not isinstance(cases, list) or not 1 <= len(cases) <= MAX_CASES:
        refuse(f"{field}.cases", f"a list of 1 to {MAX_CASES} cases is needed, each with when and steps")
    conditions, branches = [], []
    for index, case in enumerate(cases):
        place = f"{field}.cases[{index}]"
        parts = require_object(case, place, allowed=("when", "steps"), required=("when", "steps"))
        conditions.append(condition_at(parts["when"], f"{place}.when", around.names))
        branches.append(around.compile_steps(parts["steps"], f"{place}.steps", around.names))
    branches.append(around.compile_steps(written.get("default", []), f"{field}.default", around.names))
    all_branches = tuple(branches)
    return Switch(tuple(conditions), all_branches, is_pure(all_branches), is_quick(all_branches))
