"""What waits, counted for the door and the metrics; refused calls, added up."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select

from crossdock.model.states import RunMove
from crossdock.store import Store, schema
from crossdock.store.backlog import add_rejections, blocked_lanes, count_backlog
from tests.support.held import HeldClock
from tests.support.runs import REFUSED, Runs, add_integration


@pytest.fixture
async def runs(store: Store, clock: HeldClock) -> Runs:
    await store.write(add_integration, "int_a")
    return Runs(store, clock.now)


def rejections(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(select(schema.rejection).order_by(schema.rejection.c.reason))]


async def test_what_waits_is_counted_with_its_oldest(store: Store, runs: Runs, clock: HeldClock) -> None:
    first = runs.now
    await runs.queued()
    runs.now = clock.advance(5)
    await runs.queued()
    await runs.leased()
    await runs.queued("int_a2")
    await runs.settle(await runs.leased(), RunMove.RETRY, due_at=runs.now)
    await runs.accept(finished=True)

    found = await store.read(count_backlog, ["int_a", "int_b"], 99)

    assert found == {"int_a": (3, first)}


@pytest.mark.parametrize("key", ["", "k", "ü", "~"])
async def test_what_waits_in_lanes_is_counted_too(store: Store, runs: Runs, key: str) -> None:
    for _ in range(3):
        await runs.queued(lane=key)
    await runs.queued("int_a2", lane=key)
    await runs.queued("int", lane=key)

    assert await store.read(count_backlog, ["int_a"], 99) == {"int_a": (3, runs.now)}


async def test_nothing_waits_where_there_are_no_integrations(store: Store) -> None:
    assert await store.read(count_backlog, [], 99) == {}


async def test_counting_ends_at_the_limit(store: Store, runs: Runs) -> None:
    for n in range(6):
        await runs.queued(lane="k" if n % 2 else None)

    assert (await store.read(count_backlog, ["int_a"], 4))["int_a"][0] == 4


async def test_blocked_lanes_are_counted_by_integration(store: Store, runs: Runs) -> None:
    for integration_id in ("int_a", "int_a", "int_b"):
        await runs.settle(await runs.leased(integration_id), RunMove.BLOCK, failure=REFUSED)
    await runs.settle(await runs.leased("int_c"), RunMove.DELAY, due_at=runs.now)

    assert await store.read(blocked_lanes) == {"int_a": 2, "int_b": 1}


async def test_refused_calls_add_up_by_reason(store: Store) -> None:
    await store.write(add_rejections, [("int_a", "disabled", 2, 10), ("int_a", "method", 1, 11)])
    await store.write(add_rejections, [("int_a", "disabled", 3, 20)])

    assert await store.read(rejections) == [("int_a", "disabled", 5, 20), ("int_a", "method", 1, 11)]
