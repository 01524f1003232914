"""What came of runs and replies is left in the commit that ends them: a row for each integration, taken in once."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, select

from crossdock.model.delivery import LeasedReply
from crossdock.model.health import Outcome, ReplyDelivered, ReplyLost, RunFailed, RunsSucceeded
from crossdock.model.outcome import Failure
from crossdock.model.states import DeliveryMove, RunMove
from crossdock.model.time import later
from crossdock.store import Store, schema
from crossdock.store.claims import LOST, rescue_runs
from crossdock.store.deliveries import AttemptSettle, DeliveryClaim, expire_due
from crossdock.store.outcomes import integrations_with_outcomes, read_outcomes, take_outcomes
from crossdock.store.settle import NewReply
from tests.support.held import HeldClock
from tests.support.replies import Ledger
from tests.support.runs import NODE, OTHER_NODE, REFUSED, Batch, Runs, count, settle_of


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


def read_rows(connection: Connection) -> list[tuple[str, str, list[Outcome]]]:
    """(integration, kind, outcomes) of what waits to be taken in."""
    rows = connection.execute(select(schema.outcome).order_by(schema.outcome.c.at, schema.outcome.c.token))
    return [(row.integration_id, row.kind, read_outcomes(row.kind, row.content, row.at)) for row in rows]


async def test_runs_that_end_in_one_commit_leave_one_row_for_each_integration(store: Store, runs: Runs) -> None:
    leased = [await runs.leased("int_a") for _ in range(4)]
    other = await runs.leased("int_b")
    moves = (RunMove.SUCCEED, RunMove.SUCCEED, RunMove.FAIL, RunMove.SUCCEED)

    async with Batch(store):
        ends = [
            store.submit(settle_of(run, move, runs.now, failure=REFUSED if move is RunMove.FAIL else None))
            for run, move in zip(leased, moves, strict=True)
        ]
        ends.append(store.submit(settle_of(other, RunMove.SUCCEED, runs.now)))
    await asyncio.gather(*ends)

    failed = RunFailed(leased[2].event.id, "assert", "check", "the order has no lines", runs.now)
    assert sorted(await store.read(read_rows), key=lambda row: row[0]) == [
        ("int_a", "run", [RunsSucceeded(2, runs.now), failed, RunsSucceeded(1, runs.now)]),
        ("int_b", "run", [RunsSucceeded(1, runs.now)]),
    ]


async def test_what_is_no_end_leaves_nothing(store: Store, runs: Runs) -> None:
    for move in (RunMove.RETRY, RunMove.DELAY, RunMove.CANCEL, RunMove.HAND_BACK):
        await runs.settle(await runs.leased(), move, due_at=later(runs.now, 5), failure=REFUSED)

    assert await store.read(read_rows) == []


async def test_a_late_end_leaves_nothing(store: Store, runs: Runs) -> None:
    run = await runs.leased(node=OTHER_NODE)
    await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "rescue")

    assert not await runs.settle(run)

    assert await store.read(read_rows) == []


async def test_a_run_that_blocks_its_lane_counts_as_failed_each_time(store: Store, runs: Runs) -> None:
    run = await runs.leased()

    assert await runs.settle(run, RunMove.BLOCK, failure=REFUSED)

    ((_, _, (outcome,)),) = await store.read(read_rows)
    assert isinstance(outcome, RunFailed)
    assert outcome.kind == "assert"


async def test_runs_that_were_lost_together_leave_rows_of_their_own(store: Store, runs: Runs) -> None:
    for _ in range(2):
        await runs.leased(node=OTHER_NODE)
    for token in ("first", "second", "third"):
        rescued = await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, token)
        await store.write(_lease_all, OTHER_NODE)

    for run in rescued.lost:
        await store.write(_give_back, run.event.id)
        assert await runs.settle(run, RunMove.FAIL, failure=LOST)

    outcomes = [outcome for _, _, row in await store.read(read_rows) for outcome in row]
    assert [outcome.kind for outcome in outcomes if isinstance(outcome, RunFailed)] == ["node_lost"] * 2


def _lease_all(connection: Connection, node: str) -> None:
    """Another node takes whatever waits."""
    run = schema.run
    waiting = run.update().where(run.c.state == "queued")
    connection.execute(waiting.values(state="running", lease_node=node, lease_token="taken"))


def _give_back(connection: Connection, event_id: str) -> None:
    run = schema.run
    mine = run.update().where(run.c.event_id == event_id)
    connection.execute(mine.values(state="running", lease_node=NODE, lease_token="third"))


async def test_texts_that_a_database_refuses_are_left_readable(store: Store, runs: Runs) -> None:
    failure = Failure("a\x00b", "half \ud800 a pair" + "!" * 500, "st\x00ep")

    await runs.settle(await runs.leased(), RunMove.FAIL, failure=failure)

    ((_, _, (outcome,)),) = await store.read(read_rows)
    assert isinstance(outcome, RunFailed)
    assert (outcome.kind, outcome.step) == ("a\ufffdb", "st\ufffdep")
    assert outcome.message.startswith("half ? a pair!!!")
    assert len(outcome.message) == 300


# --- replies ---------------------------------------------------------------------------------------------------------


async def leased_reply(store: Store, ledger: Ledger, clock: HeldClock) -> LeasedReply:
    await ledger.owe_reply(clock.now)
    (claimed,) = await store.submit(DeliveryClaim("int_a", NODE, (f"claim-{clock.now}",), clock.now))
    await store.write(take_outcomes, ["int_a"], 100)  # that of the run
    return claimed  # type: ignore[no-any-return]


async def test_a_reply_that_ends_tells_how(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    for move in (DeliveryMove.DELIVER, DeliveryMove.FAIL, DeliveryMove.EXPIRE):
        reply = await leased_reply(store, ledger, clock)
        event_id = reply.handled.event.id
        error = None if move is DeliveryMove.DELIVER else "the target answered 410 Gone"

        assert await store.submit(AttemptSettle(reply.id, reply.lease_token, 1, move, clock.now, error=error))

        ((_, kind, (outcome,)),) = await store.read(read_rows)
        assert kind == "reply"
        if move is DeliveryMove.DELIVER:
            assert outcome == ReplyDelivered(clock.now)
        else:
            has_expired = move is DeliveryMove.EXPIRE
            assert outcome == ReplyLost(event_id, has_expired, "the target answered 410 Gone", clock.now)
        await store.write(take_outcomes, ["int_a"], 100)


async def test_a_reply_that_is_tried_again_leaves_nothing(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    reply = await leased_reply(store, ledger, clock)

    retry = AttemptSettle(reply.id, reply.lease_token, 1, DeliveryMove.RETRY, clock.now, due_at=clock.now)
    assert await store.submit(retry)

    assert await store.read(read_rows) == []


async def test_a_reply_that_expires_while_it_waits_tells_so(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    await ledger.owe_reply(clock.now, expires_at=later(clock.now, 5))
    await store.write(take_outcomes, ["int_a"], 100)

    await store.write(expire_due, later(clock.now, 6))

    ((_, _, (outcome,)),) = await store.read(read_rows)
    assert isinstance(outcome, ReplyLost)
    assert outcome.has_expired
    assert outcome.message == "the time for the reply ran out before it was delivered"


async def test_a_reply_that_is_born_too_late_tells_so(store: Store, runs: Runs) -> None:
    run = await runs.leased()

    await runs.settle(run, reply=NewReply("dlv_1", runs.now, runs.now, None))

    rows = {kind: outcomes for _, kind, outcomes in await store.read(read_rows)}
    message = "the time for the reply ran out before the event was handled"
    assert rows["reply"] == [ReplyLost(run.event.id, True, message, runs.now)]


# --- taking in -------------------------------------------------------------------------------------------------------


async def test_what_is_taken_in_is_gone_and_the_rest_waits(store: Store, runs: Runs) -> None:
    for integration_id in ("int_a", "int_a", "int_b", "int_c"):
        await runs.settle(await runs.leased(integration_id))
    assert await store.read(integrations_with_outcomes) == ["int_a", "int_b", "int_c"]

    taken = await store.write(take_outcomes, ["int_a", "int_b"], 10)

    assert {name: len(outcomes) for name, outcomes in taken.outcomes.items()} == {"int_a": 2, "int_b": 1}
    assert not taken.has_more
    assert await store.read(integrations_with_outcomes) == ["int_c"]


async def test_no_more_is_taken_in_at_once_than_is_asked_for(store: Store, runs: Runs) -> None:
    for step in range(3):
        runs.now = later(runs.now, 1)
        failure = Failure("assert", "no", f"step {step}")
        await runs.settle(await runs.leased(), RunMove.FAIL, failure=failure)

    taken = await store.write(take_outcomes, ["int_a"], 2)

    assert taken.has_more
    assert [outcome.step for outcome in taken.outcomes["int_a"] if isinstance(outcome, RunFailed)] == [
        "step 0",
        "step 1",
    ]
    assert await store.read(count, "outcome") == 1
