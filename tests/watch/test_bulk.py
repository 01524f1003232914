"""Bulk jobs at work: each event once, in order, not ahead of the queue, and never lost or doubled by a crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from crossdock.clock import new_id, system_now
from crossdock.manage.ports import Stages
from crossdock.model.bulk import BulkItem, BulkKind, BulkMove, BulkOutcome, BulkState
from crossdock.model.errors import Conflict, NotFound, StoreUnavailable
from crossdock.model.states import RunMove
from crossdock.model.time import format_instant
from crossdock.store import Store, schema
from crossdock.store.accept import Accept
from crossdock.store.bulk_jobs import (
    BulkJobRow,
    add_job,
    free_jobs,
    has_free_job,
    items_page,
    lease_jobs,
    move_job,
    record_replays,
    show_job,
)
from crossdock.store.claims import cancel_waiting
from crossdock.store.configuration import ensure_workspace
from crossdock.store.event_bites import read_events
from crossdock.watch.bulk import KEPT_SECONDS, BulkWork
from crossdock.watch.bulk_deeds import BATCH_BYTES, Canceling, Comparing, Replaying
from tests.support.held import HeldClock, held_sources
from tests.support.runs import NODE, OTHER_NODE, Runs, an_event
from tests.support.yard import Yard, until

BACKLOG = 50
FAST = 1_000.0


@dataclass
class World:
    yard: Yard
    runs: Runs
    clock: HeldClock
    verdicts: dict[str, Any] = field(default_factory=dict)
    slept: list[float] = field(default_factory=list)
    before_sleep: Callable[[], Awaitable[Any]] | None = None
    """What happens while a job sleeps between two batches."""

    @property
    def store(self) -> Store:
        return self.yard.store

    def worker(self, store: Store | None = None, node_id: str = NODE) -> BulkWork:
        store = store or self.store
        stages = Stages(self.yard.stage, announce=self.yard.answers.announce)
        catalog = self.yard.catalog
        deeds: Any = {
            BulkKind.REPLAY: Replaying(store, catalog, stages, clock=self.clock, backlog_limit=BACKLOG),
            BulkKind.CANCEL: Canceling(store, stages, clock=self.clock),
            BulkKind.WHAT_IF: Comparing(store, self.compare),
        }
        return BulkWork(store, deeds, sources=held_sources(self.clock, node_id), sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.before_sleep is not None:
            await self.before_sleep()

    async def compare(self, workspace_id: str, event_id: str, target: Any) -> Any:
        assert (workspace_id, target) == ("ws_1", {"integration_id": "int_a", "document": {"steps": []}})
        verdict = self.verdicts.get(event_id, "unchanged")
        if isinstance(verdict, Exception):
            raise verdict
        return {"verdict": verdict, "differences": []}

    async def job(self, kind: BulkKind = BulkKind.REPLAY, rate: float = FAST, **more: Any) -> str:
        """A new job for all events of `int_a` that are there."""
        self.clock.advance(1)
        self.runs.now = self.clock.now
        wanted = {"integration": "int_a", **more.pop("filter", {})}
        target = {"integration_id": "int_a", "document": {"steps": []}}
        request = {"filter": wanted, "options": more.pop("options", {}), "rate": rate, "target": target}
        row = BulkJobRow(new_id("job"), "ws_1", kind, request, self.clock(), "alice", **more)
        assert await self.store.write(add_job, row, 10)
        return row.id

    async def carry_out(self, job_id: str) -> BulkJobRow:
        worker = self.worker()
        await worker.look()
        await asyncio.wait_for(worker.settle(), 20)
        return await self.show(job_id)

    async def show(self, job_id: str) -> BulkJobRow:
        row = await self.store.read(show_job, "ws_1", job_id)
        assert row is not None
        return row

    async def items(self, job_id: str) -> list[BulkItem]:
        return await self.store.read(items_page, job_id, limit=1_000)

    async def replays(self) -> list[str]:
        """The originals of all replays, in the order of their acceptance."""
        return await self.store.read(_originals)


def _originals(connection: Connection) -> list[str]:
    query = select(schema.event.c.replay_of).where(schema.event.c.replay_of.is_not(None)).order_by(schema.event.c.id)
    return list(connection.execute(query).scalars())


@pytest.fixture
def clock() -> HeldClock:
    """Held at the time of this test: the ids of new events tell the real time."""
    return HeldClock(system_now())


@pytest.fixture
async def world(store: Store, clock: HeldClock, tmp_path: Path) -> AsyncIterator[World]:
    made = World(Yard(store, clock, tmp_path / "functions"), Runs(store, clock.now), clock)
    await made.yard.add()
    yield made
    await made.yard.close()


# --- replaying ---


async def test_each_event_is_replayed_once_in_the_order_of_acceptance(world: World) -> None:
    events = [await world.runs.queued() for _ in range(7)]

    job = await world.carry_out(await world.job())

    assert await world.replays() == events
    assert (job.state, job.total, job.done, job.skipped, job.failed) == (BulkState.FINISHED, 7, 7, 0, 0)
    assert job.summary == {"replayed": 7}
    assert [item.event_id for item in await world.items(job.id)] == events


async def test_replays_are_not_replayed_themselves(world: World) -> None:
    await world.runs.queued()
    for _ in range(3):
        await world.carry_out(await world.job())

    assert len(await world.replays()) == 1 + 2 + 4


async def test_a_node_whose_clock_is_behind_does_not_replay_replays(world: World) -> None:
    await world.runs.queued()
    job_id = await world.job()
    world.clock.advance(-0.5)

    assert (await world.carry_out(job_id)).done == 1


async def test_ordered_events_stay_ordered(world: World) -> None:
    await world.yard.add("int_a", ordered=True)
    events = [await world.runs.queued(lane="") for _ in range(5)]

    job = await world.carry_out(await world.job())

    rows = [await world.runs.row(item.document["new_event_id"]) for item in await world.items(job.id)]
    assert [row.lane_sequence for row in rows] == [6, 7, 8, 9, 10]
    assert await world.replays() == events


async def test_a_replay_may_take_another_version(world: World) -> None:
    await world.runs.queued()

    job = await world.carry_out(await world.job(options={"workflow_version": 7}))

    [item] = await world.items(job.id)
    assert (await world.runs.row(item.document["new_event_id"])).workflow_number == 7


async def test_only_events_that_match_are_replayed(world: World) -> None:
    await world.yard.add("int_b")
    await world.runs.queued("int_b")
    await world.runs.queued()
    failed = await world.runs.leased()
    await world.runs.settle(failed, RunMove.FAIL)

    await world.carry_out(await world.job(filter={"status": "failed"}))

    assert await world.replays() == [failed.event.id]


async def test_an_event_that_can_not_be_replayed_says_why(world: World) -> None:
    await world.yard.add("int_a", ordered=True, ordering_key="{{ body.customer }}")
    good = await world.runs.queued(body=b'{"customer": "c"}')
    bad = await world.runs.queued(body=b"{}")

    job = await world.carry_out(await world.job())

    assert (job.done, job.failed, job.summary) == (1, 1, {"replayed": 1, "failed": 1})
    told = {item.event_id: item for item in await world.items(job.id)}
    assert told[good].outcome is BulkOutcome.REPLAYED
    assert told[bad].document == {"reason": "the call has no value for ordering_key"}


async def test_a_disabled_integration_gets_no_replays(world: World) -> None:
    await world.runs.queued()
    await world.yard.add("int_a", enabled=False)

    job = await world.carry_out(await world.job())

    [item] = await world.items(job.id)
    assert item.document == {"reason": "the integration Name of int_a is disabled"}
    assert await world.replays() == []


async def test_a_replay_stands_as_deep_in_its_chain_as_the_original(world: World) -> None:
    event = replace(an_event(world.clock.now), depth=9)
    await world.store.submit(Accept(event, 1))

    job = await world.carry_out(await world.job())

    [item] = await world.items(job.id)
    made = await world.store.read(read_events, [item.document["new_event_id"]])
    assert [one.depth for one in made.values()] == [9]


async def test_a_job_without_events_finishes_at_once(world: World) -> None:
    job = await world.carry_out(await world.job())

    assert (job.state, job.total, job.done) == (BulkState.FINISHED, 0, 0)


# --- speed ---


async def test_a_job_keeps_to_its_rate(world: World) -> None:
    for _ in range(6):
        await world.runs.queued()

    began = time.monotonic()
    await world.carry_out(await world.job(rate=4.0))

    took = time.monotonic() - began
    assert len(world.slept) == 3
    assert 6 / 4.0 - took <= world.slept[-1] <= 6 / 4.0  # as nobody really sleeps, it is the time of all batches


async def test_a_replay_is_never_ahead_of_the_queue(world: World) -> None:
    events = [await world.runs.queued() for _ in range(BACKLOG)]
    job_id, worker = await world.job(), world.worker()

    await worker.look()
    await until(lambda: len(world.slept) > 2)
    job = await world.show(job_id)
    await world.store.write(_end_all, events)
    await asyncio.wait_for(worker.settle(), 20)

    assert (job.state, job.done) == (BulkState.RUNNING, 0)
    assert job.waiting_because == "50 runs or more of Name of int_a wait; the job goes on when there are fewer"
    assert (await world.show(job_id)).done == BACKLOG


def _end_all(connection: Connection, event_ids: list[str]) -> None:
    for event_id in event_ids:
        assert cancel_waiting(connection, event_id, 1)


async def test_bodies_are_held_a_few_at_a_time(world: World) -> None:
    for _ in range(3):
        await world.runs.queued(body=b"x" * (BATCH_BYTES // 2 + 1))

    job = await world.carry_out(await world.job())

    assert (job.done, len(world.slept)) == (3, 3)


# --- pausing and stopping ---


async def test_a_paused_job_stands_still_and_goes_on_where_it_was(world: World) -> None:
    events = [await world.runs.queued() for _ in range(6)]
    job_id = await world.job(rate=4.0)
    worker = world.worker()
    world.before_sleep = lambda: world.store.write(move_job, job_id, BulkMove.PAUSE, world.clock())

    await worker.look()
    await asyncio.wait_for(worker.settle(), 20)
    paused = await world.show(job_id)
    world.before_sleep = None
    assert await world.store.write(move_job, job_id, BulkMove.RESUME, world.clock())
    finished = await world.carry_out(job_id)

    assert (paused.state, paused.done) == (BulkState.PAUSED, 2)
    assert (finished.state, finished.done) == (BulkState.FINISHED, 6)
    assert await world.replays() == events


async def test_a_canceled_job_stays_as_it_is(world: World) -> None:
    for _ in range(6):
        await world.runs.queued()
    job_id = await world.job(rate=4.0)
    world.before_sleep = lambda: world.store.write(move_job, job_id, BulkMove.CANCEL, world.clock())

    job = await world.carry_out(job_id)

    assert (job.state, job.done, job.finished_at) == (BulkState.CANCELED, 2, world.clock())
    assert not await world.store.write(move_job, job_id, BulkMove.RESUME, world.clock())
    assert (await world.carry_out(job_id)).done == 2


# --- crashes ---


class Killed(BaseException):
    """The process is gone: nothing catches it."""


class KillingStore:
    """A store whose process dies at one of its writes, before or after the commit."""

    def __init__(self, store: Store, at: int, *, committed: bool) -> None:
        self._store = store
        self._at = at
        self._committed = committed
        self.read, self.read_at_once = store.read, store.read_at_once

    async def write(self, change: Any, *arguments: Any, **named: Any) -> Any:
        self._at -= 1
        if self._at == 0 and not self._committed:
            raise Killed
        answer = await self._store.write(change, *arguments, **named)
        if self._at == 0:
            raise Killed
        return answer


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("kind", list(BulkKind))
async def test_a_job_survives_a_kill_at_any_point(world: World, kind: BulkKind, committed: bool) -> None:
    events = [(await world.runs.leased()).event.id for _ in range(5)]
    world.clock.advance(1)
    bound = {"received_before": format_instant(world.clock())}
    for write in range(1, WRITES + 1):
        job_id = await world.job(kind, rate=4.0, filter=bound)
        store: Any = KillingStore(world.store, write, committed=committed)
        with pytest.raises(Killed):
            await _look_and_settle(world.worker(store))
        await world.store.write(free_jobs, [NODE])

        job = await world.carry_out(job_id)

        assert (job.state, job.dealt_with) == (BulkState.FINISHED, 5)
        assert [item.event_id for item in await world.items(job_id)] == events
    replayed = events * WRITES if kind is BulkKind.REPLAY else []
    assert await world.replays() == replayed


WRITES = 6
"""Of a job with three batches: its lease, its total, each batch, its end."""


async def _look_and_settle(worker: BulkWork) -> None:
    await worker.look()
    await asyncio.wait_for(worker.settle(), 20)


async def test_a_worker_that_lost_its_lease_changes_nothing(world: World) -> None:
    for _ in range(4):
        await world.runs.queued()
    job_id = await world.job(rate=4.0)
    stale = world.worker()
    world.before_sleep = lambda: world.store.write(free_jobs, [NODE])

    await stale.look()
    await asyncio.wait_for(stale.settle(), 20)
    world.before_sleep = None

    assert (await world.show(job_id)).done == 2
    assert (await world.carry_out(job_id)).done == 4
    assert len(await world.replays()) == 4


async def test_a_database_that_is_away_for_a_moment_is_waited_for(world: World) -> None:
    await world.runs.queued()
    job_id, away = await world.job(), [StoreUnavailable("away"), StoreUnavailable("away")]

    class Away(KillingStore):
        async def write(self, change: Any, *arguments: Any, **named: Any) -> Any:
            if away and change is record_replays:
                raise away.pop()
            return await super().write(change, *arguments, **named)

    store: Any = Away(world.store, 0, committed=False)
    await _look_and_settle(world.worker(store))

    assert (await world.show(job_id)).done == 1


async def test_a_job_that_meets_a_fault_fails_and_says_so(world: World) -> None:
    await world.runs.queued()
    job_id = await world.job()

    class Faulty(KillingStore):
        async def write(self, change: Any, *arguments: Any, **named: Any) -> Any:
            if change is record_replays:
                raise LookupError("secret words")
            return await super().write(change, *arguments, **named)

    store: Any = Faulty(world.store, 0, committed=False)
    await _look_and_settle(world.worker(store))

    job = await world.show(job_id)
    assert (job.state, job.error) == (BulkState.FAILED, "LookupError inside Crossdock; the log tells more under its id")


async def test_a_node_that_stops_leaves_its_jobs_to_others(world: World) -> None:
    for _ in range(4):
        await world.runs.queued()
    job_id = await world.job(rate=4.0)
    here, there = world.worker(), world.worker(node_id=OTHER_NODE)
    is_asleep = asyncio.Event()

    async def sleep_on() -> None:
        is_asleep.set()
        await asyncio.Event().wait()

    world.before_sleep = sleep_on
    await here.look()
    await asyncio.wait_for(is_asleep.wait(), 20)
    await there.look()
    await here.stop()
    world.before_sleep = None
    await _look_and_settle(there)

    assert (await world.show(job_id)).done == 4
    assert len(await world.replays()) == 4


async def test_a_lease_whose_answer_was_lost_is_taken_up_again(world: World) -> None:
    await world.runs.queued()
    job_id = await world.job()

    class Forgetful(KillingStore):
        async def write(self, change: Any, *arguments: Any, **named: Any) -> Any:
            answer = await super().write(change, *arguments, **named)
            if change is lease_jobs and self._lost:
                self._lost = False
                raise StoreUnavailable("the answer was lost")
            return answer

        _lost = True

    store: Any = Forgetful(world.store, 0, committed=False)
    worker = world.worker(store)
    with pytest.raises(StoreUnavailable):
        await worker.look()
    await _look_and_settle(worker)

    assert (await world.show(job_id)).done == 1


async def test_a_job_that_is_worked_on_is_not_taken_twice(world: World) -> None:
    await world.runs.queued()
    job_id, here, there = await world.job(), world.worker(), world.worker(node_id=OTHER_NODE)
    is_asleep, wake = asyncio.Event(), asyncio.Event()

    async def sleep_on() -> None:
        is_asleep.set()
        await wake.wait()

    world.before_sleep = sleep_on
    await here.look()
    await asyncio.wait_for(is_asleep.wait(), 20)
    free = [await world.store.read(has_free_job, *who) for who in ((OTHER_NODE, []), (NODE, ["another"]))]
    await there.look()
    wake.set()
    await asyncio.wait_for(asyncio.gather(here.settle(), there.settle()), 20)

    assert free == [False, True]
    assert len(await world.replays()) == (await world.show(job_id)).done == 1


# --- canceling ---


async def test_runs_are_canceled_or_asked_to_stop_or_left_alone(world: World) -> None:
    waiting = await world.runs.queued()
    running = (await world.runs.leased()).event.id
    ended = await world.runs.leased()
    await world.runs.settle(ended)

    job = await world.carry_out(await world.job(BulkKind.CANCEL))

    assert (await world.runs.state(waiting), await world.runs.state(running)) == ("canceled", "running")
    assert (await world.runs.row(running)).cancel_requested
    assert await world.runs.state(ended.event.id) == "succeeded"
    assert (job.done, job.skipped, job.summary) == (2, 1, {"canceled": 2, "skipped": 1})
    reasons = [item.document.get("reason") for item in await world.items(job.id)]
    assert reasons == [None, "it is being worked on; it stops at its next step", "it had ended already"]


# --- comparing ---


async def _ended(world: World, move: RunMove = RunMove.SUCCEED) -> str:
    run = await world.runs.leased()
    await world.runs.settle(run, move)
    return run.event.id


async def test_comparisons_are_counted_by_their_verdicts(world: World) -> None:
    changed, broken, same = [await _ended(world) for _ in range(3)]
    fixed = await _ended(world, RunMove.FAIL)
    world.verdicts = {changed: "changed", broken: "new_failure", fixed: "fixed_failure"}

    job = await world.carry_out(await world.job(BulkKind.WHAT_IF))

    assert (job.state, job.done) == (BulkState.FINISHED, 4)
    assert job.summary == {"unchanged": 1, "changed": 1, "new_failure": 1, "fixed_failure": 1, "unknown": 0}
    told = {item.event_id: item for item in await world.items(job.id)}
    assert told[same].document == {"comparison": {"verdict": "unchanged", "differences": []}}


async def test_what_has_no_outcome_is_not_compared(world: World) -> None:
    await world.runs.queued()
    await _ended(world, RunMove.CANCEL)

    job = await world.carry_out(await world.job(BulkKind.WHAT_IF))

    assert (job.done, job.skipped) == (0, 2)
    assert [item.document["reason"] for item in await world.items(job.id)] == [
        "it has not ended yet: there is no outcome to compare with",
        "it was canceled: there is no outcome to compare with",
    ]


async def test_a_comparison_that_breaks_does_not_stop_the_others(world: World) -> None:
    refused, broken, gone, same = [await _ended(world) for _ in range(4)]
    world.verdicts = {
        refused: Conflict("its version is gone"),
        broken: ZeroDivisionError("secret words"),
        gone: NotFound("there is no such event"),
    }

    job = await world.carry_out(await world.job(BulkKind.WHAT_IF))

    told = {item.event_id: item.document.get("reason") for item in await world.items(job.id)}
    assert (job.done, job.skipped, job.failed) == (1, 1, 2)
    assert told == {
        refused: "its version is gone",
        broken: "ZeroDivisionError inside Crossdock; the log tells more",
        gone: "there is no such event",
        same: None,
    }


# --- who goes first, and for how long ---


async def test_jobs_of_one_workspace_do_not_keep_out_another(world: World) -> None:
    mine = [await world.job() for _ in range(3)]
    await world.store.write(ensure_workspace, "ws_2", "other", 0)
    row = BulkJobRow(new_id("job"), "ws_2", BulkKind.CANCEL, {"filter": {}, "rate": 1}, world.clock(), "dora")
    assert await world.store.write(add_job, row, 10)

    leased = await world.store.write(lease_jobs, NODE, [], ["t1", "t2"], world.clock())

    assert [job_id for job_id, _ in leased] == [mine[0], row.id]


async def test_ended_jobs_are_forgotten_after_their_time(world: World) -> None:
    await world.runs.queued()
    old = await world.carry_out(await world.job())
    world.clock.advance(KEPT_SECONDS - 1)
    await world.worker().forget()
    assert await world.items(old.id)
    world.clock.advance(2)
    young = await world.job()

    await world.worker().forget()

    assert await world.store.read(show_job, "ws_1", old.id) is None
    assert await world.items(old.id) == []
    assert (await world.show(young)).state is BulkState.RUNNING
