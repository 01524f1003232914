"""`emit` and `delay` over a real store: children are there exactly once, and waiting holds nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from crossdock.model.emission import MAX_DEPTH, Emission
from crossdock.model.retry import RetryPolicy
from crossdock.model.time import later
from crossdock.store import Store, schema
from crossdock.store.accept import event_of
from crossdock.store.claims import rescue_runs
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE, Runs, an_entry, an_event
from tests.support.yard import Yard, until

CHILD = {"id": "t", "transform": "{{ body }}"}


def emit(step_id: str = "hand", integration: str = "Name of int_b", **more: Any) -> dict[str, Any]:
    return {"id": step_id, "emit": {"integration": integration, "json": {"n": "{{ body.n }}"}, **more}}


def children(connection: Connection, event_id: str) -> list[Any]:
    query = select(schema.event).where(schema.event.c.emitted_by == event_id).order_by(schema.event.c.id)
    return [event_of(row) for row in connection.execute(query)]


async def test_an_emitted_event_is_handled_by_the_other_integration(yard: Yard, store: Store) -> None:
    await yard.add(steps=[emit(query={"from": "a"}, headers={"X-Site": "12"})])
    await yard.add("int_b", steps=[CHILD])

    parent = await yard.accepted(body=b'{"n": 7}')

    await yard.until(parent, "succeeded")
    (child,) = await store.read(children, parent)
    await yard.until(child.id, "succeeded")
    assert (child.integration_id, child.depth, child.request.body) == ("int_b", 1, b'{"n":7}')
    assert child.request.query == (("from", "a"),)
    assert dict(child.request.headers) == {"x-site": "12", "content-type": "application/json"}


async def test_emitted_events_keep_their_order_in_a_lane(yard: Yard, store: Store) -> None:
    loop = {"over": "{{ body.lines }}", "steps": [{"id": "hand", "emit": {
        "integration": "Name of int_b", "json": {"n": "{{ item }}"}}}]}  # fmt: skip
    await yard.add(steps=[{"id": "all", "for_each": loop}])
    note = {"id": "n", "python": {"function": "work:note", "arguments": {"name": "{{ body.n }}"}}}
    await yard.add("int_b", steps=[note], ordered=True)

    await yard.accepted(body=b'{"lines": ["1", "2", "3", "4"]}')

    assert await yard.until_calls(4) == ["1", "2", "3", "4"]


async def test_a_step_after_a_crash_does_not_emit_again(yard: Yard, store: Store, clock: HeldClock) -> None:
    held = {"id": "h", "python": {"function": "work:held", "arguments": {"name": "h"}}}
    await yard.add(steps=[emit(), held])
    await yard.add("int_b", steps=[CHILD])
    parent = await yard.accepted(body=b'{"n": 1}')
    await yard.until_calls(1)

    await store.write(rescue_runs, [NODE], OTHER_NODE, clock(), "t")
    yard.open("h")
    await yard.until(parent, "succeeded", attempts=2)

    assert len(await store.read(children, parent)) == 1


async def test_an_entry_that_is_submitted_again_emits_once(store: Store, clock: HeldClock) -> None:
    """As it is when the answer to a commit is lost with the connection to the database."""
    runs = Runs(store, clock())
    run = await runs.leased()
    child = replace(an_event(clock(), "int_b"), emitted_by=run.event.id, depth=1)
    entry = replace(an_entry(), emissions=(Emission(child, 0),))

    assert await runs.checkpoint(run, entry)
    assert await runs.checkpoint(run, entry)

    assert [one.id for one in await store.read(children, run.event.id)] == [child.id]


async def test_a_stale_entry_emits_nothing(store: Store, clock: HeldClock) -> None:
    runs = Runs(store, clock())
    run = replace(await runs.leased(), lease_token="stale")
    child = replace(an_event(clock(), "int_b"), emitted_by=run.event.id, depth=1)

    assert not await runs.checkpoint(run, replace(an_entry(), emissions=(Emission(child, 0),)))

    assert await store.read(children, run.event.id) == []


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([emit(integration="Nobody")], "unknown_integration"),
        ([emit(integration="Name of int_small")], "not_accepted"),
        ([emit(integration="Name of int_off")], "integration_disabled"),
        ([emit(query={"q": "{{ body }}"})], "expression"),
    ],
)
async def test_an_event_that_can_not_be_handed_over_fails_the_step(yard: Yard, steps: Any, kind: str) -> None:
    await yard.add(steps=steps, retry=RetryPolicy(1))
    await yard.add("int_small", max_body_bytes=2)
    await yard.add("int_off", enabled=False)

    row = await yard.until(await yard.accepted(body=b'{"n": 1}'), "failed")

    assert row.error_kind == kind
    assert row.error_step == "hand"


async def test_a_circle_of_events_comes_to_its_end(yard: Yard, store: Store) -> None:
    await yard.add(steps=[emit(integration="Name of int_a")])

    await yard.accepted(body=b'{"n": 1}')

    depths = await _depths_once_failed(store)
    assert depths == list(range(MAX_DEPTH + 1))


async def _depths_once_failed(store: Store) -> list[int]:
    def look(connection: Connection) -> tuple[bool, list[int]]:
        failed = connection.execute(
            select(schema.run.c.event_id).where(schema.run.c.error_kind == "emit_depth")
        ).first()
        return failed is not None, list(connection.execute(select(schema.event.c.depth).order_by("depth")).scalars())

    while True:
        has_failed, depths = await store.read(look)
        if has_failed:
            return depths


# --- delay -----------------------------------------------------------------------------------------------------------

DELAYED = [
    {"id": "before", "python": {"function": "work:note", "arguments": {"name": "before"}}},
    {"id": "wait", "delay": {"for": "PT10M"}},
    {"id": "after", "python": {"function": "work:note", "arguments": {"name": "after"}}},
]


async def test_a_delayed_run_holds_no_slot_and_goes_on_when_its_time_has_come(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=DELAYED, concurrency=1)
    event_id = await yard.accepted()

    row = await yard.until(event_id, "waiting")
    await until(lambda: yard.stage.in_work == 0)
    assert (row.waiting_for, row.due_at, row.lease_token) == ("delay", later(clock(), 600), None)

    clock.now = later(clock(), 601)
    yard.stage.wake()
    row = await yard.until(event_id, "succeeded")
    assert yard.calls == ["before", "after"]
    assert row.attempts == 1


async def test_a_delay_goes_on_in_another_process(yard: Yard, store: Store, clock: HeldClock, tmp_path: Path) -> None:
    live = await yard.add(steps=DELAYED)
    event_id = await yard.accepted()
    await yard.until(event_id, "waiting")
    await yard.stop()

    clock.now = later(clock(), 601)
    other = Yard(store, clock, tmp_path / "other", OTHER_NODE)
    other.know(live)
    other.start()
    await other.until(event_id, "succeeded")
    calls = other.calls
    await other.close()

    assert calls == ["after"]


async def test_a_lane_waits_for_its_delayed_head(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=DELAYED, ordered=True)
    first, second = await yard.accepted(), await yard.accepted()
    await yard.until(first, "waiting")

    assert (await yard.row(second)).state == "queued"
    clock.now = later(clock(), 601)
    yard.stage.wake()
    await yard.until(second, "waiting")
    assert yard.calls == ["before", "after", "before"]
