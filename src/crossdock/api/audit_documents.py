"""The documents of the audit log as OpenAPI describes them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from crossdock.api.documents import Document


class AuditActor(Document):
    id: str | None = Field(description="A user's or a token's; null for the server itself, and for set tokens.")
    name: str = Field(description="As it was at that moment.")


class AuditSubject(Document):
    id: str | None = Field(description="What was changed; null for what was tried and never saved.")
    name: str = Field(description="As it was at that moment.")


class _AuditHead(Document):
    id: str
    at: str
    actor: AuditActor
    action: str = Field(description="What was done, such as `integration.changed`.")
    subject: AuditSubject
    note: str | None = Field(description="Why, where somebody said so; `apply` for what an apply did.")


class AuditLine(_AuditHead):
    fields: list[str] = Field(description="What changed, the first 20; empty for what was made or deleted.")
    more_fields: int = Field(description="How many more there are.")


class AuditChange(Document):
    field: str
    before: Any
    after: Any


class AuditEntry(_AuditHead):
    before: Any = Field(description="What was, without secrets: the whole of what was deleted, else what changed.")
    after: Any = Field(description="What is since then, without secrets.")
    changes: list[AuditChange] = Field(description="The same field by field.")
