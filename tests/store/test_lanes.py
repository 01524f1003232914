"""Lanes in the record: the head before the next, owned by one node, moved on by an operator."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Connection, update

from crossdock.model.run import LeasedRun
from crossdock.model.states import RunMove, RunState, WaitingFor
from crossdock.model.time import later
from crossdock.store import Store, schema
from crossdock.store.accept import Accept, Accepted
from crossdock.store.claims import Claim, cancel_waiting, request_cancel, rescue_runs
from crossdock.store.lanes import (
    LaneBurst,
    LaneClaim,
    LaneRelease,
    LaneTurn,
    acquire_lanes,
    count_lanes_by_node,
    dormant_lanes_in_use,
    has_orphan_lanes,
    head_of,
    list_lanes,
    owns_lane,
    park_run,
    read_lane,
    reclaim_head,
    release_lanes,
    release_run,
    skip_run,
    stalled_lanes,
    wake_forgotten_lanes,
)
from crossdock.store.settle import Settle
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE, REFUSED, Batch, Runs, a_step, an_entry, an_event, settle_of

LANE = "int_a:k"


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


async def fill(runs: Runs, count: int = 3, lane: str = "k", integration_id: str = "int_a") -> tuple[list[str], str]:
    """Events in a lane of this node, and the lane's token."""
    answers = [await runs.accept(integration_id, lane=lane, leased=True) for _ in range(count)]
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    token = accepted[0].lane_token
    assert token is not None
    return [answer.event.id for answer in accepted], token


def take(event_id: str, lane_token: str, now: int, token: str | None = None) -> LaneClaim:
    return LaneClaim(event_id, token or f"t-{event_id}", NODE, now, lane_token)


async def taken(store: Store, runs: Runs, event_id: str, lane_token: str) -> LeasedRun:
    """The run, taken by the lane's owner."""
    claim = take(event_id, lane_token, runs.now)
    assert await store.submit(LaneTurn(None, claim)) == (True, True)
    (queued,) = [q for q in await store.read(read_lane, LANE, 0, 99) if q.run.event.id == event_id]
    return replace(queued.run, lease_token=claim.token)


# --- turns -----------------------------------------------------------------------------------------------------------


async def test_the_end_of_the_head_and_the_start_of_the_next_are_one_change(store: Store, runs: Runs) -> None:
    (first, second, third), token = await fill(runs)
    head = await taken(store, runs, first, token)

    answer = await store.submit(LaneTurn(settle_of(head, RunMove.SUCCEED, runs.now), take(second, token, runs.now)))

    assert answer == (True, True)
    assert [await runs.state(event_id) for event_id in (first, second, third)] == ["succeeded", "running", "queued"]


async def test_the_next_is_not_taken_when_the_end_of_the_head_did_not_land(store: Store, runs: Runs) -> None:
    (first, second, _), token = await fill(runs)
    head = await taken(store, runs, first, token)
    stale = settle_of(head, RunMove.SUCCEED, runs.now, lease_token="stale")

    assert await store.submit(LaneTurn(stale, take(second, token, runs.now))) == (False, False)
    assert await runs.state(second) == "queued"


async def test_a_stale_owner_of_a_lane_takes_nothing(store: Store, runs: Runs) -> None:
    (first, _, _), token = await fill(runs)
    await store.write(release_lanes, [(LANE, token)])
    await store.write(acquire_lanes, OTHER_NODE, ["theirs"])

    assert await store.submit(LaneTurn(None, take(first, token, runs.now))) == (True, False)
    assert await store.submit(LaneBurst(((take(first, token, runs.now), _success(first, runs)),))) == (False,)
    assert await runs.state(first) == "queued"
    assert not await store.read(owns_lane, LANE, token)
    assert await store.read(owns_lane, LANE, "theirs")


async def test_turns_of_many_lanes_share_a_commit(store: Store, runs: Runs) -> None:
    lanes = {f"k{n}": await fill(runs, 2, f"k{n}") for n in range(5)}
    for (first, _), token in lanes.values():
        await store.submit(LaneTurn(None, take(first, token, runs.now)))

    async with Batch(store):
        futures = []
        for n, ((first, second), token) in enumerate(lanes.values()):
            end = replace(_success(first, runs), lease_token="stale" if n == 2 else f"t-{first}")
            futures.append(store.submit(LaneTurn(end, take(second, token, runs.now))))

    answers = await asyncio.gather(*futures)
    assert answers == [(True, True), (True, True), (False, False), (True, True), (True, True)]


async def test_two_ends_of_one_head_in_one_commit_have_each_their_answer(store: Store, runs: Runs) -> None:
    (first, second, _), token = await fill(runs)
    head = await taken(store, runs, first, token)
    right = settle_of(head, RunMove.SUCCEED, runs.now)

    async with Batch(store):
        futures = [
            store.submit(LaneTurn(replace(right, lease_token="stale"), take(second, token, runs.now, "stale"))),
            store.submit(LaneTurn(right, take(second, token, runs.now, "right"))),
        ]

    assert await asyncio.gather(*futures) == [(False, False), (True, True)]
    assert (await runs.row(second)).lease_token == "right"


def _success(event_id: str, runs: Runs) -> Settle:
    return Settle(event_id, "int_a", f"t-{event_id}", RunMove.SUCCEED, runs.now, entry=an_entry(0, a_step()))


async def test_a_burst_takes_and_ends_runs_in_one_commit(store: Store, runs: Runs) -> None:
    ids, token = await fill(runs, 3)

    landed = await store.submit(LaneBurst(tuple((take(i, token, runs.now), _success(i, runs)) for i in ids)))

    assert landed == (True, True, True)
    rows = [await runs.row(i) for i in ids]
    assert [(row.state, row.attempts, row.finished_at) for row in rows] == [("succeeded", 1, runs.now)] * 3
    assert all([await runs.journal(i) for i in ids])


async def test_a_burst_leaves_a_run_that_was_canceled_meanwhile(store: Store, runs: Runs) -> None:
    ids, token = await fill(runs, 3)
    await store.write(cancel_waiting, ids[1], runs.now)

    landed = await store.submit(LaneBurst(tuple((take(i, token, runs.now), _success(i, runs)) for i in ids)))

    assert landed == (True, False, True)
    assert await runs.state(ids[1]) == "canceled"
    assert await runs.journal(ids[1]) == ()


# --- reading a lane --------------------------------------------------------------------------------------------------


async def test_a_lane_is_read_in_order_behind_a_place(store: Store, runs: Runs) -> None:
    ids, _ = await fill(runs, 5)
    await fill(runs, 2, "other")

    all_of_it = await store.read(read_lane, LANE, 0, 99)
    slice_of_it = await store.read(read_lane, LANE, 1, 2)

    assert [queued.run.event.id for queued in all_of_it] == ids
    assert [queued.run.event.id for queued in slice_of_it] == ids[1:3]
    assert all((queued.state, queued.due_at) == (RunState.QUEUED, runs.now) for queued in all_of_it)


async def test_a_head_that_is_retried_stays_the_head_with_its_time(store: Store, runs: Runs) -> None:
    (first, second, _), token = await fill(runs)
    head = await taken(store, runs, first, token)
    await runs.settle(head, RunMove.RETRY, due_at=later(runs.now, 5), failure=REFUSED)

    found = await store.read(read_lane, LANE, 0, 2)

    assert [(q.run.event.id, q.state, q.run.attempts) for q in found] == [
        (first, RunState.RETRYING, 1),
        (second, RunState.QUEUED, 0),
    ]
    assert found[0].due_at == later(runs.now, 5)
    assert not found[0].is_held


async def test_the_runs_of_a_lane_are_claimed_by_nobody_else(store: Store, runs: Runs) -> None:
    await fill(runs)

    assert await store.submit(Claim("int_a", NODE, ("t",), runs.now)) == []


# --- owning ----------------------------------------------------------------------------------------------------------


async def test_lanes_with_work_and_no_owner_are_acquired(store: Store, runs: Runs) -> None:
    await runs.queued(lane="a")
    await runs.queued(lane="b")
    await fill(runs, 1, "owned")
    done, token = await fill(runs, 1, "done")
    await store.submit(LaneBurst(((take(done[0], token, runs.now), _success(done[0], runs)),)))
    assert await store.submit(LaneRelease("int_a:done", token))

    assert await store.read(has_orphan_lanes)
    first = await store.write(acquire_lanes, NODE, ["t1"])
    second = await store.write(acquire_lanes, NODE, ["t2", "t3"])

    assert sorted(lane_id for lane_id, _, _ in first + second) == ["int_a:a", "int_a:b"]
    assert [(owner, token) for _, owner, token in first + second] == [("int_a", "t1"), ("int_a", "t2")]
    assert not await store.read(has_orphan_lanes)


async def test_an_empty_lane_is_given_up_and_a_busy_one_is_not(store: Store, runs: Runs) -> None:
    (event_id,), token = await fill(runs, 1)

    assert not await store.submit(LaneRelease(LANE, token))
    await store.submit(LaneBurst(((take(event_id, token, runs.now), _success(event_id, runs)),)))
    assert not await store.submit(LaneRelease(LANE, "stale"))
    assert await store.submit(LaneRelease(LANE, token))
    assert not await store.read(owns_lane, LANE, token)


async def test_a_call_that_shares_the_commit_of_a_release_finds_the_lane_owned(store: Store, runs: Runs) -> None:
    (event_id,), token = await fill(runs, 1)
    await store.submit(LaneBurst(((take(event_id, token, runs.now), _success(event_id, runs)),)))

    async with Batch(store):
        accepted = asyncio.ensure_future(runs.accept(lane="k", leased=True))
        await asyncio.sleep(0)
        released = store.submit(LaneRelease(LANE, token))

    answer = await accepted
    assert isinstance(answer, Accepted)
    assert answer.lane_token is not None
    assert await store.read(owns_lane, LANE, answer.lane_token)
    assert await released == (answer.lane_token != token)


async def test_only_the_owner_takes_back_a_head_that_nobody_works_on(store: Store, runs: Runs) -> None:
    (first, _, _), token = await fill(runs)
    await taken(store, runs, first, token)

    assert not await store.write(reclaim_head, first, "stale", runs.now)
    assert await store.write(reclaim_head, first, token, runs.now)
    assert await runs.state(first) == "queued"


async def test_a_head_that_nobody_works_on_is_canceled_when_it_was_to_be_stopped(store: Store, runs: Runs) -> None:
    (first, second, _), token = await fill(runs)
    await taken(store, runs, first, token)
    await store.write(request_cancel, first)

    assert await store.write(reclaim_head, first, token, runs.now)

    assert await runs.state(first) == "canceled"
    assert await store.read(head_of, LANE) == second


async def test_the_head_of_a_dead_nodes_lane_waits_again_in_its_place(store: Store, runs: Runs) -> None:
    (first, second, third), token = await fill(runs)
    await taken(store, runs, first, token)

    await store.write(rescue_runs, [NODE], OTHER_NODE, runs.now, "rescue")

    found = await store.read(read_lane, LANE, 0, 9)
    assert [(q.run.event.id, q.state) for q in found] == [(i, RunState.QUEUED) for i in (first, second, third)]


# --- the operator ----------------------------------------------------------------------------------------------------


async def blocked(store: Store, runs: Runs) -> tuple[list[str], str]:
    """A lane of three whose head waits for an operator."""
    ids, token = await fill(runs)
    head = await taken(store, runs, ids[0], token)
    assert await runs.settle(head, RunMove.BLOCK, failure=REFUSED)
    return ids, token


async def test_a_blocked_head_is_held(store: Store, runs: Runs) -> None:
    ids, _ = await blocked(store, runs)

    found = await store.read(read_lane, LANE, 0, 1)

    assert found[0].is_held
    assert await store.read(head_of, LANE) == ids[0]


async def test_a_released_head_starts_with_all_its_attempts(store: Store, runs: Runs) -> None:
    ids, token = await blocked(store, runs)

    assert await store.write(release_run, ids[0], runs.now)

    head = await taken(store, runs, ids[0], token)
    assert head.event.id == ids[0]
    assert (await runs.row(ids[0])).attempts == 1


async def test_a_skipped_head_has_failed_and_the_next_is_the_head(store: Store, runs: Runs) -> None:
    ids, _ = await blocked(store, runs)

    assert await store.write(skip_run, ids[0], runs.now, "alice: not needed")

    row = await runs.row(ids[0])
    assert (row.state, row.finished_at, row.waiting_for) == ("failed", runs.now, None)
    assert row.error_message == "the order has no lines (skipped by an operator: alice: not needed)"
    assert await store.read(head_of, LANE) == ids[1]


async def test_a_parked_head_leaves_the_lane_and_runs_outside_of_it_when_released(store: Store, runs: Runs) -> None:
    ids, _ = await blocked(store, runs)

    assert await store.write(park_run, ids[0])
    assert await store.read(head_of, LANE) == ids[1]
    assert await store.submit(Claim("int_a", NODE, ("no",), later(runs.now, 99))) == []
    assert await store.write(release_run, ids[0], runs.now)

    (run,) = await store.submit(Claim("int_a", NODE, ("yes",), runs.now))
    assert run.event.id == ids[0]
    assert run.lane is None


async def test_the_head_can_not_be_moved_while_it_is_worked_on(store: Store, runs: Runs) -> None:
    ids, token = await fill(runs)
    await taken(store, runs, ids[0], token)

    for change in ((release_run, runs.now), (skip_run, runs.now, ""), (park_run,)):
        assert not await store.write(change[0], ids[0], *change[1:])
    assert await store.read(head_of, LANE) == ids[0]


async def test_a_decision_about_a_lane_lands_on_its_head_only(store: Store, runs: Runs) -> None:
    (head, second, _), _ = await blocked(store, runs)
    before = tuple(await runs.row(second))

    for change in ((release_run, runs.now), (skip_run, runs.now, ""), (park_run,)):
        assert not await store.write(change[0], second, *change[1:], lane_id=LANE)
    assert tuple(await runs.row(second)) == before
    assert await store.write(park_run, head, lane_id=LANE)

    assert not await store.write(skip_run, head, runs.now, "", lane_id=LANE)
    assert (await runs.row(head)).waiting_for == WaitingFor.PARKED
    assert await store.write(skip_run, second, runs.now, "", lane_id=LANE)


async def test_lanes_are_listed_with_their_heads(store: Store, runs: Runs) -> None:
    ids, _ = await blocked(store, runs)
    await fill(runs, 2, "z")
    await fill(runs, 1, "k", "int_b")
    await fill(runs, 1, "k", "int_a2")

    held, waiting = await store.read(list_lanes, "int_a", "", 99)

    assert (held.id, held.key, held.depth, held.head_event_id) == (LANE, "k", 3, ids[0])
    assert (held.head_state, held.waiting_for) == (RunState.WAITING, WaitingFor.OPERATOR)
    assert (held.head_attempts, held.head_error) == (1, "the order has no lines")
    assert (waiting.key, waiting.depth, waiting.head_state, waiting.waiting_for) == ("z", 2, RunState.QUEUED, None)


async def test_lanes_are_listed_page_by_page_without_gap_or_repetition(store: Store, runs: Runs) -> None:
    keys = ["", "A", "a", "b-1", "b.1", "b1", "ü", "z:z", "~", "日本", "a b"]
    for key in keys:
        await runs.queued(lane=key)
    await runs.queued("int_a0", lane="x")
    await runs.queued("int", lane="x")

    found: list[str] = []
    after = ""
    while page := await store.read(list_lanes, "int_a", after, 3):
        found += [lane.key for lane in page]
        after = page[-1].id

    assert sorted(found) == sorted(keys)


async def test_an_empty_lane_has_no_head_and_is_not_listed(store: Store, runs: Runs) -> None:
    (event_id,), _ = await fill(runs, 1)
    await store.write(cancel_waiting, event_id, runs.now)

    assert await store.read(head_of, LANE) is None
    assert await store.read(list_lanes, "int_a", "", 9) == []


# --- dormant lanes ---------------------------------------------------------------------------------------------------


async def emptied(store: Store, runs: Runs) -> str:
    """The token of a lane of this node in which all has ended."""
    (event_id,), token = await fill(runs, 1)
    assert await store.submit(LaneBurst(((take(event_id, token, runs.now), _success(event_id, runs)),))) == (True,)
    return token


async def with_blocked_head(store: Store, runs: Runs, lane: str = "k") -> tuple[list[str], str]:
    """A lane whose head waits for an operator, with others behind it."""
    events, token = await fill(runs, lane=lane)
    claim = take(events[0], token, runs.now)
    assert await store.submit(LaneTurn(None, claim)) == (True, True)
    end = replace(_success(events[0], runs), move=RunMove.BLOCK, lease_token=claim.token)
    assert await store.submit(LaneTurn(end, None)) == (True, False)
    return events, token


async def test_a_lane_with_something_to_start_is_not_given_up(store: Store, runs: Runs) -> None:
    _, token = await fill(runs)

    assert not await store.submit(LaneRelease(LANE, token))

    assert await store.read(owns_lane, LANE, token)


async def test_a_lane_whose_head_waits_for_an_operator_goes_dormant(store: Store, runs: Runs) -> None:
    _, token = await with_blocked_head(store, runs)

    assert await store.submit(LaneRelease(LANE, token))

    assert not await store.read(has_orphan_lanes)
    assert await store.write(acquire_lanes, NODE, ["t"]) == []


@pytest.mark.parametrize("decision", ["retry", "skip", "park", "cancel"])
async def test_an_operator_wakes_a_dormant_lane(store: Store, runs: Runs, decision: str) -> None:
    events, token = await with_blocked_head(store, runs)
    await store.submit(LaneRelease(LANE, token))
    decisions: dict[str, Callable[[Connection], bool]] = {
        "retry": lambda c: release_run(c, events[0], runs.now),
        "skip": lambda c: skip_run(c, events[0], runs.now, ""),
        "park": lambda c: park_run(c, events[0]),
        "cancel": lambda c: cancel_waiting(c, events[0], runs.now),
    }

    assert await store.write(decisions[decision])

    assert [lane_id for lane_id, _, _ in await store.write(acquire_lanes, OTHER_NODE, ["t"])] == [LANE]


async def test_an_event_wakes_a_dormant_lane_for_the_node_that_took_it_in(store: Store, runs: Runs) -> None:
    assert await store.submit(LaneRelease(LANE, await emptied(store, runs)))

    woken = await runs.accept(lane="k", leased=True, node=OTHER_NODE)

    assert isinstance(woken, Accepted)
    assert woken.node_id == OTHER_NODE
    assert await store.read(owns_lane, LANE, woken.lane_token or "")


async def test_an_event_of_a_node_that_runs_nothing_leaves_the_lane_to_be_found(store: Store, runs: Runs) -> None:
    assert await store.submit(LaneRelease(LANE, await emptied(store, runs)))

    await runs.accept(lane="k")

    assert await store.read(has_orphan_lanes)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_event_that_is_being_recorded_keeps_its_lane_awake(store: Store, runs: Runs) -> None:
    token = await emptied(store, runs)
    recorded, go_on = threading.Event(), threading.Event()

    def record_slowly(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")
        Accept.record(connection, [runs.change(an_event(runs.now), lane="k")])
        recorded.set()
        assert go_on.wait(20)
        connection.exec_driver_sql("COMMIT")

    other_node = asyncio.create_task(store.write_apart(record_slowly))
    await asyncio.to_thread(recorded.wait, 20)
    giving_up = store.submit(LaneRelease(LANE, token))
    async with asyncio.timeout(20):
        while not await store.read(_somebody_waits_for_a_lock):
            pass
    go_on.set()
    await other_node

    assert not await giving_up


async def test_lanes_that_were_taken_for_empty_are_woken(store: Store, runs: Runs) -> None:
    await fill(runs, lane="fine")
    _, held = await with_blocked_head(store, runs, "blocked")
    assert await store.submit(LaneRelease("int_a:blocked", held))
    await fill(runs)
    await store.write(_put_to_sleep, LANE)

    asleep = await store.read(dormant_lanes_in_use)
    assert sorted(asleep) == ["int_a:blocked", LANE]
    assert await store.write(wake_forgotten_lanes, asleep, runs.now) == []  # not yet: its head was due just now
    assert await store.write(wake_forgotten_lanes, asleep, later(runs.now, 1)) == [LANE]

    assert [lane_id for lane_id, _, _ in await store.write(acquire_lanes, NODE, ["a", "b"])] == [LANE]


def _put_to_sleep(connection: Connection, lane_id: str) -> None:
    lane = schema.lane
    asleep = {"dormant": True, "lease_node": None, "lease_token": None}
    connection.execute(update(lane).where(lane.c.id == lane_id).values(asleep))


def _somebody_waits_for_a_lock(connection: Connection) -> bool:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    return bool(connection.exec_driver_sql(waiting).scalar())


# --- between nodes ---------------------------------------------------------------------------------------------------


async def test_lanes_are_counted_by_the_nodes_that_own_them(store: Store, runs: Runs) -> None:
    for name in "abc":
        await fill(runs, 1, name)
    await runs.accept(lane="d", leased=True, node=OTHER_NODE)
    await runs.accept(lane="e")

    assert await store.read(count_lanes_by_node) == {NODE: 3, OTHER_NODE: 1}


async def test_lanes_whose_heads_should_have_started_are_found(store: Store, runs: Runs) -> None:
    await fill(runs)
    await fill(runs, 1, "other")
    await with_blocked_head(store, runs, "blocked")

    assert await store.read(stalled_lanes, NODE, runs.now) == []
    found = await store.read(stalled_lanes, NODE, later(runs.now, 1))

    assert sorted(one.id for one in found) == [LANE, "int_a:other"]
    assert {one.head_state for one in found} == {RunState.QUEUED}
    assert await store.read(stalled_lanes, OTHER_NODE, later(runs.now, 1)) == []


async def test_lanes_of_integrations_that_a_node_can_not_read_are_left_to_others(store: Store, runs: Runs) -> None:
    await runs.accept(lane="k")
    await runs.accept("int_b", lane="k")

    mine = await store.write(acquire_lanes, NODE, ["t1", "t2"], ("int_a",))
    theirs = await store.write(acquire_lanes, OTHER_NODE, ["t3", "t4"])

    assert [lane_id for lane_id, _, _ in mine] == ["int_b:k"]
    assert [lane_id for lane_id, _, _ in theirs] == ["int_a:k"]
