"""Blocks: branches by condition, branches side by side, the items of a list."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crossdock.model.advance import Broken, Ended, Paused
from crossdock.model.errors import Invalid
from crossdock.model.run import StepStatus
from crossdock.model.time import later
from crossdock.run.compile import compile_workflow
from tests.run.walking import World

NOTE = """
calls = []
def note(value):
    calls.append(value)
    return value

def fail_at(value, bad):
    calls.append(value)
    if value == bad:
        raise ValueError("no")
    return value
"""


def note(step_id: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "python": {"function": "work:note", "arguments": {"value": value}}, **more}


def each(*steps: Any, step_id: str = "all", **settings: Any) -> dict[str, Any]:
    return {"id": step_id, "for_each": {"over": "{{ body }}", "steps": list(steps), **settings}}


def answer(end: Any) -> Any:
    assert isinstance(end, Ended), end
    return msgspec.json.decode(end.result.body)


def calls_of(world: World) -> list[Any]:
    found: list[Any] = world.functions.find("work:note").callable.__globals__["calls"]
    return found


# --- switch ----------------------------------------------------------------------------------------------------------

SWITCH = {
    "id": "route",
    "switch": {
        "cases": [
            {"when": "body > 10", "steps": [{"id": "large", "transform": "large"}]},
            {"when": "body > 1", "steps": [{"id": "small", "transform": "small"}]},
        ],
        "default": [{"id": "none", "transform": "none"}],
    },
}


@pytest.mark.parametrize(("body", "output"), [(11, {"large": "large"}), (2, {"small": "small"}), (0, {"none": "none"})])
async def test_the_first_case_that_holds_is_taken(world: World, body: int, output: Any):
    assert answer(await world.run([SWITCH], body)) == output
    assert world.journal[0].steps[0].id == f"route.{next(iter(output))}"


async def test_a_switch_without_a_case_that_holds_does_nothing(world: World):
    step = {"id": "route", "switch": {"cases": [{"when": "false", "steps": [{"id": "a", "transform": 1}]}]}}

    assert answer(await world.run([step])) == {}


# --- parallel --------------------------------------------------------------------------------------------------------


async def test_branches_give_their_outputs_by_step(world_of: Any):
    world = world_of(NOTE)
    block = {"id": "both", "parallel": {"branches": {"a": [note("one", 1)], "b": [note("two", 2)]}}}

    end = await world.run([block, {"id": "sum", "transform": "{{ steps.both.one + steps.both.two }}"}])

    assert answer(end) == 3


async def test_the_first_failure_keeps_other_branches_from_their_next_step(world_of: Any):
    world = world_of(NOTE)
    failing = [{"id": "no", "fail": {"message": "no"}}]
    block = {"id": "both", "parallel": {"branches": {"a": failing, "b": [note("one", 1), note("two", 2)]}}}

    end = await world.run([block])

    assert isinstance(end, Broken)
    assert end.failure.step == "both.no"
    assert 2 not in calls_of(world)


async def test_branches_that_are_done_are_not_done_again(world_of: Any):
    world = world_of(NOTE)
    waits = [{"id": "wait", "delay": {"for": "PT1H"}}, note("late", "late")]
    block = {"id": "both", "parallel": {"branches": {"a": waits, "b": [note("early", "early")]}}}

    first = await world.run([block])
    world.clock.now = later(world.clock.now, 3_600)
    second = await world.run([block])

    assert isinstance(first, Paused)
    assert answer(second)["late"] == "late"
    assert calls_of(world) == ["early", "late"]


# --- for_each --------------------------------------------------------------------------------------------------------


async def test_each_item_gives_its_last_output(world: World):
    step = each({"id": "double", "transform": "{{ item * 2 }}"})

    assert answer(await world.run([step], [1, 2, 3])) == [2, 4, 6]
    assert world.record("all[1].double").output == 4


async def test_an_empty_list_is_done_at_once(world: World):
    assert answer(await world.run([each({"id": "a", "transform": 1})], [])) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("abc", "for_each.over is text"),
        (None, "null"),
        ({"a": 1}, "an object"),
        ([0] * 100_001, "a list of 100001; 100000 are the most"),
    ],
)
async def test_what_is_no_list_of_a_fair_length_is_refused(world: World, body: Any, words: str):
    end = await world.run([each({"id": "a", "transform": 1})], body)

    assert isinstance(end, Broken)
    assert words in end.failure.message
    assert end.failure.permanent


async def test_no_more_items_are_in_work_than_allowed(world_of: Any):
    source = """
import asyncio
busy, most = 0, 0
async def work(value):
    global busy, most
    busy += 1
    most = max(most, busy)
    for _ in range(3):
        await asyncio.sleep(0)
    busy -= 1
    return most
"""
    world = world_of(source)
    step = each({"id": "one", "python": {"function": "work:work", "arguments": {"value": 1}}}, concurrency=3)

    assert max(answer(await world.run([step], list(range(10))))) == 3


async def test_a_loop_goes_on_item_by_item(world_of: Any):
    world = world_of(NOTE)
    one = {"id": "one", "python": {"function": "work:fail_at", "arguments": {"value": "{{ item }}", "bad": 2}}}

    first = await world.run([each(one)], [0, 1, 2, 3])
    second = await world.run([each(one)], [0, 1, 2, 3])

    assert isinstance(first, Broken)
    assert isinstance(second, Broken)
    assert first.failure.step == "all[2].one"
    assert calls_of(world) == [0, 1, 2, 2]


async def test_an_item_that_may_fail_does_not_end_the_loop(world_of: Any):
    world = world_of(NOTE)
    one = {"id": "one", "python": {"function": "work:fail_at", "arguments": {"value": "{{ item }}", "bad": 1}}}

    found = answer(await world.run([each(one | {"on_error": "continue"})], [0, 1, 2]))

    assert found[0] == 0
    assert found[1]["error"]["kind"] == "python_error"
    assert found[2] == 2


async def test_loops_stand_in_loops(world: World):
    inner = {"id": "inner", "for_each": {"over": "{{ row }}", "as": "cell", "steps": [
        {"id": "pair", "transform": ["{{ cell }}", "{{ row | length }}"]}]}}  # fmt: skip

    found = answer(await world.run([each(inner, **{"as": "row"})], [[1], [2, 3]]))

    assert found == [[[1, 1]], [[2, 2], [3, 2]]]


async def test_a_long_loop_leaves_its_records_behind_bit_by_bit(world: World):
    await world.run([each({"id": "a", "transform": "{{ item }}"})], list(range(1_200)))

    assert [len(entry.steps) for entry in world.journal] == [500, 500, 201]


async def test_outputs_of_items_are_bounded_together(world: World):
    step = each({"id": "big", "transform": {"$each": {"over": "{{ range(60000) | list }}", "value": "0123456789"}}})

    end = await world.run([step], list(range(20)))

    assert isinstance(end, Broken)
    assert end.failure.kind == "too_large"


# --- delay -----------------------------------------------------------------------------------------------------------


async def test_a_delay_waits_until_its_time_and_once_only(world: World):
    steps = [{"id": "wait", "delay": {"for": "PT5M"}}, {"id": "done", "transform": "done"}]
    began = world.clock.now

    first = await world.run(steps)
    too_early = await world.run(steps)
    world.clock.now = later(world.clock.now, 300)
    end = await world.run(steps)

    assert isinstance(first, Paused)
    assert isinstance(too_early, Paused)
    assert too_early.until == first.until == later(world.clock.now, 0)
    record = world.record("wait")
    assert (record.status, record.started_at, record.finished_at) == (StepStatus.SUCCEEDED, began, later(began, 300))
    assert answer(end) == "done"


async def test_a_delay_until_a_time_that_is_over_waits_for_nothing(world: World):
    assert isinstance(await world.run([{"id": "w", "delay": {"until": "2001-01-01T00:00:00Z"}}]), Ended)


async def test_a_delay_that_no_time_can_be_read_from_is_refused(world: World):
    end = await world.run([{"id": "w", "delay": {"for": "{{ body }}"}}], "5 minutes")

    assert isinstance(end, Broken)
    assert end.failure.message.startswith("delay.for is text")


async def test_items_that_wait_keep_their_places(world_of: Any):
    world = world_of(NOTE)
    step = each({"id": "w", "delay": {"for": "PT1M"}}, note("n", "{{ item }}"), concurrency=2)

    seen = []
    for _ in range(3):
        await world.run([step], [0, 1, 2, 3])
        seen.append(sorted(calls_of(world)))
        world.clock.now = later(world.clock.now, 60)

    assert seen == [[], [0, 1], [0, 1, 2, 3]]


# --- what is refused when it is saved --------------------------------------------------------------------------------


def refused(*steps: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        compile_workflow({"steps": list(steps)})
    return {error.field: error.message for error in caught.value.errors}


A = {"id": "a", "transform": 1}


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ({"id": "s", "switch": {"cases": []}}, "switch.cases"),
        ({"id": "s", "switch": {"cases": [{"when": "true"}]}}, "switch.cases[0].steps"),
        ({"id": "s", "parallel": {"branches": {"one": [A]}}}, "parallel.branches"),
        ({"id": "s", "parallel": {"branches": {"one": [A], "two": "x"}}}, "parallel.branches.two"),
        ({"id": "s", "for_each": {"over": "abc", "steps": [A]}}, "for_each.over"),
        ({"id": "s", "for_each": {"over": "{{ body }}", "steps": []}}, "for_each.steps"),
        ({"id": "s", "for_each": {"over": "{{ body }}", "as": "steps", "steps": [A]}}, "for_each.as"),
        ({"id": "s", "for_each": {"over": "{{ body }}", "concurrency": 51, "steps": [A]}}, "for_each.concurrency"),
        ({"id": "s", "timeout": "PT1S", "for_each": {"over": "{{ body }}", "steps": [A]}}, "timeout"),
        ({"id": "s", "delay": {}}, "delay"),
        ({"id": "s", "delay": {"for": "PT1S", "until": "2030-01-01T00:00:00Z"}}, "delay"),
        ({"id": "s", "delay": {"for": "P1Y"}}, "delay.for"),
        ({"id": "s", "delay": {"until": "tomorrow"}}, "delay.until"),
        ({"id": "s", "emit": {"integration": "B"}}, "emit"),
        ({"id": "s", "emit": {"integration": 5, "json": 1}}, "emit.integration"),
    ],
)
def test_a_mistake_in_a_block_is_shown_where_it_is(step: Any, field: str):
    assert f"workflow.steps[0].{field}" in refused(step)


def test_a_step_inside_a_block_is_reached_through_the_block():
    steps = [
        {"id": "s", "switch": {"cases": [{"when": "true", "steps": [A]}]}},
        {"id": "b", "transform": "{{ steps.a }}"},
    ]

    assert "steps.s.a" in refused(*steps)["workflow.steps[1]"]


def test_ids_are_unique_through_all_blocks():
    found = refused(A, {"id": "s", "for_each": {"over": "{{ body }}", "steps": [A]}})

    assert "taken by workflow.steps[0]" in found["workflow.steps[1].for_each.steps[0].id"]


def test_branches_do_not_see_each_other():
    branches = {"one": [A], "two": [{"id": "b", "transform": "{{ steps.a }}"}]}

    assert "workflow.steps[0].parallel.branches.two[0]" in refused({"id": "s", "parallel": {"branches": branches}})


def test_blocks_are_not_nested_without_end():
    step: Any = A
    for number in range(8):
        step = {"id": f"s{number}", "for_each": {"over": "{{ body }}", "steps": [step]}}

    assert any("deep in each other" in message for message in refused(step).values())


def test_steps_inside_blocks_count():
    many = [{"id": f"s{n}", "transform": n} for n in range(201)]

    assert any(
        "200 steps at most" in m
        for m in refused({"id": "l", "for_each": {"over": "{{ body }}", "steps": many}}).values()
    )


def test_the_name_of_the_items_is_known_inside_the_loop_only():
    loop = {
        "id": "l",
        "for_each": {"over": "{{ body }}", "as": "line", "steps": [{"id": "a", "transform": "{{ line }}"}]},
    }

    assert compile_workflow({"steps": [loop]}).steps
    assert "line" in refused(loop, {"id": "b", "transform": "{{ line }}"})["workflow.steps[1].transform"]


async def test_tries_of_a_block_count_across_waits_inside_it(world: World):
    fails = {"id": "no", "fail": {"message": "no", "permanent": False}}
    inner = each(fails, step_id="inner", over=[1]) | {"retry": {"attempts": 2, "delay": "PT1M"}}
    outer = each(inner, step_id="outer", over=[1]) | {"retry": {"attempts": 2, "delay": "PT0S"}}

    ends = []
    for _ in range(3):
        ends.append(await world.run([outer]))
        world.clock.advance(60)

    assert [type(end) for end in ends] == [Paused, Paused, Broken]
    assert world.record("outer").attempts == 2
