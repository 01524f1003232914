"""Rate limits: a sliding window, whatever the clock does."""

from __future__ import annotations

from crossdock.model.trigger import RateLimit
from crossdock.receive.rate import RateLimiter
from tests.support.held import HeldClock

TWO_A_SECOND = RateLimit(2, 1.0)


def test_calls_beyond_the_limit_wait_until_the_window_has_room(clock: HeldClock):
    limiter = RateLimiter()

    assert limiter.admit("int_a", TWO_A_SECOND, clock()) is None
    assert limiter.admit("int_a", TWO_A_SECOND, clock.advance(0.25)) is None
    assert limiter.admit("int_a", TWO_A_SECOND, clock.advance(0.25)) == 0.5
    assert limiter.admit("int_a", TWO_A_SECOND, clock.advance(0.5)) is None


def test_clock_that_is_stepped_back_keeps_nobody_out(clock: HeldClock):
    limiter = RateLimiter()
    for _ in range(2):
        limiter.admit("int_a", TWO_A_SECOND, clock())

    stepped = clock.advance(-3_600)

    assert limiter.admit("int_a", TWO_A_SECOND, stepped) is None
    assert limiter.admit("int_a", TWO_A_SECOND, stepped) is None
    assert limiter.admit("int_a", TWO_A_SECOND, stepped) == 1.0


def test_clock_that_is_stepped_forward_lets_nobody_wait_longer(clock: HeldClock):
    limiter = RateLimiter()
    for _ in range(2):
        limiter.admit("int_a", TWO_A_SECOND, clock())

    assert limiter.admit("int_a", TWO_A_SECOND, clock.advance(3_600)) is None
