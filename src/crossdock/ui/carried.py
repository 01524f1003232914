"""What travels from one page to the next in a cookie, and is believed only where this session sent it.

Other hosts beside this one may be able to plant cookies here (RFC 6265, 8.6); what they write can't carry the mark that
is made with the session's secret text.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256

from starlette.requests import Request

from crossdock.ui.cookies import session_text


def carry(request: Request, name: str, content: bytes) -> str:
    """The content as the value of the cookie `name`."""
    text = base64.urlsafe_b64encode(content).decode()
    return f"{_mark(request, name, text)}.{text}"


def carried(request: Request, name: str, longest: int) -> bytes | None:
    """What the cookie carries; None for nothing, for what is too long, and for what this session did not send."""
    value = request.cookies.get(name, "")
    mark, _, text = value.partition(".")
    if len(text) > longest or not hmac.compare_digest(
        mark.encode(errors="replace"), _mark(request, name, text).encode()
    ):
        return None
    try:
        return base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        return None


def _mark(request: Request, name: str, text: str) -> str:
    secret = session_text(request) or ""
    return hmac.new(secret.encode(errors="replace"), f"{name}={text}".encode(errors="replace"), sha256).hexdigest()
