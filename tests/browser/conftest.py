"""Tests in a real browser (Debian's Chromium), on a running program full of what pages show (`seeds.py`, `past.py`).

A test asks for `browsing` and opens pages with it. Whatever goes wrong on them fails the test: errors and warnings in
the console, blocked styles or scripts, requests that fail or go to another place, answers of 500 and more.

    async def test_an_integration_is_made(browsing: Browsing) -> None:
        page = await browsing.open("/w/default/integrations", user="bob", theme="dark", width="phone")
        await page.get_by_role("link", name="New Integration").click()
        await page.get_by_label("Integration Name").fill("Returns of a flow test")
        await page.get_by_role("button", name="Create").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Returns of a flow test")
        await check_accessibility(page)
        await screenshot(page, "integration-made")

Users: alice (admin here, operator in `logistics`), bob (operator), vera (viewer), charlie (admin of `logistics` alone);
`user=...` has signed them in, and their password is `past.PASSWORD`. `site` is shared by all tests of a session: make
things under names of your own, and leave the seeded ones as they are. A test that can't asks for `own_site`, a copy of
it that takes some seconds, and opens its pages with `browsing_on(own_site)`. Outside systems are the fixture `sink`
(127.0.0.1 is an allowed target). `looking.py` has the checks of a page; add every page to `pages.py`, whose tests make
them all.

`expect` of Playwright waits by itself: no sleeping, no `wait_for_timeout`. `browsing.expect("words")` lets a problem
pass that a test is about. All of them are one xdist group: they share the site, and one browser runs at a time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.browser.site import Site, copy_of, seed_site
from tests.browser.watched import Browsing

ARGUMENTS = [
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ADVICE = "no Chromium was found: install it (Debian: chromium), or say in CROSSDOCK_CHROMIUM where it is"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here:
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.timeout(120))


@pytest.fixture(scope="session")
def chromium_path() -> str:
    given = os.environ.get("CROSSDOCK_CHROMIUM")
    found = given or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.fail(f"{ADVICE}; scripts/prepare test does so as root on Debian")
    return found


@pytest.fixture(scope="module")
async def chromium(chromium_path: str, anyio_backend: str) -> AsyncIterator[Browser]:
    """A browser for the tests of a module; each page that they open is a visitor of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def seeded_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """What every site begins with; it is not running."""
    return seed_site(tmp_path_factory.mktemp("seeded"))


@pytest.fixture(scope="session")
def site(seeded_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site that all tests share."""
    yield from _running(copy_of(seeded_site, tmp_path_factory.mktemp("site")))


@pytest.fixture
def own_site(seeded_site: Site, tmp_path: Path) -> Iterator[Site]:
    """A running site that a test may do with as it likes."""
    yield from _running(copy_of(seeded_site, tmp_path / "site"))


def _running(site: Site) -> Iterator[Site]:
    site.program.start()
    yield site
    site.program.kill()


@pytest.fixture
async def browsing_on(chromium: Browser) -> AsyncIterator[Callable[[Site], Browsing]]:
    """Opens pages of the given site."""
    made: list[Browsing] = []

    def begin(site: Site) -> Browsing:
        made.append(Browsing(chromium, site.url))
        return made[-1]

    yield begin
    for each in made:
        await each.close()
    for each in made:
        each.check()


@pytest.fixture
def browsing(site: Site, browsing_on: Callable[[Site], Browsing]) -> Browsing:
    """Opens pages of the shared site."""
    return browsing_on(site)
