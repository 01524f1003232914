"""What can be measured of a page that is shown: accessibility, width, jumps, weight, focus by keyboard, pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import CDPSession, Page

from tests.browser.watched import Theme, Width, listed

AXE = Path(__file__).parent.joinpath("axe", "axe.min.js").read_text(encoding="utf-8")
KEYBOARD = Path(__file__).parent.joinpath("keyboard.js").read_text(encoding="utf-8")
PICTURES = Path(__file__).parents[2] / "docs" / "images" / "screens"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MOST_SHIFT = 0.05
"""Cumulative layout shift: a list that news put into another order on a busy site; 0.1 counts as good elsewhere."""
MOST_BYTES = 200 * 1024
MOST_STOPS = 150
TALLEST = 2000
"""Pixels of a page that a picture shows."""


async def check_accessibility(page: Page, rules: list[str] | None = None) -> None:
    """AssertionError that tells in words what axe found: all of WCAG 2.2 AA and best practices, or the named rules."""
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(AXE)
    chosen = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": RULES}
    found = await page.evaluate("chosen => axe.run(document, {runOnly: chosen, resultTypes: ['violations']})", chosen)
    findings = [
        f"{violation['help']} ({violation['id']}): {node['html'][:200]}\n    {_reason(node)}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
    assert not findings, f"axe found on {page.url}:\n{listed(findings)}"


def _reason(node: dict[str, Any]) -> str:
    return str(node["failureSummary"].splitlines()[-1].strip())


async def check_width(page: Page) -> None:
    """AssertionError when the page is wider than its window, with what sticks out."""
    wide = await page.evaluate(
        """() => {
            const room = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= room) return [];
            const right = element => element.getBoundingClientRect().right;
            const out = [...document.body.querySelectorAll('*')].filter(element => right(element) > room + 1);
            return [`${document.documentElement.scrollWidth} of ${room} pixels`,
                    ...out.slice(0, 8).map(e => e.outerHTML.slice(0, 120))];
        }"""
    )
    assert not wide, f"{page.url} scrolls sideways:\n{listed(wide)}"


async def check_steadiness(page: Page) -> None:
    """AssertionError when the page jumped while it was built."""
    shifts = await page.evaluate("window.__shifts")
    total = sum(shift["value"] for shift in shifts)
    assert total <= MOST_SHIFT, f"{page.url} jumped by {total:.3f}:\n{listed(map(str, shifts))}"


async def check_keyboard(page: Page) -> list[str]:
    """Go through the page by the Tab key: the names of its stops in order. AssertionError when the focus is not to be
    seen somewhere, stands on something without a name, or never comes to the end."""
    await page.evaluate(KEYBOARD)
    stops: list[str] = []
    unseen: list[str] = []
    for _ in range(MOST_STOPS):
        await page.keyboard.press("Tab")
        stop = await page.evaluate("window.__stop()")
        if stop is None:
            break
        stops.append(stop["name"])
        if not stop["name"] or not stop["visible"] or not stop["shown"]:
            unseen.append(f"{stop['html']} ({stop})")
    else:
        raise AssertionError(f"the Tab key does not lead out of {page.url}: {stops[-10:]}")
    assert not unseen, (
        f"on {page.url} the focus is not to be seen, or stands on something without a name:\n{listed(unseen)}"
    )
    return stops


# --- weight ----------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Scales:
    """Weighs what comes over the wire for a page; made before the page is opened."""

    bytes_by_url: dict[str, int]

    @classmethod
    async def under(cls, page: Page) -> Scales:
        session: CDPSession = await page.context.new_cdp_session(page)
        await session.send("Network.enable")
        scales, urls = cls({}), dict[str, str]()

        def begun(event: dict[str, Any]) -> None:
            urls[event["requestId"]] = event["request"]["url"]

        def ended(event: dict[str, Any]) -> None:
            url = urls.get(event["requestId"], "?")
            scales.bytes_by_url[url] = scales.bytes_by_url.get(url, 0) + int(event["encodedDataLength"])

        session.on("Network.requestWillBeSent", begun)
        session.on("Network.loadingFinished", ended)
        return scales

    def check(self) -> None:
        """AssertionError when it was too much, with the heaviest parts."""
        total = sum(self.bytes_by_url.values())
        heaviest = sorted(self.bytes_by_url.items(), key=lambda each: -each[1])[:6]
        assert 0 < total <= MOST_BYTES, f"{total} bytes:\n{listed(f'{size} {url}' for url, size in heaviest)}"


# --- pictures --------------------------------------------------------------------------------------------------------


async def screenshot(page: Page, name: str, theme: Theme = "light", width: Width = "desktop") -> None:
    """Keep a picture in docs/images/screens when pictures are wanted (scripts/screenshots); nothing otherwise."""
    if not _wants_pictures():
        return
    size = await page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], TALLEST)}
    path = PICTURES / f"{name}-{width}-{theme}.png"
    await page.screenshot(path=path, full_page=True, clip=clip, animations="disabled")  # type: ignore[arg-type]


async def picture(page: Page, name: str) -> None:
    """Keep what the window shows, for a document, when pictures are wanted; nothing otherwise."""
    if _wants_pictures():
        await page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")


def _wants_pictures() -> bool:
    if os.environ.get("CROSSDOCK_SCREENSHOTS") != "1":
        return False
    PICTURES.mkdir(parents=True, exist_ok=True)
    return True
