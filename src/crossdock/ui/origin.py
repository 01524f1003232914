"""Whether a form was sent by one of our own pages.

Sec-Fetch-Site says it outright (Fetch Metadata); browsers without it send Origin with every POST. Where neither is
there, the form must carry the page's token, which only somebody who can read our pages knows.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.requests import Request

from crossdock.model.errors import Forbidden

TOKEN_FIELD = "page_token"
TOKEN_HEADER = "x-page-token"


def page_token(cookie: str) -> str:
    """The token of the pages of one session; `cookie` is the session's secret text."""
    return hmac.new(cookie.encode(errors="replace"), b"page", sha256).hexdigest()


def is_from_own_page(request: Request) -> bool | None:
    """What the browser says about who sent this; None when it says nothing."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is not None:
        return _host_of(origin) == request.headers.get("host", "").lower()
    return None


def _host_of(origin: str) -> str | None:
    """Host and port of an origin; None for `null` and whatever else names none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def require_own_page(request: Request, cookie: str | None, token: str | None) -> None:
    """Forbidden when another site's page sent this, or when nothing tells that one of ours did."""
    said = is_from_own_page(request)
    if said is None:
        said = bool(cookie and token) and hmac.compare_digest(_digits(page_token(cookie or "")), _digits(token or ""))
    if not said:
        raise Forbidden("this form was not sent by a page of this site; open the page anew and send it from there")


def _digits(token: str) -> bytes:
    return token.encode(errors="replace")  # two texts are compared only when both are ASCII
