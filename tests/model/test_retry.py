"""Backoff: bounded, growing, jittered, and polite to who asks for time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.retry import NO_RETRY, REPLY_RETRY, RetryPolicy

POLICIES = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 100),
    delay=st.floats(0, 86_400),
    factor=st.floats(1, 1e9) | st.integers(1, 10**9),
    max_delay=st.floats(0, 86_400 * 30),
)
FRACTIONS = st.floats(0, 1, exclude_max=True)
TRIES = st.integers(1, 10_000)


@given(POLICIES, TRIES, FRACTIONS)
def test_a_wait_is_never_longer_than_the_policy_says(policy: RetryPolicy, tries: int, fraction: float) -> None:
    assert 0 <= policy.delay_before_next(tries, fraction) <= policy.max_delay


@given(POLICIES, TRIES, FRACTIONS)
def test_waits_do_not_shrink(policy: RetryPolicy, tries: int, fraction: float) -> None:
    assert policy.delay_before_next(tries, fraction) <= policy.delay_before_next(tries + 1, fraction)


@given(POLICIES, TRIES)
def test_chance_moves_a_wait_within_its_upper_half(policy: RetryPolicy, tries: int) -> None:
    least, most = (policy.delay_before_next(tries, fraction) for fraction in (0.0, 1.0))

    assert least == most / 2


@given(POLICIES, TRIES, FRACTIONS, st.floats(0, 1e9))
def test_who_asks_for_time_gets_it_up_to_the_longest_wait(
    policy: RetryPolicy, tries: int, fraction: float, asked: float
) -> None:
    wait = policy.delay_before_next(tries, fraction, asked)

    assert min(asked, policy.max_delay) <= wait <= policy.max_delay
    assert wait >= policy.delay_before_next(tries, fraction)


@given(POLICIES)
def test_attempts_count_the_first_try_too(policy: RetryPolicy) -> None:
    made = 1
    while policy.has_another(made):
        made += 1

    assert made == policy.attempts


def test_one_attempt_is_no_retry() -> None:
    assert not NO_RETRY.has_another(1)


def test_a_doubling_policy_doubles() -> None:
    policy = RetryPolicy(attempts=5, delay=2.0, factor=2.0, max_delay=9.0)

    assert [policy.delay_before_next(tries, 1.0) for tries in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, 9.0]


def test_replies_are_tried_for_about_an_hour() -> None:
    longest = sum(REPLY_RETRY.delay_before_next(tries, 1.0) for tries in range(1, REPLY_RETRY.attempts))

    assert 1_800 <= longest <= 2 * 3_600
