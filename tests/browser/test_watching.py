"""The watch itself: each thing that it looks for, it finds."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Browser, Page

from tests.browser.looking import check_accessibility, check_keyboard, check_steadiness, check_width
from tests.browser.made_pages import SITE, document, serve
from tests.browser.watched import Browsing

Check = Callable[[Page], Awaitable[object]]

PROBLEMS = {
    "an inline script": ("<script>1</script>", "blocked by the security policy: script-src-elem"),
    "an inline style": ('<p style="color: red">x</p>', "blocked by the security policy: style-src-attr"),
    "another host": (
        '<img alt="x" src="https://elsewhere.test/x.png">',
        "a request to another place: GET https://elsewh",
    ),
    "a missing part": ('<img alt="x" src="/x.png">', "/x.png was answered 404"),
    "an error": ('<script src="/throws.js"></script>', "error in a script: thrown"),
    "a complaint": ('<script src="/complains.js"></script>', "warning in the console: complained"),
}
FILES = {"/throws.js": "throw new Error('thrown')", "/complains.js": "console.warn('complained')"}


@pytest.mark.parametrize(("body", "told"), PROBLEMS.values(), ids=PROBLEMS)
async def test_a_problem_is_told(chromium: Browser, body: str, told: str) -> None:
    browsing = Browsing(chromium, SITE)

    await _show(browsing, body)

    await browsing.close()
    with pytest.raises(AssertionError, match=re.escape(told)):
        browsing.check()
    browsing.expect(
        told, "Content Security Policy", "blocked by the security policy", "failed: GET https://elsewhere.test"
    )
    browsing.check()


SHORTCOMINGS: dict[str, tuple[str, Check, str]] = {
    "a field without a label": ("<input>", check_accessibility, "Form elements must have labels"),
    "pale text": ('<p class="pale">pale text</p>', check_accessibility, "color-contrast"),
    "a wide table": ('<div class="wide">x</div>', check_width, "scrolls sideways"),
    "something that comes late": (
        '<p id="late">x</p><p class="block">x</p><script src="/late.js"></script>',
        check_steadiness,
        "jumped",
    ),
    "a focus that nobody sees": ('<a class="plain" href="/">x</a>', check_keyboard, "the focus is not to be seen"),
    "a button without a name": ("<button></button>", check_keyboard, "without a name"),
}
STYLES = (
    ".pale { color: #ddd; background: #fff } .wide { width: 3000px } .plain { outline: none } "
    "#late.tall { height: 400px } .block { height: 300px }"
)
SHIFTED = """() => new Promise(done => {
    const look = () => window.__shifts.length ? done() : requestAnimationFrame(look);
    look();
})"""
LATE = "requestAnimationFrame(() => setTimeout(() => document.getElementById('late').classList.add('tall'), 50));"


@pytest.mark.parametrize(("body", "check", "told"), SHORTCOMINGS.values(), ids=SHORTCOMINGS)
async def test_a_shortcoming_is_found(chromium: Browser, body: str, check: Check, told: str) -> None:
    browsing = Browsing(chromium, SITE)
    page = await _show(browsing, f"{body}<p>end</p>")
    if "late" in body:
        await page.evaluate(SHIFTED)  # `wait_for_function` would evaluate a text, which the policy forbids

    with pytest.raises(AssertionError, match=told):
        await check(page)

    await browsing.close()


async def test_a_good_page_is_called_good(chromium: Browser) -> None:
    browsing = Browsing(chromium, SITE)
    page = await _show(browsing, '<label>Name <input></label> <a href="/">Home</a>')

    await check_accessibility(page)
    await check_width(page)
    await check_steadiness(page)
    assert await check_keyboard(page) == ["Name", "Home"]

    await browsing.close()
    browsing.check()


async def _show(browsing: Browsing, body: str) -> Page:
    page = await browsing.open(user=None)
    head = '<link rel="stylesheet" href="/more.css">'
    await serve(page, {**FILES, "/": document(body, head), "/more.css": STYLES, "/late.js": LATE})
    await page.goto("/", wait_until="load")
    return page
