"""Sending a notification: what goes out, what comes of it, and that no secret is seen."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from crossdock.clock import system_now
from crossdock.model.outcome import Json
from crossdock.notices.payload import mock_payload
from crossdock.notices.sending import NoticeReport, NoticeSender, invocation_document
from crossdock.notices.webhook import NotificationWebhook, WebhookIdentity, read_webhook
from crossdock.outbound.caller import HttpCaller
from tests.outbound.system import System
from tests.support.sink import Received

NOW = 1_790_000_000_000_000
SECRET = "s3cret-token/with+signs"


def webhook_to(url: str, secrets: dict[str, str] | None = None, **document: Any) -> NotificationWebhook:
    identity = WebhookIdentity("nwh_1", "default", "Operations", 1, True)
    return read_webhook(identity, {"url": url, **document}, secrets or {})


async def send(caller: HttpCaller, webhook: NotificationWebhook, payload: Json = None) -> NoticeReport:
    return await NoticeSender(caller).send(webhook, payload or mock_payload(NOW), "dlv_1", system_now())


def seen(webhook: NotificationWebhook, sent: NoticeReport) -> str:
    """Everything that anybody gets to see of it."""
    body = (sent.report.response_body + sent.request_body).decode(errors="replace")
    return repr((webhook, sent, body, sent.error)) + json.dumps(invocation_document(webhook, sent))


async def echo(request: Received) -> web.StreamResponse:
    """Say back whatever was sent, as a debugging page does."""
    told = {"headers": request.headers, "body": request.body.decode()}
    return web.json_response(told, headers={"X-Echo": request.headers.get("authorization", "")})


async def test_without_a_template_the_whole_payload_is_sent(caller: HttpCaller, system: System) -> None:
    sent = await send(caller, webhook_to(f"{system.url}/hooks?site=12"))

    received = system.requests[0]
    assert (received.method, received.path, received.query) == ("POST", "/hooks", {"site": "12"})
    assert json.loads(received.body) == mock_payload(NOW)
    assert received.headers["content-type"] == "application/json"
    assert received.headers["idempotency-key"] == "dlv_1"
    assert (sent.is_delivered, sent.error, sent.request_body) == (True, None, received.body)
