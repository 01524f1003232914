"""Signatures on what Crossdock sends, so that the receiver can tell that it is genuine and recent.

Standard Webhooks v1 (https://www.standardwebhooks.com, symmetric): HMAC-SHA-256 over `id.timestamp.body`, in base64,
behind the version.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from crossdock.model.time import SECOND, Instant

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32


def new_signing_secret() -> str:
    """A secret as people see it: `whsec_` and 32 random bytes in base64."""
    return format_signing_secret(secrets.token_bytes(SECRET_BYTES))


def format_signing_secret(secret: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def parse_signing_secret(text: str) -> bytes:
    """The key inside `whsec_...`; ValueError when it is not base64 of 24 to 64 bytes, as the specification asks."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a signing secret is whsec_ followed by base64") from None
    if not 24 <= len(secret) <= 64:
        raise ValueError("a signing secret has between 24 and 64 bytes")
    return secret


def sign(secret: bytes, message_id: str, now: Instant, body: bytes) -> tuple[tuple[str, str], ...]:
    """The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` for a message sent at `now`."""
    timestamp = str(now // SECOND)
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return (
        ("webhook-id", message_id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", f"v1,{signature}"),
    )
