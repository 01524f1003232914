"""One integration in a browser: what is wrong and what is done about it, keys, lanes, its text; and connections."""

from __future__ import annotations

from collections.abc import Callable

from playwright.async_api import expect

from tests.browser.looking import check_accessibility
from tests.browser.site import Site
from tests.browser.watched import Browsing


async def test_an_issue_is_snoozed_and_stays_unfolded_while_news_come(
    own_site: Site, browsing_on: Callable[[Site], Browsing]
) -> None:
    path = f"/w/default/integrations/{own_site.integration('Shop orders')}"
    page = await browsing_on(own_site).open(path, user="bob", theme="dark", width="phone")
    await page.get_by_text("Do something about it").first.click()
    await page.get_by_text("The changes").click()

    await page.get_by_label("Note").first.fill("The carrier knows")
    async with page.expect_response(lambda answer: answer.url.endswith(path)):
        await page.evaluate("document.dispatchEvent(new CustomEvent('news', { detail: {} }))")
    await expect(page.get_by_label("Note").first).to_have_value("The carrier knows")
    await expect(page.get_by_role("table", name="States, the newest first")).to_be_visible()
    await check_accessibility(page)
    await page.get_by_role("button", name="Snooze").first.click()

    await expect(page.get_by_role("status").first).to_contain_text("It does not count until")
    await expect(page.get_by_text("The carrier knows")).to_be_visible()


async def test_a_new_key_is_shown_once(own_site: Site, browsing_on: Callable[[Site], Browsing]) -> None:
    path = f"/w/default/integrations/{own_site.integration('Item prices')}/access"
    page = await browsing_on(own_site).open(path)

    await page.get_by_role("button", name="Add New Key").click()
    await check_accessibility(page)
    await page.get_by_label("Label").first.fill("Till in the shop")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("heading", name="The new key Till in the shop")).to_be_visible()
    await check_accessibility(page)
    await page.reload()

    await expect(page.get_by_role("heading", name="The new key Till in the shop")).to_have_count(0)
    await expect(page.get_by_role("row", name="Till in the shop")).to_have_count(1)


async def test_the_head_of_a_lane_is_skipped_when_that_is_confirmed(
    own_site: Site, browsing_on: Callable[[Site], Browsing]
) -> None:
    path = f"/w/default/integrations/{own_site.integration('Stock reservation')}/lanes"
    page = await browsing_on(own_site).open(path, user="bob")

    await page.get_by_role("button", name="Skip the head of C-4").click()
    await page.get_by_role("dialog").get_by_role("button", name="Go on").click()

    await expect(page.get_by_role("status").first).to_contain_text("skipped")


async def test_a_text_shows_its_difference_before_it_is_saved(
    own_site: Site, browsing_on: Callable[[Site], Browsing]
) -> None:
    path = f"/w/default/integrations/{own_site.integration('Parcel tracking')}/code"
    page = await browsing_on(own_site).open(path, theme="dark")

    await page.locator(".cm-content").get_by_text("parcels").click()
    await page.keyboard.press("End")
    await page.keyboard.type("-of-today")
    await page.get_by_role("button", name="Show the difference").click()
    await expect(page.get_by_role("table", name="What would change")).to_contain_text("parcels-of-today")
    await check_accessibility(page)
    await page.get_by_role("button", name="Save").click()

    await expect(page.get_by_role("status").first).to_contain_text("was saved")


async def test_a_connection_tells_what_came_of_its_test(browsing: Browsing, site: Site) -> None:
    page = await browsing.open(f"/w/default/connections/{site.seeded.connections['ERP']}", width="phone")

    await page.get_by_role("button", name="Test", exact=True).click()

    await expect(page.locator("#outcome")).to_contain_text("Test failed")
    await expect(page.locator("#outcome")).to_contain_text("no access token")
