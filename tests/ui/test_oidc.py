"""The way to an OpenID provider and back, over HTTP: a real provider, and what a browser keeps meanwhile."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from crossdock.clock import system_now
from crossdock.identity.provider import Client, Provider
from crossdock.manage.passwords import Passwords
from crossdock.manage.sessions import Sessions
from crossdock.manage.single_sign_on import SignOnPorts, SingleSignOn
from crossdock.outbound.client import HttpSender
from crossdock.server.app import Application, Parts, Readiness
from crossdock.server.serve import WebServer
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.ui import Workspace
from crossdock.ui.oidc import CALLBACK
from crossdock.vault import Vault
from tests.support.cases import make_cases
from tests.support.held import HeldClock
from tests.support.openid import CLIENT_ID, CLIENT_SECRET, OpenIdProvider
from tests.support.postgres import free_port
from tests.support.signing_on import HOME, STRANGERS
from tests.support.trials import Silent

pytestmark = pytest.mark.anyio


@dataclass
class Browser:
    """Keeps cookies and follows nothing by itself."""

    url: str
    session: aiohttp.ClientSession

    async def open(self, address: str) -> aiohttp.ClientResponse:
        where = address if address.startswith("http") else self.url + address
        async with self.session.get(where, headers={"Accept": "text/html"}, allow_redirects=False) as answer:
            await answer.read()
            return answer


@pytest.fixture
def openid(tmp_path: Path) -> Iterator[OpenIdProvider]:
    provider = OpenIdProvider(tmp_path, {"sub": "x", "email": "diana@example.com", "email_verified": True})
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
async def browser(store: Store, openid: OpenIdProvider) -> AsyncIterator[Browser]:
    await store.write(ensure_workspace, "wsp_home", "default", 1)
    port = free_port()
    sender = HttpSender(HOME, system_now)
    sessions = Sessions(store, Passwords(64, 1), system_now)
    redirect_url = f"http://127.0.0.1:{port}{CALLBACK}"
    openid.know(redirect_url)
    provider = Provider(Client(openid.issuer, CLIENT_ID, redirect_url, secret=CLIENT_SECRET), sender)
    ports = SignOnPorts(store, sessions, Vault([bytes(32)]), system_now)
    pages = Workspace(
        make_cases(store, HeldClock(system_now()), Silent()),
        sessions,
        SingleSignOn(ports, provider, STRANGERS, "Example"),
    )
    server = WebServer(Application(Parts(ready=_ready, metrics=bytes, pages=pages)))
    await server.start("127.0.0.1", port)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(f"http://127.0.0.1:{port}", session)
    await server.stop(grace=1.0)
    await sender.close()


async def _ready() -> Readiness:
    return Readiness(True, {})


async def test_somebody_goes_to_the_provider_and_comes_back_signed_in(browser: Browser) -> None:
    away = await browser.open("/sign-in/oidc?next=/w/default/events")
    assert away.status == 303
    kept = away.cookies["crossdock-sign-on"]
    assert (kept["httponly"], kept["samesite"], kept["path"]) == (True, "lax", "/")

    back = await browser.open((await browser.open(away.headers["location"])).headers["location"])

    assert (back.status, back.headers["location"]) == (303, "/w/default/events")
    assert back.cookies["crossdock"]["httponly"]
    assert back.cookies["crossdock-sign-on"].value == ""
    assert (await browser.open("/")).headers["location"] == "/w/default"


@pytest.mark.parametrize("there", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example"])
async def test_a_sign_in_leads_nowhere_else(browser: Browser, there: str) -> None:
    away = await browser.open(f"/sign-in/oidc?next={there}")
    back = await browser.open((await browser.open(away.headers["location"])).headers["location"])

    assert (back.status, back.headers["location"]) == (303, "/")


async def test_a_provider_that_is_away_is_told_in_a_sentence(browser: Browser, openid: OpenIdProvider) -> None:
    openid.stop()

    refused = await browser.open("/sign-in/oidc")

    assert refused.status == 403
    assert re.search(r"<p>The provider did not tell .+\.</p>", await refused.text())


async def test_a_callback_that_nobody_began_is_refused(browser: Browser) -> None:
    refused = await browser.open(f"{CALLBACK}?state=x&code=y")

    assert refused.status == 403
    assert "crossdock" not in refused.cookies
