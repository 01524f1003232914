"""Webhook Trigger: every field can be set."""

from __future__ import annotations

from importlib.resources import files

from crossdock.connectors import fields
from crossdock.connectors.external_system import ExternalSystem, SampleCall

WEBHOOK_TRIGGER = ExternalSystem(
    type="webhook-trigger",
    title="Webhook Trigger",
    summary="An endpoint with its own methods, access, query parameters, order and way of answering.",
    preset={
        "trigger": {
            "methods": ["POST", "GET"],
            "authentication": {"mode": "none"},
            "response_mode": "async",
        },
    },
    fields=(
        fields.NAME,
        fields.STATUS,
        fields.PATH,
        fields.METHODS_FIELD,
        fields.CORS,
        fields.AUTHENTICATION,
        fields.PLATFORM_TOKEN,
        fields.RATE_LIMIT,
        fields.QUERY_PARAMETERS,
        fields.MAX_BODY_BYTES,
        fields.REQUIRE_JSON,
        fields.BODY_SCHEMA,
        fields.DEDUPLICATE_KEY,
        fields.DEDUPLICATE_WITHIN,
        fields.ORDERED_DELIVERY,
        fields.ORDERING_KEY,
        fields.ON_EXHAUSTED,
        fields.CONCURRENCY,
        fields.RESPONSE_MODE,
        fields.REQUEST_TIMEOUT_ASYNC,
        fields.ON_TIMEOUT,
        fields.RETRY,
        fields.RETENTION,
        fields.REPLY_URL,
        fields.REPLY_METHOD,
        fields.REPLY_HEADERS,
        fields.HEALTH,
    ),
    sample=SampleCall(
        query="customerid=4711&region=EU",
        headers=(("X-API-Key", "$API_KEY"), ("Content-Type", "application/json")),
        body='{"name": "Harbour Supplies"}',
    ),
    guide=(files(__name__) / "guide.md").read_text(encoding="utf-8"),
)
