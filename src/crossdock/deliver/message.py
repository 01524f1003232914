"""The message of a reply: the handled event as JSON, signed.

Made of immutable rows, so that every try sends the same bytes: only the timestamp and the signature differ. Headers of
the call that carried credentials were replaced when it was recorded, and are left out here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from crossdock.expressions import json_problem, read_body
from crossdock.manage.event_documents import failure_document, pairs_document
from crossdock.manage.fields import is_secret_header
from crossdock.model.delivery import HandledEvent
from crossdock.model.integration import ReplySettings
from crossdock.model.outcome import Json, Result
from crossdock.model.time import Instant, format_instant
from crossdock.outbound.signatures import sign

REDACTED = "[redacted]"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Sealing:
    """What makes a message genuine: the delivery's id, which is its idempotency key, and the integration's secret."""

    message_id: str
    secret: bytes
    now: Instant


def reply_body(handled: HandledEvent, integration_name: str) -> bytes:
    """The handled event as JSON text."""
    event, request = handled.event, handled.event.request
    return _encode(
        {
            "type": "event.handled",
            "id": event.id,
            "integration": {"id": event.integration_id, "name": integration_name},
            "status": "succeeded" if handled.succeeded else "failed",
            "received_at": format_instant(event.received_at),
            "handled_at": format_instant(handled.handled_at),
            "request": {
                "method": request.method,
                "path": request.path,
                "query": pairs_document(request.query),
                "headers": pairs_document(pair for pair in request.headers if pair[1] != REDACTED),
                "content_type": request.content_type,
                "body": _body(request.content_type, request.body),
            },
            "result": _result(handled.result),
            "error": failure_document(handled.error),
            "attempts": handled.attempts,
        }
    )


def reply_headers(reply: ReplySettings, body: bytes, sealing: Sealing) -> list[tuple[str, str]]:
    """The configured headers and those that let the receiver trust the message and recognise a repeated one."""
    return [
        *reply.headers,
        ("Content-Type", "application/json"),
        ("Idempotency-Key", sealing.message_id),
        *sign(sealing.secret, sealing.message_id, sealing.now, body),
    ]


def shown_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Headers as they are kept with an attempt: the values of credentials are not."""
    return tuple((name, REDACTED if _is_hidden(name) else value) for name, value in headers)


_OWN_NAMES = frozenset({"idempotency-key", "webhook-signature"})
"""They sound like credentials, but operators need them to find and check a message."""


@functools.lru_cache(maxsize=1_024)
def _is_hidden(name: str) -> bool:
    return is_secret_header(name) and name.lower() not in _OWN_NAMES


def _result(result: Result | None) -> Json:
    if result is None:
        return None
    content_type = next((value for name, value in result.headers if name.lower() == "content-type"), "")
    return {
        "status": result.status,
        "headers": pairs_document(result.headers),
        "body": _body(content_type, result.body),
    }


def _body(content_type: str, body: bytes) -> Json:
    """JSON goes on as it was written, so that no number loses a digit; anything else as expressions see it."""
    media_type = content_type.partition(";")[0].lower()
    if body and (not media_type or "json" in media_type) and json_problem(body) is None:
        return msgspec.Raw(body.removeprefix(_BYTE_ORDER_MARK))
    return read_body(content_type, body)
