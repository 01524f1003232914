"""Recording the end of work that is already done, however long the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from crossdock.clock import Fraction
from crossdock.model.errors import StoreUnavailable

T = TypeVar("T")

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 2.0


def never() -> bool:
    return False


async def until_recorded(
    submit: Callable[[], Awaitable[T]], fraction: Fraction, *, gives_up: Callable[[], bool] = never
) -> T:
    """Submit a change until the database takes it; the waits between grow to 2 s, jittered.

    For ends of work: the work is done, so there is nothing better to do than to record it. The guard makes a change
    that had landed without our knowledge harmless. For what need not be recorded at any price there is `gives_up`:
    StoreUnavailable once it says so.
    """
    wait = FIRST_WAIT_SECONDS
    while True:
        try:
            return await submit()
        except StoreUnavailable:
            if gives_up():
                raise
            await asyncio.sleep(wait * (0.5 + fraction() / 2))
            wait = min(LONGEST_WAIT_SECONDS, wait * 2)
