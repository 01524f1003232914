"""The documents of notification webhooks as OpenAPI describes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from crossdock.api.documents import AboutIntegration, Document, Pairs, ToldChange


class WebhookFilters(Document):
    integrations: list[str] = Field(description="Ids of integrations; empty for all.")
    types: list[str] = Field(description="External system types; empty for all.")
    statuses: list[Literal["warning", "error", "active"]] = Field(description="Empty for all three.")


class ResponseValidator(Document):
    json_path: str = Field(description="RFC 9535. `$.data` is the answer's body.")
    expected_values: list[Any] = Field(description="Any of them is good; empty: it is enough that something is found.")


class WebhookStatus(Document):
    """How its last deliveries went."""

    state: Literal["unused", "ok", "failing"]
    delivered_at: str | None
    failing_since: str | None
    failures: int = Field(description="In a row.")
    last_error: str | None


class HeldNotice(Document):
    id: str
    integration: AboutIntegration | None = Field(description="null for a digest.")
    status: Literal["warning", "error", "active"]
    changes: int = Field(description="How many it tells.")
    until: str
    reason: Literal["damping", "digest", "quiet_hours"]


class WebhookDelivery(Document):
    id: str
    status: Literal["queued", "sending", "retrying", "delivered", "failed", "expired", "canceled"]
    created_at: str
    finished_at: str | None
    next_attempt_at: str | None
    error: str | None
    attempts: int = Field(description="Tries so far; `/deliveries/{id}` shows them.")
    changes: list[ToldChange] = Field(description="What it tells, the oldest first.")


class TemplateToPreview(Document):
    body_template: str | None = Field(None, description="null for the whole payload.")
    example: str = Field("change", description="change, recovery, digest, or an integration id: its last change.")
    secrets: list[str] = Field([], description="Names that the template may use; they are shown masked.")


class RenderedTemplate(Document):
    body: Any = Field(description="What would be sent; null when there is an error.")
    error: str | None
    payload: dict[str, Any] = Field(description="What it was made of.")


class NeededSecret(Document):
    field: str = Field(description="Its place in the document.")
    help: str = Field(description="Where to find it.")


class ReadyMadeWebhook(Document):
    name: str
    title: str
    help: str
    secrets: list[NeededSecret]
    document: dict[str, Any] = Field(description="What a new webhook begins with; empty texts stand for secrets.")


class NotificationWebhook(Document):
    id: str
    name: str
    active: bool
    type: Literal["http_webhook"]
    method: Literal["POST", "PUT"]
    url: str
    body_template: str | None = Field(description="JSON with {{ }}; null sends the whole payload.")
    authentication: dict[str, Any] = Field(description="Its secrets are shown as [set].")
    headers: dict[str, str]
    secrets: dict[str, Literal["[set]"]] = Field(description="What the template may use as {{ secrets.NAME }}.")
    signing_secret: Literal["[set]"] | None
    filters: WebhookFilters
    timeout_seconds: int
    response_validators: list[ResponseValidator]
    notify_recovery: bool
    digest: str | None
    quiet_hours: dict[str, Any] | None
    filtered_integrations: list[AboutIntegration] = Field(description="Those of its filters, with their names.")
    status: WebhookStatus
    held: list[HeldNotice] = Field(description="What waits to be told; 20 at most.")
    warnings: list[str]
    revision: int
    created_at: str
    updated_at: str


class TestRequest(Document):
    method: str
    url: str
    headers: Pairs
    body: str = Field(description="What was sent, secrets masked; its beginning where it is long.")


class TestResponse(Document):
    status: int
    headers: Pairs
    body: str
    duration_ms: float


class Validated(Document):
    json_path: str
    found: list[Any] = Field(description="The first values at the path.")
    passed: bool
    problem: str | None = None


class Invocation(Document):
    request: TestRequest
    response: TestResponse | None = Field(description="null when no answer came.")
    validators: list[Validated]


class WebhookTested(Document):
    outcome: Literal["successful", "failed"]
    error: str | None = None
    invocation: Invocation | None = Field(description="null when there was nothing to send.")


class PayloadSchema(Document):
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema, draft 2020-12.")
    examples: dict[str, Any] = Field(description="change, recovery and digest.")
