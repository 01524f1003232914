"""`transform`: builds its output from a tree with expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossdock.expressions import CompiledTree
from crossdock.model.outcome import Done, Json, StepOutcome
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fields import value_at


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


def compile_transform(settings: Json, field: str, around: Compiling) -> Transform:
    return Transform(value_at(settings, field, around.names))
