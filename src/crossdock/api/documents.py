"""The documents of the API as OpenAPI describes them. They are written by `manage`; the tests compare the two."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crossdock.manage.fields import check_line

Item = TypeVar("Item")
Pairs = dict[str, str | list[str]]
RunStatus = Literal["queued", "running", "waiting", "retrying", "succeeded", "failed", "canceled"]


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FieldProblem(Document):
    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


class PageOf(Document, Generic[Item]):
    items: list[Item]
    next: str | None = Field(description="The cursor of the next page; null at the end.")


# --- integrations ----------------------------------------------------------------------------------------------------


class IntegrationLine(Document):
    id: str
    name: str
    type: str
    status: Literal["enabled", "disabled"]
    path: str
    trigger: dict[str, Any]
    reply: dict[str, Any] | None
    retry: dict[str, Any] | None
    health: dict[str, Any]
    retention: str
    url: str
    platform_token_set: bool
    workflow_version: int
    signing_secret_hint: str | None
    revision: int
    created_at: str
    updated_at: str
    warnings: list[str]


class Integration(IntegrationLine):
    workflow: dict[str, Any] | None


class SigningSecret(Document):
    signing_secret: str


class Key(Document):
    id: str
    label: str
    hint: str
    disabled: bool
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    calls: int


class AddedKey(Key):
    key: str = Field(description="The key itself; it is told this once.")


class WorkflowVersion(Document):
    number: int
    published: bool
    created_at: str | None
    created_by: str | None
    document: dict[str, Any]


# --- events ----------------------------------------------------------------------------------------------------------


class IntegrationName(Document):
    id: str
    name: str


class Failure(Document):
    kind: str
    message: str | None
    step: str | None


class RequestLine(Document):
    method: str
    path: str
    content_type: str
    size: int
    key_label: str | None
    source_ip: str


class Request(RequestLine):
    query: Pairs
    headers: Pairs
    body: str | None
    body_encoding: Literal["utf-8", "base64", "omitted"]


class Result(Document):
    status: int
    headers: Pairs
    body: Any


class Step(Document):
    id: str
    type: str
    status: Literal["succeeded", "failed", "skipped"]
    started_at: str
    finished_at: str
    attempts: int
    input: Any
    output: Any
    error: Failure | None


class Response(Document):
    status: int
    headers: Pairs
    body: str | None
    body_encoding: Literal["utf-8", "base64", "omitted"]


class AttemptRequest(Document):
    headers: Pairs


class Attempt(Document):
    number: int
    started_at: str
    finished_at: str
    duration_ms: float
    request: AttemptRequest
    response: Response | None
    error: str | None


class ReplyLine(Document):
    status: Literal["none", "pending", "delivered", "failed", "expired"]


class Reply(ReplyLine):
    delivery_id: str | None
    next_attempt_at: str | None
    attempts: list[Attempt]


class EventHead(Document):
    id: str
    integration: IntegrationName
    status: RunStatus
    waiting_for: Literal["delay", "operator", "parked"] | None
    waiting_reason: str | None
    next_attempt_at: str | None
    received_at: str
    started_at: str | None
    finished_at: str | None
    workflow_version: int | None
    attempts: int
    error: Failure | None
    lane: str | None
    replay_of: str | None


class EventLine(EventHead):
    request: RequestLine
    reply: ReplyLine


class Event(EventHead):
    request: Request
    result: Result | None
    steps: list[Step]
    reply: Reply
    cancel_requested: bool


class Replayed(Document):
    id: str
    replay_of: str


class Delivery(Document):
    id: str
    kind: Literal["reply", "notification"]
    status: Literal["queued", "sending", "retrying", "delivered", "failed", "expired", "canceled"]
    integration_id: str
    event_id: str | None
    created_at: str
    expires_at: str | None
    finished_at: str | None
    next_attempt_at: str | None
    error: str | None
    attempts: list[Attempt]


class LaneError(Document):
    message: str


class LaneHead(Document):
    id: str
    status: RunStatus
    waiting_for: Literal["delay", "operator", "parked"] | None
    received_at: str
    next_attempt_at: str | None
    attempts: int
    error: LaneError | None


class Lane(Document):
    id: str = Field(description="The lane's name in addresses.")
    key: str
    status: Literal["blocked"] | RunStatus
    waiting: int = Field(description="How many runs wait behind the head.")
    head: LaneHead


class Decided(Document):
    lane: str
    event_id: str
    decision: Literal["retry", "skip", "park"]


class Percentiles(Document):
    p50: float | None
    p95: float | None
    p99: float | None


class Counts(Document):
    accepted: int
    succeeded: int
    failed: int
    canceled: int
    unfinished: int
    per_second: float
    duration_ms: Percentiles


class IntervalCounts(Counts):
    start: str


class Rejected(Document):
    reason: str
    count: int
    last_at: str


class Stats(Document):
    start: str
    end: str
    interval: str
    complete: bool
    total: Counts
    intervals: list[IntervalCounts]
    rejected: list[Rejected]


# --- the installation ------------------------------------------------------------------------------------------------


class ExternalSystem(Document):
    type: str
    title: str
    summary: str
    preset: dict[str, Any]
    fields: list[dict[str, Any]]
    sample: dict[str, Any]
    guide: str


class Token(Document):
    id: str
    name: str
    role: Literal["viewer", "operator", "admin"]
    hint: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class CreatedToken(Token):
    token: str = Field(description="The token itself; it is told this once.")


class Setting(Document):
    name: str
    value: Any
    default: Any
    help: str
    secret: bool


class Node(Document):
    id: str
    host: str
    pid: int
    version: str
    started_at: str
    heartbeat_at: str
    is_this: bool = Field(description="Whether it is the process that answers.")


class Difference(Document):
    field: str
    before: Any
    after: Any


class PlanStep(Document):
    kind: str
    name: str
    action: Literal["create", "change", "none", "prune"]
    differences: list[Difference]


class Plan(Document):
    steps: list[PlanStep]
    changes_something: bool


class RotatedKey(Document):
    secrets: int = Field(description="How many secrets were sealed.")
    key_id: str


class Exported(Document):
    documents: list[dict[str, Any]]


# --- what is sent ----------------------------------------------------------------------------------------------------


def _visible_values(headers: dict[str, str]) -> dict[str, str]:
    for name, value in {**headers}.items():
        if not name.isascii() or not name.isprintable() or not value.isprintable():
            raise ValueError("must be names and values of visible characters")
    return headers


class Written(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewToken(Written):
    name: str
    role: Literal["viewer", "operator", "admin"]
    expires_at: str | None = None


class Configuration(Written):
    """What `crossdock apply` sends."""

    documents: list[dict[str, Any]]
    values: dict[str, str] = Field(default={}, description="What `${NAME}` in the documents stands for.")
    dry_run: bool = False
    prune: bool = Field(default=False, description="Delete the integrations that have no document.")


class Note(Written):
    """Why; it is kept with the event that is skipped."""

    note: Annotated[str, AfterValidator(lambda text: check_line(text, 500) if text else text)] = ""


class ReplayedRequest(Written):
    """What replaces the original's."""

    body: str | None = None
    body_encoding: Literal["utf-8", "base64"] | None = None
    query: dict[str, str] | None = None
    headers: Annotated[dict[str, str], AfterValidator(_visible_values)] | None = None


class Replay(Written):
    workflow_version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    request: ReplayedRequest | None = None
