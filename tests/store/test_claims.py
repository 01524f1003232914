"""Taking runs: what is due, in its order, once; what was lost with a node; stopping runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text

from crossdock.model.run import MAX_LOSSES
from crossdock.model.states import RunMove, RunState
from crossdock.model.time import later
from crossdock.store import Store
from crossdock.store.accept import Accepted
from crossdock.store.claims import (
    Claim,
    cancel_run,
    cancel_waiting,
    claim_quarantined,
    end_delays,
    pull_back_runs,
    read_leases,
    request_cancel,
    rescue_runs,
    return_runs,
)
from crossdock.store.database import open_database
from crossdock.store.lanes import park_run, release_run, skip_run
from crossdock.store.run_look import DueRuns, look_for_runs
from crossdock.store.settle import Settle
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE, REFUSED, Batch, Runs, a_step, add_integration, an_entry, settle_of
from tests.support.waiting import wait_until


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


async def claim(store: Store, now: int, tokens: int = 1, integration_id: str = "int_a") -> list[str]:
    """The event ids that a claim got."""
    names = tuple(f"token-{now}-{n}" for n in range(tokens))
    return [run.event.id for run in await store.submit(Claim(integration_id, NODE, names, now))]


async def look(store: Store, now: int) -> DueRuns:
    return await store.read(look_for_runs, NODE, now)


async def test_runs_are_claimed_oldest_first_up_to_the_slots(store: Store, runs: Runs, clock: HeldClock) -> None:
    ids = []
    for _ in range(5):
        ids.append(await runs.queued())
        runs.now = clock.advance(1)

    assert await claim(store, runs.now, 3) == ids[:3]
    assert await claim(store, runs.now, 3) == ids[3:]
    assert await claim(store, runs.now, 3) == []


async def test_a_claim_takes_the_runs_of_its_integration_only(store: Store, runs: Runs) -> None:
    await runs.queued("int_b")
    mine = await runs.queued("int_a")

    assert await claim(store, runs.now, 9) == [mine]


async def test_a_claimed_run_counts_a_start_and_keeps_the_first_start(
    store: Store, runs: Runs, clock: HeldClock
) -> None:
    run = await runs.leased()
    await runs.settle(run, RunMove.RETRY, due_at=later(runs.now, 5))
    at = clock.advance(5)

    (again,) = await store.submit(Claim("int_a", NODE, ("fresh",), at))

    row = await runs.row(run.event.id)
    assert again == replace(run, attempts=2, lease_token="fresh")
    assert (row.state, row.started_at, row.lease_node, row.lease_token) == ("running", runs.now, NODE, "fresh")


async def test_a_retry_is_claimed_when_it_is_due_and_not_before(store: Store, runs: Runs, clock: HeldClock) -> None:
    await store.write(add_integration, "int_a")
    run = await runs.leased()
    due_at = later(runs.now, 10)
    await runs.settle(run, RunMove.RETRY, due_at=due_at)

    assert await claim(store, due_at - 1) == []
    assert (await look(store, runs.now)).next_at == due_at
    assert await claim(store, due_at) == [run.event.id]


async def test_runs_of_lanes_and_runs_that_wait_are_never_claimed(store: Store, runs: Runs) -> None:
    await runs.queued(lane="k")
    await runs.settle(await runs.leased(), RunMove.DELAY, due_at=runs.now)
    await runs.settle(await runs.leased(), RunMove.BLOCK)

    assert await claim(store, later(runs.now, 1_000), 9) == []


async def test_claims_of_one_commit_share_nothing(store: Store, runs: Runs) -> None:
    ids = {await runs.queued() for _ in range(6)}

    async with Batch(store):
        futures = [store.submit(Claim("int_a", NODE, (f"{n}a", f"{n}b"), runs.now)) for n in range(4)]
    taken = [run.event.id for claimed in await asyncio.gather(*futures) for run in claimed]

    assert sorted(taken) == sorted(ids)


async def test_a_call_and_the_claim_of_one_commit_meet(store: Store, runs: Runs) -> None:
    async with Batch(store):
        claimed = store.submit(Claim("int_a", NODE, ("t",), runs.now))
        accepted = asyncio.ensure_future(runs.accept())
        await asyncio.sleep(0)

    answer = await accepted
    assert isinstance(answer, Accepted)
    assert [run.event.id for run in await claimed] == [answer.event.id]


async def test_integrations_with_due_runs_are_backlogged(store: Store, runs: Runs) -> None:
    for integration_id in ("int_a", "int_b", "int_c", "int_d", "int_e"):
        await store.write(add_integration, integration_id)
    await runs.queued("int_a")
    await runs.settle(await runs.leased("int_b"), RunMove.RETRY, due_at=later(runs.now, 10))
    await runs.queued("int_c", lane="k")
    await runs.leased("int_d")

    assert (await look(store, runs.now)).integrations == ("int_a",)
    assert sorted((await look(store, later(runs.now, 10))).integrations) == ["int_a", "int_b"]


# --- delays ----------------------------------------------------------------------------------------------------------


async def test_a_delay_ends_when_its_time_has_come(store: Store, runs: Runs) -> None:
    await store.write(add_integration, "int_a")
    free, ordered = await runs.leased(), await runs.accept(lane="k", leased=True)
    assert isinstance(ordered, Accepted)
    due_at = later(runs.now, 10)
    await runs.settle(free, RunMove.DELAY, due_at=due_at)

    assert not (await look(store, due_at - 1)).has_ended_delays
    assert await store.write(end_delays, due_at - 1) == []
    assert (await look(store, due_at)).has_ended_delays
    assert await store.write(end_delays, due_at) == []
    assert await claim(store, due_at) == [free.event.id]


async def test_the_end_of_a_delay_leaves_what_waits_for_an_operator(store: Store, runs: Runs) -> None:
    await store.write(add_integration, "int_a")
    blocked, parked = await runs.leased(), await runs.leased()
    await runs.settle(blocked, RunMove.BLOCK)
    await runs.settle(parked, RunMove.RETRY, due_at=runs.now)
    await store.write(park_run, parked.event.id)

    assert not (await look(store, later(runs.now, 1_000))).has_ended_delays
    await store.write(end_delays, later(runs.now, 1_000))

    assert [await runs.state(run.event.id) for run in (blocked, parked)] == ["waiting", "waiting"]


# --- nodes that died -------------------------------------------------------------------------------------------------


async def test_the_runs_of_a_dead_node_wait_again(store: Store, runs: Runs, clock: HeldClock) -> None:
    lost = [await runs.leased(node=OTHER_NODE) for _ in range(3)]
    mine = await runs.leased()
    at = clock.advance(20)

    rescued = await store.write(rescue_runs, [OTHER_NODE], NODE, at, "rescue")

    assert (rescued.queued, rescued.lost) == (3, ())
    row = await runs.row(lost[0].event.id)
    assert (row.state, row.losses, row.attempts, row.due_at, row.lease_token) == ("queued", 1, 1, at, None)
    assert await runs.state(mine.event.id) == "running"


async def test_a_second_rescue_finds_nothing(store: Store, runs: Runs) -> None:
    await runs.leased(node=OTHER_NODE)
    await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "rescue")

    rescued = await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "rescue")

    assert (rescued.queued, rescued.lost) == (0, ())


async def test_a_lost_run_is_worked_on_alone(store: Store, runs: Runs) -> None:
    lost = [await runs.leased(node=OTHER_NODE) for _ in range(2)]
    healthy = await runs.queued()
    await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "rescue")

    assert await claim(store, runs.now, 9) == [healthy]
    assert (await look(store, runs.now)).has_quarantined
    first = await store.write(claim_quarantined, NODE, "q1", runs.now)
    second = await store.write(claim_quarantined, NODE, "q2", runs.now)

    assert {first.event.id, second.event.id} == {run.event.id for run in lost}  # type: ignore[union-attr]
    assert await store.write(claim_quarantined, NODE, "q3", runs.now) is None
    assert not (await look(store, runs.now)).has_quarantined


async def test_a_run_that_was_lost_too_often_is_handed_over_to_be_failed(store: Store, runs: Runs) -> None:
    run = await runs.leased(node=OTHER_NODE)
    await runs.checkpoint(run, an_entry(0, a_step("one", 1)))
    for loss in range(MAX_LOSSES - 1):
        rescued = await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "rescue")
        assert (rescued.queued, rescued.lost) == (1, ())
        assert await store.write(claim_quarantined, OTHER_NODE, f"t{loss}", runs.now)

    rescued = await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "last")

    (lost,) = rescued.lost
    assert rescued.queued == 0
    assert (lost.losses, lost.lease_token, [s.id for e in lost.journal for s in e.steps]) == (
        MAX_LOSSES,
        "last",
        ["one"],
    )
    assert await runs.settle(lost, RunMove.FAIL, failure=REFUSED)


async def test_the_lanes_of_a_dead_node_are_free(store: Store, runs: Runs) -> None:
    await runs.accept(lane="k", leased=True, node=OTHER_NODE)

    await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "rescue")

    answer = await runs.accept(lane="k", leased=True)
    assert isinstance(answer, Accepted)
    assert answer.lane_token is not None


# --- leases that nobody knows of -------------------------------------------------------------------------------------


async def test_leases_that_nobody_knows_of_are_returned_untried(store: Store, runs: Runs) -> None:
    known, stray = await runs.leased(), await runs.leased()

    held = await store.read(read_leases, NODE)
    returned = await store.write(return_runs, [stray.lease_token], runs.now)

    assert held == {known.lease_token: known.event.id, stray.lease_token: stray.event.id}
    assert returned == 1
    assert [await runs.state(run.event.id) for run in (known, stray)] == ["running", "queued"]
    assert (await runs.row(stray.event.id)).attempts == 0


# --- stopping --------------------------------------------------------------------------------------------------------


async def test_a_run_that_nobody_works_on_is_canceled_at_once(store: Store, runs: Runs) -> None:
    queued, retrying, waiting = await runs.queued(), await runs.leased(), await runs.leased()
    await runs.settle(retrying, RunMove.RETRY, due_at=runs.now)
    await runs.settle(waiting, RunMove.BLOCK)

    for event_id in (queued, retrying.event.id, waiting.event.id):
        assert await store.write(cancel_waiting, event_id, runs.now)
        assert not await store.write(cancel_waiting, event_id, runs.now)
        row = await runs.row(event_id)
        assert (row.state, row.finished_at, row.waiting_for) == ("canceled", runs.now, None)


async def test_a_running_run_is_asked_to_stop(store: Store, runs: Runs) -> None:
    run, other = await runs.leased(), await runs.leased(node=OTHER_NODE)

    assert not await store.write(cancel_waiting, run.event.id, runs.now)
    assert await store.write(request_cancel, run.event.id)
    assert await store.write(request_cancel, other.event.id)

    assert (await look(store, runs.now)).cancel_requests == (run.event.id,)
    assert await runs.settle(run, RunMove.CANCEL)
    assert (await look(store, runs.now)).cancel_requests == ()
    assert not await store.write(request_cancel, run.event.id)


async def test_a_run_whose_attempt_ends_while_it_is_stopped_is_canceled(
    store: Store, runs: Runs, database_url: str
) -> None:
    run = await runs.leased()
    ended = settle_of(run, RunMove.RETRY, runs.now, due_at=later(runs.now, 60))
    database = open_database(database_url)

    with database.writer.connect() as other:
        database.begin(other)
        assert Settle.record(other, [ended]) == [True]
        stopping = asyncio.ensure_future(store.write(cancel_run, run.event.id, runs.now))
        await asyncio.to_thread(wait_until, lambda: is_held_up(other))
        other.exec_driver_sql("COMMIT")
    became = await asyncio.wait_for(stopping, 20)
    database.dispose()

    assert became is RunState.CANCELED
    assert await runs.state(run.event.id) == "canceled"


def is_held_up(connection: Connection) -> bool:
    """Whether another change waits for this one. Differs: on SQLite it has not begun before this one ends."""
    if connection.dialect.name == "sqlite":
        return True
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    return bool(connection.execute(text(waiting)).scalar_one())


async def test_stopping_a_run_tells_what_becomes_of_it(store: Store, runs: Runs) -> None:
    waiting, running, ended = await runs.queued(), await runs.leased(), await runs.leased()
    await runs.settle(ended)

    became = [await store.write(cancel_run, event_id, runs.now) for event_id in (waiting, running.event.id)]

    assert became == [RunState.CANCELED, RunState.RUNNING]
    assert (await runs.row(running.event.id)).cancel_requested
    assert await store.write(cancel_run, ended.event.id, runs.now) is None


async def test_a_run_to_be_stopped_is_canceled_when_its_node_has_died(store: Store, runs: Runs) -> None:
    run, other = await runs.leased(node=OTHER_NODE), await runs.leased(node=OTHER_NODE)
    await store.write(request_cancel, run.event.id)

    rescued = await store.write(rescue_runs, [OTHER_NODE], NODE, runs.now, "rescue")

    row = await runs.row(run.event.id)
    assert (row.state, row.finished_at, row.lease_node, row.lease_token) == ("canceled", runs.now, None, None)
    assert (rescued.queued, await runs.state(other.event.id)) == (1, "queued")


async def test_a_stray_to_be_stopped_is_canceled(store: Store, runs: Runs) -> None:
    run = await runs.leased()
    await store.write(request_cancel, run.event.id)

    assert await store.write(return_runs, [run.lease_token], runs.now) == 1
    assert await runs.state(run.event.id) == "canceled"


async def test_a_request_to_stop_ends_with_the_retry_of_an_operator(store: Store, runs: Runs) -> None:
    run = await runs.leased()
    await store.write(request_cancel, run.event.id)
    await runs.settle(run, RunMove.BLOCK, failure=REFUSED)

    assert await store.write(release_run, run.event.id, runs.now)

    assert await claim(store, runs.now) == [run.event.id]
    assert not (await runs.row(run.event.id)).cancel_requested
    assert (await look(store, runs.now)).cancel_requests == ()


async def test_an_operator_starts_a_waiting_retry_at_once_with_all_its_attempts(store: Store, runs: Runs) -> None:
    run = await runs.leased()
    await runs.settle(run, RunMove.RETRY, due_at=later(runs.now, 1_000))

    assert await store.write(release_run, run.event.id, runs.now)

    row = await runs.row(run.event.id)
    assert (row.state, row.due_at, row.attempts) == ("queued", runs.now, 0)
    assert await claim(store, runs.now) == [run.event.id]


async def test_operators_can_not_touch_what_is_worked_on_or_has_ended(store: Store, runs: Runs) -> None:
    working, ended = await runs.leased(), await runs.leased()
    await runs.settle(ended)

    for run in (working, ended):
        before = tuple(await runs.row(run.event.id))
        assert not await store.write(release_run, run.event.id, runs.now)
        assert not await store.write(skip_run, run.event.id, runs.now, "no")
        assert not await store.write(park_run, run.event.id)
        assert tuple(await runs.row(run.event.id)) == before


# --- clocks that differ ----------------------------------------------------------------------------------------------


async def test_what_a_clock_a_little_ahead_has_queued_is_due(store: Store, runs: Runs, clock: HeldClock) -> None:
    await store.write(add_integration, "int_a")
    runs.now = clock.advance(30)
    ahead = await runs.queued()
    now = later(runs.now, -30)

    assert (await look(store, now)).integrations == ("int_a",)
    assert await claim(store, now) == [ahead]


async def test_a_retry_is_not_taken_before_its_time(store: Store, runs: Runs) -> None:
    await store.write(add_integration, "int_a")
    run = await runs.leased()
    await runs.settle(run, RunMove.RETRY, due_at=later(runs.now, 30))

    assert (await look(store, runs.now)).integrations == ()
    assert await claim(store, runs.now) == []


async def test_what_a_clock_far_ahead_has_queued_is_pulled_back(store: Store, runs: Runs, clock: HeldClock) -> None:
    runs.now = clock.advance(3_600)
    ahead = await runs.queued()
    now = later(runs.now, -3_600)
    assert await claim(store, now) == []

    assert await store.write(pull_back_runs, now) == 1

    assert await claim(store, now) == [ahead]
