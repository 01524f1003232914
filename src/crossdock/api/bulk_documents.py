"""The documents of bulk jobs as OpenAPI describes them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from crossdock.api.documents import Document
from crossdock.model.bulk import BulkKind, BulkOutcome, BulkState


class BulkJob(Document):
    id: str
    kind: BulkKind
    state: BulkState
    filter: dict[str, Any]
    options: dict[str, Any]
    rate: float = Field(description="Events per second, at most.")
    reason: str | None = Field(description="Why somebody wanted it.")
    total: int | None = Field(description="How many events there are to deal with; null while they are counted.")
    done: int
    skipped: int
    failed: int
    progress: float = Field(description="From 0 to 1.")
    remaining_seconds: float | None = Field(description="At full speed; null for a job that stands still.")
    waiting_because: str | None = Field(description="Why a running job stands still.")
    summary: dict[str, int] = Field(description="How many events came to each outcome.")
    error: str | None
    created_at: str
    created_by: str
    started_at: str | None
    finished_at: str | None


class BulkItem(Document):
    event_id: str
    outcome: BulkOutcome
    new_event_id: str | None
    reason: str | None
    comparison: dict[str, Any] | None = Field(description="What would change, in a what-if.")
