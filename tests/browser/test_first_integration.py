"""The way by clicks that the README tells: from the first start to a published workflow, by somebody new."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.looking import picture
from tests.browser.past import PASSWORD
from tests.browser.seeds import Seeded
from tests.browser.site import Site
from tests.browser.watched import Browsing
from tests.support.program import Program
from tests.support.waiting import wait_until


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Site]:
    """What somebody has who starts Crossdock for the first time."""
    program = Program(tmp_path, arguments=["--demo"])
    program.start()
    yield Site(program, Seeded({}, {}, {}, {}))
    program.kill()


async def test_somebody_new_makes_an_integration(new_site: Site, browsing_on: Callable[[Site], Browsing]) -> None:
    page = await browsing_on(new_site).open(user=None)

    await _sign_in(page, new_site)
    key = await _create(page)
    _call(new_site, key)
    await _write_workflow(page)
    await _try_and_publish(page)
    _call(new_site, key)

    await page.get_by_role("link", name="Events", exact=True).last.click()
    await expect(page.get_by_role("row").filter(has_text="Succeeded")).to_have_count(2)


async def test_all_calls_are_seen_at_a_glance(browsing: Browsing) -> None:
    page = await browsing.open("/w/default/events")
    await page.set_viewport_size({"width": 1280, "height": 900})

    await expect(page.get_by_role("row").nth(5)).to_be_visible()  # of what the other tests have left, too
    await picture(page, "readme")


async def _sign_in(page: Page, site: Site) -> None:
    wait_until(lambda: "Replies arrive at" in site.program.log)
    link = re.search(r"^Sign in: (\S+)$", site.program.log, re.MULTILINE)
    assert link is not None
    await page.goto(link[1])
    await page.get_by_label("Login").fill("ada")
    await page.locator("input[name=password]").fill(PASSWORD)
    await page.get_by_role("button", name="Create the account").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


async def _create(page: Page) -> str:
    """Make the integration; its key."""
    await page.get_by_role("link", name="Integrations", exact=True).click()
    await page.get_by_role("button", name="New Integration").click()
    await expect(page.get_by_role("heading", name="Select External System")).to_be_visible()
    await picture(page, "guide-select-external-system")
    await page.get_by_role("button", name="Webhook Trigger").click()
    await page.get_by_label("Integration Name").fill("Take orders")
    await page.get_by_label("Status").select_option("Enabled")
    await page.get_by_role("button", name="Add authentication").click()
    await page.get_by_label("Authentication Type").select_option("ApiKeys")
    await page.get_by_role("button", name="Add New Key").click()
    await page.get_by_role("dialog").get_by_label("Label").fill("My shop")
    await page.get_by_role("button", name="Add", exact=True).click()
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_text("Take orders was created")).to_be_visible()
    shown = re.search(r"xdk_[\w-]+", await page.get_by_role("main").inner_text())
    assert shown is not None
    await page.get_by_role("link", name="Go on to Take orders").click()
    return shown[0]


def _call(site: Site, key: str) -> None:
    body = json.dumps({"customer": {"id": "4711", "name": "Harbour Supplies"}}).encode()
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{site.url}/hooks/default/take-orders", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202


async def _write_workflow(page: Page) -> None:
    await page.get_by_role("link", name="Workflow", exact=True).click()
    await page.get_by_role("button", name=re.compile("^Take over and answer")).click()
    await expect(page.get_by_text("Not published")).to_be_visible()
    await page.get_by_role("link", name="Edit picked").click()
    await expect(page.get_by_text('"name": "Harbour Supplies"')).to_be_visible()
    await picture(page, "guide-step")
    await page.get_by_role("link", name="Close", exact=True).click()


async def _try_and_publish(page: Page) -> None:
    await page.get_by_role("link", name="Test", exact=True).click()
    await page.get_by_text("A real event", exact=True).click()
    await page.get_by_label("Event", exact=True).select_option(index=1)
    await page.get_by_role("button", name="Dry run").click()
    await expect(page.get_by_role("heading", name="Answer 202")).to_be_visible()
    await page.locator("#tried-picked > summary").click()
    await expect(page.locator("#tried-picked").get_by_text("Harbour Supplies").first).to_be_visible()
    await picture(page, "guide-test")
    await page.keyboard.press("Escape")
    await page.get_by_role("link", name="Publish", exact=True).click()
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.get_by_text("Version 1 is published")).to_be_visible()
