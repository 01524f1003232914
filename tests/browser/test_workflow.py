"""The workflow editor, worked with: from nothing to a published version, by keyboard, and the test drawer."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.async_api import Page, expect

from tests.browser.looking import check_accessibility, check_width, screenshot
from tests.browser.site import Site
from tests.browser.watched import Browsing

ORDER = {"number": "A-7", "customer": {"name": "Ada"}, "lines": [{"sku": "tea", "quantity": 2, "price": 4.5}]}
STEPS = [
    {"id": "order", "transform": {"number": "{{ body.number }}"}},
    {"id": "check", "assert": {"that": "{{ body.lines | length > 0 }}", "message": "no lines"}},
    {"id": "call", "http": {"url": "https://erp.example/orders", "json": "{{ steps.order }}"}},
]


def make(site: Site, name: str, steps: Sequence[object] = ()) -> str:
    """An integration of the test's own; the path of its editor."""
    document = {"name": name, "type": "webhook-trigger", "path": name.lower().replace(" ", "-")}
    made = site.program.add_integration({**document, **({"workflow": {"steps": list(steps)}} if steps else {})})
    return f"/w/default/integrations/{made}/workflow"


async def steps_of(page: Page) -> list[str]:
    return await page.locator(".step-list[data-level='1'] > li > article > .step-head strong").all_inner_texts()


async def test_a_workflow_comes_to_be_from_nothing(browsing: Browsing, site: Site) -> None:
    page = await browsing.open(make(site, "Begun from nothing"))

    await page.get_by_role("button", name="Check before going on").click()
    await expect(page.get_by_text("was added to the draft")).to_be_visible()
    await page.get_by_role("link", name="Publish").click()
    await expect(page.get_by_text("Added complete")).to_be_visible()
    await page.get_by_role("button", name="Publish").click()

    await expect(page.get_by_role("heading", name="Version 1")).to_be_visible()
    await expect(page.get_by_text("Version 1 is published.")).to_be_visible()


async def test_a_step_is_written_with_the_names_and_values_of_a_real_event(browsing: Browsing, site: Site) -> None:
    path = make(site, "Written with values", STEPS)
    site.program.ask("POST", "/hooks/default/written-with-values", ORDER)
    page = await browsing.open(f"{path}?step=steps/2#step-call")

    url = page.get_by_role("combobox", name="URL")
    await expect(url).to_be_visible()
    await url.fill("")
    await url.press_sequentially("https://erp.example/{{ body.cus")
    await expect(page.get_by_role("option", name="body.customer.name")).to_be_visible()
    await check_accessibility(page)
    await url.press("ArrowDown")
    await url.press("Enter")
    await url.press_sequentially(" }}")

    await expect(page.locator('[data-preview-of="s.url"]')).to_have_text('"https://erp.example/Ada"')
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved in the draft.")).to_be_visible()
    await expect(page.locator("#step-call")).to_contain_text("https://erp.example/{{ body.customer.name }}")


async def test_steps_are_moved_by_keyboard_and_keep_the_focus(browsing: Browsing, site: Site) -> None:
    page = await browsing.open(make(site, "Moved by keyboard", STEPS))

    await page.get_by_role("button", name="Move order down").press("Enter")
    await expect(page.get_by_text("order is now step 2 of 3.")).to_be_visible()
    await expect(page.get_by_role("button", name="Move order down")).to_be_focused()
    await page.keyboard.press("Alt+ArrowDown")

    await expect(page.get_by_text("order is now step 3 of 3.")).to_be_visible()
    assert await steps_of(page) == ["check", "call", "order"]


async def test_a_deleted_step_comes_back(browsing: Browsing, site: Site) -> None:
    page = await browsing.open(make(site, "Deleted and back", STEPS))

    await page.get_by_label("More for check").click()
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("check was deleted from the draft.")).to_be_visible()
    await page.get_by_role("button", name="Undo").click()

    await expect(page.get_by_text("The step is back.")).to_be_visible()
    assert await steps_of(page) == ["order", "check", "call"]


async def test_the_palette_is_searched_and_chosen_from_by_keyboard(browsing: Browsing, site: Site) -> None:
    page = await browsing.open(make(site, "Chosen by keyboard", STEPS))

    await page.get_by_role("link", name="Add a step", exact=True).click()
    search = page.get_by_role("searchbox", name="Search kinds of steps")
    await expect(search).to_be_focused()
    await search.fill("waits")
    await expect(page.get_by_role("button", name="HTTP call")).to_be_hidden()
    await search.press("Enter")

    await expect(page.get_by_label("Duration or time")).to_have_value("PT5M")


async def test_a_dry_run_in_the_drawer_tells_each_step(browsing: Browsing, site: Site) -> None:
    page = await browsing.open(make(site, "Tried in the drawer", STEPS), user="bob")

    await page.get_by_role("link", name="Test").click()
    drawer = page.get_by_role("dialog", name="Test")
    await drawer.get_by_text("Paste a curl", exact=True).click()
    await drawer.get_by_label("curl command").fill('curl https://x/ --json \'{"number": 1, "lines": [1]}\'')
    await drawer.get_by_role("button", name="Dry run").click()

    await expect(drawer.get_by_role("heading", name="Succeeded Dry run")).to_be_visible()
    await expect(drawer.get_by_text("not performed: its output is made up")).to_be_visible()
    await check_accessibility(page)
    await check_width(page)
    await screenshot(page, "workflow-tried")
    await page.keyboard.press("Escape")
    await expect(drawer).to_be_hidden()


async def test_a_live_test_asks_before_it_does_anything(browsing: Browsing, site: Site) -> None:
    page = await browsing.open(make(site, "Asked before live", STEPS) + "/test", width="phone", theme="dark")

    await page.get_by_role("button", name="Run live").click()

    await expect(page.get_by_role("alert")).to_contain_text("call (http)")
    await check_accessibility(page)
    await check_width(page)
