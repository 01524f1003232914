"""Ends and checkpoints of runs: guarded by the lease, landing once, with all that belongs to them or nothing."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest
from sqlalchemy import Connection, select

from crossdock.model.outcome import Result
from crossdock.model.states import FINAL_RUN_STATES, RUN_MOVES, RunMove, RunState
from crossdock.model.time import later
from crossdock.store import Store, schema
from crossdock.store.accept import Accepted
from crossdock.store.claims import Claim, cancel_waiting, claim_quarantined, request_cancel, rescue_runs
from crossdock.store.lanes import LaneClaim, LaneTurn, head_of
from crossdock.store.settle import NewReply, Settle
from crossdock.store.status import read_status
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE, REFUSED, Batch, Runs, a_step, an_entry, count, settle_of

ENDS = (RunMove.SUCCEED, RunMove.FAIL, RunMove.CANCEL)
PAUSES = (RunMove.RETRY, RunMove.DELAY, RunMove.BLOCK, RunMove.HAND_BACK)


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


def delivery(connection: Connection, delivery_id: str) -> tuple[object, ...]:
    found = connection.execute(select(schema.delivery).where(schema.delivery.c.id == delivery_id)).one()
    return (found.state, found.due_at, found.finished_at, found.attempts, found.lease_node, found.lease_token)


async def test_an_end_leads_to_the_state_of_the_table_and_frees_the_lease(runs: Runs) -> None:
    for move in (*ENDS, *PAUSES):
        run = await runs.leased()

        assert await runs.settle(run, move, due_at=later(runs.now, 5))

        row = await runs.row(run.event.id)
        target = RUN_MOVES[move][1]
        assert (row.state, row.lease_node, row.lease_token) == (target, None, None)
        assert row.finished_at == (runs.now if target in FINAL_RUN_STATES else None)


async def test_a_second_end_of_one_lease_is_refused(runs: Runs) -> None:
    for first, second in itertools.product((*ENDS, *PAUSES), ENDS):
        run = await runs.leased()
        await runs.settle(run, first, due_at=runs.now)
        before = tuple(await runs.row(run.event.id))

        assert not await runs.settle(run, second, failure=REFUSED, entry=an_entry(0, a_step()))

        assert tuple(await runs.row(run.event.id)) == before
        assert await runs.journal(run.event.id) == ()


async def test_a_late_settle_is_refused_with_all_that_belongs_to_it(store: Store, runs: Runs) -> None:
    run = await runs.leased(node=OTHER_NODE)
    await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "rescue")
    reply = NewReply("dlv_1", runs.now, None, None)

    assert not await runs.settle(run, entry=an_entry(0, a_step()), reply=reply)

    assert await runs.state(run.event.id) == "queued"
    assert await runs.journal(run.event.id) == ()
    assert await store.read(count, "delivery") == 0


async def test_a_late_settle_is_refused_though_the_run_is_leased_anew(store: Store, runs: Runs) -> None:
    run = await runs.leased(node=OTHER_NODE)
    await runs.settle(run, RunMove.HAND_BACK)
    (again,) = await store.submit(Claim("int_a", NODE, ("fresh",), runs.now))

    assert not await runs.settle(run, RunMove.FAIL)
    assert await runs.settle(again)
    assert await runs.state(run.event.id) == "succeeded"


async def test_a_late_checkpoint_is_refused(store: Store, runs: Runs) -> None:
    run = await runs.leased(node=OTHER_NODE)
    await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "rescue")

    assert not await runs.checkpoint(run, an_entry(0, a_step()))
    assert await runs.journal(run.event.id) == ()


async def test_checkpoints_of_one_commit_land_only_with_their_lease(store: Store, runs: Runs) -> None:
    run, other = await runs.leased(), await runs.leased()

    async with Batch(store):
        futures = [
            asyncio.ensure_future(runs.checkpoint(replace(run, lease_token="stale"), an_entry(0, a_step("stale")))),
            asyncio.ensure_future(runs.checkpoint(run, an_entry(0, a_step("right")))),
            asyncio.ensure_future(runs.checkpoint(other, an_entry(0, a_step("other")))),
        ]
        await asyncio.sleep(0)

    assert await asyncio.gather(*futures) == [False, True, True]
    assert [step.id for entry in await runs.journal(run.event.id) for step in entry.steps] == ["right"]


async def test_what_was_durably_finished_comes_with_the_run_to_its_next_holder(store: Store, runs: Runs) -> None:
    run = await runs.leased(node=OTHER_NODE)
    entries = (an_entry(0, a_step("one", 1)), an_entry(1, a_step("two", 2), result=Result(201)))
    for entry in entries:
        assert await runs.checkpoint(run, entry)
    await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "rescue")

    again = await store.write(claim_quarantined, NODE, "next", runs.now)

    assert again is not None
    assert again.journal == entries
    assert (again.attempts, again.losses) == (2, 1)


async def test_an_attempt_that_was_retried_comes_with_its_history(store: Store, runs: Runs) -> None:
    run = await runs.leased()
    await runs.checkpoint(run, an_entry(0, a_step("one", 1)))
    await runs.settle(run, RunMove.RETRY, due_at=runs.now, failure=REFUSED, entry=an_entry(1, a_step("two")))

    (again,) = await store.submit(Claim("int_a", NODE, ("next",), runs.now))

    assert again.attempts == 2
    assert again.lease_token == "next"
    assert [step.id for entry in again.journal for step in entry.steps] == ["one", "two"]


async def test_only_an_attempt_that_failed_counts(runs: Runs) -> None:
    for move, attempts in ((RunMove.RETRY, 1), (RunMove.HAND_BACK, 0), (RunMove.DELAY, 0)):
        run = await runs.leased()

        await runs.settle(run, move, due_at=runs.now)

        assert (await runs.row(run.event.id)).attempts == attempts


async def test_an_error_is_kept_and_the_next_success_clears_it(store: Store, runs: Runs) -> None:
    run = await runs.leased()
    await runs.settle(run, RunMove.RETRY, due_at=runs.now, failure=REFUSED)
    failed = await runs.row(run.event.id)
    (again,) = await store.submit(Claim("int_a", NODE, ("next",), runs.now))
    await runs.settle(again)

    assert (failed.error_kind, failed.error_message, failed.error_step) == ("assert", "the order has no lines", "check")
    assert (await runs.row(run.event.id)).error_kind is None


# --- replies ---------------------------------------------------------------------------------------------------------


async def test_a_reply_is_owed_with_the_end_in_one_commit(store: Store, runs: Runs) -> None:
    run = await runs.leased()

    await runs.settle(run, reply=NewReply("dlv_1", runs.now, later(runs.now, 60), None))

    assert await store.read(delivery, "dlv_1") == ("queued", runs.now, None, 0, None, None)


async def test_a_reply_with_a_free_sender_is_leased_as_it_is_recorded(store: Store, runs: Runs) -> None:
    run = await runs.leased()

    await runs.settle(run, reply=NewReply("dlv_1", runs.now, None, (NODE, "sender")))

    assert await store.read(delivery, "dlv_1") == ("sending", runs.now, None, 1, NODE, "sender")


async def test_a_reply_whose_time_is_over_is_expired_as_it_is_recorded(store: Store, runs: Runs) -> None:
    run = await runs.leased()

    await runs.settle(run, reply=NewReply("dlv_1", runs.now, runs.now, (NODE, "sender")))

    assert await store.read(delivery, "dlv_1") == ("expired", runs.now, runs.now, 0, None, None)


# --- asked to stop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", [RunMove.RETRY, RunMove.DELAY, RunMove.HAND_BACK])
async def test_a_run_that_was_to_be_stopped_does_not_start_again(store: Store, runs: Runs, move: RunMove) -> None:
    run = await runs.leased()
    assert await store.write(request_cancel, run.event.id)

    assert await runs.settle(run, move, due_at=runs.now, entry=an_entry(0, a_step()))

    row = await runs.row(run.event.id)
    assert (row.state, row.finished_at, row.waiting_for) == ("canceled", runs.now, None)
    assert (row.lease_node, row.lease_token) == (None, None)
    assert await runs.journal(run.event.id) == (an_entry(0, a_step()),)
    assert await store.submit(Claim("int_a", NODE, ("next",), later(runs.now, 99))) == []


@pytest.mark.parametrize("move", [RunMove.SUCCEED, RunMove.FAIL, RunMove.BLOCK])
async def test_a_run_that_ended_before_it_was_stopped_keeps_its_end(store: Store, runs: Runs, move: RunMove) -> None:
    run = await runs.leased()
    await store.write(request_cancel, run.event.id)

    assert await runs.settle(run, move)

    assert await runs.state(run.event.id) == RUN_MOVES[move][1]


async def test_the_lane_of_a_run_that_was_stopped_between_attempts_goes_on(store: Store, runs: Runs) -> None:
    first, second = [await runs.accept(lane="k", leased=True) for _ in range(2)]
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    claim = LaneClaim(first.event.id, "t1", NODE, runs.now, str(first.lane_token))
    assert await store.submit(LaneTurn(None, claim)) == (True, True)
    await store.write(request_cancel, first.event.id)

    retry = Settle(first.event.id, "int_a", "t1", RunMove.RETRY, runs.now, later(runs.now, 60))
    assert await store.submit(LaneTurn(retry, None)) == (True, False)

    assert await runs.state(first.event.id) == "canceled"
    assert await store.read(head_of, "int_a:k") == second.event.id


# --- final means final -----------------------------------------------------------------------------------------------


async def test_nothing_changes_a_run_that_has_ended(store: Store, runs: Runs) -> None:
    for move in ENDS:
        run = await runs.leased()
        await runs.settle(run, move)
        before = tuple(await runs.row(run.event.id))

        assert await store.submit(Claim("int_a", NODE, ("next",), later(runs.now, 1))) == []
        assert not await store.write(cancel_waiting, run.event.id, runs.now)
        rescued = await store.write(rescue_runs, [NODE], OTHER_NODE, runs.now, "rescue")

        assert (rescued.queued, rescued.lost) == (0, ())
        assert tuple(await runs.row(run.event.id)) == before


# --- the status that a caller reads ----------------------------------------------------------------------------------


async def test_the_status_tells_the_first_result(store: Store, runs: Runs) -> None:
    run = await runs.leased()
    await runs.checkpoint(run, an_entry(0, a_step(), result=Result(201, (), b"1")))
    await runs.settle(run, entry=an_entry(1, a_step("late"), result=Result(200, (), b"2")))

    status = await store.read(read_status, run.event.id)

    assert status is not None
    assert (status.state, status.result, status.failure) == (RunState.SUCCEEDED, Result(201, (), b"1"), None)
    assert (status.received_at, status.finished_at, status.is_blocked) == (runs.now, runs.now, False)


async def test_the_status_of_a_blocked_head_says_so(store: Store, runs: Runs) -> None:
    run = await runs.leased()
    await runs.settle(run, RunMove.BLOCK, failure=REFUSED)

    status = await store.read(read_status, run.event.id)

    assert status is not None
    assert status.is_blocked
    assert status.failure == REFUSED


async def test_there_is_no_status_of_an_unknown_event(store: Store) -> None:
    assert await store.read(read_status, "evt_none") is None


async def test_settles_of_many_runs_share_a_commit_and_each_has_its_own_answer(store: Store, runs: Runs) -> None:
    leased = [await runs.leased() for _ in range(20)]
    stale = [replace(run, lease_token="stale") if n % 3 == 0 else run for n, run in enumerate(leased)]

    async with Batch(store):
        futures = [
            store.submit(settle_of(run, RunMove.SUCCEED, runs.now, entry=an_entry(0, a_step(f"s{n}"))))
            for n, run in enumerate(stale)
        ]

    assert await asyncio.gather(*futures) == [n % 3 != 0 for n in range(20)]
