"""Lanes in work: nothing of the next run begins before the one before it is durably finished."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, select

from crossdock.model.retry import RetryPolicy
from crossdock.model.time import later
from crossdock.model.trigger import OnExhausted
from crossdock.store import Store, schema
from crossdock.store.claims import cancel_waiting, request_cancel, rescue_runs
from crossdock.store.lanes import acquire_lanes, park_run, read_lane, release_lanes, release_run, skip_run
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE, Batch, Runs, an_event, cut_writers
from tests.support.yard import LATER, Yard, until

ONCE = RetryPolicy(attempts=1)
TWICE = RetryPolicy(attempts=2, delay=10.0)
LANE = "int_a:"
BY_KEY = "{{ body.key }}"


def note(name: str = "{{ body.name }}", **arguments: Any) -> dict[str, Any]:
    return {"id": "a", "python": {"function": "work:note", "arguments": {"name": name, **arguments}}}


def held(name: str = "{{ body.name }}", group: str = "{{ body.key | default('') }}") -> dict[str, Any]:
    return {"id": "h", "python": {"function": "work:held", "arguments": {"name": name, "group": group}}}


FAILS = note(fail_times="{{ body.fails }}")
PURE = {"id": "t", "transform": {"n": "{{ body.name }}"}}
CHECK = {"id": "c", "assert": {"that": "{{ body.fails == 0 }}", "message": "it fails"}}


def body(name: str, key: str = "", fails: int = 0) -> bytes:
    return b'{"name": "%s", "key": "%s", "fails": %d}' % (name.encode(), key.encode(), fails)


async def send(yard: Yard, *names: str, key: str = "") -> list[str]:
    return [await yard.accepted(body=body(name, key)) for name in names]


async def states(yard: Yard, events: list[str]) -> list[str]:
    return [(await yard.row(event_id)).state for event_id in events]


# --- order -----------------------------------------------------------------------------------------------------------


async def test_runs_begin_in_the_order_of_acceptance_one_behind_the_other(yard: Yard) -> None:
    await yard.add(steps=[held()], ordered=True)
    names = [f"n{n}" for n in range(8)]

    events = await send(yard, *names)
    yard.open(*reversed(names))
    for event_id in events:
        await yard.until(event_id, "succeeded")

    assert yard.calls == names
    assert yard.work["ended"] == names
    assert yard.work["most"][""] == 1


async def test_the_next_waits_until_the_head_is_finished(yard: Yard) -> None:
    await yard.add(steps=[held()], ordered=True)

    events = await send(yard, "one", "two")
    await yard.until_calls(1)
    assert await states(yard, events) == ["running", "queued"]
    yard.open("one")
    await yard.until_calls(2)

    assert await states(yard, events) == ["succeeded", "running"]


async def test_the_end_of_the_head_is_durable_before_the_next_begins(yard: Yard) -> None:
    await yard.add(steps=[held()], ordered=True)
    events = await send(yard, "one", "two")
    await yard.until_calls(1)

    async with Batch(yard.store):
        yard.open("one")
        await until(lambda: yard.work["ended"] == ["one"])
        await asyncio.sleep(0)
        assert yard.calls == ["one"]  # nothing can be recorded now, so nothing may begin

    await yard.until_calls(2)
    assert (await yard.row(events[0])).state == "succeeded"


async def test_calls_that_come_at_once_keep_their_order(yard: Yard) -> None:
    await yard.add(steps=[note()], ordered=True)
    names = [f"n{n}" for n in range(150)]

    answers = await asyncio.gather(*(yard.call(body=body(name)) for name in names))
    await yard.until(answers[-1].json["id"], "succeeded")

    places = await yard.store.read(_places, [answer.json["id"] for answer in answers])
    assert yard.calls == [name for _, name in sorted(zip(places, names, strict=True))]
    assert sorted(places) == list(range(1, 151))


def _places(connection: Connection, event_ids: list[str]) -> list[int]:
    run = schema.run.c
    found = dict(connection.execute(select(run.event_id, run.lane_sequence)).all())
    return [found[event_id] for event_id in event_ids]


async def test_lanes_of_two_keys_do_not_wait_for_each_other(yard: Yard) -> None:
    await yard.add(steps=[held()], ordered=True, ordering_key=BY_KEY)

    first = await send(yard, "a1", "a2", key="a")
    second = await send(yard, "b1", "b2", key="b")
    yard.open("b1", "b2")
    await yard.until(second[1], "succeeded")
    assert await states(yard, first) == ["running", "queued"]
    yard.open("a1", "a2")
    await yard.until(first[1], "succeeded")

    assert [name for name in yard.calls if name[0] == "a"] == ["a1", "a2"]
    assert yard.work["most"] == {"a": 1, "b": 1}


async def test_a_long_lane_is_read_from_the_store_in_order(yard: Yard) -> None:
    await yard.add(steps=[held()], ordered=True)
    first = (await send(yard, "head"))[0]
    await yard.until_calls(1)
    names = [f"n{n:03}" for n in range(400)]

    runs = Runs(yard.store, yard.clock.now)
    for n in range(0, 400, 100):
        changes = [runs.change(an_event(runs.now, body=body(name)), lane="") for name in names[n : n + 100]]
        await asyncio.gather(*(yard.store.submit(change) for change in changes))
    yard.open("head", *names)
    yard.stage.lane_changed(LANE)

    await yard.until(first, "succeeded")
    await until(lambda: len(yard.work["ended"]) == 401)
    assert yard.calls == ["head", *names]


# --- retries of the head ---------------------------------------------------------------------------------------------


async def test_a_retry_of_the_head_keeps_the_lane_waiting(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[FAILS], ordered=True, retry=TWICE)
    head = await yard.accepted(body=body("one", fails=1))
    (behind,) = await send(yard, "two")

    row = await yard.until(head, "retrying")
    assert row.due_at == later(clock.now, 5)
    assert (await yard.row(behind)).state == "queued"
    assert yard.calls == ["one"]
    clock.advance(5)
    yard.stage.lane_changed(LANE)
    await yard.until(behind, "succeeded")

    assert yard.calls == ["one", "one", "two"]
    assert (await yard.row(head)).state == "succeeded"


async def test_a_retried_head_starts_by_itself_when_its_time_has_come(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[FAILS], ordered=True, retry=replace(TWICE, delay=0.02))
    head = await yard.accepted(body=body("one", fails=1))
    await yard.until(head, "retrying", "succeeded")

    clock.advance(1)

    await yard.until(head, "succeeded")


@pytest.mark.parametrize("steps", [[FAILS], [PURE, CHECK]], ids=["with effects", "pure"])
async def test_a_lane_that_skips_goes_on_behind_a_head_that_failed(yard: Yard, steps: list[Any]) -> None:
    await yard.add(steps=steps, ordered=True, retry=ONCE, on_exhausted=OnExhausted.SKIP, reply=LATER)

    events = [await yard.accepted(body=body(name, fails=fails)) for name, fails in (("one", 9), ("two", 0))]
    await yard.until(events[1], "succeeded")

    assert await states(yard, events) == ["failed", "succeeded"]
    await until(lambda: len(yard.senders.handed) == 2)
    assert [delivery.handled.event.id for delivery in yard.senders.handed] == events


# --- a blocked lane and the operator ---------------------------------------------------------------------------------


async def block(yard: Yard, steps: list[Any], **more: Any) -> list[str]:
    """A lane of three whose head has used up its attempts."""
    await yard.add(steps=steps, ordered=True, retry=ONCE, **more)
    events = [await yard.accepted(body=body(name, fails=1)) for name in ("one",)]
    events += [await yard.accepted(body=body(name, fails=0)) for name in ("two", "three")]
    await yard.until(events[0], "waiting")
    return events


@pytest.mark.parametrize("steps", [[FAILS], [PURE, CHECK]], ids=["with effects", "pure"])
async def test_a_blocked_lane_waits_for_an_operator(yard: Yard, steps: list[Any]) -> None:
    events = await block(yard, steps)

    yard.clock.advance(100_000)
    yard.stage.lane_changed(LANE)
    await yard.stage.return_strays()

    assert await states(yard, events) == ["waiting", "queued", "queued"]
    assert (await yard.row(events[0])).waiting_for == "operator"


async def test_a_released_head_is_tried_again_and_the_lane_goes_on(yard: Yard) -> None:
    events = await block(yard, [FAILS])

    assert await yard.store.write(release_run, events[0], yard.clock.now)
    yard.stage.lane_changed(LANE)
    await yard.until(events[2], "succeeded")

    assert yard.calls == ["one", "one", "two", "three"]
    assert await states(yard, events) == ["succeeded"] * 3


@pytest.mark.parametrize("steps", [[FAILS], [PURE, CHECK]], ids=["with effects", "pure"])
async def test_a_skipped_head_lets_the_lane_go_on(yard: Yard, steps: list[Any]) -> None:
    events = await block(yard, steps)

    assert await yard.store.write(skip_run, events[0], yard.clock.now, "alice")
    yard.stage.lane_changed(LANE)
    await yard.until(events[2], "succeeded")

    assert await states(yard, events) == ["failed", "succeeded", "succeeded"]


async def test_a_parked_head_lets_the_lane_go_on_and_runs_when_it_is_released(yard: Yard) -> None:
    events = await block(yard, [FAILS])

    assert await yard.store.write(park_run, events[0])
    yard.stage.lane_changed(LANE)
    await yard.until(events[2], "succeeded")
    assert await states(yard, events) == ["waiting", "succeeded", "succeeded"]
    assert await yard.store.write(release_run, events[0], yard.clock.now)
    yard.stage.wake()
    await yard.until(events[0], "succeeded")

    assert yard.calls == ["one", "two", "three", "one"]


async def test_a_canceled_head_lets_the_lane_go_on(yard: Yard) -> None:
    events = await block(yard, [FAILS])

    assert await yard.store.write(cancel_waiting, events[0], yard.clock.now)
    yard.stage.lane_changed(LANE)
    await yard.until(events[2], "succeeded")

    assert yard.calls == ["one", "two", "three"]


async def test_a_head_that_is_worked_on_is_canceled_and_the_lane_goes_on(yard: Yard) -> None:
    await yard.add(steps=[held()], ordered=True)
    events = await send(yard, "one", "two")
    await yard.until_calls(1)
    yard.open("two")

    await yard.store.write(request_cancel, events[0])
    yard.stage.lane_changed(LANE)
    await yard.until(events[1], "succeeded")

    assert await states(yard, events) == ["canceled", "succeeded"]


async def test_runs_behind_the_head_can_be_canceled(yard: Yard) -> None:
    await yard.add(steps=[held()], ordered=True)
    events = await send(yard, "one", "two", "three")
    await yard.until_calls(1)

    await yard.store.write(cancel_waiting, events[1], yard.clock.now)
    yard.stage.lane_changed(LANE)
    yard.open("one", "three")
    await yard.until(events[2], "succeeded")

    assert yard.calls == ["one", "three"]


class SlowStore:
    """The real store; a lane that was read is told only when `gate` opens, as over a slow network."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.gate = asyncio.Event()
        self.has_read = asyncio.Event()
        self.gate.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, query: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        answer = await self._store.read(query, *arguments, **named)
        if query is read_lane:
            self.has_read.set()
            await self.gate.wait()
        return answer

    async def hold(self, yard: Yard) -> None:
        """Have the lane read anew and keep the answer back."""
        self.gate.clear()
        self.has_read.clear()
        yard.stage.lane_changed(LANE)
        await asyncio.wait_for(self.has_read.wait(), 20)


@pytest.fixture
async def slow(store: Store) -> SlowStore:
    return SlowStore(store)


@pytest.fixture
async def slow_yard(slow: SlowStore, clock: HeldClock, tmp_path: Path) -> AsyncIterator[Yard]:
    built = Yard(cast("Store", slow), clock, tmp_path / "functions")
    built.start()
    yield built
    slow.gate.set()
    await built.close()


async def test_a_decision_during_the_reading_of_the_lane_is_not_missed(slow: SlowStore, slow_yard: Yard) -> None:
    events = await block(slow_yard, [FAILS])
    await slow.hold(slow_yard)

    assert await slow_yard.store.write(release_run, events[0], slow_yard.clock.now)
    slow_yard.stage.lane_changed(LANE)
    slow.gate.set()

    await slow_yard.until(events[2], "succeeded")
    assert slow_yard.calls == ["one", "one", "two", "three"]


async def test_a_call_during_the_reading_of_the_lane_is_not_missed(slow: SlowStore, slow_yard: Yard) -> None:
    await slow_yard.add(steps=[note()], ordered=True)
    (first,) = await send(slow_yard, "one")
    await slow_yard.until(first, "succeeded")
    await slow.hold(slow_yard)

    events = await send(slow_yard, "two", "three")
    slow.gate.set()

    await slow_yard.until(events[1], "succeeded")
    assert slow_yard.calls == ["one", "two", "three"]


async def test_a_stop_during_the_reading_of_the_lane_does_not_hang(slow: SlowStore, slow_yard: Yard) -> None:
    await slow_yard.add(steps=[note()], ordered=True)
    (first,) = await send(slow_yard, "one")
    await slow_yard.until(first, "succeeded")
    await slow.hold(slow_yard)

    stopping = asyncio.create_task(slow_yard.stop(grace=1_000))
    await asyncio.sleep(0)
    slow.gate.set()

    await asyncio.wait_for(stopping, 20)


# --- workflows without side effects ----------------------------------------------------------------------------------


async def test_pure_runs_of_a_lane_share_commits_and_keep_their_order(yard: Yard) -> None:
    await yard.add(steps=[PURE], ordered=True, reply=LATER)

    answers = await asyncio.gather(*(yard.call(body=body(f"n{n}")) for n in range(300)))
    events = [answer.json["id"] for answer in answers]
    await yard.until(events[-1], "succeeded")

    await until(lambda: len(yard.senders.handed) == 300)
    places = await yard.store.read(_places, events)
    assert [d.handled.event.id for d in yard.senders.handed] == [e for _, e in sorted(zip(places, events, strict=True))]
    assert set(await states(yard, events)) == {"succeeded"}


async def test_a_pure_head_that_is_retried_keeps_the_lane_waiting(yard: Yard, clock: HeldClock) -> None:
    fails = {"id": "f", "fail": {"message": "no", "permanent": False}, "when": "{{ body.fails > 0 }}"}
    await yard.add(steps=[PURE, fails], ordered=True, retry=TWICE)
    head = await yard.accepted(body=body("one", fails=1))
    (behind,) = await send(yard, "two")

    await yard.until(head, "retrying")
    assert (await yard.row(behind)).state == "queued"
    clock.advance(5)
    yard.stage.lane_changed(LANE)

    row = await yard.until(head, "waiting")
    assert (row.attempts, row.waiting_for) == (2, "operator")
    assert (await yard.row(behind)).state == "queued"


# --- what the record refuses -----------------------------------------------------------------------------------------


async def test_an_end_that_can_not_be_recorded_blocks_the_lane_and_is_not_repeated(yard: Yard) -> None:
    step = {"id": "a", "python": {"function": "work:surrogate", "arguments": {"name": "{{ body.name }}"}}}
    await yard.add(steps=[step], ordered=True, retry=ONCE)

    events = await send(yard, "one", "two")
    row = await yard.until(events[0], "waiting")

    assert row.error_kind == "unrecordable"
    assert yard.calls == ["one"]
    assert await states(yard, events) == ["waiting", "queued"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_lane_goes_on_in_order_when_the_database_is_back(yard: Yard) -> None:
    await yard.add(steps=[held()], ordered=True)
    events = await send(yard, "one", "two", "three")
    await yard.until_calls(1)

    await yard.store.read(cut_writers)
    yard.open("one", "two", "three")
    await yard.until(events[2], "succeeded")

    assert yard.calls == ["one", "two", "three"]


# --- owning lanes ----------------------------------------------------------------------------------------------------


async def test_a_restarted_node_goes_on_with_the_head(
    yard: Yard, store: Store, clock: HeldClock, tmp_path: Path
) -> None:
    await yard.add(steps=[held()], ordered=True)
    events = await send(yard, "one", "two", "three")
    await yard.until_calls(1)
    await yard.stop(grace=0)
    assert await states(yard, events) == ["queued"] * 3

    other = Yard(store, clock, tmp_path / "other", OTHER_NODE)
    await other.add(steps=[held()], ordered=True)
    other.open("one", "two", "three")
    other.start()
    await other.until(events[2], "succeeded")

    assert other.calls == ["one", "two", "three"]
    await other.close()


async def test_the_lanes_of_a_dead_node_are_taken_over(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[note()], ordered=True)
    runs = Runs(yard.store, clock.now)
    events = [await runs.queued(body=body(f"n{n}"), lane="", leased=True, node=OTHER_NODE) for n in range(3)]

    await yard.stage.fail_lost(await yard.store.write(rescue_runs, [OTHER_NODE], NODE, clock.now, "rescue"))
    await yard.until(events[2], "succeeded")

    assert yard.calls == ["n0", "n1", "n2"]


async def test_a_node_that_lost_a_lane_leaves_it_alone(yard: Yard) -> None:
    await yard.add(steps=[held()], ordered=True)
    events = await send(yard, "one", "two")
    await yard.until_calls(1)
    token = await yard.store.read(_lane_token)
    await yard.store.write(release_lanes, [(LANE, token)])
    await yard.store.write(acquire_lanes, OTHER_NODE, ["theirs"])

    yard.open("one", "two")
    await yard.until(events[0], "succeeded")
    await yard.accepted(body=body("three"))
    await yard.stage.return_strays()

    assert yard.calls == ["one"]
    assert (await yard.row(events[1])).state == "queued"
    assert await yard.store.read(_lane_token) == "theirs"


def _lane_token(connection: Connection) -> str:
    return str(connection.execute(select(schema.lane.c.lease_token)).scalar_one())


async def test_a_stop_gives_the_lanes_up(yard: Yard) -> None:
    await yard.add(steps=[note()], ordered=True, ordering_key=BY_KEY)
    for key in "abc":
        await yard.until((await send(yard, key, key=key))[0], "succeeded")

    await yard.stop(grace=20)

    held_by = await yard.store.read(lambda c: set(c.execute(select(schema.lane.c.lease_node)).scalars()))
    assert held_by == {None}
