"""The run stage over a real store: runs are taken, tried again, bounded, stopped, handed back and rescued."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from crossdock.model.event import Event
from crossdock.model.retry import RetryPolicy
from crossdock.model.run import MAX_LOSSES
from crossdock.model.time import later
from crossdock.store import Store, schema
from crossdock.store.accept import Accepted
from crossdock.store.claims import request_cancel, rescue_runs
from crossdock.store.lanes import release_run
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE, Batch, Runs, a_step, an_entry, an_event, cut_writers
from tests.support.yard import LATER, Yard, deduplicated, until

RETRY = RetryPolicy(attempts=3, delay=10.0, factor=2.0, max_delay=600.0)


def note(step_id: str = "a", **arguments: Any) -> dict[str, Any]:
    return {"id": step_id, "python": {"function": "work:note", "arguments": {"name": step_id, **arguments}}}


def held(step_id: str = "a", name: str = "{{ body.name }}", **arguments: Any) -> dict[str, Any]:
    return {"id": step_id, "python": {"function": "work:held", "arguments": {"name": name, **arguments}}}


TRANSFORM = {"id": "t", "transform": {"n": "{{ body.n }}"}}


def named(name: str) -> bytes:
    return b'{"name": "%s"}' % name.encode()


# --- from acceptance to the end --------------------------------------------------------------------------------------


async def test_an_accepted_event_goes_through_its_workflow(yard: Yard) -> None:
    await yard.add(steps=[note(value="{{ body.n }}")])

    event_id = await yard.accepted(body=b'{"n": 7}')

    row = await yard.until(event_id, "succeeded")
    (entry,) = await yard.journal(event_id)
    assert (row.attempts, row.lease_token, row.error_kind) == (1, None, None)
    assert entry.steps[0].output == {"name": "a", "calls": 1, "value": 7}
    assert entry.result is not None


async def test_steps_with_side_effects_are_counted(yard: Yard) -> None:
    await yard.add(steps=[note(), TRANSFORM])

    await yard.until(await yard.accepted(body=b'{"n": 7}'), "succeeded")

    metrics = yard.observe.text().decode()
    assert 'crossdock_steps_performed_total{kind="python",outcome="done"} 1.0' in metrics
    assert 'kind="transform"' not in metrics


async def test_a_reply_is_handed_over_once_the_end_is_durable(yard: Yard) -> None:
    await yard.add(steps=[TRANSFORM], reply=LATER)

    event_id = await yard.accepted(body=b'{"n": 7}')
    await yard.until(event_id, "succeeded")

    await until(lambda: bool(yard.senders.handed))
    (delivery,) = yard.senders.handed
    assert delivery.handled.event.id == event_id
    assert delivery.handled.succeeded
    assert delivery.handled.result is not None
    assert delivery.handled.result.body == b'{"n":7}'


async def test_a_reply_waits_in_the_store_when_no_sender_is_free(yard: Yard) -> None:
    await yard.add(steps=[TRANSFORM], reply=LATER)
    yard.senders.room = 0

    await yard.until(await yard.accepted(body=b'{"n": 7}'), "succeeded")

    await until(lambda: yard.senders.wakes == 1)
    assert yard.senders.handed == []


# --- retries ---------------------------------------------------------------------------------------------------------


async def test_a_failed_run_is_tried_again_when_it_is_due(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[note(), note("b", fail_times=2)], retry=RETRY)

    event_id = await yard.accepted()
    first = await yard.until(event_id, "retrying")
    assert (first.due_at, first.attempts, first.error_step) == (later(clock.now, 5), 1, "b")

    clock.advance(5)
    yard.stage.wake()
    second = await yard.until(event_id, "retrying", attempts=2)
    assert second.due_at == later(clock.now, 10)

    clock.advance(10)
    yard.stage.wake()
    last = await yard.until(event_id, "succeeded")
    assert (last.attempts, last.error_kind) == (3, None)
    assert yard.calls == ["a", "b", "b", "b"]  # what was finished is not done again


async def test_a_run_is_not_tried_before_it_is_due(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[note(fail_times=9)], retry=RETRY)
    event_id = await yard.accepted()
    await yard.until(event_id, "retrying")

    clock.advance(4.999)
    yard.stage.wake()
    await yard.until(await yard.accepted(), "retrying")  # the stage has looked

    assert (await yard.row(event_id)).attempts == 1


async def test_a_run_whose_attempts_are_used_up_has_failed_and_says_so(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[note(fail_times=9)], retry=replace(RETRY, attempts=2), reply=LATER)
    event_id = await yard.accepted()
    await yard.until(event_id, "retrying")
    assert yard.senders.handed == []

    clock.advance(5)
    yard.stage.wake()
    row = await yard.until(event_id, "failed")

    assert (row.attempts, row.error_kind, row.error_step) == (2, "python_error", "a")
    await until(lambda: bool(yard.senders.handed))
    (delivery,) = yard.senders.handed
    assert not delivery.handled.succeeded
    assert delivery.handled.attempts == 2


async def test_an_operator_does_not_wait_for_the_next_attempt(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[note(fail_times=1)], retry=RETRY)
    event_id = await yard.accepted()
    await yard.until(event_id, "retrying")

    await yard.store.write(release_run, event_id, clock.now)
    yard.stage.wake()

    assert (await yard.until(event_id, "succeeded")).attempts == 1


async def test_a_failure_for_good_is_not_tried_again(yard: Yard) -> None:
    await yard.add(steps=[{"id": "f", "fail": {"message": "no", "kind": "refused"}}], retry=RETRY)

    row = await yard.until(await yard.accepted(), "failed")

    assert (row.attempts, row.error_kind, row.error_message) == (1, "refused", "no")


async def test_a_function_that_does_not_return_in_time_frees_its_slot(yard: Yard) -> None:
    step = {**held(), "timeout": "PT0.01S"}
    await yard.add(steps=[step], retry=replace(RETRY, attempts=1), concurrency=1)

    first = await yard.until(await yard.accepted(body=named("x")), "failed")
    second = await yard.until(await yard.accepted(body=named("y")), "failed")

    assert (first.error_kind, second.error_kind) == ("timeout", "timeout")
    await until(lambda: yard.stage.in_work == 0)


# --- bounds and fairness ---------------------------------------------------------------------------------------------


async def test_no_more_runs_of_an_integration_are_worked_on_than_it_allows(yard: Yard) -> None:
    await yard.add(steps=[held(group="g")], concurrency=3)
    names = [f"n{n}" for n in range(9)]

    events = [await yard.accepted(body=named(name)) for name in names]
    await yard.until_calls(3)
    assert yard.work["active"]["g"] == 3
    yard.open(*names)
    for event_id in events:
        await yard.until(event_id, "succeeded")

    assert yard.work["most"]["g"] == 3
    assert sorted(yard.calls) == sorted(names)


async def test_acceptance_does_not_wait_for_busy_slots(yard: Yard) -> None:
    await yard.add(steps=[held()], concurrency=1)
    await yard.accepted(body=named("busy"))
    await yard.until_calls(1)

    more = [await yard.accepted(body=named(f"n{n}")) for n in range(20)]

    assert [(await yard.row(event_id)).state for event_id in more] == ["queued"] * 20
    assert yard.calls == ["busy"]


async def test_a_backlog_of_one_integration_does_not_delay_anothers_run(yard: Yard) -> None:
    await yard.add("int_slow", steps=[held()], concurrency=2)
    await yard.add("int_quick", steps=[note("quick")])
    runs = Runs(yard.store, yard.clock.now)
    changes = [runs.change(event_of(runs, "int_slow", f"s{n}")) for n in range(2_000)]
    await asyncio.gather(*(yard.store.submit(change) for change in changes))
    yard.stage.wake()
    await yard.until_calls(2)

    quick = await yard.accepted("/hooks/yard/int_quick")

    await yard.until(quick, "succeeded")
    assert len(yard.calls) == 3


def event_of(runs: Runs, integration_id: str, name: str) -> Event:
    return an_event(runs.now, integration_id, named(name))


async def test_a_backlog_is_worked_off_in_its_order(yard: Yard) -> None:
    await yard.add(steps=[held()], concurrency=1)
    runs = Runs(yard.store, yard.clock.now)
    names = [f"n{n}" for n in range(6)]
    for name in names:
        await yard.store.submit(runs.change(event_of(runs, "int_a", name)))
        runs.now = yard.clock.advance(0.001)
    yard.open(*names)

    yard.stage.wake()

    assert await yard.until_calls(6) == names


async def test_a_duplicate_gives_the_offered_slot_back(yard: Yard) -> None:
    await yard.add(steps=[note()], concurrency=1, deduplicate=deduplicated())
    headers = (("x-id", "1"), ("content-type", "application/json"))

    for _ in range(5):
        await yard.accepted(headers=headers)
    event_id = await yard.accepted(headers=(("x-id", "2"),))

    await yard.until(event_id, "succeeded")
    await until(lambda: yard.stage.in_work == 0)


# --- stopping and being lost -----------------------------------------------------------------------------------------


async def test_a_stop_lets_running_work_finish(yard: Yard) -> None:
    await yard.add(steps=[held()])
    event_id = await yard.accepted(body=named("x"))
    await yard.until_calls(1)

    stopping = asyncio.create_task(yard.stop(grace=20))
    yard.open("x")
    await stopping

    assert (await yard.row(event_id)).state == "succeeded"


async def test_a_stop_hands_back_what_does_not_finish_untried(yard: Yard) -> None:
    await yard.add(steps=[note("first"), held("second")])
    event_id = await yard.accepted(body=named("x"))
    await yard.until_calls(2)

    await yard.stop(grace=0)

    row = await yard.row(event_id)
    assert (row.state, row.attempts, row.losses, row.lease_token) == ("queued", 0, 0, None)


async def test_another_node_goes_on_where_a_stopped_one_ended(
    yard: Yard, store: Store, clock: HeldClock, tmp_path: Path
) -> None:
    steps = [note("first"), held("second")]
    await yard.add(steps=steps)
    event_id = await yard.accepted(body=named("x"))
    await yard.until_calls(2)
    await yard.stop(grace=0)

    other = Yard(store, clock, tmp_path / "other", OTHER_NODE)
    await other.add(steps=steps)
    other.open("x")
    other.start()
    await other.until(event_id, "succeeded")

    assert other.calls == ["x"]
    await other.close()


async def test_a_stop_with_claims_on_their_way_leaves_nothing_leased(yard: Yard) -> None:
    await yard.add(steps=[held()])
    runs = Runs(yard.store, yard.clock.now)
    events = [event_of(runs, "int_a", f"n{n}") for n in range(40)]
    for event in events:
        await yard.store.submit(runs.change(event))

    async with Batch(yard.store):
        yard.stage.hand_over(Accepted(events[0], 1))
        await until(lambda: yard.store.waiting == 1)
        stopping = asyncio.create_task(yard.stop(grace=0))
        await asyncio.sleep(0)
    await stopping

    assert {(await yard.row(event.id)).state for event in events} == {"queued"}


async def test_a_run_of_a_dead_node_goes_on_behind_its_checkpoint(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[note("first"), note("second")])
    runs = Runs(yard.store, clock.now)
    lost = await runs.leased(node=OTHER_NODE)
    await runs.checkpoint(lost, an_entry(0, a_step("first", {"done": True})))

    rescued = await yard.store.write(rescue_runs, [OTHER_NODE], NODE, clock.now, "rescue")
    await yard.stage.fail_lost(rescued)

    await yard.until(lost.event.id, "succeeded")
    assert yard.calls == ["second"]


async def test_a_run_that_was_lost_too_often_fails_without_being_tried(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[note()], reply=LATER)
    runs = Runs(yard.store, clock.now)
    lost = await runs.leased(node=OTHER_NODE)
    await yard.store.write(_count_losses, lost.event.id, MAX_LOSSES - 1)

    rescued = await yard.store.write(rescue_runs, [OTHER_NODE], NODE, clock.now, "rescue")
    await yard.stage.fail_lost(rescued)

    row = await yard.until(lost.event.id, "failed")
    assert row.error_kind == "node_lost"
    assert yard.calls == []
    await until(lambda: len(yard.senders.handed) == 1)


def _count_losses(connection: Connection, event_id: str, losses: int) -> None:
    connection.execute(update(schema.run).where(schema.run.c.event_id == event_id).values(losses=losses))


async def test_lost_runs_are_worked_on_one_at_a_time(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[held(group="g")], concurrency=8)
    runs = Runs(yard.store, clock.now)
    lost = [await runs.leased(node=OTHER_NODE, body=named(f"n{n}")) for n in range(4)]

    await yard.stage.fail_lost(await yard.store.write(rescue_runs, [OTHER_NODE], NODE, clock.now, "rescue"))
    yard.open(*(f"n{n}" for n in range(4)))
    for run in lost:
        await yard.until(run.event.id, "succeeded")

    assert yard.work["most"]["g"] == 1
    await until(lambda: yard.stage.in_work == 0)


async def test_a_lost_run_waits_for_room_in_its_integration(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[held(group="g")], concurrency=1)
    runs = Runs(yard.store, clock.now)
    lost = await runs.leased(node=OTHER_NODE, body=named("lost"))
    first = await yard.call(body=named("first"))
    await until(lambda: yard.work["calls"] == ["first"])

    await yard.stage.fail_lost(await yard.store.write(rescue_runs, [OTHER_NODE], NODE, clock.now, "rescue"))
    await yard.stage._look()
    assert yard.work["calls"] == ["first"]
    yard.open("first", "lost")

    await yard.until(first.json["id"], "succeeded")
    await yard.until(lost.event.id, "succeeded")
    assert yard.work["most"]["g"] == 1


async def test_a_stray_lease_is_returned_after_it_was_seen_twice(yard: Yard) -> None:
    await yard.add(steps=[note()])
    runs = Runs(yard.store, yard.clock.now)
    stray = await runs.leased()

    await yard.stage.return_strays()
    assert (await yard.row(stray.event.id)).state == "running"
    await yard.stage.return_strays()

    assert (await yard.until(stray.event.id, "succeeded")).attempts == 1


async def test_a_run_in_work_is_no_stray(yard: Yard) -> None:
    await yard.add(steps=[held()])
    event_id = await yard.accepted(body=named("x"))
    await yard.until_calls(1)

    for _ in range(3):
        await yard.stage.return_strays()
    yard.open("x")

    await yard.until(event_id, "succeeded")
    assert yard.calls == ["x"]


# --- canceling -------------------------------------------------------------------------------------------------------


async def test_a_running_run_is_canceled_where_it_stands(yard: Yard) -> None:
    await yard.add(steps=[held(), note("never")], retry=RETRY, reply=LATER)
    event_id = await yard.accepted(body=named("x"))
    await yard.until_calls(1)

    await yard.store.write(request_cancel, event_id)
    yard.stage.wake()

    row = await yard.until(event_id, "canceled")
    assert row.error_kind == "canceled"
    assert yard.calls == ["x"]
    await until(lambda: yard.stage.in_work == 0)


# --- what can go wrong -----------------------------------------------------------------------------------------------


async def test_a_run_whose_workflow_is_gone_fails_and_says_so(yard: Yard) -> None:
    live = await yard.add(steps=[note()])
    yard.know(replace(live, integration=replace(live.integration, workflow_number=9)))

    row = await yard.until(await yard.accepted(), "failed")

    assert row.error_kind == "workflow_unusable"
    assert "version 9" in row.error_message


async def test_a_missing_function_fails_the_run_for_good(yard: Yard) -> None:
    await yard.add(steps=[{"id": "a", "python": {"function": "work:gone"}}], retry=RETRY)

    row = await yard.until(await yard.accepted(), "failed")

    assert (row.error_kind, row.error_step, row.attempts) == ("function_missing", "a", 1)


async def test_an_error_that_no_database_takes_still_ends_the_run_once(yard: Yard) -> None:
    step = {"id": "a", "python": {"function": "work:surrogate"}}
    await yard.add(steps=[step], retry=replace(RETRY, attempts=1), reply=LATER)

    row = await yard.until(await yard.accepted(), "failed")

    assert row.error_kind in ("python_error", "unrecordable")
    await until(lambda: yard.senders.reserved == len(yard.senders.handed) == 1)
    assert yard.calls == ["surrogate"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_work_that_is_done_is_recorded_when_the_database_is_back(yard: Yard) -> None:
    await yard.add(steps=[held(), note("after")], reply=LATER)
    event_id = await yard.accepted(body=named("x"))
    await yard.until_calls(1)

    await yard.store.read(cut_writers)
    yard.open("x")

    await yard.until(event_id, "succeeded")
    assert yard.calls == ["x", "after"]
    await until(lambda: len(yard.senders.handed) == 1)
