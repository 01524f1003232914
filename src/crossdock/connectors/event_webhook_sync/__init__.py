"""Event Webhook Sync: the call returns with the result of its run."""

from __future__ import annotations

from importlib.resources import files

from crossdock.connectors import fields
from crossdock.connectors.external_system import ExternalSystem, SampleCall

EVENT_WEBHOOK_SYNC = ExternalSystem(
    type="event-webhook-sync",
    title="Event Webhook Sync",
    summary="Takes an event, handles it while the caller waits, and answers with the result.",
    preset={
        "trigger": {
            "methods": ["POST"],
            "authentication": {"mode": "platform_token"},
            "response_mode": "sync",
        },
    },
    fields=(
        fields.NAME,
        fields.STATUS,
        fields.PLATFORM_TOKEN,
        fields.REQUEST_TIMEOUT_SYNC,
        fields.ON_TIMEOUT,
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
        body='{"item": "4711", "quantity": 3}',
    ),
    guide=(files(__name__) / "guide.md").read_text(encoding="utf-8"),
)
