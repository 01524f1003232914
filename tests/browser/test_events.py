"""Events in a browser: what is new comes as a count, rows by keyboard, narrowing by the picture, bulk replay."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.looking import check_accessibility, check_width, screenshot
from tests.browser.seeds import KEY, ORDER
from tests.browser.site import Site
from tests.browser.watched import Browsing

HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=alert(1)>\u202e"


def send(site: Site, path: str = "shop/orders", document: object = None) -> str:
    """A call; the id of its event."""
    body = ORDER if document is None else document
    reply = site.program.ask("POST", f"/hooks/default/{path}", body, headers={"X-API-Key": KEY})
    return reply.headers["x-crossdock-event"]


@pytest.mark.parametrize("user", ["vera", "bob"])
async def test_new_events_come_as_a_count_and_are_shown_by_a_click(browsing: Browsing, site: Site, user: str) -> None:
    page = await browsing.open("/w/default/events?q=shop/orders", user=user)
    rows = page.locator("tr[data-event]")
    first = await rows.first.get_attribute("data-event")
    await expect(page.get_by_role("button", name="Pause")).to_have_attribute("data-live-state", "live")

    event_id = send(site)

    button = page.get_by_role("button", name="new event")
    await expect(button).to_be_visible()
    assert await rows.first.get_attribute("data-event") == first
    await button.click()
    await expect(rows.first).to_have_attribute("data-event", event_id)
    await expect(button).to_be_hidden()


async def test_rows_are_gone_through_chosen_and_opened_by_keyboard(browsing: Browsing) -> None:
    page = await browsing.open("/w/default/events?status=failed", user="bob")
    rows = page.locator("tr[data-event]")

    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("x")

    await expect(rows.nth(1).get_by_role("checkbox")).to_be_checked()
    await expect(page.get_by_text("1 chosen")).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="What happened when")).to_be_visible()
    await page.keyboard.press("k")
    await expect(page).to_have_url(re.compile(r"/events/evt_\w+\?status=failed"))


async def test_a_span_of_the_picture_narrows_the_list(browsing: Browsing) -> None:
    page = await browsing.open("/w/default/events")
    picture = page.locator("[data-histogram]")
    box = await picture.bounding_box()
    assert box is not None

    await page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 40)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40, steps=4)
    await screenshot(page, "events-span")
    await page.mouse.up()

    await expect(page).to_have_url(re.compile("from=.*until="))
    await expect(page.get_by_role("link", name="Any time").last).to_be_visible()
    await page.locator("[data-bar][tabindex='0']").focus()
    await page.keyboard.press("Shift+ArrowLeft")
    await page.keyboard.press("Shift+ArrowLeft")
    narrow = page.url
    await page.keyboard.press("Enter")
    await expect(page).not_to_have_url(narrow)


async def test_a_payload_does_nothing_and_is_seen_in_three_ways(browsing: Browsing, site: Site) -> None:
    event_id = send(site, document={"a": HOSTILE})

    page = await browsing.open(f"/w/default/events/{event_id}", theme="dark", width="phone")

    body = page.get_by_label("application/json")
    await expect(body).to_contain_text("<script>document.title")
    await expect(body).to_contain_text("\\u202e")
    await page.get_by_role("link", name="Bytes").click()
    await expect(body).to_contain_text("00000000  7b 22 61 22")
    assert "taken" not in await page.title()
    await check_width(page)
    await check_accessibility(page)


async def test_many_events_are_replayed_with_a_reason(browsing: Browsing, site: Site) -> None:
    wanted = f"integration={site.integration('Item prices')}&status=failed"
    page = await browsing.open(f"/w/default/events?{wanted}", user="bob")

    await page.get_by_text("All that match", exact=True).click()
    await page.get_by_role("link", name="Replay all that match").click()
    await page.get_by_label("Reason").fill("The price list was wrong")
    await page.get_by_role("button", name="Replay").click()

    await expect(page.get_by_text("Finished")).to_be_visible()
    await expect(page.get_by_text("The price list was wrong")).to_be_visible()
    await check_accessibility(page)
    await screenshot(page, "bulk-job")


async def test_a_bar_of_the_waterfall_opens_its_step(browsing: Browsing, site: Site) -> None:
    page = await browsing.open(f"/w/default/events/{site.seeded.events['succeeded']}")

    await page.locator(".waterfall").get_by_role("link", name="answer").click()

    await expect(page.locator("#step-answer")).to_have_attribute("open", "")


async def test_an_event_is_watched_to_its_end(browsing: Browsing, site: Site) -> None:
    event_id = send(site, "export", {})
    page = await browsing.open(f"/w/default/events/{event_id}", user="vera")
    await expect(page.get_by_text("Attempt 1 failed.")).to_be_visible(timeout=15_000)

    site.program.admin("POST", f"/events/{event_id}/cancel")

    await expect(page.get_by_text("There is none: it was canceled.")).to_be_visible(timeout=15_000)
