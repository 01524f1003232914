"""The documents of health as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crossdock.api.documents import Document, Note, ToldIssue

HealthStatus = Literal["initializing", "active", "warning", "error", "disabled"]
IssueStatus = Literal["warning", "error"]


class Deed(Document):
    at: str
    by: str | None = Field(description="null when it was over by itself.")
    note: str | None


class Issue(Document):
    id: str
    key: str = Field(description="What makes it the same issue when it is met again.")
    status: IssueStatus
    message: str
    first_seen: str
    last_seen: str
    count: int = Field(description="How often it was met; for what goes on in time, how many there are.")
    sample_event: str | None = Field(description="The id of an event that met it.")
    acknowledged: Deed | None = Field(description="Who has seen it.")
    snoozed_until: str | None = Field(description="It does not count for the state before.")
    snoozed: Deed | None
    resolved: Deed | None = Field(description="null while it is open.")


class HealthChange(Document):
    id: str
    at: str
    status: HealthStatus
    previous_status: HealthStatus
    issues: list[ToldIssue] = Field(description="As they were then.")


class Health(Document):
    status: HealthStatus
    since: str
    issues: list[Issue] = Field(description="Those that are open, the worst first.")
    history: list[HealthChange] = Field(description="The newest first.")
    next: str | None = Field(description="The cursor of older changes; null at the end.")


class Snooze(Note):
    """For how long, or until when; one of them."""

    length: Annotated[str | None, Field(alias="for", max_length=64, description="ISO 8601, such as PT8H.")] = None
    until: Annotated[str | None, Field(max_length=64, description="RFC 3339, such as 2026-11-22T18:00:00Z.")] = None
