"""Links that set a password: the first one of an installation, and those of users."""

from __future__ import annotations

import asyncio

import pytest

from crossdock.manage.passwords import Passwords
from crossdock.manage.sessions import (
    FIRST_LINK_SECONDS,
    RESET_SECONDS,
    Begun,
    Sessions,
    SignInRefused,
)
from crossdock.model.errors import Invalid
from tests.support.door import HERE, PASSWORD, Door, disable
from tests.support.held import HeldClock

pytestmark = pytest.mark.anyio


async def test_the_first_link_makes_the_first_admin(door: Door) -> None:
    who = await door.who(await door.first())

    assert (who.login, who.name, who.shown_first, who.is_administrator) == ("alice", "Alice A.", "default", True)
    actor = who.actor("default")
    assert (actor.name, actor.workspace_id, actor.role, actor.id) == ("alice", "wsp_home", "admin", who.user_id)
    assert await door.sessions.first_sign_in_path() is None


async def test_looking_at_a_link_does_not_use_it_up(door: Door) -> None:
    link = await door.first_link()

    for _ in range(2):
        purpose = await door.sessions.purpose(link)
        assert purpose is not None
        assert purpose.is_first
    assert await door.sessions.purpose("another") is None


async def test_of_all_first_links_one_is_used(door: Door) -> None:
    links = [await door.first_link(), await door.first_link()]
    given = {"password": PASSWORD, "source_ip": HERE}

    answers = await asyncio.gather(
        *(door.sessions.begin_with_link(link, login=f"user{n}", **given) for n, link in enumerate([*links, *links]))
    )

    assert sum(answer is not None for answer in answers) == 1


async def test_a_first_link_is_over_after_a_day(door: Door, clock: HeldClock) -> None:
    link = await door.first_link()

    clock.advance(FIRST_LINK_SECONDS)

    assert await door.sessions.purpose(link) is None
    assert await door.sessions.begin_with_link(link, login="a", password=PASSWORD, source_ip=HERE) is None


@pytest.mark.parametrize(
    ("login", "password", "field"),
    [
        ("", PASSWORD, "login"),
        ("a b", PASSWORD, "login"),
        ("größe", PASSWORD, "login"),
        ("alice", "short", "password"),
        ("alice", "x" * 1025, "password"),
        ("alice", "Password123", "password"),
        ("alice", "aaaaaaaaaaaa", "password"),
        ("alice.liddell@x.example", "Alice.Liddell", "password"),
        ("alice", "tab\there is no good", "password"),
    ],
)
async def test_a_wrong_field_is_named_and_the_link_stays_good(
    door: Door, login: str, password: str, field: str
) -> None:
    link = await door.first_link()

    with pytest.raises(Invalid) as error:
        await door.sessions.begin_with_link(link, login=login, name="A", password=password, source_ip=HERE)

    assert {one.field for one in error.value.errors} == {field}
    assert await door.sessions.purpose(link) is not None


async def test_a_first_link_does_not_take_over_a_user(door: Door, clock: HeldClock) -> None:
    await door.add("bob", clock())
    link = await door.first_link()

    with pytest.raises(Invalid, match="taken"):
        await door.sessions.begin_with_link(link, login="bob", password=PASSWORD, source_ip=HERE)

    assert await door.sessions.purpose(link) is not None


async def test_a_link_of_a_user_sets_a_password_and_ends_the_sessions_before_it(door: Door) -> None:
    before = await door.first()
    link = await door.link("alice")

    begun = await door.sessions.begin_with_link(link, password="another good one", source_ip=HERE)

    assert (await door.who(begun)).login == "alice"
    assert await door.sessions.recognise(before.text) is None
    assert await door.sessions.begin_with_link(link, password=PASSWORD, source_ip=HERE) is None
    assert isinstance(await door.try_in(password="another good one"), Begun)
    assert isinstance(await door.try_in(), SignInRefused)


async def test_two_nodes_use_one_link_once(door: Door, clock: HeldClock) -> None:
    await door.first()
    link = await door.link("alice")
    nodes = [Sessions(door.store, Passwords(memory_kib=64, passes=1), clock) for _ in range(2)]

    answers = await asyncio.gather(
        *(node.begin_with_link(link, password=f"password of node {n}", source_ip=HERE) for n, node in enumerate(nodes))
    )

    assert [answer is None for answer in answers].count(True) == 1
    winner = next(n for n, answer in enumerate(answers) if answer is not None)
    assert isinstance(await door.try_in(password=f"password of node {winner}"), Begun)


async def test_a_newer_link_makes_the_older_one_useless(door: Door) -> None:
    await door.first()
    older, newer = await door.link("alice"), await door.link("alice")

    assert await door.sessions.purpose(older) is None
    assert await door.sessions.purpose(newer) is not None


async def test_a_link_for_a_reset_is_over_after_an_hour_and_an_invitation_later(door: Door, clock: HeldClock) -> None:
    await door.first()
    invitation, reset = await door.add("bob", clock()), await door.link("alice")

    clock.advance(RESET_SECONDS)

    assert await door.sessions.purpose(reset) is None
    purpose = await door.sessions.purpose(invitation)
    assert purpose is not None
    assert (purpose.login, purpose.name, purpose.is_first) == ("bob", "Bob", False)


async def test_a_link_of_a_disabled_user_is_of_no_use(door: Door, clock: HeldClock) -> None:
    await door.first()
    link = await door.add("bob", clock())

    await door.store.write(disable, "usr_bob")

    assert await door.sessions.purpose(link) is None
