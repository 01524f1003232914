"""The systems that are notified: each webhook with its own form, credentials and filters, and a strict receiver."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook as Oracle

from crossdock.model.time import format_instant
from crossdock.notices.payload import MAX_CHANGES
from tests.outbound.system import System
from tests.support.program import Program
from tests.support.sink import Answer, Received, Sink
from tests.system.notifying_ledger import Message, Webhook
from tests.system.notifying_record import Change
from tests.system.oauth_server import AuthorizationServer

SIGNING_SECRET = "whsec_bm90aWZpY2F0aW9ucyBhcmUgc2lnbmVkIHdpdGggdGhpcw=="
TOKEN = "a-bearer-token-of-the-target"
ROUTING_KEY = "routing-key-in-the-body"
CLIENT = ("crossdock", "the secret of crossdock's client")
ALL = ("warning", "error", "active")

SEED_TEMPLATE = """{
  "event_type": "{{event_type}}",
  "event_time": "{{event_time}}",
  "data": {
    "id": "{{data.id}}",
    "status": "{{data.status}}",
    "issues": [{"status": "{{data.issues.status}}", "message": "{{data.issues.message}}"}]
  }
}"""
CHAT_TEMPLATE = '{"text": "{{ data.id }} went from {{ data.previous_status }} to {{ data.status }}"}'
PAGER_TEMPLATE = '{"routing_key": "{{ secrets.routing_key }}", "dedup_key": "{{ data.id }}", "to": "{{ data.status }}"}'


def read_plain(body: Any) -> Any:
    """What a body without a template tells: how many changes did not fit, and the others."""
    told = [
        [one["event_time"], one["id"], one["status"], one["previous_status"], [list(i.values()) for i in one["issues"]]]
        for one in body["changes"]
    ]
    return [body["changes_left_out"], told]


def plain(changes: Sequence[Change]) -> Any:
    shown = changes[-MAX_CHANGES:]
    told = [
        [format_instant(one.at), one.integration, one.status, one.previous, [list(issue) for issue in one.issues]]
        for one in shown
    ]
    return [len(changes) - len(shown), told]


def seed(changes: Sequence[Change]) -> Any:
    (one,) = changes
    issues = [{"status": status, "message": message} for status, message in one.issues]
    return {
        "event_type": "integration.status_changed",
        "event_time": format_instant(one.at),
        "data": {"id": one.integration, "status": one.status, "issues": issues},
    }


def chat(changes: Sequence[Change]) -> Any:
    (one,) = changes
    return {"text": f"{one.integration} went from {one.previous} to {one.status}"}


def pager(changes: Sequence[Change]) -> Any:
    (one,) = changes
    return {"routing_key": ROUTING_KEY, "dedup_key": one.integration, "to": one.status}


def _whole(body: Any) -> Any:
    return body


@dataclass(slots=True)
class Targets:
    """Receives at `/told/<webhook>`. A share of the messages is refused with 503, to be sent again."""

    sink: Sink
    tokens: System
    refused_share: float = 0.0
    seed: int = 1
    messages: list[Message] = field(default_factory=list)
    authorization: AuthorizationServer = field(
        default_factory=lambda: AuthorizationServer(*CLIENT, ("notify",), lifetime_seconds=5.0)
    )
    _chance: random.Random = field(default_factory=random.Random)

    def begin(self) -> None:
        self._chance.seed(self.seed)
        self.tokens.at("/token", self.authorization)
        self.sink.answer_to = self._receive

    def _receive(self, received: Received) -> Answer:
        webhook = received.path.rpartition("/")[2]
        if webhook == "oauth" and not self.authorization.accepts(received.headers.get("authorization", "")):
            return Answer(401, b'{"error": "invalid_token"}')
        is_refused = self._chance.random() < self.refused_share
        key, at = received.headers.get("idempotency-key", ""), time.time_ns() // 1_000
        wrong = wrong_with(webhook, received)
        self.messages.append(Message(key, webhook, at, _read(received.body), not is_refused, wrong))
        return Answer(503, b"{}") if is_refused else Answer(200, b'{"status": "ok"}')


def wrong_with(webhook: str, received: Received) -> str:
    """What a message lacks of what its webhook was set up with; the signature is judged by the standard's own code."""
    headers = received.headers
    if webhook in ("all", "seed"):
        given = (
            headers.get("webhook-signature", ""),
            headers.get("webhook-timestamp", ""),
            headers.get("webhook-id", ""),
        )
        signed_at = datetime.fromtimestamp(int(given[1] or 0), UTC)
        if given[0] != Oracle(SIGNING_SECRET).sign(given[2], signed_at, received.body.decode()):
            return "has a wrong signature"
        if given[2] != headers.get("idempotency-key"):
            return "has two ids"
    if webhook == "errors" and headers.get("authorization") != f"Bearer {TOKEN}":
        return "has a wrong token"
    if webhook == "recovery" and (headers.get("x-site"), headers.get("x-key")) != ("12", TOKEN):
        return "has wrong headers"
    return "" if _read(received.body) is not None else "is no JSON"


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def add_webhooks(
    program: Program, targets: Targets, integrations: Mapping[str, str], *, with_digest: bool = False
) -> tuple[Webhook, ...]:
    """Set up one of each kind; `integrations` are ids by name. What each asks for, for the audit."""
    first = integrations["orders"]
    wanted: list[tuple[Webhook, dict[str, Any]]] = [
        (Webhook("all", ALL, show=read_plain, expect=plain), {"signing_secret": SIGNING_SECRET}),
        (
            Webhook("seed", integrations=(first,), show=_whole, expect=seed),
            {"signing_secret": SIGNING_SECRET, "body_template": SEED_TEMPLATE},
        ),
        (
            Webhook("errors", ("error",), show=_whole, expect=chat),
            {"authentication": {"type": "bearer_token", "token": TOKEN}, "body_template": CHAT_TEMPLATE},
        ),
        (
            Webhook("recovery", notify_recovery=True, types=("webhook-trigger",), show=_whole, expect=pager),
            {
                "authentication": {"type": "custom", "headers": {"X-Key": TOKEN}},
                "headers": {"X-Site": "12"},
                "secrets": {"routing_key": ROUTING_KEY},
                "body_template": PAGER_TEMPLATE,
                "response_validators": [{"json_path": "$.data.status", "expected_values": ["ok"]}],
            },
        ),
        (
            Webhook("oauth", ("error",), integrations=(first,), notify_recovery=True, show=read_plain, expect=plain),
            {"method": "PUT", "authentication": oauth(targets)},
        ),
        (Webhook("elsewhere", ALL, types=("event-webhook-async",)), {}),
        (Webhook("off", ALL, is_active=False), {}),
    ]
    if with_digest:
        wanted.append((Webhook("digest", is_digest=True, show=read_plain, expect=plain), {"digest": "PT1M"}))
    for webhook, more in wanted:
        program.admin("POST", "/notification-webhooks", document_of(webhook, targets.sink.url, more))
    return tuple(webhook for webhook, _ in wanted)


def oauth(targets: Targets) -> dict[str, Any]:
    client_id, secret = CLIENT
    endpoint = {"token_endpoint_url": f"{targets.tokens.url}/token", "scopes": ["notify"]}
    return {"type": "oauth", "client_id": client_id, "client_secret": secret, **endpoint}


def document_of(webhook: Webhook, sink_url: str, more: Mapping[str, Any]) -> dict[str, Any]:
    filters = {
        "integrations": list(webhook.integrations),
        "types": list(webhook.types),
        "statuses": list(webhook.statuses),
    }
    return {
        "name": webhook.name,
        "active": webhook.is_active,
        "url": f"{sink_url}/told/{webhook.name}",
        "filters": filters,
        "notify_recovery": webhook.notify_recovery,
        **more,
    }
