"""What holds for every page, in light and dark, on a desk and on a phone."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.looking import (
    Scales,
    check_accessibility,
    check_keyboard,
    check_steadiness,
    check_width,
    screenshot,
)
from tests.browser.pages import PAGES, Shown
from tests.browser.site import Site
from tests.browser.watched import WIDTHS, Browsing, Width


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
async def test_a_page_is_good_in_both_themes(browsing: Browsing, site: Site, shown: Shown, width: Width) -> None:
    page = await browsing.open(user=shown.user, width=width)
    scales = await Scales.under(page)

    answer = await page.goto(shown.path_on(site))

    assert answer is not None
    assert answer.status == 200
    await _check_outline(page)
    scales.check()
    await check_steadiness(page)
    await check_width(page)
    await check_accessibility(page)
    await screenshot(page, shown.name, "light", width)
    await page.emulate_media(color_scheme="dark")
    await check_accessibility(page, ["color-contrast"])
    await screenshot(page, shown.name, "dark", width)


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
async def test_a_page_is_used_by_keyboard_alone(browsing: Browsing, site: Site, shown: Shown) -> None:
    page = await browsing.open(shown.path_on(site), user=shown.user)

    stops = await check_keyboard(page)

    assert stops


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
async def test_a_page_is_there_without_scripts(browsing: Browsing, site: Site, shown: Shown) -> None:
    page = await browsing.open(shown.path_on(site), user=shown.user, scripts=False)

    await _check_outline(page)


async def _check_outline(page: Page) -> None:
    assert (await page.title()).strip()
    await expect(page.get_by_role("heading", level=1)).to_have_count(1)
    await expect(page.get_by_role("main")).to_have_count(1)
