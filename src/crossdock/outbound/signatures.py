"""Signatures on what Crossdock sends, so that the receiver can tell that it is genuine and recent.

Standard Webhooks v1 (https://www.standardwebhooks.com, symmetric): HMAC-SHA-256 over `id.timestamp.body`, in base64,
behind the version.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from crossdock.model.time import SECOND, Instant


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
