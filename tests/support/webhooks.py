"""Notification webhooks for tests: documents, and calls that are remembered and answered as they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crossdock.catalog import Catalog
from crossdock.clock import Clock
from crossdock.manage.webhook_documents import WebhookRules
from crossdock.manage.webhooks import WebhookPorts, Webhooks
from crossdock.model.delivery import SendReport
from crossdock.notices.sending import NoticeSender
from crossdock.outbound.connection import HttpConnection
from crossdock.outbound.guard import Guard
from crossdock.outbound.request import HttpRequest
from crossdock.store import Store
from crossdock.vault import Vault

URL = "https://alerts.example/hook"
SIGNING_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@dataclass
class Calls:
    """Stands for the outside world: `made` are the requests with their connections, in order."""

    answer: SendReport = field(
        default_factory=lambda: SendReport(
            1_000_000, 1_012_000, (("Content-Type", "application/json"),), 200, (), b'{"status": "ok"}'
        )
    )
    made: list[tuple[HttpRequest, HttpConnection]] = field(default_factory=list)

    async def call(self, request: HttpRequest, connection: HttpConnection | None) -> SendReport:
        assert connection is not None
        self.made.append((request, connection))
        return self.answer


def webhooks_of(store: Store, vault: Vault, catalog: Catalog, now: Clock, calls: Calls | None = None) -> Webhooks:
    """The use cases of notification webhooks over a store."""
    sender = NoticeSender(calls or Calls())
    return Webhooks(WebhookPorts(store, vault, catalog, WebhookRules(Guard().check_url), now, sender))


def webhook_document(name: str = "Alerts", **more: Any) -> dict[str, Any]:
    return {"name": name, "url": URL, **more}
