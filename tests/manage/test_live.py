"""Live news: what has happened since the last, for everybody who listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from crossdock.manage.live import Live, LiveNews
from crossdock.manage.traffic import Traffic
from crossdock.model.traffic import Counts
from crossdock.store.backlog import add_rejections
from tests.manage.conftest import Desk, trigger
from tests.support.held import HeldClock
from tests.support.story import Story

pytestmark = pytest.mark.anyio

LIMIT_SECONDS = 20.0


@pytest.fixture
async def live(desk: Desk, clock: HeldClock) -> AsyncIterator[Live]:
    traffic = Traffic(desk.store, clock)
    made = Live(desk.store, traffic, clock)
    yield made
    await made.stop()


@pytest.fixture
def story(desk: Desk, clock: HeldClock) -> Story:
    return Story(desk.store, clock)


async def next_of(news: AsyncIterator[LiveNews]) -> LiveNews:
    return await asyncio.wait_for(anext(news), LIMIT_SECONDS)


async def test_news_tell_what_came_and_ended(desk: Desk, live: Live, story: Story) -> None:
    integration = await desk.integrations.create(desk.alice, trigger())
    async with aclosing(live.watch(desk.charlie)) as news:
        first = asyncio.ensure_future(next_of(news))
        await live.has_looked.wait()

        await story.succeed(integration["id"])
        await story.fail(integration["id"])
        told = await first
        while told.traffic.get(integration["id"], Counts()).ended < 2:
            told.add(await next_of(news))

    assert told.document()["traffic"] == {
        integration["id"]: {"accepted": 2, "succeeded": 1, "failed": 1, "canceled": 0, "rejected": 0}
    }


async def test_news_tell_of_health_and_refused_calls_and_changes(desk: Desk, live: Live, story: Story) -> None:
    integration = await desk.integrations.create(desk.alice, trigger())
    await story.fail(integration["id"])
    async with aclosing(live.watch(desk.charlie)) as news:
        first = asyncio.ensure_future(next_of(news))
        await live.has_looked.wait()

        await story.judge(integration)
        await desk.store.write(add_rejections, [(integration["id"], "wrong key", 3, 1)])
        await desk.integrations.create(desk.alice, trigger("Another"))
        told = await first
        while not (told.health and told.configuration_changed and told.traffic):
            told.add(await next_of(news))

    assert told.health == {integration["id"]: "warning"}
    assert told.traffic[integration["id"]].rejected == 3


async def test_listeners_hear_of_their_own_workspace_only(desk: Desk, live: Live, story: Story) -> None:
    mine = await desk.integrations.create(desk.alice, trigger())
    theirs = await desk.integrations.create(desk.dora, trigger())
    async with aclosing(live.watch(desk.charlie)) as news:
        first = asyncio.ensure_future(next_of(news))
        await live.has_looked.wait()

        await story.succeed(theirs["id"])
        await story.succeed(mine["id"])
        told = await first
        while mine["id"] not in told.traffic:
            told.add(await next_of(news))

    assert set(told.traffic) == {mine["id"]}


async def test_a_slow_listener_is_given_the_sum(clock: HeldClock) -> None:
    news = LiveNews(clock.now, {"int_a": Counts(accepted=2)}, {"int_a": "warning"})

    news.add(LiveNews(clock.now + 1, {"int_a": Counts(accepted=3, failed=1)}, {"int_a": "error"}))

    assert (news.at, news.traffic["int_a"], news.health) == (
        clock.now + 1,
        Counts(accepted=5, failed=1),
        {"int_a": "error"},
    )


async def test_stopping_ends_all_watching(desk: Desk, live: Live) -> None:
    async def listen() -> list[LiveNews]:
        async with aclosing(live.watch(desk.charlie)) as news:
            return [one async for one in news]

    listening = [asyncio.create_task(listen()) for _ in range(3)]
    await live.has_looked.wait()

    await live.stop()

    assert await asyncio.wait_for(asyncio.gather(*listening), LIMIT_SECONDS) == [[], [], []]
    assert live.listeners == 0


async def test_nobody_looks_while_nobody_listens(desk: Desk, live: Live) -> None:
    async with aclosing(live.watch(desk.charlie)) as news:
        waiting = asyncio.ensure_future(next_of(news))
        await live.has_looked.wait()
        is_looking = live.is_looking
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert (is_looking, live.is_looking, live.listeners) == (True, False, 0)
