"""`for_each`: the same steps for each item of a list, a few items at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from crossdock.expressions import CompiledTree
from crossdock.expressions.source import WORDS
from crossdock.model.expression import NAMES, OUTPUT_BYTES, ExpressionError
from crossdock.model.outcome import Done, Failure, Json, StepOutcome, Stop
from crossdock.run.steps.blocks import inner_of, is_pure, outcome_of
from crossdock.run.steps.contract import Compiling, Finished, StepContext, Steps, StepsEnd
from crossdock.run.steps.fields import kind_of, refuse, require_object, value_at
from crossdock.run.steps.side_by_side import side_by_side

MAX_ITEMS = 100_000
MAX_CONCURRENCY = 50


@dataclass(frozen=True, slots=True)
class ForEach:
    over: CompiledTree
    name: str
    concurrency: int
    branches: tuple[Steps, ...]
    is_pure: bool
    is_quick = False
    records_input = False

    @property
    def steps(self) -> frozenset[str]:
        return self.over.steps

    def prepare(self, names: Mapping[str, Json]) -> Json:
        items = self.over.evaluate(names)
        if not isinstance(items, list):
            raise ExpressionError(f"for_each.over is {kind_of(items)}, and a list is needed")
        if len(items) > MAX_ITEMS:
            raise ExpressionError(
                f"for_each.over is a list of {len(items)}; {MAX_ITEMS} are the most: let the sender split it, or emit"
                " an event for each part"
            )
        return items

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        inner = inner_of(context)
        halt = inner.halt()
        size = 0

        async def run(number: int) -> StepsEnd:
            nonlocal size
            await asyncio.sleep(0)  # a long list must not keep the others of this process waiting
            item = given[number]
            end = await inner.run(self.branches[0], part=f"[{number}]", names={self.name: item}, halt=halt)
            if not isinstance(end, Finished):
                return end
            size += len(msgspec.json.encode(end.last)) + 1
            return Finished({}, end.last) if size <= OUTPUT_BYTES else Stop(_too_large(context.path))

        ends = await side_by_side(len(given), self.concurrency, run, halt)
        if isinstance(ends, list):
            return Done([end.last for end in ends])
        return outcome_of(ends, None)


def _too_large(path: str) -> Failure:
    return Failure(
        "too_large",
        f"the items' outputs together are larger than {OUTPUT_BYTES // 1024**2} MiB; end the steps with a transform"
        " that keeps what is needed",
        path,
        permanent=True,
    )


def compile_for_each(settings: Json, field: str, around: Compiling) -> ForEach:
    known = ("over", "as", "concurrency", "steps")
    written = require_object(settings, field, allowed=known, required=("over", "steps"))
    name = written.get("as", "item")
    taken = (frozenset(NAMES) - {"item"}) | WORDS
    if not isinstance(name, str) or not name.isidentifier() or name in taken:
        refuse(f"{field}.as", f"a name of your own is needed, not one of {', '.join(sorted(taken))}")
    concurrency = written.get("concurrency", 1)
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or not 1 <= concurrency <= MAX_CONCURRENCY:
        refuse(f"{field}.concurrency", f"a number from 1 to {MAX_CONCURRENCY} is needed")
    over = value_at(written["over"], f"{field}.over", around.names)
    if over.is_constant and not isinstance(written["over"], list):
        refuse(f"{field}.over", 'a list, or an expression that gives one, is needed, such as "{{ body.lines }}"')
    steps = around.compile_steps(written["steps"], f"{field}.steps", around.names | {name})
    if not steps:
        refuse(f"{field}.steps", "at least one step is needed")
    return ForEach(over, name, concurrency, (steps,), is_pure((steps,)))
