"""How long sessions last, and who may end them."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select

from crossdock.manage.sessions import (
    IDLE_SECONDS,
    SESSION_SECONDS,
    SignInRefused,
)
from crossdock.model.errors import NotFound
from crossdock.store import schema
from crossdock.store.people import set_role
from crossdock.store.sessions import BROWSER
from tests.support.door import HERE, PASSWORD, Door, disable, remove, rows_of
from tests.support.held import HeldClock

pytestmark = pytest.mark.anyio


async def test_a_session_ends_when_it_is_not_used(door: Door, clock: HeldClock) -> None:
    begun = await door.first()
    clock.advance(IDLE_SECONDS - 1)
    await door.who(begun)
    await door.sessions.record_seen()
    clock.advance(IDLE_SECONDS - 1)

    await door.who(begun)

    clock.advance(1)
    assert await door.sessions.recognise(begun.text) is None


async def test_programs_from_before_there_were_users_find_nobody_signed_in(door: Door) -> None:
    """They took whoever had a session of the kind `browser` for an admin."""
    await door.first()

    def kinds(connection: Connection) -> set[str]:
        return set(connection.execute(select(schema.session.c.kind)).scalars())

    assert await door.store.read(kinds) == {BROWSER}
    assert BROWSER != "browser"


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
    for login, change in (("bob", disable), ("carol", remove)):
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
    assert await door.store.read(rows_of, schema.session) == 2

    await door.sessions.forget()
    await door.who(begun)
    clock.advance(IDLE_SECONDS)
    await door.sessions.forget()

    assert await door.store.read(rows_of, schema.session) == 0
