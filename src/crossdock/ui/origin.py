"""Whether a form was sent by one of our own pages."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

from crossdock.model.errors import Forbidden


def require_own_page(request: Request) -> None:
    """Forbidden when the browser says that another site's page sent the form.

    Sec-Fetch-Site says it outright (Fetch Metadata); browsers without it send Origin with every POST. Programs that
    send neither carry no cookie of a browser either, unless somebody gave them one.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        allowed = site in ("same-origin", "none")
    else:
        origin = request.headers.get("origin")
        allowed = origin is None or urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    if not allowed:
        raise Forbidden("this form was sent by a page of another site")
