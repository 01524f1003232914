"""Signing in and out: passwords, one-time links, and what comes of the session before."""

from __future__ import annotations

import pytest

from crossdock.store import Store
from tests.support.held import HeldClock
from tests.ui.conftest import Shown, Site, serving_pages

PASSWORD = "correct horse staple"


def cookie_of(shown: Shown) -> str:
    """The session that an answer gives to the browser."""
    given = [value for value in shown.headers.getall("set-cookie") if value.startswith("crossdock=")]
    assert len(given) == 1
    assert "HttpOnly" in given[0]
    assert "SameSite=lax" in given[0]
    return str(given[0]).partition("=")[2].partition(";")[0]


@pytest.fixture
async def bob(site: Site) -> Site:
    """A site where bob has a password."""
    link = (await site.cases.users.link(site.actor(), "usr_bob"))["url"].partition("token=")[2]
    assert await site.sessions.begin_with_link(link, password=PASSWORD, source_ip="127.0.0.1")
    return site


async def test_login_and_password_lead_to_the_wanted_page(bob: Site):
    fields = {"login": " Bob ", "password": PASSWORD, "next": "/w/default/events?status=failed"}

    shown = await bob.send("/sign-in", fields, who="")

    assert (shown.status, shown.location) == (303, "/w/default/events?status=failed")
    bob.cookies["bob"] = cookie_of(shown)
    assert (await bob.open("/w/default", who="bob")).status == 200


@pytest.mark.parametrize(("login", "password"), [("bob", "wrong password"), ("nobody", PASSWORD), ("alice", PASSWORD)])
async def test_whatever_is_wrong_is_told_alike(bob: Site, login: str, password: str):
    shown = await bob.send("/sign-in", {"login": login, "password": password}, who="")

    assert shown.status == 403
    assert "Login or password is wrong." in shown.words
    assert password not in shown.text


async def test_guessing_has_to_wait(bob: Site):
    for _ in range(5):
        await bob.send("/sign-in", {"login": "carol", "password": "guess"}, who="")

    shown = await bob.send("/sign-in", {"login": "carol", "password": "guess"}, who="")

    assert shown.status == 429
    assert int(shown.headers["retry-after"]) >= 1


async def test_a_new_sign_in_takes_the_place_of_the_session_before(bob: Site):
    before = bob.cookies["charlie"]

    shown = await bob.send("/sign-in", {"login": "bob", "password": PASSWORD}, who="charlie")

    assert shown.status == 303
    assert await bob.sessions.recognise(before) is None


async def test_a_link_sets_a_password_once(site: Site):
    link = (await site.cases.users.link(site.actor(), "usr_bob"))["url"].partition("token=")[2]

    looked = await site.open(f"/sign-in?token={link}", who="")
    weak = await site.send("/sign-in/link", {"token": link, "password": "short"}, who="")
    used = await site.send("/sign-in/link", {"token": link, "password": PASSWORD}, who="")
    again = await site.send("/sign-in/link", {"token": link, "password": PASSWORD}, who="")

    assert (looked.status, weak.status, used.status, again.status) == (200, 422, 303, 410)
    assert 'id="field-password-error"' in weak.text
    assert "short" not in weak.text
    cookie_of(used)


async def test_the_first_link_makes_the_administrator(store: Store, clock: HeldClock):
    async with serving_pages(store, clock, with_people=False) as site:
        path = await site.sessions.first_sign_in_path()
        assert path is not None
        token = path.partition("token=")[2]

        shown = await site.open(path, who="")
        fields = {"token": token, "login": "ada", "name": "Ada", "password": PASSWORD}
        made = await site.send("/sign-in/link", fields, who="")
        site.cookies["ada"] = cookie_of(made)

        assert "administrator" in shown.words
        assert (await site.open("/w/default/settings/installation", who="ada")).status == 200
        assert await site.sessions.first_sign_in_path() is None


async def test_signing_out_ends_the_session(site: Site):
    shown = await site.send("/sign-out", {}, who="bob")

    assert shown.location == "/sign-in"
    assert (await site.open("/w/default", who="bob")).status == 303
