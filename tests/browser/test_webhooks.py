"""Notification webhooks in a real browser: added, tried, saved, and found in the list."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.looking import check_accessibility, screenshot
from tests.browser.watched import Browsing, Theme, Width
from tests.support.sink import Sink

pytestmark = pytest.mark.xdist_group("browser")


@pytest.mark.parametrize(("theme", "width"), [("light", "desktop"), ("dark", "phone")])
async def test_a_webhook_is_tried_and_saved(browsing: Browsing, sink: Sink, theme: Theme, width: Width) -> None:
    name = f"Flow in {theme}"
    page = await browsing.open("/w/default/notification-webhooks", theme=theme, width=width)
    await page.get_by_role("link", name="Add Webhook").click()
    await page.get_by_role("link", name="Integration Tells any system").click()

    await page.get_by_label("Integration Webhook Name").fill(name)
    await page.get_by_label("URL", exact=True).fill(f"{sink.url}/alarms")
    await page.get_by_label("Body Template").fill('{"who": "{{ data.name }}"}')
    await expect(page.get_by_label("Rendered message")).to_contain_text('"who": "Test of this webhook"')
    await page.get_by_label("Authentication Type").select_option("Bearer Token")
    await page.get_by_label("Token", exact=True).fill("a-token-of-a-flow")
    await page.get_by_role("button", name="Add", exact=True).click()
    await page.get_by_label("Json Path").fill("$.data.status")
    await page.get_by_label("Expected Values").fill("ok")
    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.get_by_text("Test failed").first).to_be_visible()  # the sink answers something else
    await page.get_by_role("button", name="View Invocation Data").click()
    await expect(page.get_by_role("heading", name="Response validators")).to_be_visible()
    await expect(page.get_by_text("a-token-of-a-flow")).to_have_count(0)
    await check_accessibility(page)
    await screenshot(page, f"webhook-invocation-{width}-{theme}")
    await page.get_by_role("button", name="Close invocation data").click()
    await page.get_by_role("button", name="Remove this row").click()
    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.get_by_text("Test successful").first).to_be_visible()
    await page.get_by_role("button", name="Save Webhook").click()

    await expect(page.get_by_role("row").filter(has_text=name).get_by_role("img", name="Active")).to_be_visible()
