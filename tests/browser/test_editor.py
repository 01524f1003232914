"""The code editor under the pages' security policy: typing, completion, the field behind it, keyboard, both themes."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.looking import check_accessibility, check_keyboard, check_steadiness, screenshot
from tests.browser.made_pages import SITE, document, serve
from tests.browser.watched import Browsing, Theme

FORM = """
<form id="form">
  <label for="template">Body Template</label>
  <p id="hint">JSON with expressions.</p>
  <textarea id="template" name="template" rows="8" aria-describedby="hint" required>{"a": 1}</textarea>
  <label>Steps <code-editor language="yaml"><textarea name="steps" rows="4">- id: one</textarea></code-editor></label>
  <p><button>Save</button></p> <button type="reset">Reset</button>
</form>
<script type="module" src="/own.js"></script>
"""
SCRIPT = """
import { mount } from "/vendor/codemirror.js";
const complete = ({ before, position }) => {
  const typed = /\\w*$/.exec(before)[0];
  const options = [{ label: "customer", detail: "object", info: "Who orders." }, { label: "region" }];
  return { from: position - typed.length, options };
};
const problems = (text) => {
  try { JSON.parse(text); return []; } catch (error) { return [{ line: 1, message: `Not JSON: ${error.message}` }]; }
};
window.editor = mount(document.getElementById("template"), { language: "json", complete, problems });
window.heard = [];
document.getElementById("form").addEventListener("input", (event) => window.heard.push(event.target.name));
"""
BOTH: list[Theme] = ["light", "dark"]


@pytest.mark.parametrize("theme", BOTH)
async def test_an_expression_is_completed_under_the_policy(chromium: Browser, theme: Theme) -> None:
    browsing, page = await _open(chromium, theme)
    editor = page.get_by_role("textbox", name="Body Template")

    await editor.press("Control+End")
    await editor.press_sequentially(', "b": "{{ body.')
    option = page.get_by_role("option", name="customer")
    await expect(option).to_be_visible()
    await screenshot(page, "editor-completion", theme)
    await check_accessibility(page)
    await option.click()
    await editor.press_sequentially(' }}"')

    assert await _field(page) == '{"a": 1}, "b": "{{ body.customer }}"'
    assert "template" in await page.evaluate("window.heard")
    await expect(page.locator(".cm-lint-marker-error")).to_be_visible()
    await _end(browsing)


async def test_the_field_follows_and_is_followed(chromium: Browser) -> None:
    browsing, page = await _open(chromium)

    await page.get_by_label("Body Template").fill('{\n  "whole": "{{ event.id }}"\n}')
    assert await _sent(page) == {"template": '{\n  "whole": "{{ event.id }}"\n}', "steps": "- id: one"}

    await page.get_by_role("button", name="Reset").click()
    await expect(page.get_by_label("Body Template")).to_have_text('{"a": 1}')

    await page.evaluate("() => { const f = window.editor.querySelector('textarea'); f.readOnly = true; }")
    await expect(page.get_by_label("Body Template")).to_have_attribute("aria-readonly", "true")
    await page.get_by_label("Body Template").press_sequentially("x")
    assert await _field(page) == '{"a": 1}'
    await _end(browsing)


async def test_an_editor_is_a_named_field_that_the_tab_key_leaves(chromium: Browser) -> None:
    browsing, page = await _open(chromium)
    editor = page.get_by_label("Body Template")

    assert await check_keyboard(page) == ["Body Template", "Steps", "Save", "Reset"]
    await expect(editor).to_have_attribute("aria-description", "JSON with expressions.")
    await expect(editor).to_have_attribute("aria-required", "true")
    await page.get_by_text("Body Template").click()
    await expect(editor).to_be_focused()
    await check_steadiness(page)
    await _end(browsing)


async def test_an_editor_that_leaves_the_page_gives_the_field_back(chromium: Browser) -> None:
    browsing, page = await _open(chromium)

    await page.evaluate("() => { const e = window.editor, f = e.querySelector('textarea'); e.replaceWith(f); }")

    await expect(page.locator("textarea#template")).to_be_visible()
    await page.get_by_label("Body Template").fill("plain")
    assert (await _sent(page))["template"] == "plain"
    await _end(browsing)


async def test_parts_of_a_page_are_exchanged_and_charts_drawn_under_the_policy(chromium: Browser) -> None:
    browsing = Browsing(chromium, SITE)
    page = await browsing.open(user=None)
    head = '<link rel="stylesheet" href="/vendor/uplot.css"><script src="/vendor/htmx.js" defer></script>'
    head += '<script src="/vendor/hx-sse.js" defer></script><script type="module" src="/chart.js"></script>'
    body = '<div id="chart"></div><button hx-get="/part" hx-target="#part">More</button><p id="part"></p>'
    chart = """import uPlot from "/vendor/uplot.js";
    new uPlot({ width: 300, height: 150, series: [{}, { stroke: "red", label: "calls" }] }, [[1, 2], [3, 4]],
      document.getElementById("chart"));"""
    await serve(page, {"/": document(body, head), "/part": "<b>swapped</b>", "/chart.js": chart})
    await page.goto("/")

    await page.get_by_role("button", name="More").click()

    await expect(page.locator("#part")).to_have_text("swapped")
    await expect(page.locator("#chart canvas")).to_be_visible()
    await expect(page.locator("#chart")).to_contain_text("calls")
    await _end(browsing)


async def _open(chromium: Browser, theme: Theme = "light") -> tuple[Browsing, Page]:
    browsing = Browsing(chromium, SITE)
    page = await browsing.open(user=None, theme=theme)
    await serve(page, {"/": document(FORM), "/own.js": SCRIPT})
    await page.goto("/")
    await expect(page.get_by_role("textbox", name="Body Template")).to_be_visible()
    return browsing, page


async def _end(browsing: Browsing) -> None:
    await browsing.close()
    browsing.check()


async def _field(page: Page) -> Any:
    return await page.evaluate("window.editor.querySelector('textarea').value")


async def _sent(page: Page) -> Any:
    return await page.evaluate("Object.fromEntries(new FormData(document.getElementById('form')))")
