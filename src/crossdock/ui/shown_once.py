"""A secret that is shown once: right after it was made, on the page that its form leads to, and never again.

It travels in a cookie of a minute that scripts can't read and that is sent to that page alone; showing it takes the
cookie away. So the page is an answer to GET: a reload neither shows the secret again nor makes another one, whichever
node answers.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from crossdock.model.outcome import Json
from crossdock.ui.carried import carried, carry

COOKIE = "crossdock-once"
SECONDS = 60
LONGEST = 3_000


def keep_once(request: Request, response: Response, path: str, document: Json) -> Response:
    """Let the page at `path` show `document`, once."""
    text = carry(request, COOKIE, msgspec.json.encode(document))
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, text, max_age=SECONDS, path=path, httponly=True, samesite="strict", secure=secure)
    return response


def read_once(request: Request) -> dict[str, str]:
    """What is to be shown now; empty for nothing, and for what is none of our cookies."""
    content = carried(request, COOKIE, LONGEST)
    if content is None:
        return {}
    try:
        return msgspec.json.decode(content, type=dict[str, str])
    except (ValueError, msgspec.MsgspecError):
        return {}


def forget_once(response: Response, path: str) -> None:
    response.delete_cookie(COOKIE, path=path, httponly=True)
