"""Rate limits: a sliding window, whatever the clock does; where several nodes share a database, one for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, delete

from crossdock.model.time import SECOND
from crossdock.model.trigger import RateLimit
from crossdock.receive.rate import OwnRates, SharedRates
from crossdock.store import Store, open_store, schema
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE
from tests.support.yard import Yard

TWO_A_SECOND = RateLimit(2, 1.0)
TWO_A_DAY = RateLimit(2, 86_400.0)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


# --- in one process --------------------------------------------------------------------------------------------------


async def test_calls_beyond_the_limit_wait_until_the_window_has_room(clock: HeldClock) -> None:
    rates = OwnRates(clock.monotonic)

    waits = []
    for pause in (0, 0.25, 0.25, 0.5, 0.125, 0.125):
        clock.advance(pause)
        waits.append(await rates.admit("int_a", TWO_A_SECOND))

    assert waits == [None, None, 0.5, None, 0.125, None]


@given(pauses=st.lists(st.floats(0, 0.5), max_size=60), requests=st.integers(1, 5))
async def test_no_window_ever_has_more_calls_than_the_limit(pauses: list[float], requests: int) -> None:
    clock = HeldClock()
    rates, moments = OwnRates(clock.monotonic), []

    for pause in pauses:
        clock.advance(pause)
        if await rates.admit("int_a", RateLimit(requests, 1.0)) is None:
            moments.append(clock.monotonic())

    assert all(later - first >= 1.0 for first, later in zip(moments, moments[requests:], strict=False))


@on_sqlite
async def test_a_clock_that_is_set_keeps_nobody_out_and_lets_nobody_in(store: Store, tmp_path: Path) -> None:
    clock = HeldClock()
    yard = Yard(store, clock, tmp_path / NODE)
    await yard.add(rate_limit=TWO_A_SECOND)
    statuses = [(await yard.call()).status, (await yard.call()).status]

    for hours in (-2, 4):
        clock.now += hours * 3_600 * SECOND
        statuses.append((await yard.call()).status)
    clock.advance(1)
    statuses.append((await yard.call()).status)

    assert statuses == [202, 202, 429, 429, 202]
    await yard.close()


# --- for all nodes together ------------------------------------------------------------------------------------------


@pytest.fixture
async def yards(store: Store, database_url: str, clock: HeldClock, tmp_path: Path) -> AsyncIterator[tuple[Yard, Yard]]:
    """Two nodes, each with its own connections."""
    async with open_store(database_url) as other_store:
        here = Yard(store, clock, tmp_path / NODE, NODE)
        there = Yard(other_store, clock, tmp_path / OTHER_NODE, OTHER_NODE)
        yield here, there
        await here.close()
        await there.close()


@on_postgresql
async def test_calls_are_counted_together_whichever_node_takes_them(yards: tuple[Yard, Yard]) -> None:
    here, there = yards
    for yard in yards:
        await yard.add(rate_limit=TWO_A_DAY)

    answers = [await yard.call() for yard in (here, there, here, there)]

    assert [answer.status for answer in answers] == [202, 202, 429, 429]
    assert all(86_400 <= int(answer.headers["retry-after"]) <= 86_400 * 65 / 64 for answer in answers[2:])


@on_postgresql
async def test_a_refusal_is_remembered_until_the_moment_that_it_names(store: Store, clock: HeldClock) -> None:
    assert store.permits is not None
    rates = SharedRates(store.permits, clock.monotonic)
    for _ in range(3):
        wait = await rates.admit("int_a", TWO_A_DAY)
    await store.write(_forget)

    clock.advance(80_000)
    remembered = await rates.admit("int_a", TWO_A_DAY)
    clock.advance(8_000)

    assert wait is not None
    assert remembered == pytest.approx(wait - 80_000)
    assert await rates.admit("int_a", TWO_A_DAY) is None


@on_postgresql
async def test_a_limit_that_was_changed_is_asked_about_at_once(store: Store, clock: HeldClock) -> None:
    assert store.permits is not None
    rates = SharedRates(store.permits, clock.monotonic)
    for _ in range(3):
        await rates.admit("int_a", TWO_A_DAY)

    assert await rates.admit("int_a", RateLimit(3, 86_400.0)) is None


@on_postgresql
async def test_without_the_database_a_limited_call_is_told_to_come_back(store: Store, tmp_path: Path) -> None:
    yard = Yard(store, HeldClock(), tmp_path / NODE)
    await yard.add(rate_limit=TWO_A_DAY)
    assert store.permits is not None
    await store.permits.close()

    answer = await yard.call()

    assert (answer.status, "retry-after" in answer.headers) == (503, True)
    await yard.close()


def _forget(connection: Connection) -> None:
    connection.execute(delete(schema.rate_use))
