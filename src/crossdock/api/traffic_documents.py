"""The documents of traffic, the overview and the story of an event as OpenAPI describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crossdock.api.documents import Document, EventLine, IntegrationName, PageOf
from crossdock.api.health_documents import HealthStatus

Numbers = list[int]


class Percentiles(Document):
    """Milliseconds from acceptance to the end, read off a histogram: about right, never exact."""

    p50: float | None
    p95: float | None
    p99: float | None


class PercentileLists(Document):
    p50: list[float | None]
    p95: list[float | None]
    p99: list[float | None]


class TrafficTotal(Document):
    accepted: int
    succeeded: int
    failed: int
    canceled: int
    unfinished: int
    rejected: int = Field(description="Calls that were refused; the others were accepted.")


class TimedTotal(TrafficTotal):
    duration_ms: Percentiles


class TrafficLine(Document):
    """Lists of equal length, a number for each point, the oldest first. Calls stand where they were accepted."""

    start: str = Field(description="When the first point begins.")
    interval: str = Field(description="How long a point is, ISO 8601. The last one may be going on.")
    accepted: Numbers
    succeeded: Numbers
    failed: Numbers
    canceled: Numbers
    unfinished: Numbers
    rejected: Numbers
    total: TrafficTotal


class Traffic(TrafficLine):
    span: str


class TimedTraffic(Document):
    span: str
    start: str
    interval: str
    accepted: Numbers
    succeeded: Numbers
    failed: Numbers
    canceled: Numbers
    unfinished: Numbers
    rejected: Numbers
    total: TimedTotal
    duration_ms: PercentileLists


class Histogram(TrafficLine):
    left_out: list[str] = Field(description="Conditions that the counts do not know: they show all in spite of them.")


class Queue(Document):
    waiting: int = Field(description="Counted up to 1,000.")
    is_more: bool
    oldest_at: str
    oldest_seconds: float


class ReasonedHealth(Document):
    status: HealthStatus
    since: str
    issues: int = Field(description="How many are open.")
    reason: str | None = Field(description="The worst issue that is not snoozed.")
    since_issue: str | None
    sample_event: str | None


class TwoPercentiles(Document):
    p50: float | None
    p95: float | None


class AttentionLine(Document):
    id: str
    name: str
    type: str
    status: Literal["enabled", "disabled"]
    path: str
    url: str
    response_mode: Literal["async", "sync"]
    ordered_delivery: bool
    authentication: str
    warnings: list[str]
    revision: int
    created_at: str
    updated_at: str
    attention: Literal["error", "warning", "blocked", "backlog", "initializing", "active", "disabled"]
    current_health: ReasonedHealth
    traffic: TrafficLine = Field(description="The last 24 hours by the hour.")
    duration_ms: TwoPercentiles
    queue: Queue | None
    blocked_lanes: int
    last_event_at: str | None


class HealthCounts(Document):
    total: int
    initializing: int
    active: int
    warning: int
    error: int
    disabled: int


class Troubled(Document):
    integration: IntegrationName
    status: HealthStatus
    reason: str | None
    since_issue: str | None
    sample_event: str | None


class FailedReply(Document):
    integration: IntegrationName
    message: str
    first_seen: str
    last_seen: str
    count: int
    sample_event: str | None


class BlockedLane(Document):
    integration: IntegrationName
    lane: str
    key: str
    head: str
    since: str
    error: str | None


class Backlog(Queue):
    integration: IntegrationName


class TroubledWebhook(Document):
    id: str
    name: str
    failing_since: str | None
    failures: int
    last_error: str | None


class Ranked(TimedTotal):
    integration: IntegrationName


class Overview(Document):
    integrations: HealthCounts
    troubled: list[Troubled] = Field(description="In error, then in warning.")
    failed_replies: list[FailedReply]
    blocked_lanes: list[BlockedLane] = Field(description="Those that wait for an operator the longest.")
    backlogs: list[Backlog] = Field(description="The largest.")
    webhooks: list[TroubledWebhook] = Field(description="Notification webhooks that fail.")
    traffic: Traffic
    busiest: list[Ranked]
    slowest: list[Ranked] = Field(description="By p95.")


class EventList(PageOf[EventLine]):
    searched_until: str | None = Field(
        description="When the last event that was looked at came, where a page is short although there is more."
    )


class Matches(Document):
    count: int
    is_exact: bool = Field(description="Otherwise there are at least as many.")
    searched_until: str | None = Field(description="How far was looked, where not all was.")


class Refused(Document):
    integration: IntegrationName
    reason: str
    count: int
    last_at: str


class RefusedCalls(Document):
    items: list[Refused]


class Bar(Document):
    kind: Literal["queue", "step", "wait", "reply", "attempt"]
    label: str
    state: Literal["succeeded", "failed", "waiting", "running", "skipped", "canceled"]
    start_ms: float = Field(description="Since the call was received.")
    duration_ms: float
    depth: int
    attempts: int
    step: str | None
    is_open: bool = Field(description="It goes on.")


class Story(Document):
    summary: str
    duration_ms: float
    bars: list[Bar]
