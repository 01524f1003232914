"""What a page tells of a deed that was done on the page before: it travels in a cookie of a minute.

It is text, shown as text; the browser can't be made to do anything by it. An undo leads to a path of this site.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from crossdock.ui.carried import carried, carry

COOKIE = "crossdock-said"
SECONDS = 60
LONGEST = 3_000


@dataclass(frozen=True, slots=True)
class Said:
    """A message, its tone (good, warning, bad), and how to take the deed back."""

    text: str
    tone: str = "good"
    undo: str = ""
    fields: tuple[tuple[str, str], ...] = ()


def keep_said(request: Request, response: Response, said: Said) -> None:
    if len(said.text) > LONGEST // 3:
        said = Said(said.text[: LONGEST // 3 - 1] + "…", said.tone, said.undo, said.fields)
    text = carry(request, COOKIE, msgspec.json.encode(said))
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, text, max_age=SECONDS, path="/", httponly=True, samesite="lax", secure=secure)


def read_said(request: Request) -> Said | None:
    """What is to be told now; None for nothing, and for what is none of our cookies."""
    content = carried(request, COOKIE, LONGEST)
    if content is None:
        return None
    try:
        said = msgspec.json.decode(content, type=Said)
    except (ValueError, msgspec.MsgspecError):
        return None
    return said if said.undo == "" or is_own_path(said.undo) else None


def forget_said(request: Request, response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", httponly=True, secure=request.url.scheme == "https")


def is_own_path(text: str) -> bool:
    """Whether a text leads to a page of this site wherever a browser takes it: `//host` and `/\\host` do not."""
    return text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text
