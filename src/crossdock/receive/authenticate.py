"""Who calls: the integration's kind of credential, compared in constant time."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from crossdock.catalog import LiveIntegration
from crossdock.model import event
from crossdock.model.errors import Unauthenticated
from crossdock.model.integration import ApiKey
from crossdock.model.time import Instant
from crossdock.model.trigger import AuthenticationMode

CREDENTIAL_HEADERS = frozenset(name.encode() for name in event.CREDENTIAL_HEADERS)
"""Kept out of the record: their values are replaced."""

Headers = Iterable[tuple[bytes, bytes]]

_HOW = {
    AuthenticationMode.API_KEYS: "send an API key of this integration as `X-API-Key` or `Authorization: Bearer`",
    AuthenticationMode.PLATFORM_TOKEN: "send the platform token as `X-Platform-Token` or `Authorization: Bearer`",
    AuthenticationMode.BASIC: "send name and password with HTTP Basic",
}


def authenticate(live: LiveIntegration, headers: Headers, now: Instant) -> ApiKey | None:
    """The API key that was used, None with other kinds of credentials; Unauthenticated when it is not right.

    The same words for a missing and for a wrong credential: callers learn nothing by trying.
    """
    mode = live.integration.trigger.authentication
    match mode:
        case AuthenticationMode.NONE:
            return None
        case AuthenticationMode.API_KEYS:
            credential = _bearer(headers, b"x-api-key")
            key = live.find_key(credential) if credential else None
            if key is not None and key.is_usable(now):
                return key
        case AuthenticationMode.PLATFORM_TOKEN:
            credential = _bearer(headers, b"x-platform-token")
            if credential and live.accepts_token(credential):
                return None
        case AuthenticationMode.BASIC:
            pair = _basic(headers)
            if pair is not None and live.accepts_basic(*pair):
                return None
    raise Unauthenticated(f"the call has no valid credential: {_HOW[mode]}")


def _bearer(headers: Headers, own_name: bytes) -> bytes | None:
    """The credential under its own header, or as a bearer token."""
    bearer = None
    for name, value in headers:
        if name == own_name:
            return value.strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = value[7:].strip()
    return bearer


def _basic(headers: Headers) -> tuple[bytes, bytes] | None:
    for name, value in headers:
        if name == b"authorization" and value[:6].lower() == b"basic ":
            try:
                username, colon, password = base64.b64decode(value[6:].strip(), validate=True).partition(b":")
            except binascii.Error:
                return None
            return (username, password) if colon else None
    return None
