"""The web workspace, as a browser without scripts sees it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from yarl import URL

from crossdock.catalog import Catalog
from crossdock.manage.actor import Actor
from crossdock.manage.documents import Rules
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.tokens import Tokens
from crossdock.server.app import Application, Parts, Readiness
from crossdock.server.serve import WebServer
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.ui import Pages, first_sign_in_path
from crossdock.ui.sign_in import LINK_SECONDS, SESSION_SECONDS
from crossdock.vault import Vault
from tests.support.held import HeldClock


@dataclass(frozen=True)
class Cases:
    integrations: Integrations
    tokens: Tokens


@dataclass(frozen=True)
class Shown:
    status: int
    text: str
    headers: Any


@dataclass
class Browser:
    """A browser that keeps cookies and says where its forms come from."""

    url: str
    session: aiohttp.ClientSession
    cases: Cases
    link: str
    clock: HeldClock

    async def open(self, path: str, **headers: str) -> Shown:
        async with self.session.get(self.url + path, headers={"Accept": "text/html", **headers}) as answer:
            return Shown(answer.status, await answer.text(), answer.headers)

    async def send(self, path: str, fields: dict[str, str], **headers: str) -> Shown:
        sent = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", **headers}
        async with self.session.post(self.url + path, data=fields, headers=sent) as answer:
            return Shown(answer.status, await answer.text(), answer.headers)

    @property
    def link_text(self) -> str:
        return URL(self.link).query["token"]

    async def sign_in(self) -> Shown:
        return await self.send("/sign-in", {"link": self.link_text})


@pytest.fixture
async def browser(store: Store, clock: HeldClock) -> AsyncIterator[Browser]:
    workspace_id = await store.write(ensure_workspace, "wsp_home", "default", clock())
    rules = Rules(lambda document, number, connections: document, lambda url: None)
    vault = Vault([bytes(32)])
    integrations = Integrations(
        IntegrationPorts(store, vault, Catalog(store, vault), rules, clock, "https://x.example")
    )
    cases = Cases(integrations, Tokens(store, clock))
    server = WebServer(Application(Parts(ready=_ready, metrics=bytes, pages=Pages(store, cases, clock))))
    address = await server.start("127.0.0.1", 0)
    link = await first_sign_in_path(store, workspace_id, clock())
    assert link is not None
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(address.url, session, cases, link, clock)
    await server.stop(grace=1.0)


async def _ready() -> Readiness:
    return Readiness(True, {})


ALICE = Actor("alice", "wsp_home", "default", "admin")


async def test_a_link_signs_in_once_and_only_by_its_button(browser: Browser) -> None:
    for _ in range(2):
        assert "This link signs one browser in" in (await browser.open(browser.link)).text

    assert "<h1>Integrations</h1>" in (await browser.sign_in()).text

    browser.session.cookie_jar.clear()
    again = await browser.sign_in()
    assert (again.status, "used already" in again.text) == (403, True)
    assert "<h1>Sign in</h1>" in (await browser.open("/")).text


async def test_a_link_ends_after_a_day(browser: Browser) -> None:
    browser.clock.advance(LINK_SECONDS)

    assert "used already, or is over" in (await browser.open(browser.link)).text
    assert (await browser.sign_in()).status == 403


async def test_a_session_ends_after_twelve_hours(browser: Browser) -> None:
    await browser.sign_in()

    browser.clock.advance(SESSION_SECONDS)

    assert "<h1>Sign in</h1>" in (await browser.open("/")).text


async def test_a_link_is_offered_until_somebody_has_signed_in(browser: Browser, store: Store) -> None:
    assert await first_sign_in_path(store, "wsp_home", browser.clock()) is not None

    await browser.sign_in()

    assert await first_sign_in_path(store, "wsp_home", browser.clock()) is None


async def test_an_admin_token_signs_in_and_no_other(browser: Browser) -> None:
    admin = await browser.cases.tokens.create(ALICE, "admin", "admin")
    viewer = await browser.cases.tokens.create(ALICE, "viewer", "viewer")

    for wrong in (viewer["token"], "made-up", ""):
        assert (await browser.send("/sign-in", {"token": wrong})).status == 403
    assert "<h1>Integrations</h1>" in (await browser.send("/sign-in", {"token": admin["token"]})).text


async def test_signing_out_ends_the_session_everywhere(browser: Browser) -> None:
    await browser.sign_in()
    cookie = next(iter(browser.session.cookie_jar)).value

    await browser.send("/sign-out", {})

    browser.session.cookie_jar.update_cookies({"crossdock": cookie}, URL(browser.url))
    assert "<h1>Sign in</h1>" in (await browser.open("/")).text


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(browser: Browser) -> None:
    async with browser.session.post(
        browser.url + "/sign-in", data={"link": browser.link_text}, allow_redirects=False
    ) as answer:
        cookie = answer.headers["set-cookie"].lower()

    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
)
async def test_a_form_of_another_site_does_nothing(browser: Browser, headers: dict[str, str]) -> None:
    await browser.sign_in()

    for path in ("/tokens", "/sign-out", "/sign-in"):
        assert (await browser.send(path, {"name": "stolen", "role": "admin"}, **headers)).status == 403

    assert (await browser.cases.tokens.page(ALICE)).items == []


async def test_browsers_without_fetch_metadata_are_judged_by_origin(browser: Browser) -> None:
    await browser.sign_in()
    fields = {"name": "one", "role": "viewer"}

    async def send(origin: str) -> int:
        async with browser.session.post(browser.url + "/tokens", data=fields, headers={"Origin": origin}) as answer:
            return answer.status

    assert await send("https://evil.example") == 403
    assert await send("null") == 403
    assert await send(browser.url) == 201


async def test_integrations_are_listed_with_status_and_address(browser: Browser) -> None:
    name = "Orders <script>alert(1)</script>"
    await browser.cases.integrations.create(ALICE, {"name": name, "type": "webhook-trigger", "path": "orders"})
    await browser.sign_in()

    text = (await browser.open("/")).text

    assert "Orders &lt;script&gt;" in text
    assert "https://x.example/hooks/default/orders" in text
    assert "disabled" in text


async def test_an_empty_list_says_what_to_do(browser: Browser) -> None:
    assert "There is no integration yet" in (await browser.sign_in()).text


async def test_a_token_is_made_and_shown_once(browser: Browser) -> None:
    await browser.sign_in()

    made = await browser.send("/tokens", {"name": "deploy", "role": "operator"})

    token = re.search(r'value="(xdt_[^"]+)"', made.text)
    assert made.status == 201
    assert token is not None
    actor = browser.cases.tokens.authenticate(token[1])
    assert actor is not None
    assert actor.role == "operator"
    assert token[1] not in (await browser.open("/")).text


async def test_a_wrong_field_keeps_what_was_typed(browser: Browser) -> None:
    await browser.sign_in()
    await browser.send("/tokens", {"name": "deploy", "role": "viewer"})

    answer = await browser.send("/tokens", {"name": "deploy", "role": "viewer"})

    assert answer.status == 422
    assert 'value="deploy"' in answer.text
    assert "is taken by another token" in answer.text


async def test_an_unknown_page_is_told_to_people_and_to_programs(browser: Browser) -> None:
    people = await browser.open("/nothing")
    programs = await browser.open("/nothing", Accept="application/json")

    assert (people.status, "There is no page at /nothing" in people.text) == (404, True)
    assert programs.headers["content-type"] == "application/problem+json"


async def test_a_form_that_is_none_or_too_large_is_refused(browser: Browser) -> None:
    assert (await browser.send("/sign-in", {"token": "a" * 70_000})).status == 413
    assert (await browser.send("/sign-in", {f"f{n}": "" for n in range(60)})).status == 422


async def test_pages_load_nothing_from_elsewhere(browser: Browser) -> None:
    await browser.sign_in()

    for path in ("/", "/sign-in"):
        shown = await browser.open(path)
        assert not re.search(r"<(script|style)\b|\son\w+=|style=|https?://(?!x\.example)", shown.text)
        assert "unsafe" not in shown.headers["content-security-policy"]
    for name in ("style.css", "icon.svg"):
        assert (await browser.open(f"/static/{name}")).status == 200
    assert (await browser.open("/static/..%2Fpages.py")).status == 404
