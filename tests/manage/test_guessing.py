"""What guessing passwords costs whoever tries, and whom it leaves alone."""

from __future__ import annotations

import asyncio

import pytest

from crossdock.manage.sessions import (
    FAILURES_KEPT_SECONDS,
    Begun,
    SignInRefused,
    Throttled,
)
from crossdock.store import schema
from tests.support.door import HERE, PASSWORD, THERE, Door, rows_of
from tests.support.held import HeldClock

pytestmark = pytest.mark.anyio


async def _fail(door: Door, count: int, login: str = "alice", source_ip: str = THERE) -> list[object]:
    return [await door.try_in(login, "wrong password", source_ip) for _ in range(count)]


async def test_failures_make_the_next_tries_wait_longer_and_longer(door: Door, clock: HeldClock) -> None:
    await door.first()
    assert await _fail(door, 5) == [SignInRefused()] * 5

    waits = []
    for _ in range(12):
        answer = await door.try_in(password="wrong password", source_ip=THERE)
        assert isinstance(answer, Throttled)
        waits.append(answer.retry_after_seconds)
        clock.advance(answer.retry_after_seconds)
        assert await door.try_in(password="wrong password", source_ip=THERE) == SignInRefused()

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0, 300.0]


@pytest.mark.parametrize("login", ["alice", "nobody"])
async def test_a_login_that_nobody_has_is_throttled_alike(door: Door, login: str) -> None:
    await door.first()

    assert await _fail(door, 6, login) == [SignInRefused()] * 5 + [Throttled(1.0)]
    assert await door.try_in(login, PASSWORD, "203.0.113.5") == Throttled(1.0)  # the right password, too


async def test_many_tries_at_once_are_not_more_than_one_after_the_other(door: Door) -> None:
    await door.first()

    answers = await asyncio.gather(*(door.try_in(password=f"guess {n}", source_ip=THERE) for n in range(20)))

    assert answers.count(SignInRefused()) == 5


async def test_an_address_is_slowed_down_whatever_it_tries(door: Door, clock: HeldClock) -> None:
    await door.first()
    for n in range(20):
        assert await _fail(door, 1, f"user{n}") == [SignInRefused()]

    assert await _fail(door, 1, "yet another") == [Throttled(1.0)]
    assert isinstance(await door.try_in(source_ip=HERE), Begun)


async def test_signing_in_oneself_does_not_clear_the_address(door: Door) -> None:
    await door.first()
    for n in range(19):
        await _fail(door, 1, f"user{n}")

    assert isinstance(await door.try_in(source_ip=THERE), Begun)

    assert await _fail(door, 2, "yet another") == [SignInRefused(), Throttled(1.0)]


async def test_a_v6_network_counts_as_one_address(door: Door) -> None:
    await door.first()
    for n in range(20):
        await _fail(door, 1, f"user{n}", f"2001:db8::{n}")

    assert await _fail(door, 1, "yet another", "2001:db8::ffff:1") == [Throttled(1.0)]
    assert await _fail(door, 1, "yet another", "2001:db8:0:1::1") == [SignInRefused()]


async def test_nobody_keeps_out_who_is_signed_in_from_elsewhere(door: Door) -> None:
    await door.first()  # from HERE
    await _fail(door, 9)
    assert isinstance(await door.try_in(source_ip=THERE), Throttled)

    assert isinstance(await door.try_in(source_ip=HERE), Begun)


async def test_a_success_forgets_the_failures_of_the_login(door: Door) -> None:
    await door.first()
    await _fail(door, 4)

    assert isinstance(await door.try_in(source_ip=THERE), Begun)

    assert await _fail(door, 5) == [SignInRefused()] * 5


async def test_changing_a_password_can_not_be_used_for_guessing(door: Door) -> None:
    who = await door.who(await door.first())

    answers = [await door.sessions.change_password(who, "a guess", "a good password", source_ip=HERE) for _ in range(6)]

    assert answers == [SignInRefused()] * 5 + [Throttled(1.0)]


async def test_failures_of_yesterday_count_no_more_and_are_forgotten(door: Door, clock: HeldClock) -> None:
    await door.first()
    await _fail(door, 6)
    clock.advance(FAILURES_KEPT_SECONDS)

    assert await _fail(door, 5) == [SignInRefused()] * 5
    assert await door.store.read(rows_of, schema.sign_in_failure) == 2
    clock.advance(FAILURES_KEPT_SECONDS + 1)
    await door.sessions.forget()

    assert await door.store.read(rows_of, schema.sign_in_failure) == 0
