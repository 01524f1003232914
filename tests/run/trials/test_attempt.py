"""Dry runs and live tests: what is performed, what is shown, and that nothing waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from crossdock.model.outcome import Json
from crossdock.model.run import StepStatus
from crossdock.model.trial import Answered, Told, Trial, TrialMode, TrialStatus
from crossdock.run.compile import compile_workflow
from tests.run.trials.along import acting, live_through, runner_of, systems_of
from tests.run.walking import World, event

SOURCE = """
import asyncio
calls = []
started = asyncio.Event()

def note(value, fails=False):
    calls.append(value)
    if fails:
        raise RuntimeError("not now")
    return {"value": value}

async def hang():
    started.set()
    await asyncio.Event().wait()
"""


def note(value: Any, step_id: str = "note", **more: Any) -> dict[str, Any]:
    return {"id": step_id, "python": {"function": "work:note", "arguments": {"value": value}}, **more}


@pytest.fixture
def world(functions_of: Callable[..., Any]) -> World:
    return acting(functions_of(SOURCE))


async def attempt(
    world: World, steps: list[Any], told: Told | None = None, mode: TrialMode = TrialMode.DRY_RUN, body: Any = None
) -> Trial:
    workflow = compile_workflow({"steps": steps}, 0, world.functions)
    made_up = replace(event({"n": 1} if body is None else body), id="test_1")
    return await runner_of(world).attempt(made_up, workflow, told or Told(), mode)


def calls_of(world: World) -> list[Any]:
    calls: list[Any] = world.functions.find("work:note").callable.__globals__["calls"]
    return calls


def seen(trial: Trial) -> list[tuple[str, Answered, Json]]:
    return [(step.record.id, step.answered, step.record.output) for step in trial.steps]


# --- dry -------------------------------------------------------------------------------------------------------------


async def test_a_dry_run_performs_pure_steps_and_shows_what_others_would_do(world: World):
    trial = await attempt(world, [{"id": "sum", "transform": "{{ body.n + 1 }}"}, note("{{ steps.sum }}")])

    assert seen(trial) == [("sum", Answered.PERFORMED, 2), ("note", Answered.SIMULATED, None)]
    assert trial.steps[1].would == {"value": 2}
    assert calls_of(world) == []


async def test_a_dry_run_tells_what_could_not_be_handed_over(world: World):
    trial = await attempt(world, [{"id": "hand", "emit": {"integration": "Nobody", "json": {"n": 1}}}])

    assert trial.status is TrialStatus.FAILED
    assert trial.failure is not None
    assert trial.failure.kind == "unknown_integration"


async def test_given_outputs_are_taken(world: World):
    steps = [note(1), {"id": "answer", "respond": {"json": "{{ steps.note.value }}"}}]

    trial = await attempt(world, steps, Told(outputs={"note": {"value": 7}, "nobody": 1}))

    assert trial.steps[0].answered is Answered.GIVEN
    assert trial.result is not None
    assert trial.result.body == b"7"
    assert trial.unused == ("nobody",)


async def test_outputs_of_items_are_given_by_their_paths(world: World):
    each = {"id": "all", "for_each": {"over": "{{ body }}", "steps": [note("{{ item }}")]}}

    trial = await attempt(world, [each], Told(outputs={"all[1].note": "b"}), body=[1, 2])

    assert trial.steps[-1].record.output == [None, "b"]


async def test_what_fails_because_of_a_made_up_output_says_so(world: World):
    block = {"id": "block", "parallel": {"branches": {"a": [note(1)], "b": [{"id": "b", "transform": 1}]}}}
    bad = {"id": "bad", "transform": "{{ steps.block.note.value }}"}

    trial = await attempt(world, [block, bad])

    assert trial.status is TrialStatus.FAILED
    assert trial.steps[-1].because_of == ("block",)


async def test_what_fails_by_itself_blames_nobody(world: World):
    trial = await attempt(world, [note(1), {"id": "bad", "transform": "{{ body.missing }}"}])

    assert trial.steps[-1].because_of == ()
    assert trial.failure is not None


async def test_a_delay_is_over_at_once_and_says_until_when_it_would_wait(world: World):
    trial = await attempt(world, [{"id": "wait", "delay": {"for": "PT5M"}}, {"id": "after", "transform": 1}])

    wait = trial.steps[0]
    assert (wait.answered, wait.record.status) == (Answered.SIMULATED, StepStatus.SUCCEEDED)
    assert wait.would == {"for": "PT5M", "until": "2026-09-21T14:18:20.000Z"}
    assert wait.record.output == {"until": "2026-09-21T14:18:20.000Z"}
    assert trial.status is TrialStatus.SUCCEEDED


async def test_records_of_a_past_run_are_taken(world: World):
    steps = [note("{{ body.n }}")]
    past = await live_through(world, steps, {"n": 1})

    trial = await attempt(world, steps, Told(records=past.records))

    assert seen(trial) == [("note", Answered.RECORDED, {"value": 1})]
    assert calls_of(world) == [1]


async def test_a_dry_run_reads_databases_and_writes_to_none(world: World):
    parameters = {"step": "read", "fate": "ok", "times": 1}
    read = {"connection": "db", "statement": "select :step, :fate, :times", "parameters": parameters}
    write = read | {"statement": "insert into t values (:step, :fate, :times)"}

    trial = await attempt(world, [{"id": "read", "sql": read}, {"id": "write", "sql": write}])

    assert seen(trial) == [
        ("read", Answered.PERFORMED, {"rows": [{"call": 1}], "row_count": 1}),
        ("write", Answered.SIMULATED, None),
    ]
    assert [query.reads_only for query in systems_of(world).queries] == [True]


# --- live ------------------------------------------------------------------------------------------------------------


async def test_a_live_test_really_performs_steps_once(world: World):
    trial = await attempt(world, [note("{{ body.n }}")], mode=TrialMode.LIVE)

    assert seen(trial) == [("note", Answered.PERFORMED, {"value": 1})]
    assert calls_of(world) == [1]


async def test_a_live_test_tries_nothing_again(world: World):
    failing = {"id": "note", "python": {"function": "work:note", "arguments": {"value": 1, "fails": True}}}

    trial = await attempt(world, [failing | {"retry": {"attempts": 5, "delay": "PT0S"}}], mode=TrialMode.LIVE)

    assert trial.status is TrialStatus.FAILED
    assert calls_of(world) == [1]


async def test_a_live_test_shows_what_it_would_emit_and_does_not(world: World):
    emit = {"id": "hand", "emit": {"integration": "there", "json": {"n": 1}}}

    trial = await attempt(world, [emit], mode=TrialMode.LIVE)

    assert trial.steps[0].would["json"] == {"n": 1}
    assert trial.steps[0].answered is Answered.SIMULATED
    assert trial.steps[0].record.output["integration"] == "there"
    assert world.journal == []


async def test_a_live_test_waits_for_nothing(world: World):
    trial = await attempt(world, [{"id": "wait", "delay": {"for": "PT5H"}}], mode=TrialMode.LIVE)

    assert trial.steps[0].answered is Answered.SIMULATED


# --- limits ----------------------------------------------------------------------------------------------------------


async def test_a_trial_that_takes_too_long_tells_what_it_has(world: World):
    workflow = compile_workflow({"steps": [note(1), {"id": "hang", "python": {"function": "work:hang"}}]})
    runner = runner_of(world)

    trial = await runner.attempt(event(), workflow, Told(), TrialMode.LIVE, seconds=0.2)

    assert trial.status is TrialStatus.STOPPED
    assert [step.record.id for step in trial.steps] == ["note"]
    assert trial.failure is not None
    assert "0.2 seconds" in trial.failure.message


async def test_a_trial_ends_with_whoever_asked_for_it(world: World):
    hang = {"id": "hang", "python": {"function": "work:hang"}}
    task = asyncio.create_task(attempt(world, [hang], mode=TrialMode.LIVE))
    await asyncio.wait_for(world.functions.find("work:hang").callable.__globals__["started"].wait(), 5)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_long_list_lets_others_have_their_turn(world: World):
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    each = {"id": "all", "for_each": {"over": "{{ body }}", "steps": [note("{{ item }}")]}}
    trial = await attempt(world, [each], body=list(range(500)))
    counting.cancel()

    assert len(trial.steps) == 501
    assert turns > 10
