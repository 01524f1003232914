"""The reply that would be sent, for whoever tries a workflow out.

It is not signed: what is signed could be sent to the receiver by anybody who sees it.
"""

from __future__ import annotations

from crossdock.catalog import LiveIntegration
from crossdock.deliver.message import Sealing, reply_body, reply_headers, shown_headers
from crossdock.expressions import read_body
from crossdock.manage.event_documents import pairs_document
from crossdock.model.delivery import HandledEvent
from crossdock.model.outcome import Json

_SET_LATER = "[set when it is sent]"
_OF_THE_DELIVERY = frozenset({"idempotency-key", "webhook-id", "webhook-timestamp", "webhook-signature"})


def preview_reply(live: LiveIntegration, handled: HandledEvent) -> Json:
    """Address, headers without secrets, and body; null for an integration without a reply URL."""
    reply = live.reply
    if reply is None:
        return None
    body = reply_body(handled, live.integration.name)
    headers = shown_headers(reply_headers(reply, body, Sealing("", bytes(32), handled.handled_at)))
    told = ((name, _SET_LATER if name.lower() in _OF_THE_DELIVERY else text) for name, text in headers)
    return {
        "url": reply.url,
        "method": reply.method,
        "headers": pairs_document(told),
        "body": read_body("application/json", body),
    }
