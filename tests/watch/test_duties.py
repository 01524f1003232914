"""What is done once for all nodes, by whoever is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import Connection, select, text

from crossdock.clock import system_now
from crossdock.store import Store, open_store, schema
from crossdock.store.duties import due_in, keep_duty, take_duty
from crossdock.watch.duties import once_for_all
from crossdock.watch.turns import Turn, Watch
from tests.support.held import HeldClock, held_sources
from tests.support.runs import NODE, OTHER_NODE
from tests.support.yard import until

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
HOUR = 3_600.0
SOON = 0.25


# --- taking ----------------------------------------------------------------------------------------------------------


async def test_a_duty_is_taken_once_until_it_is_due_again(store: Store) -> None:
    now = system_now()

    taken = [await store.write(take_duty, "sweep", HOUR, node_id, now) for node_id in (NODE, OTHER_NODE, NODE)]

    assert taken == [True, False, False]
    assert HOUR - 60 < await store.read(due_in, "sweep", HOUR, now) <= HOUR


async def test_a_duty_that_nobody_ever_took_is_due(store: Store) -> None:
    assert await store.read(due_in, "sweep", HOUR, system_now()) == 0


async def test_a_duty_that_is_due_is_taken_by_anybody(store: Store) -> None:
    await store.write(take_duty, "sweep", HOUR, NODE, system_now())
    await store.write(_make_due_at, -1)

    assert await store.read(due_in, "sweep", HOUR, system_now()) == 0
    assert await store.write(take_duty, "sweep", HOUR, OTHER_NODE, system_now())


async def test_a_clock_that_was_set_back_delays_no_duty(store: Store) -> None:
    await store.write(take_duty, "sweep", HOUR, NODE, system_now())
    await store.write(_make_due_at, 30 * HOUR)

    assert await store.read(due_in, "sweep", HOUR, system_now()) == 0
    assert await store.write(take_duty, "sweep", HOUR, OTHER_NODE, system_now())


async def test_only_who_has_a_duty_keeps_it(store: Store) -> None:
    await store.write(take_duty, "sweep", HOUR, NODE, system_now())
    await store.write(_make_due_at, 1)

    kept = [await store.write(keep_duty, "sweep", HOUR, node_id, system_now()) for node_id in (OTHER_NODE, NODE)]

    assert kept == [False, True]
    assert await store.read(due_in, "sweep", HOUR, system_now()) > HOUR - 60


async def test_duties_are_each_their_own(store: Store) -> None:
    taken = [await store.write(take_duty, name, HOUR, NODE, system_now()) for name in ("sweep", "count")]

    assert taken == [True, True]


def _make_due_at(connection: Connection, seconds: float) -> None:
    if connection.dialect.name == "postgresql":
        now = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
    else:
        now = str(system_now())
    connection.execute(text(f"UPDATE duty SET due_at = {now} + {round(seconds * 1_000_000)}"))


# --- two nodes -------------------------------------------------------------------------------------------------------


class Node:
    """One that has a single thing to do again and again."""

    def __init__(self, store: Store, clock: HeldClock, node_id: str, work: Callable[[], Awaitable[None]]) -> None:
        turn = Turn("sweep", SOON, work)
        self.watch = Watch([once_for_all(turn, store, held_sources(clock, node_id))])


@pytest.fixture
async def stores(store: Store, database_url: str) -> AsyncIterator[tuple[Store, Store]]:
    async with open_store(database_url) as other:
        yield store, other


@on_postgresql
async def test_two_nodes_do_it_once_in_each_interval(stores: tuple[Store, Store], clock: HeldClock) -> None:
    begun: list[float] = []

    async def work() -> None:
        begun.append(asyncio.get_running_loop().time())

    nodes = [Node(store, clock, node_id, work) for store, node_id in zip(stores, (NODE, OTHER_NODE), strict=True)]
    for node in nodes:
        node.watch.start()
    await until(lambda: len(begun) >= 8)
    for node in nodes:
        await node.watch.stop()

    # from the commit that takes it to the next one; the loop may be late for the former
    spread = (begun[-1] - begun[0]) / (len(begun) - 1)
    assert spread > SOON * 0.9


@on_postgresql
async def test_when_the_one_that_does_it_dies_another_goes_on(stores: tuple[Store, Store], clock: HeldClock) -> None:
    begun: list[str] = []

    def work_of(node_id: str) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            begun.append(node_id)
            await asyncio.Event().wait()

        return work

    nodes = {n: Node(s, clock, n, work_of(n)) for s, n in zip(stores, (NODE, OTHER_NODE), strict=True)}
    for node in nodes.values():
        node.watch.start()
    await until(lambda: bool(begun))
    first = begun[0]
    (other,) = nodes.keys() - {first}
    await _kept(stores[0], times=10)  # for longer than three intervals
    alone = list(begun)

    await nodes[first].watch.stop()
    await until(lambda: len(begun) == 2)
    await nodes[other].watch.stop()

    assert alone == [first]
    assert begun == [first, other]


async def _kept(store: Store, times: int) -> None:
    """Wait until whoever has the duty has said so many times that it is still at it."""
    seen: set[int] = set()
    async with asyncio.timeout(20):
        while len(seen) <= times:
            seen.add(await store.read(lambda connection: connection.execute(select(schema.duty.c.due_at)).scalar_one()))


@on_postgresql
async def test_work_that_fails_is_done_again_in_the_next_interval(store: Store, clock: HeldClock) -> None:
    times = []

    async def work() -> None:
        times.append(1)
        raise RuntimeError("a fault")

    node = Node(store, clock, NODE, work)
    node.watch.start()
    await until(lambda: len(times) == 2)
    await node.watch.stop()
