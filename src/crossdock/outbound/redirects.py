"""Where a redirect leads, and what goes along (RFC 9110, 15.4).

A hop to another origin carries nothing of the connection: no credentials, no headers of its own, no client certificate.
"""

from __future__ import annotations

from yarl import URL

from crossdock.outbound.client import Message
from crossdock.outbound.faults import first_line
from crossdock.outbound.guard import TargetRefused
from crossdock.outbound.redaction import is_telling
from crossdock.outbound.urls import origin_of

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def is_redirect(status: int | None) -> bool:
    return status in _REDIRECTS


def next_message(message: Message, status: int, location: str | None, own_headers: frozenset[str]) -> Message:
    """The request that follows the redirect. `own_headers` are names, in lower case, that stay at their origin.

    TargetRefused when the redirect leads nowhere.
    """
    url = _next_url(message.url, location)
    headers = tuple(message.headers)
    if origin_of(url) != origin_of(message.url):
        headers = tuple(
            (name, value) for name, value in headers if name.lower() not in own_headers and not is_telling(name)
        )
    if not _becomes_get(message.method, status):
        return Message(message.method, url, headers, message.body)
    about_no_body = tuple((name, value) for name, value in headers if not name.lower().startswith("content-"))
    return Message("GET", url, about_no_body)


def _becomes_get(method: str, status: int) -> bool:
    """303 says so; after 301 and 302 a POST is turned into a GET, as everybody does."""
    return (status == 303 and method not in ("GET", "HEAD")) or (status in (301, 302) and method == "POST")


def _next_url(url: str, location: str | None) -> str:
    if not location:
        raise TargetRefused("the answer redirects and does not say where")
    try:
        return str(URL(url).join(URL(location)).with_fragment(None))
    except ValueError as error:
        raise TargetRefused(f"the answer redirects to what is no URL: {first_line(str(error))}") from None
