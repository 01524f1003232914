"""Event Webhook Async: the caller gets an id at once, and a reply when its event has been handled."""

from __future__ import annotations

from importlib.resources import files

from crossdock.connectors import fields
from crossdock.connectors.external_system import ExternalSystem, SampleCall

EVENT_WEBHOOK_ASYNC = ExternalSystem(
    type="event-webhook-async",
    title="Event Webhook Async",
    summary="Takes events at once, handles them in the background and posts the outcome to a reply URL.",
    preset={
        "trigger": {
            "methods": ["POST"],
            "authentication": {"mode": "platform_token"},
            "response_mode": "async",
        },
    },
    fields=(
        fields.NAME,
        fields.STATUS,
        fields.PLATFORM_TOKEN,
        fields.REQUEST_TIMEOUT_ASYNC,
        fields.REPLY_URL,
        fields.REPLY_METHOD,
        fields.REPLY_HEADERS,
        fields.PATH,
        fields.RETRY,
        fields.RETENTION,
        fields.HEALTH,
    ),
    sample=SampleCall(
        headers=(("X-Platform-Token", "$PLATFORM_TOKEN"), ("Content-Type", "application/json")),
        body='{"host": "web-1", "severity": "critical", "message": "disk is full"}',
    ),
    guide=(files(__name__) / "guide.md").read_text(encoding="utf-8"),
)
