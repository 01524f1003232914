"""What time alone requires, and bulk jobs, with two nodes at it at the same time: each thing is done once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from crossdock.clock import new_id, new_token, system_now
from crossdock.manage.ports import Stages
from crossdock.model.bulk import BulkKind, BulkState
from crossdock.model.time import later
from crossdock.store import Store, open_store, schema
from crossdock.store.bulk_jobs import BulkJobRow, add_job, items_page, show_job
from crossdock.store.claims import Claim, claim_quarantined, end_delays
from crossdock.store.deliveries import expire_due
from crossdock.watch.bulk import BulkWork
from crossdock.watch.bulk_deeds import Replaying
from tests.support.held import HeldClock, held_sources
from tests.support.replies import Ledger
from tests.support.runs import NODE, OTHER_NODE, Runs
from tests.support.yard import Yard

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
NODES = (NODE, OTHER_NODE)
RUNS = 30
JOBS = 4


@pytest.fixture
def clock() -> HeldClock:
    """Held at the time of this test: the ids of new events tell the real time."""
    return HeldClock(system_now())


@pytest.fixture
async def stores(store: Store, database_url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two nodes' ways to one database."""
    async with open_store(database_url) as other:
        yield store, other


@pytest.fixture
async def runs(store: Store, clock: HeldClock, tmp_path: Path) -> Runs:
    """Of an integration that is set up."""
    yard = Yard(store, clock, tmp_path / "setting up")
    await yard.add()
    await yard.close()
    return Runs(store, clock.now)


@pytest.fixture
async def waiting(runs: Runs) -> list[str]:
    """Events whose runs nobody has begun."""
    return [await runs.queued() for _ in range(RUNS)]


async def both(stores: tuple[Store, Store], change: Any, *arguments: Any) -> list[Any]:
    """What both nodes get for the same change, begun at the same moment, again and again until they get nothing."""
    got: list[Any] = []
    while True:
        answers = await asyncio.gather(*(store.write(change, *arguments) for store in stores))
        if not any(answers):
            return got
        got += answers


# --- bulk jobs -------------------------------------------------------------------------------------------------------


async def test_bulk_jobs_deal_with_each_event_once(
    stores: tuple[Store, Store], waiting: list[str], clock: HeldClock, tmp_path: Path
) -> None:
    yards = [Yard(store, clock, tmp_path / node) for store, node in zip(stores, NODES, strict=True)]
    for yard in yards:
        await yard.add()
    workers = [_worker(yard, node_id) for yard, node_id in zip(yards, NODES, strict=True)]
    jobs = await _replay_jobs(stores[0], clock)

    async with asyncio.timeout(30):
        while await _unfinished(stores[0], jobs):
            await asyncio.gather(*(worker.look() for worker in workers))
            await asyncio.gather(*(worker.settle() for worker in workers))

    for job_id in jobs:
        items = await stores[0].read(items_page, job_id, limit=1_000)
        assert [item.event_id for item in items] == waiting
    assert Counter(await stores[0].read(_originals)) == Counter(waiting * JOBS)
    for yard in yards:
        await yard.close()


def _worker(yard: Yard, node_id: str) -> BulkWork:
    stages = Stages(yard.stage, announce=yard.answers.announce)
    replaying = Replaying(yard.store, yard.catalog, stages, clock=yard.clock, backlog_limit=10_000)
    return BulkWork(yard.store, {BulkKind.REPLAY: replaying}, sources=held_sources(yard.clock, node_id))


async def _replay_jobs(store: Store, clock: HeldClock) -> list[str]:
    """Jobs that replay the same events."""
    clock.advance(1)
    request = {"filter": {"integration": "int_a"}, "options": {}, "rate": 1_000.0}
    rows = [BulkJobRow(new_id("job"), "ws_1", BulkKind.REPLAY, request, clock(), "alice") for _ in range(JOBS)]
    for row in rows:
        assert await store.write(add_job, row, 10)
    return [row.id for row in rows]


async def _unfinished(store: Store, jobs: list[str]) -> list[str]:
    rows = [await store.read(show_job, "ws_1", job_id) for job_id in jobs]
    return [row.id for row in rows if row is not None and row.state is not BulkState.FINISHED]


def _originals(connection: Connection) -> list[str]:
    query = select(schema.event.c.replay_of).where(schema.event.c.replay_of.is_not(None))
    return list(connection.execute(query).scalars())


# --- runs and deliveries ---------------------------------------------------------------------------------------------


async def test_waiting_runs_are_claimed_once(stores: tuple[Store, Store], waiting: list[str], clock: HeldClock) -> None:
    claims = [
        store.submit(Claim("int_a", node_id, tuple(new_token() for _ in range(4)), clock()))
        for _ in range(6)
        for store, node_id in zip(stores, NODES, strict=True)
    ]

    claimed = [run.event.id for runs in await asyncio.gather(*claims) for run in runs]

    assert sorted(claimed) == sorted(waiting)


async def test_delays_end_once(stores: tuple[Store, Store], runs: Runs, clock: HeldClock) -> None:
    for n in range(RUNS):
        await runs.queued(lane=f"{n}")
    await stores[0].write(_change_runs, state="waiting", waiting_for="delay", due_at=later(clock.now, -1))

    ended = await both(stores, end_delays, clock())

    assert sorted(lane for lanes in ended for lane in lanes) == sorted(f"int_a:{n}" for n in range(RUNS))


async def test_runs_that_were_lost_with_a_node_are_taken_once(
    stores: tuple[Store, Store], waiting: list[str], clock: HeldClock
) -> None:
    await stores[0].write(_change_runs, losses=1)

    taken = [
        await asyncio.gather(
            *(s.write(claim_quarantined, n, new_token(), clock()) for s, n in zip(stores, NODES, strict=True))
        )
        for _ in range(RUNS)
    ]

    assert sorted(run.event.id for pair in taken for run in pair if run is not None) == sorted(waiting)


async def test_deliveries_expire_once(stores: tuple[Store, Store], clock: HeldClock) -> None:
    ledger = Ledger(stores[0])
    owed = [await ledger.owe_reply(clock(), expires_at=later(clock(), 1)) for _ in range(RUNS)]
    clock.advance(2)

    expired = await both(stores, expire_due, clock(), 7)

    assert sorted(one.id for some in expired for one in some) == sorted(delivery.id for delivery in owed)


def _change_runs(connection: Connection, **values: Any) -> None:
    connection.execute(update(schema.run).values(**values))
