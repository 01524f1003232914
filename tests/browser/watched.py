"""A page that is watched: whatever a careful visitor would see in the developer tools fails the test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

from tests.browser.past import cookie_of

Theme: TypeAlias = Literal["light", "dark"]
Width: TypeAlias = Literal["desktop", "phone"]

WIDTHS: dict[Width, Any] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
PAGE_SECONDS = 15.0
"""How long a page may take on a machine that is busy with other things."""
_MEASURE = Path(__file__).parent.joinpath("measure.js").read_text(encoding="utf-8")


@dataclass(eq=False)
class Browsing:
    """Opens pages of one site, each as a visitor of its own, and keeps what went wrong on them."""

    browser: Browser
    url: str
    problems: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)

    async def open(
        self,
        path: str | None = None,
        *,
        user: str | None = "alice",
        theme: Theme = "light",
        width: Width = "desktop",
        scripts: bool = True,
    ) -> Page:
        """A page that shows `path`, in a browser of its own. `user` is signed in already; None: nobody is."""
        context = await self.browser.new_context(
            base_url=self.url,
            color_scheme=theme,
            reduced_motion="reduce",
            java_script_enabled=scripts,
            locale="en-GB",
            timezone_id="Europe/Stockholm",
            **WIDTHS[width],
        )
        self._contexts.append(context)
        context.set_default_timeout(PAGE_SECONDS * 1000)
        if user is not None:
            await context.add_cookies([{"name": "crossdock", "value": cookie_of(user), "url": self.url}])
        await context.add_init_script(_MEASURE)
        self._watch(context)
        page = await context.new_page()
        if path is not None:
            await page.goto(path)
        return page

    def expect(self, *problems: str) -> None:
        """These words in a problem are what this test is about."""
        self._expected += problems

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()

    def check(self) -> None:
        """AssertionError that lists every problem met so far, unless it was expected."""
        left = [each for each in self.problems if not any(words in each for words in self._expected)]
        assert not left, "\n".join(["the page had problems:", *left])

    # --- watching ---

    def _watch(self, context: BrowserContext) -> None:
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.problems.append(f"error in a script: {error.error}"))
        context.on("request", self._on_request)
        context.on("requestfailed", self._on_failed)
        context.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if "Failed to load resource" in message.text:  # what it means is decided by `_on_response`
            return
        self.problems.append(f"{message.type} in the console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:", "blob:")):
            self.problems.append(f"a request to another place: {request.method} {request.url}")

    def _on_failed(self, request: Request) -> None:
        failure = request.failure or ""
        if "ERR_ABORTED" in failure:  # left by the visitor: a stream of events, or a download
            return
        self.problems.append(f"a request failed: {request.method} {request.url}: {failure}")

    def _on_response(self, response: Response) -> None:
        is_part = response.request.resource_type in ("script", "stylesheet", "image", "font")
        if response.status >= (400 if is_part else 500):
            self.problems.append(f"{response.request.method} {response.url} was answered {response.status}")


def listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
