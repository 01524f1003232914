"""A run goes through its workflow: outputs, results, failures, retries, the journal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crossdock.model.advance import Broken, Ended, Paused
from crossdock.model.errors import Invalid
from crossdock.model.run import StepStatus
from crossdock.model.time import later
from crossdock.run.compile import compile_workflow
from crossdock.run.walk import LeaseLost, walk
from tests.run.walking import World, leased

JSON = ("content-type", "application/json")
COUNT = """
calls = []
def note(name, fail_times=0):
    calls.append(name)
    if calls.count(name) <= fail_times:
        raise RuntimeError(f"{name} failed")
    return {"name": name, "calls": calls.count(name)}
"""


def note(step_id: str, **extra: Any) -> dict[str, Any]:
    arguments = {"name": step_id, **extra.pop("arguments", {})}
    return {"id": step_id, "python": {"function": "work:note", "arguments": arguments}, **extra}


def calls_of(world: World) -> list[str]:
    calls: list[str] = world.functions.find("work:note").callable.__globals__["calls"]
    return calls


async def test_no_steps_give_null(world):
    end = await world.run([])

    assert isinstance(end, Ended)
    assert end.result.body == b"null"
    assert end.entry is None


async def test_the_last_output_is_the_result(world):
    end = await world.run(
        [{"id": "a", "transform": {"n": "{{ body.n }}"}}, {"id": "b", "transform": "{{ steps.a.n + 1 }}"}], {"n": 1}
    )

    assert end.result.status == 200
    assert end.result.headers == (JSON,)
    assert end.result.body == b"2"
    assert end.entry.result == end.result


async def test_a_skipped_step_gives_null_and_is_not_the_last(world):
    steps = [{"id": "a", "transform": 1}, {"id": "b", "when": "{{ body.n > 5 }}", "transform": 2}]

    end = await world.run(steps, {"n": 1})

    assert end.result.body == b"1"
    assert world.record("b").status is StepStatus.SKIPPED


async def test_the_first_answer_counts(world):
    steps = [
        {"id": "a", "respond": {"status": 201, "headers": {"X-N": "{{ body.n }}"}, "json": {"n": "{{ body.n }}"}}},
        {"id": "b", "respond": {"status": 500, "text": "no"}},
    ]

    end = await world.run(steps, {"n": 7})

    assert end.result.status == 201
    assert end.result.headers == (JSON, ("x-n", "7"))
    assert end.result.body == b'{"n":7}'


@pytest.mark.parametrize(
    ("settings", "headers", "body"),
    [
        ({}, (), b""),
        ({"status": 204}, (), b""),
        ({"text": "h{{ body.n }}é"}, (("content-type", "text/plain; charset=utf-8"),), "h7é".encode()),
        ({"body": {"base64": "/w=="}}, (("content-type", "application/octet-stream"),), b"\xff"),
        (
            {"body": "<a/>", "headers": {"Content-Type": "application/xml"}},
            (("content-type", "application/xml"),),
            b"<a/>",
        ),
        ({"json": {"$each": {"over": [1, 2], "value": "{{ item + body.n }}"}}}, (JSON,), b"[8,9]"),
    ],
)
async def test_an_answer_may_be_anything(world, settings, headers, body):
    end = await world.run([{"id": "a", "respond": settings}], {"n": 7})

    assert (end.result.headers, end.result.body) == (headers, body)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"status": "{{ body.n }}"}, "expression"),
        ({"headers": {"x": "{{ body.evil }}"}}, "expression"),
        ({"body": "{{ body }}"}, "invalid_response"),
        ({"status": "{{ 204 }}", "text": "x"}, "invalid_response"),
        ({"text": "{{ body.missing }}"}, "expression"),
    ],
)
async def test_an_answer_that_can_not_be_given_is_a_failure(world, settings, kind):
    end = await world.run([{"id": "a", "respond": settings}], {"n": 7, "evil": "a\r\nset-cookie: b"})

    assert isinstance(end, Broken)
    assert (end.failure.kind, end.failure.step, end.failure.permanent) == (kind, "a", True)


async def test_a_failed_expression_names_what_is_missing(world):
    end = await world.run([{"id": "a", "transform": {"x": "{{ body.customer.nr }}"}}], {"customer": {"id": 1}})

    assert end.failure.message == "transform.x: body.customer.nr is not there; body.customer has id"
    assert world.record("a").error == end.failure


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ({"transform": {"deep": {"lines": [1, {"y": "{{ body.nr }}"}]}}}, "transform.deep.lines[1].y"),
        ({"transform": {"$each": {"over": [1], "value": {"n": "{{ item.nr }}"}}}}, "transform.$each.value.n"),
        ({"transform": 1, "when": "body.nr > 1"}, "when"),
        ({"fail": {"message": "no {{ body.nr }}"}}, "fail.message"),
        ({"for_each": {"over": [1], "steps": [{"id": "b", "transform": ["{{ item.nr }}"]}]}}, "transform[0]"),
    ],
)
async def test_an_error_names_the_place_in_its_step(world, step: Any, place: str):
    end = await world.run([{"id": "a", **step}], {})

    assert end.failure.message.startswith(f"{place}: ")


async def test_fail_ends_the_run_with_its_own_answer(world):
    steps = [{"id": "no", "fail": {"message": "no {{ body.n }}", "kind": "refused", "status": 409, "json": {"n": 1}}}]

    end = await world.run(steps, {"n": 7})

    assert (end.failure.kind, end.failure.message, end.failure.permanent) == ("refused", "no 7", True)
    assert (end.result.status, end.result.body) == (409, b'{"n":1}')


async def test_a_passing_fail_leaves_it_to_the_run_to_try_again(world):
    end = await world.run([{"id": "no", "fail": {"message": "later", "permanent": False}}])

    assert not end.failure.permanent


async def test_assert_stops_when_a_condition_does_not_hold(world):
    check = {"that": ["body.n > 5", "{{ body.n < 7 }}"], "message": "{{ body.n }} is wrong", "status": 422}

    end = await world.run([{"id": "check", "assert": check}], {"n": 7})

    assert (end.failure.kind, end.failure.message) == ("assertion_failed", "7 is wrong")
    assert end.result.status == 422
    assert end.result.body == b'{"error":{"kind":"assertion_failed","message":"7 is wrong"}}'


async def test_assert_goes_on_when_all_hold(world):
    end = await world.run([{"id": "check", "assert": {"that": "body.n", "message": "x"}}], {"n": 7})

    assert isinstance(end, Ended)


async def test_on_error_continue_goes_on_and_shows_the_error(world):
    steps = [
        {"id": "a", "fail": {"message": "no"}, "on_error": "continue"},
        {"id": "b", "transform": "{{ steps.a.error.kind }}: {{ steps.a.error.message }}"},
    ]

    end = await world.run(steps)

    assert end.result.body == b'"failed: no"'
    assert world.record("a").status is StepStatus.FAILED


# --- side effects --------------------------------------------------------------------------------------------------


async def test_a_side_effect_is_durable_before_the_next_one(world_of):
    world = world_of(COUNT)

    await world.run([{"id": "a", "transform": 1}, note("b"), {"id": "c", "transform": 2}, note("d")])

    assert [[record.id for record in entry.steps] for entry in world.journal] == [["a", "b"], ["c", "d"]]
    assert [entry.position for entry in world.journal] == [0, 1]


async def test_the_answer_is_told_as_soon_as_it_is_durable(world_of):
    world = world_of(COUNT)

    await world.run([{"id": "a", "respond": {"text": "hi"}}, note("b")])

    assert [answer.body for answer in world.answers] == [b"hi"]
    assert [entry.result is not None for entry in world.journal] == [True, False]


async def test_a_lost_lease_stops_the_walk_before_the_next_side_effect(world_of):
    world = world_of(COUNT)
    world.lose_after = 0

    with pytest.raises(LeaseLost):
        await world.run([note("a"), note("b")])

    assert calls_of(world) == ["a"]


async def test_finished_steps_are_not_run_again(world_of):
    world = world_of(COUNT)
    steps = [note("a"), note("b", arguments={"fail_times": 1}), {"id": "c", "transform": "{{ steps.a.calls }}"}]

    first = await world.run(steps)
    second = await world.run(steps, attempts=2)

    assert isinstance(first, Broken)
    assert second.result.body == b"1"
    assert calls_of(world) == ["a", "b", "b"]


async def test_a_step_is_tried_again_in_place_when_the_wait_is_short(world_of):
    world = world_of(COUNT)

    await world.run([note("a", arguments={"fail_times": 2}, retry={"attempts": 3, "delay": "PT0.001S"})])

    assert world.record("a").status is StepStatus.SUCCEEDED
    assert world.record("a").attempts == 3


async def test_a_step_whose_tries_are_used_up_fails(world_of):
    world = world_of(COUNT)

    end = await world.run([note("a", arguments={"fail_times": 9}, retry={"attempts": 2, "delay": "PT0.001S"})])

    assert end.failure.message == "RuntimeError: a failed (work.py:6)"
    assert not end.failure.permanent
    assert world.record("a").attempts == 2


async def test_a_long_wait_gives_the_slot_back_and_the_tries_go_on(world_of):
    world = world_of(COUNT)
    steps = [note("a", arguments={"fail_times": 2}, retry={"attempts": 3, "delay": "PT1M"})]

    first = await world.run(steps)
    second = await world.run(steps)
    third = await world.run(steps)

    assert first.until == later(world.clock(), 30)
    assert second.until == later(world.clock(), 60)
    assert isinstance(third, Ended)
    assert world.record("a").attempts == 3


async def test_a_run_that_starts_over_gives_its_failed_step_all_its_tries(world_of):
    world = world_of(COUNT)
    steps = [note("a", arguments={"fail_times": 3}, retry={"attempts": 2, "delay": "PT0.001S"})]

    await world.run(steps)
    end = await world.run(steps, attempts=2)

    assert isinstance(end, Ended)
    assert world.record("a").attempts == 2


async def test_a_paused_step_may_go_on_past_its_error_at_the_end(world_of):
    world = world_of(COUNT)
    steps = [note("a", arguments={"fail_times": 9}, retry={"attempts": 2, "delay": "PT1M"}, on_error="continue")]

    first = await world.run(steps)
    second = await world.run(steps)

    assert isinstance(first, Paused)
    assert isinstance(second, Ended)
    assert calls_of(world) == ["a", "a"]


HANG = """
import asyncio
started = asyncio.Event()
async def hang():
    started.set()
    await asyncio.Event().wait()
"""


async def test_cancelling_passes_through(world_of):
    world = world_of(HANG)
    task = asyncio.create_task(world.run([{"id": "a", "python": {"function": "work:hang"}}]))
    await asyncio.wait_for(world.functions.find("work:hang").callable.__globals__["started"].wait(), 5)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("size", "recorded"), [(10, {"text": "x" * 10}), (100_000, {"truncated": True, "size": 100_011})]
)
async def test_what_goes_in_is_recorded_and_cut_when_it_is_large(world_of, size, recorded):
    world = world_of("def size(text):\n    return len(text)")

    await world.run([{"id": "a", "python": {"function": "work:size", "arguments": {"text": "{{ body }}"}}}], "x" * size)

    assert world.record("a").input == recorded


async def test_vars_are_worked_out_before_the_steps(world: World):
    document = {"vars": {"twice": "{{ body * 2 }}"}, "steps": [{"id": "a", "transform": "{{ vars.twice + 1 }}"}]}

    end = await walk(leased(20), compile_workflow(document), world.ports())

    assert isinstance(end, Ended)
    assert end.result.body == b"41"


async def test_vars_that_can_not_be_worked_out_fail_the_run(world: World):
    document = {"vars": {"name": "{{ body.name }}"}, "steps": []}

    end = await walk(leased({}), compile_workflow(document), world.ports())

    assert isinstance(end, Broken)
    assert end.failure.message.startswith("vars.name: body.name is not there")


def test_vars_see_no_steps():
    with pytest.raises(Invalid) as caught:
        compile_workflow({"vars": {"a": "{{ steps.x }}"}, "steps": []})

    assert caught.value.errors[0].field == "workflow.vars.a"
