"""A secret that is shown once: right after it was made, on the page that its form leads to, and never again.

It travels in a cookie of a minute that scripts can't read and that is sent to that page alone; showing it takes the
cookie away. So the page is an answer to GET: a reload neither shows the secret again nor makes another one, whichever
node answers.
"""

from __future__ import annotations

import base64
import binascii

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from crossdock.model.outcome import Json

COOKIE = "crossdock-once"
SECONDS = 60
LONGEST = 3_000


def keep_once(request: Request, response: Response, path: str, document: Json) -> Response:
    """Let the page at `path` show `document`, once."""
    text = base64.urlsafe_b64encode(msgspec.json.encode(document)).decode()
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, text, max_age=SECONDS, path=path, httponly=True, samesite="strict", secure=secure)
    return response


def read_once(request: Request) -> dict[str, str]:
    """What is to be shown now; empty for nothing, and for what is none of our cookies."""
    text = request.cookies.get(COOKIE, "")
    if not text or len(text) > LONGEST:
        return {}
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=dict[str, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return {}


def forget_once(response: Response, path: str) -> None:
    response.delete_cookie(COOKIE, path=path, httponly=True)
