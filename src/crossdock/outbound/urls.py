"""From what a step writes to the URL that is called.

A step with a connection stays at the connection's origin, because the connection's credentials go along: its URL is
relative to `base_url`, or absolute with the same scheme, host and port. It is appended to `base_url` and not resolved
against it (RFC 3986, 5.2), so that `/orders` and `orders` mean the same below `https://erp.example/api/v2`.
"""

from __future__ import annotations

import functools
import re
from urllib.parse import quote, unquote, urlencode

from yarl import URL

from crossdock.outbound.connection import Pairs
from crossdock.outbound.guard import TargetRefused

_ABSOLUTE = re.compile(r"https?:|[A-Za-z][A-Za-z0-9+.-]*://", re.IGNORECASE)


def request_url(base_url: str | None, url: str, query: Pairs = ()) -> str:
    """The whole URL; TargetRefused when it would leave the connection. The guard judges the rest."""
    path, written = _split(url)
    if base_url is None:
        if not _ABSOLUTE.match(path):
            raise TargetRefused(
                "the URL is relative, and no connection says to what: name a connection, or write the URL in full"
            )
        whole, based = path, ""
    else:
        _refuse_way_up(path)
        base, based = _split(base_url)
        whole = _below(base, path)
    parts = [part for part in (based, written, urlencode(query, quote_via=quote, errors="replace")) if part]
    return f"{whole}?{'&'.join(parts)}" if parts else whole


@functools.lru_cache(maxsize=1_024)
def origin_of(url: str) -> str | None:
    """Scheme, host and port; None when the URL has none."""
    try:
        return str(URL(url).origin())
    except ValueError:
        return None


def _split(url: str) -> tuple[str, str]:
    """The URL up to its query, and the query; the fragment stays here, as it never goes out."""
    path, _, query = url.partition("#")[0].partition("?")
    return path, query


def _below(base: str, path: str) -> str:
    if _ABSOLUTE.match(path):
        origin = origin_of(path)
        if origin is None or origin != origin_of(base):
            raise TargetRefused(
                f"the URL does not lead to {origin_of(base)}, which the connection is for, and its credentials go"
                " nowhere else; write the URL relative to the connection's, or leave the connection out"
            )
        return path
    if path.startswith("//"):
        raise TargetRefused("the URL begins with //, which would name another host; begin it with one /")
    if not path:
        return base
    return f"{base.rstrip('/')}/{path.removeprefix('/')}"


def _refuse_way_up(path: str) -> None:
    """Values from outside often stand in paths: `..` in one must not reach what the step did not mean."""
    if ".." not in path and "%" not in path:
        return
    segments = re.split(r"[/\\]", unquote(path))
    if any(segment.partition(";")[0] == ".." for segment in segments):
        raise TargetRefused("the path goes up with '..'; write where it ends, and escape values with | urlencode")
