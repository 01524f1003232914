"""New integrations, made as the documents of the product describe it step by step."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.looking import check_accessibility, check_width, screenshot
from tests.browser.site import Site
from tests.browser.watched import Browsing, Theme, Width

LIST = "/w/default/integrations"


async def choose(page: Page, system: str) -> None:
    """Open the panel and choose an external system."""
    await page.get_by_role("button", name="New Integration").click()
    panel = page.get_by_role("dialog", name="Select External System")
    await expect(panel).to_be_visible()
    await panel.get_by_role("button", name=system).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("New Integration")


@pytest.mark.parametrize(("theme", "width"), [("light", "desktop"), ("dark", "phone")])
async def test_an_async_event_webhook_is_created(browsing: Browsing, site: Site, theme: Theme, width: Width) -> None:
    page = await browsing.open(LIST, theme=theme, width=width)
    name = f"Alarms in {theme}"

    await choose(page, "Event Webhook Async")
    await expect(page.get_by_label("External System")).to_have_value("event-webhook-async")
    await expect(page.get_by_label("Status")).to_have_value("disabled")
    await page.get_by_label("Integration Name").fill(name)
    await page.get_by_label("Status").select_option("Enabled")
    await page.get_by_label("Platform Token").fill("a-platform-token-of-a-flow")
    await page.get_by_label("Request Timeout").fill("60 s")
    await expect(page.get_by_text("1 minute (PT60S)")).to_be_visible()
    await page.get_by_label("Reply URL").fill("https://erp.example/callback")
    await page.get_by_label("Reply HTTP Method").select_option("PUT")
    await page.get_by_role("group", name="Reply HTTP Headers").get_by_role("button", name="Add header").click()
    await expect(page.get_by_text(f"/hooks/default/alarms-in-{theme}").first).to_be_visible()
    await check_accessibility(page)
    await check_width(page)
    await page.get_by_role("button", name="Create").click()

    await page.wait_for_url(re.compile(r"/integrations/int_\w+$"))
    made = {each["name"]: each for each in site.program.admin("GET", "/integrations")["items"]}[name]
    assert made["reply"] == {"url": "https://erp.example/callback", "method": "PUT", "headers": {}}
    assert (made["status"], made["trigger"]["request_timeout"]) == ("enabled", "PT60S")


async def test_a_webhook_trigger_is_created_with_keys_and_called(browsing: Browsing, site: Site) -> None:
    page = await browsing.open(LIST)
    await choose(page, "Webhook Trigger")
    await page.get_by_label("Integration Name").fill("Customers of a flow")
    await page.get_by_label("Status").select_option("Enabled")
    await page.get_by_label("Path", exact=True).fill("flow/CreateCustomerRecord")

    await page.get_by_role("button", name="Add authentication").click()
    await page.get_by_label("Authentication Type").select_option("ApiKeys")
    await expect(page.get_by_text("Open to anyone who knows the address.")).to_be_hidden()
    await _add_key(page, "Shop", generate=True)
    await _add_key(page, "ERP", text="a-key-of-the-erp-in-a-flow")
    await page.get_by_role("switch", name="Ordered Delivery").check()
    await page.get_by_role("switch", name="Request-Response").check()
    await page.get_by_role("button", name="Add query parameter").click()
    row = page.get_by_role("group", name="Query parameters")
    await row.get_by_label("Name").fill("customerid")
    await row.get_by_label("Required").select_option("Yes")
    await expect(page.get_by_text("Without customerid in the query a call is refused.")).to_be_visible()
    await screenshot(page, "integration-form-filled")
    await page.get_by_role("button", name="Create").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("Customers of a flow")
    await expect(page.get_by_role("row", name="Shop")).to_contain_text("xdk_")
    await expect(page.get_by_role("row", name="ERP")).to_contain_text("a-key-of-the-erp-in-a-flow")
    await check_accessibility(page)
    headers = {"X-API-Key": "a-key-of-the-erp-in-a-flow"}
    reply = site.program.ask("POST", "/hooks/default/flow/CreateCustomerRecord?customerid=1", headers=headers)
    assert reply.status == 200


async def _add_key(page: Page, label: str, *, text: str = "", generate: bool = False) -> None:
    await page.get_by_role("button", name="Add New Key").click()
    dialog = page.get_by_role("dialog", name="New key")
    await dialog.get_by_label("Label").fill(label)
    if generate:
        await dialog.get_by_role("button", name="Generate").click()
        await expect(dialog.get_by_label("Key", exact=True)).to_have_value(re.compile(r"xdk_[\w-]{43}"))
    else:
        await dialog.get_by_label("Key", exact=True).fill(text)
    await dialog.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("textbox", name="Key label").last).to_have_value(label)


async def test_errors_stand_at_their_fields_and_close_leads_back(browsing: Browsing) -> None:
    page = await browsing.open(f"{LIST}/new?type=event-webhook-sync")
    await page.get_by_label("Reply URL").fill("not an address")
    await page.get_by_label("Request Timeout").fill("2 days")

    await page.get_by_role("button", name="Create").click()

    await expect(page.get_by_label("Integration Name")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("Reply URL")).to_have_value("not an address")
    await expect(page.get_by_label("Request Timeout")).to_have_value("2 days")
    await check_accessibility(page)
    await page.get_by_role("button", name="Clear Reply URL").click()
    await expect(page.get_by_label("Reply URL")).to_have_value("")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Close").click()
    await page.wait_for_url(f"**{LIST}?")


async def test_another_external_system_is_chosen_in_the_form(browsing: Browsing) -> None:
    page = await browsing.open(f"{LIST}/new?type=event-webhook-async")
    await page.get_by_label("Integration Name").fill("Typed before")

    await page.get_by_label("External System").select_option("Webhook Trigger")

    await expect(page.get_by_role("button", name="Add authentication")).to_be_visible()
    await expect(page.get_by_label("Integration Name")).to_have_value("Typed before")


async def test_two_people_who_edit_the_same_decide(browsing: Browsing, site: Site) -> None:
    made = site.program.admin("POST", "/integrations", {"name": "Edited by two", "type": "webhook-trigger"})
    path = f"{LIST}/{made['id']}/settings"
    page = await browsing.open(path)
    site.program.admin("PATCH", f"/integrations/{made['id']}", {"path": "theirs"})
    await page.get_by_label("Path", exact=True).fill("mine")

    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("row", name="Path")).to_contain_text("theirs")
    await check_accessibility(page)
    await screenshot(page, "integration-conflict")
    await page.get_by_role("button", name="Save mine over theirs").click()

    await page.wait_for_url(re.compile(r"/integrations/int_\w+$"))
    assert site.program.admin("GET", f"/integrations/{made['id']}")["path"] == "mine"


async def test_the_form_works_without_scripts(browsing: Browsing, site: Site) -> None:
    page = await browsing.open(f"{LIST}?panel=external-systems", scripts=False)
    await page.get_by_role("button", name="Event Webhook Async").click()
    await page.get_by_label("Integration Name").fill("Made without scripts")
    await page.get_by_label("Platform Token").fill("a-platform-token-of-a-flow")

    await page.get_by_role("button", name="Create").click()

    await page.wait_for_url(re.compile(r"/integrations/int_\w+$"))
    names = [each["name"] for each in site.program.admin("GET", "/integrations")["items"]]
    assert "Made without scripts" in names
