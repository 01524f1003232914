"""Signing in with login and password, and changing the password."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from crossdock.manage.passwords import Passwords, nobodys_hash
from crossdock.manage.sessions import (
    Begun,
    Sessions,
    SignInRefused,
)
from crossdock.model.errors import Invalid
from crossdock.store.people import user_by_login
from tests.support.door import HERE, PASSWORD, Door, disable
from tests.support.held import HeldClock

pytestmark = pytest.mark.anyio


async def test_login_and_password_begin_a_session(door: Door) -> None:
    await door.first()

    who = await door.who(await door.try_in(" ALICE "))

    shown = (await door.sessions.page(who)).items
    assert [(one["agent"], one["source_ip"], one["current"]) for one in shown] == [
        ("Browser/1", HERE, True),
        ("", HERE, False),
    ]


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("alice", "wrong password"),
        ("nobody", PASSWORD),
        ("", ""),
        ("a\0b", "c\0d"),
        ("bob", PASSWORD),
        ("x" * 9999, ""),
    ],
)
async def test_whatever_is_wrong_is_answered_alike(door: Door, clock: HeldClock, login: str, password: str) -> None:
    await door.first()
    await door.add("bob", clock())  # has no password yet

    assert await door.try_in(login, password) == SignInRefused()


async def test_a_disabled_user_is_refused_as_everybody(door: Door, clock: HeldClock) -> None:
    await door.first()
    link = await door.add("bob", clock())
    assert await door.sessions.begin_with_link(link, password=PASSWORD, source_ip=HERE)

    await door.store.write(disable, "usr_bob")

    assert await door.try_in("bob") == SignInRefused()


async def test_a_hash_of_older_parameters_is_renewed_at_the_next_sign_in(door: Door, clock: HeldClock) -> None:
    await door.first()
    newer = Sessions(door.store, Passwords(memory_kib=128, passes=1), clock)

    assert isinstance(await newer.sign_in("alice", PASSWORD, source_ip=HERE), Begun)

    stored = await door.store.read(user_by_login, "alice")
    assert stored is not None
    assert "m=128," in (stored.row.password_hash or "")
    assert isinstance(await newer.sign_in("alice", PASSWORD, source_ip=HERE), Begun)


async def test_changing_the_password_ends_all_other_sessions(door: Door) -> None:
    other = await door.first()
    mine = await door.begun()
    who = await door.who(mine)

    assert await door.sessions.change_password(who, "wrong", "a better password", source_ip=HERE) == SignInRefused()
    assert await door.sessions.change_password(who, PASSWORD, "a better password", source_ip=HERE) is None

    assert await door.sessions.recognise(other.text) is None
    assert (await door.who(mine)).session_id == who.session_id
    assert isinstance(await door.try_in(password="a better password"), Begun)


async def test_a_new_password_has_to_be_good(door: Door) -> None:
    who = await door.who(await door.first())

    with pytest.raises(Invalid, match="10 characters"):
        await door.sessions.change_password(who, PASSWORD, "short", source_ip=HERE)


async def test_a_password_beyond_all_measure_is_refused_at_once(door: Door) -> None:
    who = await door.who(await door.first())
    # signs in the wrong order: bringing them into the right one takes the square of their number
    endless = "a" + "\u0300\u0316" * 500_000

    with pytest.raises(Invalid, match="1024 characters"):
        await door.sessions.change_password(who, PASSWORD, endless, source_ip=HERE)


def test_comparing_with_nobody_s_hash_takes_a_whole_comparison() -> None:
    hasher = PasswordHasher(time_cost=2, memory_cost=512, parallelism=1)
    nobodys = nobodys_hash(512, 2)
    assert not hasher.check_needs_rehash(nobodys)
    with pytest.raises(VerifyMismatchError):  # and not InvalidHashError, which comes at once
        hasher.verify(nobodys, "a password that nobody has")
