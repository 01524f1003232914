"""Signing in, links, and sessions: alice is the admin, bob an operator of `away`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import func, select

from crossdock.manage.passwords import Passwords
from crossdock.manage.sessions import (
    FAILURES_KEPT_SECONDS,
    FIRST_LINK_SECONDS,
    IDLE_SECONDS,
    RESET_SECONDS,
    SESSION_SECONDS,
    Begun,
    Sessions,
    SignedIn,
    SignInRefused,
    Throttled,
)
from crossdock.model.errors import Invalid, NotFound
from crossdock.store import Store, schema
from crossdock.store.configuration import ensure_workspace
from crossdock.store.people import UserRow, add_user, lock_user, remove_user, save_user, set_role, user_by_login
from tests.support.held import HeldClock

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
HERE = "192.0.2.1"
THERE = "198.51.100.9"


@dataclass(frozen=True)
class Door:
    """Sessions over one store; `path` leads to the first link."""

    store: Store
    sessions: Sessions

    async def first(self) -> Begun:
        """alice, the first user, by the link of the start."""
        begun = await self.sessions.begin_with_link(
            await self.first_link(), login="Alice", name="Alice A.", password=PASSWORD, source_ip=HERE
        )
        assert begun is not None
        return begun

    async def first_link(self) -> str:
        path = await self.sessions.first_sign_in_path()
        assert path is not None
        return path.removeprefix("/sign-in?token=")

    async def add(self, login: str, now: int, workspace_id: str = "wsp_away", role: str = "operator") -> str:
        """A user without a password; the link for one."""
        await self.store.write(add_user, UserRow(f"usr_{login}", login, login.title(), now, now))
        await self.store.write(set_role, f"usr_{login}", workspace_id, role)
        return await self.link(login)

    async def link(self, login: str) -> str:
        stored = await self.store.read(user_by_login, login)
        assert stored is not None
        path, _ = await self.sessions.link_for(stored)
        return path.removeprefix("/sign-in?token=")

    async def try_in(self, login: str = "alice", password: str = PASSWORD, source_ip: str = HERE) -> object:
        return await self.sessions.sign_in(login, password, source_ip=source_ip, agent="Browser/1")

    async def begun(self) -> Begun:
        answer = await self.try_in()
        assert isinstance(answer, Begun), answer
        return answer

    async def who(self, begun: object) -> SignedIn:
        assert isinstance(begun, Begun), begun
        found = await self.sessions.recognise(begun.text)
        assert found is not None
        return found


@pytest.fixture
async def door(store: Store, clock: HeldClock) -> Door:
    await store.write(ensure_workspace, "wsp_home", "default", clock())
    await store.write(ensure_workspace, "wsp_away", "away", clock())
    return Door(store, Sessions(store, Passwords(memory_kib=64, passes=1), clock))


# --- the first user ------------------------------------------------------------------------------------------------


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


# --- links of users ------------------------------------------------------------------------------------------------


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

    await door.store.write(_disable, "usr_bob")

    assert await door.sessions.purpose(link) is None


# --- passwords -----------------------------------------------------------------------------------------------------


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

    await door.store.write(_disable, "usr_bob")

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


# --- guessing ------------------------------------------------------------------------------------------------------


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
    assert await door.store.read(_rows, schema.sign_in_failure) == 2
    clock.advance(FAILURES_KEPT_SECONDS + 1)
    await door.sessions.forget()

    assert await door.store.read(_rows, schema.sign_in_failure) == 0


# --- sessions ------------------------------------------------------------------------------------------------------


async def test_a_session_ends_when_it_is_not_used(door: Door, clock: HeldClock) -> None:
    begun = await door.first()
    clock.advance(IDLE_SECONDS - 1)
    await door.who(begun)
    await door.sessions.record_seen()
    clock.advance(IDLE_SECONDS - 1)

    await door.who(begun)

    clock.advance(1)
    assert await door.sessions.recognise(begun.text) is None


async def test_a_session_ends_after_a_week_of_use(door: Door, clock: HeldClock) -> None:
    begun = await door.first()
    for _ in range(round(SESSION_SECONDS / 3_600) - 1):
        clock.advance(3_600)
        await door.who(begun)
        await door.sessions.record_seen()

    clock.advance(3_600)

    assert await door.sessions.recognise(begun.text) is None


async def test_use_is_written_down_once_a_minute_at_most(door: Door, clock: HeldClock) -> None:
    begun = await door.first()
    who = await door.who(begun)

    async def seen_at() -> str:
        await door.who(begun)
        await door.sessions.record_seen()
        return str((await door.sessions.page(who)).items[0]["last_seen_at"])

    before = await seen_at()
    clock.advance(59)
    assert await seen_at() == before
    clock.advance(1)
    assert await seen_at() > before


async def test_a_disabled_or_deleted_user_is_out_at_once(door: Door, clock: HeldClock) -> None:
    await door.first()
    for login, change in (("bob", _disable), ("carol", _remove)):
        link = await door.add(login, clock())
        begun = await door.sessions.begin_with_link(link, password=PASSWORD, source_ip=HERE)
        await door.who(begun)
        assert begun is not None

        await door.store.write(change, f"usr_{login}")

        assert await door.sessions.recognise(begun.text) is None


async def test_who_loses_the_last_membership_is_out_at_once_and_for_good(door: Door, clock: HeldClock) -> None:
    await door.first()
    link = await door.add("bob", clock())
    begun = await door.sessions.begin_with_link(link, password=PASSWORD, source_ip=HERE)
    assert (await door.who(begun)).actor("away").role == "operator"

    await door.store.write(set_role, "usr_bob", "wsp_away", None)
    assert begun is not None
    assert await door.sessions.recognise(begun.text) is None
    assert await door.try_in("bob") == SignInRefused()

    await door.store.write(set_role, "usr_bob", "wsp_home", "viewer")
    assert await door.sessions.recognise(begun.text) is None
    who = await door.who(await door.try_in("bob"))
    assert (who.shown_first, who.is_administrator) == ("default", False)


@pytest.mark.parametrize("slug", ["away", "never-made", ""])
async def test_a_workspace_of_others_is_as_if_there_were_none(door: Door, slug: str) -> None:
    who = await door.who(await door.first())

    with pytest.raises(NotFound):
        who.actor(slug)


async def test_own_sessions_are_ended_one_by_one_or_all_others_at_once(door: Door) -> None:
    begun = [await door.first(), *[await door.begun() for _ in range(3)]]
    who = await door.who(begun[-1])

    await door.sessions.end(who, (await door.who(begun[0])).session_id)
    assert await door.sessions.recognise(begun[0].text) is None
    assert await door.sessions.end_others(who) == 2
    assert [one["current"] for one in (await door.sessions.page(who)).items] == [True]
    with pytest.raises(NotFound):
        await door.sessions.end(who, "ses_of_somebody")

    await door.sessions.sign_out(begun[-1].text)
    assert await door.sessions.recognise(begun[-1].text) is None


async def test_sessions_of_others_can_not_be_ended(door: Door, clock: HeldClock) -> None:
    alice = await door.who(await door.first())
    link = await door.add("bob", clock())
    bob = await door.who(await door.sessions.begin_with_link(link, password=PASSWORD, source_ip=HERE))

    with pytest.raises(NotFound):
        await door.sessions.end(bob, alice.session_id)


async def test_sessions_come_in_pages(door: Door) -> None:
    who = await door.who(await door.first())
    for _ in range(4):
        await door.try_in()

    first = await door.sessions.page(who, limit=3)
    second = await door.sessions.page(who, limit=3, cursor=first.next)

    assert (len(first.items), len(second.items), second.next) == (3, 2, None)
    assert len({one["id"] for one in [*first.items, *second.items]}) == 5


async def test_what_is_over_is_forgotten(door: Door, clock: HeldClock) -> None:
    begun = await door.first()
    await door.link("alice")
    assert await door.store.read(_rows, schema.session) == 2

    await door.sessions.forget()
    await door.who(begun)
    clock.advance(IDLE_SECONDS)
    await door.sessions.forget()

    assert await door.store.read(_rows, schema.session) == 0


def _rows(connection, table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _remove(connection, user_id: str) -> None:
    remove_user(connection, user_id, lambda before, after: ())


def _disable(connection, user_id: str) -> None:
    stored = lock_user(connection, user_id)
    assert stored is not None
    save_user(connection, replace(stored.row, disabled=True))
