"""When a stage looks: for a reason, when something becomes due, and from time to time."""

from __future__ import annotations

import asyncio

import pytest

from crossdock.model.time import later
from crossdock.store.lookout import Lookout
from crossdock.store.signals import Signals
from tests.support.held import HeldClock

LIMIT_SECONDS = 20.0


class Seldom(Signals):
    """Nobody looks without a reason for so many seconds."""

    def __init__(self, seconds: float = 1_000.0) -> None:
        super().__init__()
        self.seconds = seconds

    @property
    def poll_seconds(self) -> float:
        return self.seconds


@pytest.fixture
def lookout(clock: HeldClock) -> Lookout:
    return Lookout(clock, Seldom())


async def rest(lookout: Lookout) -> None:
    await asyncio.wait_for(lookout.rest(), LIMIT_SECONDS)


async def test_a_reason_ends_the_rest(lookout: Lookout) -> None:
    lookout.begin()
    lookout.wake()

    await rest(lookout)


async def test_a_look_uses_its_reasons_up(lookout: Lookout) -> None:
    lookout.wake()
    lookout.begin()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lookout.rest(), 0.1)


async def test_what_becomes_due_ends_the_rest(lookout: Lookout, clock: HeldClock) -> None:
    for seconds in (500.0, 0.1, 300.0):
        lookout.due(later(clock.now, seconds))

    await rest(lookout)


async def test_what_is_overdue_ends_the_rest(lookout: Lookout, clock: HeldClock) -> None:
    lookout.due(later(clock.now, -3_600.0))

    await rest(lookout)


async def test_without_a_reason_the_rest_ends_in_time(clock: HeldClock) -> None:
    await rest(Lookout(clock, Seldom(0.05)))
