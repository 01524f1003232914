"""Along the record of a run: what a changed workflow would do otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from crossdock.model.comparison import Comparison, Verdict
from crossdock.model.run import JournalEntry
from tests.run.trials.along import acting, go_along, live_through
from tests.run.walking import World

SOURCE = """
import asyncio
from crossdock import workflows
calls = []

def ask(value, fail_times=0, size=1):
    calls.append(value)
    if calls.count(value) <= fail_times:
        raise RuntimeError("not now")
    return {"value": value, "text": "x" * size}

def stop(value):
    raise workflows.Stop("never", kind="never")

async def after(turns, fails=False):
    for _ in range(turns):
        await asyncio.sleep(0)
    if fails:
        raise workflows.Stop("failed after a while")
    return turns
"""


def call(step_id: str, function: str = "ask", **arguments: Any) -> dict[str, Any]:
    return {"id": step_id, "python": {"function": f"work:{function}", "arguments": arguments}}


ASK = call("ask", value="{{ body.n }}")
ANSWER = {"id": "answer", "respond": {"json": {"n": "{{ body.n }}", "said": "{{ steps.ask.value }}"}}}
STEPS = [ASK, ANSWER]


@pytest.fixture
def world(functions_of: Callable[..., Any]) -> World:
    return acting(functions_of(SOURCE))


async def what_if(world: World, steps: list[Any], changed: list[Any], body: Any = None) -> Comparison:
    """Run the steps, then go along the record with other ones."""
    world.journal.clear()
    past = await live_through(world, steps, {"n": 1} if body is None else body)
    _, comparison = await go_along(world, past, changed)
    return comparison


def told(comparison: Comparison) -> list[tuple[str, Any, Any]]:
    return [(each.path, each.before, each.after) for each in comparison.differences]


async def test_nothing_outside_is_called(world: World):
    past = await live_through(world, STEPS, {"n": 1})
    calls = list(world.functions.find("work:ask").callable.__globals__["calls"])

    await go_along(world, past, STEPS)

    assert world.functions.find("work:ask").callable.__globals__["calls"] == calls == [1]


async def test_another_answer_is_told(world: World):
    answer = {"id": "answer", "respond": {"json": {"n": "{{ body.n + 1 }}", "said": "{{ steps.ask.value }}"}}}

    comparison = await what_if(world, STEPS, [ASK, answer])

    assert comparison.verdict is Verdict.CHANGED
    assert told(comparison)[0] == ("$.result.body.n", 1, 2)


async def test_another_question_is_answered_from_the_record_and_flagged(world: World):
    comparison = await what_if(world, STEPS, [call("ask", value="{{ body.n + 1 }}"), ANSWER])

    assert told(comparison) == [("$.steps.ask.input.value", 1, 2)]
    assert [(step.path, step.input_changed) for step in comparison.steps] == [("ask", True)]


async def test_a_side_effect_without_a_record_is_unknown_and_the_walk_goes_on(world: World):
    comparison = await what_if(world, STEPS, [ASK, call("more", value=2), call("and_more", value=3), ANSWER])

    assert comparison.verdict is Verdict.UNKNOWN
    assert [step.path for step in comparison.steps if step.unknown] == ["more", "and_more"]
    assert told(comparison) == []


async def test_a_step_of_another_kind_has_no_record(world: World):
    emit = {"id": "ask", "emit": {"integration": "there", "json": 1}}

    comparison = await what_if(world, [ASK], [emit])

    assert comparison.verdict is Verdict.UNKNOWN


async def test_a_new_failure(world: World):
    check = {"id": "check", "assert": {"that": "body.n > 1", "message": "too few"}}

    comparison = await what_if(world, STEPS, [ASK, check, ANSWER])

    assert comparison.verdict is Verdict.NEW_FAILURE
    assert [(step.path, step.change) for step in comparison.steps] == [("check", "added"), ("answer", "removed")]


async def test_a_fixed_failure(world: World):
    broken = {"id": "answer", "respond": {"json": "{{ body.missing }}"}}

    assert (await what_if(world, [ASK, broken], STEPS)).verdict is Verdict.FIXED_FAILURE


async def test_a_recorded_failure_is_met_again(world: World):
    steps = [call("ask", "stop", value=1), {"id": "after", "transform": 1}]

    comparison = await what_if(world, steps, [*steps, {"id": "more", "transform": 2}])

    assert comparison.verdict is Verdict.UNCHANGED


async def test_more_tries_than_were_made_are_unknown(world: World):
    steps = [call("ask", value=1, fail_times=9)]

    comparison = await what_if(world, steps, [steps[0] | {"retry": {"attempts": 3, "delay": "PT0S"}}])

    assert comparison.verdict is Verdict.UNKNOWN
    assert "tried again" in comparison.reason


async def test_a_step_that_was_tried_again_over_several_starts_shows_its_last_answer(world: World):
    steps = [{"id": "first", "transform": "{{ event.attempt }}"}, call("ask", value=1, fail_times=2), ANSWER]

    past = await live_through(world, steps, {"n": 1})
    trial, comparison = await go_along(world, past, steps)

    assert past.starts == 3
    assert trial.steps[0].record.output == 1
    assert comparison.verdict is Verdict.UNCHANGED


async def test_very_large_inputs_are_compared_by_size(world: World):
    body = {"n": "x" * 100_000}

    unchanged = await what_if(world, [ASK], [ASK], body)
    changed = await what_if(world, [ASK], [call("ask", value="{{ body.n }}!")], body)

    assert unchanged.verdict is Verdict.UNCHANGED
    assert told(changed) == [("$.steps.ask.input.size", 100_012, 100_013)]


async def test_items_are_matched_by_their_place(world: World):
    def each(value: str) -> Any:
        return {"id": "all", "for_each": {"over": "{{ body.lines }}", "steps": [call("ask", value=value)]}}

    comparison = await what_if(world, [each("{{ item }}")], [each("{{ item * 2 }}")], {"lines": [0, 7]})

    assert told(comparison) == [('$.steps["all[1].ask"].input.value', 7, 14)]


async def test_the_failure_that_came_first_comes_first_again(world: World):
    def both(first: int, second: int) -> Any:
        left, right = call("left", "after", turns=first, fails=True), call("right", "after", turns=second, fails=True)
        return [{"id": "both", "parallel": {"branches": {"left": [left], "right": [right]}}}]

    past = await live_through(world, both(20, 2), {"n": 1})
    trial, comparison = await go_along(world, past, both(20, 2))

    assert past.failure is not None
    assert past.failure.step == "both.right"
    assert trial.failure == past.failure
    assert comparison.verdict is Verdict.UNCHANGED


async def test_a_branch_that_was_stopped_stays_stopped(world: World):
    branches = {
        "bad": [call("bad", "after", turns=3, fails=True)],
        "long": [call("long", "after", turns=20), call("never", "after", turns=1)],
    }

    comparison = await what_if(world, [{"id": "both", "parallel": {"branches": branches}}], [
        {"id": "both", "parallel": {"branches": branches}}])  # fmt: skip

    assert comparison.verdict is Verdict.UNCHANGED


async def test_a_new_step_in_a_branch_is_gone_through(world: World):
    def both(*more: Any) -> Any:
        branches = {"a": [call("a", "after", turns=3), *more], "b": [call("b", "after", turns=1)]}
        return [{"id": "both", "parallel": {"branches": branches}}]

    comparison = await what_if(world, both(), both({"id": "new", "transform": "{{ steps.a }}"}))

    assert ("both.new", "added") in [(step.path, step.change) for step in comparison.steps]
    assert comparison.verdict is Verdict.CHANGED


async def test_a_delay_is_over_at_once(world: World):
    wait = {"id": "wait", "delay": {"for": "PT5H"}}

    assert (await what_if(world, [wait, ASK], [wait, ASK])).verdict is Verdict.UNCHANGED
    added = await what_if(world, [ASK], [ASK, wait])
    assert [(step.path, step.change, step.unknown) for step in added.steps] == [("wait", "added", "")]


async def test_steps_that_a_replay_took_over_are_not_gone_through_again(world: World):
    past = await live_through(world, STEPS, {"n": 1})
    ask, answer = past.records.values()
    taken = JournalEntry(0, (replace(ask, reused=True, output={"value": 99}),))
    own = JournalEntry(1, (answer,), past.passage.result)

    trial, comparison = await go_along(world, replace(past, journal=(taken, own)), STEPS)

    assert trial.steps[0].record.output == {"value": 99}
    assert told(comparison)[0] == ("$.result.body.said", 1, 99)
