"""Notification webhooks: whom Crossdock tells when an integration's health changes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from crossdock.api.answering import answer, answer_nothing, answer_page
from crossdock.api.cases import Cases
from crossdock.api.describing import reads, takes, writes
from crossdock.api.documents import PageOf
from crossdock.api.reading import PAGE, Cursor, JsonBody, Limit, OptionalJsonBody, Who, checked
from crossdock.api.webhook_documents import (
    NotificationWebhook,
    PayloadSchema,
    ReadyMadeWebhook,
    RenderedTemplate,
    TemplateToPreview,
    WebhookDelivery,
    WebhookTested,
)
from crossdock.manage.paging import Page
from crossdock.manage.webhook_documents import NotificationWebhookPart

routes = APIRouter(prefix="/api/v1", tags=["notification webhooks"])

Search = Annotated[str, Query(max_length=200, description="Part of a name, upper and lower case alike.")]


@routes.get("/notification-webhooks", **reads(PageOf[NotificationWebhook]))
async def list_notification_webhooks(
    cases: Cases,
    who: Who,
    q: Search = "",
    active: bool | None = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Notification webhooks by name, without secrets."""
    return answer_page(await cases.webhooks.page(who, q=q, active=active, limit=limit, cursor=cursor))


@routes.post("/notification-webhooks", **writes(NotificationWebhook, 201), openapi_extra=takes(NotificationWebhookPart))
async def create_notification_webhook(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Make a notification webhook. Its secrets are kept encrypted and never shown again."""
    made = await cases.webhooks.create(who, document)
    return answer(made, 201, location=f"/api/v1/notification-webhooks/{made['id']}")


@routes.post("/notification-webhooks/test", **writes(WebhookTested), openapi_extra=takes(NotificationWebhookPart))
async def test_unsaved_notification_webhook(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Send made-up data as the document says, once; nothing is saved."""
    return answer(await cases.webhooks.test_unsaved(who, document))


@routes.post("/notification-webhooks/preview", **reads(RenderedTemplate), openapi_extra=takes(TemplateToPreview))
async def preview_body_template(cases: Cases, who: Who, document: JsonBody) -> Response:
    """What a body template makes of an example, or of an integration's last change. Nothing is sent or saved."""
    wanted = checked(TemplateToPreview, document, "the preview")
    return answer(await cases.webhooks.preview(who, wanted.body_template, wanted.example, wanted.secrets))


@routes.get("/notification-webhooks/payload-schema", **reads(PayloadSchema))
async def show_payload_schema(cases: Cases, who: Who) -> Response:
    """What body templates can use: the schema of the payload, with examples."""
    return answer(cases.webhooks.payload_schema(who))


@routes.get("/notification-webhooks/templates", **reads(PageOf[ReadyMadeWebhook]))
async def list_ready_made_webhooks(cases: Cases, who: Who) -> Response:
    """What webhooks for well-known services begin with: Slack, Microsoft Teams, PagerDuty, Datadog, Opsgenie."""
    return answer_page(Page(cases.webhooks.templates(who)))


@routes.get("/notification-webhooks/{webhook_id}", **reads(NotificationWebhook))
async def show_notification_webhook(cases: Cases, who: Who, webhook_id: str) -> Response:
    """The whole document, without secrets."""
    return answer(await cases.webhooks.show(who, webhook_id))


@routes.patch("/notification-webhooks/{webhook_id}", **writes(NotificationWebhook), openapi_extra=takes(None))
async def change_notification_webhook(cases: Cases, who: Who, webhook_id: str, document: JsonBody) -> Response:
    """Merge a part of the document (RFC 7396). Secrets that it leaves out are kept. Switching it off cancels what waits
    to be sent to it."""
    return answer(await cases.webhooks.change(who, webhook_id, document))


@routes.delete("/notification-webhooks/{webhook_id}", **writes(None, 204))
async def delete_notification_webhook(cases: Cases, who: Who, webhook_id: str) -> Response:
    """Delete with all secrets. What waits to be sent to it is canceled."""
    await cases.webhooks.delete(who, webhook_id)
    return answer_nothing()


@routes.post(
    "/notification-webhooks/{webhook_id}/test", **writes(WebhookTested), openapi_extra=takes(None, required=False)
)
async def test_notification_webhook(cases: Cases, who: Who, webhook_id: str, document: OptionalJsonBody) -> Response:
    """Send made-up data once, and tell what was sent and answered. A body is merged first and not saved."""
    return answer(await cases.webhooks.test(who, webhook_id, document))


@routes.get("/notification-webhooks/{webhook_id}/deliveries", **reads(PageOf[WebhookDelivery]))
async def list_webhook_deliveries(
    cases: Cases, who: Who, webhook_id: str, limit: Limit = PAGE, cursor: Cursor = None
) -> Response:
    """What was sent to it, or waits to be, the newest first."""
    return answer_page(await cases.webhooks.deliveries(who, webhook_id, limit=limit, cursor=cursor))
