"""Signing in through a real OpenID provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from crossdock.clock import system_now
from crossdock.manage.passwords import Passwords
from crossdock.manage.sessions import Sessions
from crossdock.manage.single_sign_on import (
    Arrival,
    ArrivalRefused,
    Departure,
    RoleRules,
    SingleSignOn,
)
from crossdock.outbound.client import HttpSender
from crossdock.store import Store
from crossdock.store.audit import AuditFilter, audit_page
from crossdock.store.configuration import ensure_workspace
from tests.support.held import HeldClock
from tests.support.openid import OpenIdProvider
from tests.support.signing_on import CALLBACK, HOME, STRANGERS, Desk

pytestmark = pytest.mark.anyio

DIANA = {
    "sub": "diana",
    "email": "Diana@example.com",
    "email_verified": True,
    "name": "Diana D.",
    "preferred_username": "diana",
    "groups": ["staff", "oncall"],
}
GROUPS = RoleRules("groups", {"staff": "viewer", "oncall": "operator", "platform": "admin"})


@pytest.fixture
def openid(tmp_path: Path) -> Iterator[OpenIdProvider]:
    provider = OpenIdProvider(tmp_path, dict(DIANA))
    provider.start()
    provider.know(CALLBACK)
    yield provider
    provider.stop()


@pytest.fixture
async def desk(store: Store, openid: OpenIdProvider) -> AsyncIterator[Desk]:
    await store.write(ensure_workspace, "wsp_home", "default", 1)
    sender = HttpSender(HOME, system_now)
    yield Desk(store, Sessions(store, Passwords(64, 1), system_now), sender, openid.issuer)
    await sender.close()


async def visit(url: str) -> dict[str, str]:
    """What a browser does at the provider; the query with which it is sent back."""
    async with aiohttp.ClientSession() as browser, browser.get(url, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
        there = urlsplit(answer.headers["location"])
        assert answer.headers["location"].startswith(CALLBACK)
        return {name: values[0] for name, values in parse_qs(there.query).items()}


async def go_through(on: SingleSignOn, back_on: SingleSignOn | None = None, then: str = "") -> Arrival | ArrivalRefused:
    departure = await on.begin(then)
    assert isinstance(departure, Departure), departure
    query = await visit(departure.url)
    return await (back_on or on).finish(query, departure.kept, source_ip="192.0.2.1", agent="Browser/1")


# --- with a real provider ------------------------------------------------------------------------------------------


async def test_a_user_with_the_verified_address_is_signed_in_and_known_from_then_on(
    desk: Desk, openid: OpenIdProvider
) -> None:
    await desk.add("diana@example.com")

    first = await desk.who(await go_through(desk.node(), back_on=desk.node()))
    openid.be(email="diana@another.example")
    second = await desk.who(await go_through(desk.node()))

    assert (first.user_id, second.user_id) == ("usr_diana@example.com",) * 2
    assert second.actor("default").role == "viewer"


async def test_the_wanted_page_is_kept_on_the_way(desk: Desk) -> None:
    await desk.add("diana@example.com")

    arrival = await go_through(desk.node(), then="/w/default/events?status=failed")

    assert isinstance(arrival, Arrival)
    assert arrival.then == "/w/default/events?status=failed"


@pytest.mark.parametrize("claims", [{"email_verified": False}, {"email_verified": "true"}, {"email": "x@example.com"}])
async def test_who_is_nobody_here_is_refused(desk: Desk, openid: OpenIdProvider, claims: dict[str, Any]) -> None:
    await desk.add("diana@example.com")
    await desk.add("diana")
    openid.be(**claims)

    answer = await go_through(desk.node())

    assert isinstance(answer, ArrivalRefused)
    assert "no user here" in answer.words


@pytest.mark.parametrize("address", ["\uff44iana@example.com", "diana@example\uff0ecom", "mar\u212a@example.com"])
async def test_an_address_that_only_looks_alike_is_another_one(
    desk: Desk, openid: OpenIdProvider, address: str
) -> None:
    for login in ("diana@example.com", "mark@example.com"):
        await desk.add(login)
    openid.be(email=address)

    answer = await go_through(desk.node())

    assert isinstance(answer, ArrivalRefused)


async def test_strangers_become_users_where_there_is_a_role_for_them(desk: Desk) -> None:
    who = await desk.who(await go_through(desk.node(STRANGERS)))

    assert (who.login, who.name, who.actor("default").role) == ("diana@example.com", "Diana D.", "viewer")
    entries = await desk.store.read(audit_page, "wsp_home", AuditFilter(), limit=9)
    assert [(one.actor_name, one.action) for one in entries] == [
        ("Example", "member.added"),
        ("Example", "user.created"),
    ]


async def test_a_stranger_does_not_become_somebody_by_a_name(desk: Desk, openid: OpenIdProvider) -> None:
    await desk.add("diana")
    openid.be(email_verified=False)

    answer = await go_through(desk.node(STRANGERS))

    assert answer == ArrivalRefused("somebody here has that login already; ask an administrator")


async def test_an_address_that_was_only_chosen_is_no_login(desk: Desk, openid: OpenIdProvider) -> None:
    openid.be(email_verified=False, preferred_username="boss@example.com")

    assert isinstance(await go_through(desk.node(STRANGERS)), ArrivalRefused)


async def test_the_audit_log_tells_who_may_sign_in_that_way_from_now_on(desk: Desk, openid: OpenIdProvider) -> None:
    await desk.add("diana@example.com")

    await desk.who(await go_through(desk.node()))
    await desk.who(await go_through(desk.node()))

    told = await desk.store.read(audit_page, "wsp_home", AuditFilter(action="user.identity_linked"), limit=5)
    assert [(one.subject_name, one.after) for one in told] == [("diana@example.com", {"issuer": openid.issuer})]


async def test_groups_give_roles_at_each_sign_in(desk: Desk, openid: OpenIdProvider) -> None:
    who = await desk.who(await go_through(desk.node(GROUPS)))
    assert who.actor("default").role == "operator"

    openid.be(groups=["staff"])
    assert (await desk.who(await go_through(desk.node(GROUPS)))).actor("default").role == "viewer"
    openid.be(groups=["others"])
    answer = await go_through(desk.node(GROUPS))
    assert isinstance(answer, ArrivalRefused)
    assert "none of the groups" in answer.words


async def test_the_last_administrator_stays_one(desk: Desk, openid: OpenIdProvider) -> None:
    openid.be(groups=["platform"])
    await desk.who(await go_through(desk.node(GROUPS)))

    openid.be(groups=["staff"])

    assert (await desk.who(await go_through(desk.node(GROUPS)))).is_administrator


async def test_a_disabled_user_stays_out(desk: Desk) -> None:
    await desk.add("diana@example.com", disabled=True)

    for rules in (RoleRules(), STRANGERS):
        assert isinstance(await go_through(desk.node(rules)), ArrivalRefused)


async def test_new_keys_of_the_provider_are_found(store: Store, openid: OpenIdProvider) -> None:
    await store.write(ensure_workspace, "wsp_home", "default", 1)
    clock = HeldClock(system_now())
    sender = HttpSender(HOME, clock)
    desk = Desk(store, Sessions(store, Passwords(64, 1), clock), sender, openid.issuer, clock)
    await desk.who(await go_through(desk.node(STRANGERS)))
    openid.be(email="another@example.com")  # it knows people by other names then, too
    openid.change_keys()

    assert isinstance(await go_through(desk.node(STRANGERS)), ArrivalRefused)  # asked for a moment ago
    clock.advance(31)
    assert isinstance(await go_through(desk.node(STRANGERS)), Arrival)
    await sender.close()


async def test_a_code_is_good_once(desk: Desk) -> None:
    node = desk.node(STRANGERS)
    departure = await node.begin()
    assert isinstance(departure, Departure)
    query = await visit(departure.url)

    assert isinstance(await node.finish(query, departure.kept, source_ip="192.0.2.1"), Arrival)
    assert isinstance(await node.finish(query, departure.kept, source_ip="192.0.2.1"), ArrivalRefused)


async def test_an_answer_belongs_to_the_browser_that_began(desk: Desk) -> None:
    node = desk.node(STRANGERS)
    mine, theirs = await node.begin(), await node.begin()
    assert isinstance(mine, Departure)
    assert isinstance(theirs, Departure)
    query = await visit(mine.url)

    for kept in (theirs.kept, None, "", "x", "mk_0.AAAA", mine.kept[:-4], mine.kept + "A" * 9):
        assert isinstance(await node.finish(query, kept, source_ip="192.0.2.1"), ArrivalRefused), kept
    assert isinstance(await node.finish(query, mine.kept, source_ip="192.0.2.1"), Arrival)
