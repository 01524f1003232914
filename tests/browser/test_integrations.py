"""The list of integrations and the overview, looked at and worked with."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.looking import check_accessibility, check_width, screenshot
from tests.browser.site import Site
from tests.browser.watched import Browsing, Theme, Width

LIST = "/w/default/integrations"


def make(site: Site, *names: str) -> None:
    for name in names:
        site.program.add_integration({"name": name, "type": "webhook-trigger"})


def row(page: Page, name: str):
    return page.get_by_role("row").filter(has_text=name)


async def test_the_list_is_searched_while_typing_and_its_url_keeps_it(browsing: Browsing) -> None:
    page = await browsing.open(LIST)

    await page.get_by_role("searchbox", name="Search integrations").fill("prices")

    await expect(row(page, "Shop orders")).to_have_count(0)
    await expect(row(page, "Item prices")).to_be_visible()
    await page.wait_for_url(re.compile(r"\?q=prices"))
    await page.reload()
    await expect(row(page, "Shop orders")).to_have_count(0)


async def test_chips_narrow_and_widen_the_list(browsing: Browsing) -> None:
    page = await browsing.open(LIST)

    await page.get_by_role("link", name="Error").click()
    await expect(row(page, "Shop orders")).to_be_visible()
    await expect(row(page, "Old newsletter")).to_have_count(0)
    await page.get_by_role("link", name="Error").click()

    await expect(row(page, "Old newsletter")).to_be_visible()


async def test_several_are_disabled_at_once_and_that_is_undone(browsing: Browsing, site: Site) -> None:
    make(site, "Switched one", "Switched two")
    page = await browsing.open(f"{LIST}?q=switched")

    await page.get_by_role("checkbox", name="Choose all").check()
    await expect(page.get_by_text("2 chosen")).to_be_visible()
    await page.get_by_role("button", name="Disable").click()
    await expect(page.get_by_text("Disabled 2 integrations.")).to_be_visible()
    await expect(row(page, "Switched two")).to_contain_text("Disabled")
    await page.get_by_role("button", name="Undo").click()

    await expect(page.get_by_text("Enabled 2 integrations.")).to_be_visible()


async def test_a_call_appears_in_the_list_by_itself(browsing: Browsing, site: Site) -> None:
    make(site, "Called while looking")
    page = await browsing.open(f"{LIST}?q=called+while")
    await expect(row(page, "Called while looking")).to_contain_text("no calls")

    site.program.call("called-while-looking", {"a": 1})

    await expect(row(page, "Called while looking")).to_contain_text("1 call")


@pytest.mark.parametrize(("theme", "width"), [("light", "desktop"), ("dark", "phone")])
async def test_the_panel_opens_is_searched_and_closes(browsing: Browsing, theme: Theme, width: Width) -> None:
    page = await browsing.open(LIST, theme=theme, width=width)
    await page.get_by_role("button", name="New Integration").click()
    panel = page.get_by_role("dialog", name="Select External System")

    await panel.get_by_role("searchbox").fill("caller waits")
    await expect(panel.get_by_role("button", name="Event Webhook Sync")).to_be_visible()
    await expect(panel.get_by_role("button", name="Webhook Trigger")).to_be_hidden()
    await check_accessibility(page)
    await check_width(page)
    await screenshot(page, "external-systems-open", theme, width)
    await page.keyboard.press("Escape")  # empties the search, as browsers do
    await page.keyboard.press("Escape")

    await expect(panel).to_be_hidden()


async def test_the_overview_leads_to_what_fails(browsing: Browsing) -> None:
    page = await browsing.open("/w/default")

    await expect(page.get_by_role("link", name="Shop orders").first).to_be_visible()
    await expect(page.locator("canvas")).to_be_visible()
    await page.get_by_role("link", name="Sample event").first.click()

    await page.wait_for_url(re.compile(r"/events/evt_"))


async def test_the_chart_of_the_overview_is_there_without_scripts(browsing: Browsing) -> None:
    page = await browsing.open("/w/default", scripts=False)

    await expect(page.get_by_role("img", name=re.compile("Last 24 hours: "))).to_be_visible()


async def test_an_empty_workspace_makes_an_example_that_answers(browsing: Browsing, site: Site) -> None:
    page = await browsing.open("/w/logistics/integrations", user="charlie")

    await page.get_by_role("button", name="Make a working example").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("Hello")
    key = re.search(r"X-API-Key: (xdk_[\w-]+)", await page.locator("pre").inner_text())
    assert key is not None
    reply = site.program.ask("GET", "/hooks/logistics/hello?name=Ada", headers={"X-API-Key": key[1]})
    assert (reply.status, reply.document["hello"]) == (200, "Ada")
