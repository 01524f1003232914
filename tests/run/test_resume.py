"""Property: wherever a run is interrupted, going on from what is durable comes to the same end, and no side effect
that is durable happens again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossdock.model.advance import Ended, RunEnd
from crossdock.model.run import StepStatus
from crossdock.run.functions import Functions
from crossdock.run.walk import LeaseLost
from tests.run.walking import World, write

SOURCE = """
import asyncio
calls = []
async def note(step):
    calls.append(step)
    await asyncio.sleep(0)
    return step
"""
steps_strategy = st.lists(
    st.sampled_from(
        ["transform", "python", "respond", "skipped", "failing", "switch", "parallel", "for_each", "nested"]
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    folder: Path = tmp_path_factory.mktemp("workflows")
    write(folder, "noting.py", SOURCE)
    made = Functions(folder, 2)
    yield made
    made.close()


def note(step_id: str, step: str | None = None) -> dict[str, Any]:
    arguments = {"step": f"{step_id} {step or ''}"}
    return {"id": step_id, "python": {"function": "noting:note", "arguments": arguments}}


def step_of(index: int, kind: str) -> dict[str, Any]:
    step: dict[str, Any] = {"id": f"s{index}"}
    before = f"{{{{ steps.s{index - 1} }}}}" if index else "{{ body }}"
    match kind:
        case "transform":
            return step | {"transform": {"before": before}}
        case "python":
            return step | {"python": {"function": "noting:note", "arguments": {"step": f"s{index}"}}}
        case "respond":
            return step | {"respond": {"json": [index, before]}}
        case "switch":
            inner = [note(f"s{index}a"), note(f"s{index}b")]
            return step | {"switch": {"cases": [{"when": "true", "steps": inner}]}}
        case "parallel":
            branches = {"one": [note(f"s{index}a"), note(f"s{index}b")], "two": [note(f"s{index}c")]}
            return step | {"parallel": {"branches": branches}}
        case "for_each":
            return step | {"for_each": {"over": [1, 2, 3], "steps": [note(f"s{index}a", "{{ item }}")]}}
        case "nested":
            steps = [note(f"s{index}b", "{{ item * 10 + n }}")]
            cells = {"over": [1, 2], "as": "n", "concurrency": 2, "steps": steps}
            rows = {"over": [1, 2], "concurrency": 2, "steps": [{"id": f"s{index}a", "for_each": cells}]}
            return step | {"for_each": rows}
        case "skipped":
            return step | {"transform": 1, "when": "body > 1"}
        case _:
            return step | {"fail": {"message": f"s{index} fails"}, "on_error": "continue"}


async def finish(world: World, steps: list[Any]) -> RunEnd:
    """Start the run until it comes to an end."""
    for attempt in range(1, 20):
        try:
            return await world.run(steps, 1, attempts=attempt)
        except LeaseLost:
            world.lose_after = None
    raise AssertionError("the run comes to no end")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=steps_strategy, lost_after=st.integers(0, 8))
def test_an_interrupted_run_comes_to_the_same_end(functions: Functions, kinds: list[str], lost_after: int):
    steps = [step_of(index, kind) for index, kind in enumerate(kinds)]
    calls: list[str] = functions.find("noting:note").callable.__globals__["calls"]
    whole, interrupted = World(functions), World(functions, lose_after=lost_after)

    expected = anyio.run(finish, whole, steps)
    calls.clear()
    found = anyio.run(finish, interrupted, steps)

    assert isinstance(expected, Ended)
    assert isinstance(found, Ended)
    assert found.result == expected.result
    assert outputs(interrupted) == outputs(whole)
    durable = [record.id for entry in interrupted.journal for record in entry.steps if record.kind == "python"]
    assert all(count == 1 for count in Counter(durable).values())
    side_by_side = 4 if {"parallel", "nested"} & set(kinds) else 1
    assert sum(Counter(calls).values()) <= len(durable) + side_by_side  # those whose end could not be made durable


def outputs(world: World) -> dict[str, Any]:
    return {
        record.id: (record.status, record.output)
        for entry in world.journal
        for record in entry.steps
        if record.status is not StepStatus.FAILED
    }
