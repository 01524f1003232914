"""Permits of rate limits: never too many in any period, hardly ever too few, whatever nodes and clocks do."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator
from random import Random

import pytest
from sqlalchemy import Connection, select, text

from crossdock.model.errors import StoreUnavailable
from crossdock.model.time import SECOND, Instant, later
from crossdock.model.trigger import RateLimit
from crossdock.store import Store, schema
from crossdock.store.database import open_database
from crossdock.store.permits import Ask, Permit, Permits, forget_permits, take_permits
from tests.support.held import START

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def let_in(store: Store, now: Instant, limit: RateLimit, calls: int, name: str = "int_a") -> int:
    """How many of the calls may come in at this moment."""
    return sum(permit.wait is None for permit in await ask(store, now, limit, calls, name))


async def ask(store: Store, now: Instant, limit: RateLimit, calls: int, name: str = "int_a") -> list[Permit]:
    return await store.write(take_permits, [Ask(name, limit)] * calls, now)


def most_in_a_period(moments: list[Instant], per: float) -> int:
    """By going through all periods that begin with a call."""
    moments.sort()
    return max((bisect_left(moments, later(at, per)) - n for n, at in enumerate(moments)), default=0)


# --- one moment after the other --------------------------------------------------------------------------------------


async def test_as_many_calls_as_the_limit_says_come_in(store: Store) -> None:
    permits = await ask(store, START, RateLimit(3, 1.0), 5)

    assert [permit.wait is None for permit in permits] == [True, True, True, False, False]


async def test_who_waits_as_told_is_let_in_and_nobody_earlier(store: Store) -> None:
    limit = RateLimit(3, 10.0)
    for second in range(3):
        await let_in(store, later(START, second), limit, 1)
    [refused] = await ask(store, later(START, 4), limit, 1)
    assert refused.wait is not None

    free_at = later(START, 4 + refused.wait)

    assert await let_in(store, free_at - 1, limit, 1) == 0
    assert await let_in(store, free_at, limit, 5) == 1
    assert later(START, 10) < free_at <= later(START, 10 * 65 / 64)


async def test_integrations_have_limits_of_their_own(store: Store) -> None:
    asks = [Ask("int_a", RateLimit(1, 1.0)), Ask("int_b", RateLimit(2, 1.0))] * 3

    permits = await store.write(take_permits, asks, START)

    assert [permit.wait is None for permit in permits] == [True, True, False, True, False, False]


@pytest.mark.parametrize("per", [0.000_01, 0.01, 1.0, 86_400.0, 10 * 86_400.0])
@pytest.mark.parametrize("requests", [1, 7, 500])
async def test_no_period_has_more_calls_than_the_limit_and_hardly_any_less(
    store: Store, per: float, requests: int
) -> None:
    limit = RateLimit(requests, per)

    asked = await store.write(_random_calls, limit, Random(requests))

    most = max(sum(n for at, n in asked if begin <= at < later(begin, per)) for begin, _ in asked)
    ideal = _ideal(asked, limit, 1 + requests // 5)
    assert most <= requests
    assert sum(n for _, n in asked) >= ideal * (1 - 1 / 64) - requests * 0.15 - 1


def _random_calls(connection: Connection, limit: RateLimit, chance: Random) -> list[tuple[Instant, int]]:
    """Calls at moments that are a twentieth of the period apart, and how many of them came in."""
    now, moments = START, {}
    while now < later(START, 4 * limit.per):
        permits = take_permits(connection, [Ask("int_a", limit)] * (1 + limit.requests // 5), now)
        moments[now] = sum(permit.wait is None for permit in permits)
        now += max(1, round(limit.per * SECOND * chance.random() / 10))
    return sorted(moments.items())


def _ideal(asked: list[tuple[Instant, int]], limit: RateLimit, calls: int) -> int:
    """What a limiter that remembers each call would have let in."""
    let: list[tuple[Instant, int]] = []
    for at, _ in asked:
        used = sum(n for moment, n in let if moment > later(at, -limit.per))
        let.append((at, min(calls, limit.requests - used)))
    return sum(n for _, n in let)


async def test_under_saturation_a_65th_of_the_rate_is_lost_at_most(store: Store) -> None:
    count, seconds = await store.write(_saturate, RateLimit(64, 1.0))

    assert 64 * 64 / 65 <= count / seconds <= 64


def _saturate(connection: Connection, limit: RateLimit) -> tuple[int, float]:
    """Calls come in as soon as they may, for some periods: how many, in how many seconds."""
    now, count = START, 0
    while now < later(START, 10 * limit.per * 65 / 64):
        permits = take_permits(connection, [Ask("int_a", limit)] * limit.requests, now)
        count += sum(permit.wait is None for permit in permits)
        now = later(now, min((permit.wait for permit in permits if permit.wait is not None), default=0.001))
    return count, (now - START) / SECOND


# --- limits that change ----------------------------------------------------------------------------------------------


async def test_a_raised_limit_lets_in_what_is_missing(store: Store) -> None:
    await let_in(store, START, RateLimit(2, 1.0), 2)

    assert await let_in(store, START + 1, RateLimit(5, 1.0), 9) == 3


async def test_a_lowered_limit_waits_until_enough_has_passed(store: Store) -> None:
    for second in range(8):
        await let_in(store, later(START, second), RateLimit(8, 10.0), 1)

    [refused] = await ask(store, later(START, 8), RateLimit(2, 10.0), 1)
    assert refused.wait is not None
    assert await let_in(store, later(START, 8 + refused.wait), RateLimit(2, 10.0), 3) == 1
    assert 16 <= 8 + refused.wait <= 16.5


async def test_a_period_that_is_made_longer_counts_what_is_remembered(store: Store) -> None:
    await let_in(store, START, RateLimit(5, 1.0), 5)

    assert await let_in(store, later(START, 30), RateLimit(7, 60.0), 9) == 2


async def test_a_period_that_is_made_shorter_counts_what_may_be_within_it(store: Store) -> None:
    await let_in(store, START, RateLimit(5, 86_400.0), 5)  # its slice ends minutes later

    assert await let_in(store, START + 10, RateLimit(5, 1.0), 9) == 0
    assert await let_in(store, later(START, 1.02), RateLimit(5, 1.0), 9) == 5


async def test_the_last_limit_of_a_batch_counts(store: Store) -> None:
    asks = [Ask("int_a", RateLimit(1, 1.0)), Ask("int_a", RateLimit(2, 1.0)), Ask("int_a", RateLimit(2, 1.0))]

    permits = await store.write(take_permits, asks, START)

    assert [permit.wait is None for permit in permits] == [True, True, False]


# --- clocks that are set ---------------------------------------------------------------------------------------------


async def test_a_clock_that_is_set_back_keeps_nobody_out_for_longer_than_the_period(store: Store) -> None:
    limit = RateLimit(3, 10.0)
    await let_in(store, START, limit, 2)
    before = later(START, -3_600)

    at_once = await let_in(store, before, limit, 9)
    soon = await let_in(store, later(before, 10.2), limit, 9)

    assert (at_once, soon) == (1, 3)  # those of the time to come count as of now


async def test_the_database_tells_the_time(store: Store) -> None:
    [permit] = await store.write(take_permits, [Ask("int_a", RateLimit(1, 1.0))])

    assert abs(permit.at - await store.read(_now)) < 60 * SECOND


def _now(connection: Connection) -> int:
    return int(connection.execute(text("SELECT extract(epoch FROM clock_timestamp()) * 1000000")).scalar_one())


# --- several nodes ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def nodes(database_url: str) -> AsyncIterator[list[Permits]]:
    """Three, each with its own connection."""
    made = [Permits(open_database(database_url)) for _ in range(3)]
    yield made
    for each in made:
        await each.close()


async def _callers(node: Permits, limit: RateLimit, until: float, name: str = "int_a") -> list[Instant]:
    """Calls one after the other, as fast as they are answered; the moments of those that came in."""
    moments, loop = [], asyncio.get_running_loop()
    while loop.time() < until:
        permit = await node.take(name, limit)
        if permit.wait is None:
            moments.append(permit.at)
    return moments


async def test_nodes_keep_to_the_limit_together(nodes: list[Permits]) -> None:
    limit, until = RateLimit(40, 0.2), asyncio.get_running_loop().time() + 2

    found = await asyncio.gather(*(_callers(node, limit, until) for node in nodes for _ in range(4)))

    moments = [at for each in found for at in each]
    assert most_in_a_period(moments, limit.per) <= limit.requests
    assert len(moments) >= 0.8 * limit.requests * (max(moments) - min(moments)) / SECOND / limit.per


async def test_nodes_with_many_integrations_do_not_stand_in_each_other_s_way(nodes: list[Permits]) -> None:
    names = [f"int_{n}" for n in range(20)]

    permits = await asyncio.gather(
        *(node.take(name, RateLimit(2, 60.0)) for n, node in enumerate(nodes) for name in names[:: 1 if n % 2 else -1])
    )

    assert sum(permit.wait is None for permit in permits) == 2 * len(names)


async def test_calls_at_the_same_time_share_a_transaction(nodes: list[Permits]) -> None:
    limit = RateLimit(1_000, 60.0)
    await nodes[0].take("int_a", limit)

    permits = await asyncio.gather(*(nodes[0].take("int_a", limit) for _ in range(200)))

    assert len({permit.at for permit in permits}) <= 2


async def test_a_caller_that_goes_away_takes_no_other_along(nodes: list[Permits]) -> None:
    limit = RateLimit(10, 60.0)
    gone = asyncio.create_task(nodes[0].take("int_a", limit))
    other = asyncio.create_task(nodes[0].take("int_a", limit))
    await asyncio.sleep(0)

    gone.cancel()

    assert (await other).wait is None
    assert (await nodes[0].take("int_a", limit)).wait is None


async def test_a_database_that_can_not_be_asked_is_told_and_asked_again(database_url: str) -> None:
    away = Permits(open_database(database_url.rpartition("/")[0] + "/nowhere"))

    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await away.take("int_a", RateLimit(1, 1.0))
    await away.close()


# --- forgetting ------------------------------------------------------------------------------------------------------


async def test_counts_are_forgotten_when_their_period_is_over(store: Store) -> None:
    now = await store.read(_now)
    await let_in(store, later(now, -90), RateLimit(9, 60.0), 1)
    await let_in(store, later(now, -50), RateLimit(9, 60.0), 1)
    await let_in(store, later(now, -50), RateLimit(9, 60.0), 1, "int_without_limit_now")

    forgotten = await store.write(forget_permits, {"int_a": 60.0})

    assert forgotten == 2
    assert await store.read(lambda c: list(c.execute(select(schema.rate_use.c.integration_id)).scalars())) == ["int_a"]
