"""Counts, the bound of the queue, retention: what is done every now and then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, select

from crossdock.clock import system_now
from crossdock.model.tally import Tally
from crossdock.model.time import later
from crossdock.model.trigger import RateLimit
from crossdock.store import Store, schema
from crossdock.store.accept import DedupeKey
from crossdock.store.audit import AuditEntry, record
from crossdock.store.claims import cancel_waiting
from crossdock.store.events import first_id_at
from crossdock.store.lanes import LaneRelease, acquire_lanes
from crossdock.store.permits import Ask, take_permits
from crossdock.watch.upkeep import Upkeep
from tests.support.held import HeldClock
from tests.support.runs import Runs, count
from tests.support.yard import Yard

DAY = 86_400.0


@dataclass
class World:
    yard: Yard
    runs: Runs
    upkeep: Upkeep
    tally: Tally


@pytest.fixture
async def world(store: Store, clock: HeldClock, tmp_path: Path) -> AsyncIterator[World]:
    yard, tally = Yard(store, clock, tmp_path / "functions"), Tally()
    upkeep = Upkeep(
        store,
        yard.catalog,
        yard.observe,
        tally.take,
        clock=clock,
        queue_limit=5,
        retention_seconds=10 * DAY,
        audit_retention_seconds=400 * DAY,
    )
    yield World(yard, Runs(store, clock.now), upkeep, tally)
    await yard.close()


async def test_the_audit_log_is_kept_for_its_own_time(world: World, clock: HeldClock) -> None:
    store = world.yard.store
    ids = [f"{first_id_at(later(clock.now, -days * DAY), 'aud')}{days}" for days in range(391, 411)]
    who = ("usr_1", "alice", "key.added", "int_1", "Orders")
    entries = [AuditEntry(one, "wsp_1", later(clock.now, -n * DAY), *who) for n, one in enumerate(ids, 391)]
    await store.write(record, *entries)

    await world.upkeep.forget()

    assert await store.read(count, "audit") == 10


def rejections(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(select(schema.rejection))]


@pytest.mark.parametrize("lane", [None, ""])
async def test_a_queue_at_its_limit_is_full_until_some_of_it_is_gone(world: World, lane: str | None) -> None:
    await world.yard.add()
    await world.yard.add("int_b")
    waiting = [await world.runs.queued(lane=lane) for _ in range(5)]

    await world.upkeep.measure()
    assert world.upkeep.is_full("int_a")
    assert not world.upkeep.is_full("int_b")
    await world.yard.store.write(_finish, waiting[0])
    await world.upkeep.measure()

    assert not world.upkeep.is_full("int_a")


def _finish(connection: Connection, event_id: str) -> None:
    assert cancel_waiting(connection, event_id, 1)


async def test_what_waits_is_told_by_the_metrics(world: World, clock: HeldClock) -> None:
    await world.yard.add()
    await world.runs.queued()
    clock.advance(30)

    await world.upkeep.measure()

    text = world.yard.observe.text().decode()
    assert 'integration="int_a"} 1.0' in text
    assert 'integration="int_a"} 30.0' in text


async def test_refused_calls_are_written_once(world: World) -> None:
    world.tally.reject("int_a", "disabled", 7)
    world.tally.reject("int_a", "disabled", 9)

    await world.upkeep.write_counts()
    await world.upkeep.write_counts()

    assert await world.yard.store.read(rejections) == [("int_a", "disabled", 2, 9)]


async def test_events_are_forgotten_when_the_time_of_their_integration_is_over(world: World, clock: HeldClock) -> None:
    live = await world.yard.add()
    world.yard.know(replace(live, integration=replace(live.integration, retention=2 * DAY)))
    await world.runs.accept(finished=True)
    waiting = await world.runs.queued()

    clock.advance(2 * DAY)
    await world.upkeep.forget()
    assert await world.yard.store.read(count, "event") == 2
    clock.advance(1)
    await world.upkeep.forget()

    assert await world.yard.store.read(count, "event") == 1
    assert await world.runs.state(waiting) == "queued"


async def test_events_of_a_removed_integration_are_ended_and_forgotten(world: World, clock: HeldClock) -> None:
    waiting = await world.runs.queued()
    clock.advance(1)

    await world.upkeep.cancel_orphans()
    assert await world.runs.state(waiting) == "canceled"
    clock.advance(10 * DAY)
    await world.upkeep.forget()

    assert await world.yard.store.read(count, "event") == 0


async def test_dedupe_keys_and_lanes_that_nobody_needs_are_forgotten(world: World, clock: HeldClock) -> None:
    await world.yard.add()
    event_id = await world.runs.queued(lane="k", dedupe=DedupeKey("d", 60.0))
    await world.yard.store.write(_finish, event_id)
    ((lane_id, _, token),) = await world.yard.store.write(acquire_lanes, "node-1", ["t"])
    assert await world.yard.store.submit(LaneRelease(lane_id, token))

    clock.advance(2 * DAY)
    await world.upkeep.forget()

    assert await world.yard.store.read(count, "dedupe") == 0
    assert await world.yard.store.read(count, "lane") == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_calls_that_no_rate_limit_looks_at_any_more_are_forgotten(world: World, clock: HeldClock) -> None:
    await world.yard.add(rate_limit=RateLimit(9, DAY))
    asks = [Ask(name, RateLimit(9, DAY)) for name in ("int_a", "int_gone")]
    for days in (9, 2, 0):
        await world.yard.store.write(take_permits, asks, later(system_now(), -days * DAY))

    await world.upkeep.forget_permits()

    kept = select(schema.rate_use.c.integration_id)
    assert await world.yard.store.read(lambda c: list(c.execute(kept).scalars())) == ["int_a", "int_gone"]


async def test_a_large_past_is_forgotten_in_slices(world: World, clock: HeldClock) -> None:
    await world.yard.add()
    for _ in range(12):
        await world.runs.accept(finished=True)
    await world.yard.store.write(_multiply_events)

    clock.advance(31 * DAY)
    await world.upkeep.forget()

    assert await world.yard.store.read(count, "event") == 0
    assert await world.yard.store.read(count, "run") == 0


def _multiply_events(connection: Connection) -> None:
    """A hundred of each, with ids of the same time."""
    for table, key in ((schema.event, "id"), (schema.run, "event_id")):
        rows = [dict(row._mapping) for row in connection.execute(select(table))]
        connection.execute(delete(table))
        connection.execute(table.insert(), [{**row, key: f"{row[key]}{n}"} for row in rows for n in range(100)])
