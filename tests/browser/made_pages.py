"""Pages that tests make up, sent with the headers of the real ones; they need no server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Page, Route

SITE = "http://pages.test"
VENDOR = Path(__file__).parents[2] / "src" / "crossdock" / "ui" / "static" / "vendor"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_TYPES = {".css": "text/css", ".js": "text/javascript"}
_OWN = {
    "/favicon.ico": "",
    "/own.css": ":root { color-scheme: light dark } body { margin: 1rem; font-family: sans-serif }",
}


def document(body: str, head: str = "") -> str:
    """A page that has what each page needs."""
    return (
        '<!doctype html><html lang="en"><head><title>Made up</title><meta name="viewport" content="width=device-width">'
        f'<link rel="stylesheet" href="/own.css">{head}</head><body><main><h1>Made up</h1>{body}</main></body></html>'
    )


async def serve(page: Page, files: Mapping[str, str]) -> None:
    """Answer requests of this page with `files` by path, with the libraries under `/vendor/`, and else with 404."""
    known = {**_OWN, **{f"/vendor/{each.name}": each.read_text("utf-8") for each in VENDOR.iterdir()}, **files}

    async def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if not route.request.url.startswith(SITE) or path not in known:
            await route.fulfill(status=404)
            return
        content_type = f"{_TYPES.get(Path(path).suffix, 'text/html')}; charset=utf-8"
        headers = {"content-type": content_type, "content-security-policy": POLICY}
        await route.fulfill(body=known[path], headers=headers)

    await page.route("**/*", answer)
