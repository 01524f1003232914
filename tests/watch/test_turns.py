"""Turns: again and again, each on its own, whatever one of them meets."""

from __future__ import annotations

import asyncio
import logging

import pytest

from crossdock.model.errors import StoreUnavailable
from crossdock.watch.turns import Turn, Watch


class Work:
    """Counts how often it was done; raises what it is told to, once each."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.times = 0
        self._done = asyncio.Condition()

    async def __call__(self) -> None:
        async with self._done:
            self.times += 1
            self._done.notify_all()
        if self.errors:
            raise self.errors.pop()

    async def until(self, times: int) -> None:
        async with asyncio.timeout(20), self._done:
            await self._done.wait_for(lambda: self.times >= times)


async def test_a_turn_that_fails_is_taken_again_and_holds_up_no_other() -> None:
    failing, other = Work(StoreUnavailable("away"), RuntimeError("a fault")), Work()
    watch = Watch([Turn("failing", 0.001, failing), Turn("other", 0.001, other)])

    watch.start()
    await failing.until(4)
    await other.until(4)
    await watch.stop()


async def test_an_outage_is_told_loudly_once_and_again_when_it_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    away = StoreUnavailable("away")
    first, second = Work(away), Work(away)
    watch = Watch([Turn("first", 0.001, first), Turn("second", 0.001, second)])
    with caplog.at_level(logging.DEBUG, logger="crossdock"):
        watch.start()
        await first.until(3)
        await second.until(3)
        first.errors.append(away)
        await first.until(first.times + 2)
        await watch.stop()

    assert [level for _, level, message in caplog.record_tuples if message == "store.lost"] == [logging.ERROR] * 2
    assert {level for _, level, message in caplog.record_tuples if message == "watch.put_off"} == {logging.DEBUG}


async def test_a_slow_turn_holds_up_no_other() -> None:
    never = asyncio.Event()

    async def wait() -> None:
        await never.wait()

    quick = Work()
    watch = Watch([Turn("slow", 0.001, wait), Turn("quick", 0.001, quick)])

    watch.start()
    await quick.until(3)
    await asyncio.wait_for(watch.stop(), 20)


async def test_no_turn_is_taken_after_the_stop() -> None:
    work = Work()
    watch = Watch([Turn("work", 0.0, work)])
    watch.start()
    await work.until(3)

    await watch.stop()
    times = work.times
    for _ in range(20):
        await asyncio.sleep(0)

    assert work.times == times


async def test_an_alarm_ends_the_rest() -> None:
    work, alarm = Work(), asyncio.Event()
    watch = Watch([Turn("work", lambda: 1_000.0, work, alarm)])
    watch.start()
    await work.until(1)

    alarm.set()
    await work.until(2)
    await watch.stop()


async def test_an_alarm_during_the_work_is_heeded_after_it() -> None:
    alarm = asyncio.Event()
    times = 0

    async def ring_once() -> None:
        nonlocal times
        times += 1
        if times == 1:
            alarm.set()
        await work()

    work = Work()
    watch = Watch([Turn("work", 1_000.0, ring_once, alarm)])
    watch.start()
    await work.until(2)
    await watch.stop()
