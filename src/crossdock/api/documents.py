"""The documents of the API as OpenAPI describes them. They are written by `manage`; the tests compare the two."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from crossdock.manage.fields import check_line

Item = TypeVar("Item")
Pairs = dict[str, str | list[str]]
RunStatus = Literal["queued", "running", "waiting", "retrying", "succeeded", "failed", "canceled"]


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


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


class CurrentHealth(Document):
    status: Literal["initializing", "active", "warning", "error", "disabled"]
    since: str
    issues: int = Field(description="How many are open.")


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
    current_health: CurrentHealth
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
    id: str = Field(description="The step's path: its id behind those of the blocks around it.")
    type: str
    status: Literal["succeeded", "failed", "skipped", "waiting"]
    started_at: str
    finished_at: str
    until: str | None = Field(description="It is not performed again before this time.")
    attempts: int
    reused: bool = Field(description="Taken over from the run of the event that this one replays.")
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
    body: str | None = Field(
        default=None, description="Of a notification, secrets masked. That of a reply can be made anew from its event."
    )


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


class WaitingFor(Document):
    """Why nobody works on a run, and what happens next."""

    reason: Literal["slot", "lane", "retry", "delay", "operator", "parked"]
    words: str
    until: str | None = Field(description="When it goes on by itself.")
    step: str | None
    behind: str | None = Field(description="The event at the head of its lane; told of a single event.")


class EventHead(Document):
    id: str
    integration: IntegrationName
    status: RunStatus
    waiting_for: WaitingFor | None
    next_attempt_at: str | None
    received_at: str
    started_at: str | None
    finished_at: str | None
    workflow_version: int | None
    attempts: int
    error: Failure | None
    lane: str | None
    replay_of: str | None
    emitted_by: str | None = Field(description="The event whose workflow made this one.")
    depth: int = Field(description="How many events stand before it in a chain of events that emit others.")


class EventLine(EventHead):
    request: RequestLine
    reply: ReplyLine


class Event(EventHead):
    request: Request
    result: Result | None
    steps: list[Step] = Field(description="500 at most; `/events/{id}/steps` gives all.")
    steps_total: int
    reply: Reply
    cancel_requested: bool
    replays: list[str] = Field(description="The oldest 100.")
    replays_total: int
    emitted: list[str] = Field(description="The events that its workflow made: the oldest 100.")
    emitted_total: int


class Replayed(Document):
    id: str
    replay_of: str


class ToldIssue(Document):
    status: Literal["warning", "error"]
    message: str


class AboutIntegration(Document):
    id: str
    name: str | None = Field(description="null when it is gone.")


class ToldChange(Document):
    id: str
    at: str
    integration: AboutIntegration
    status: str
    previous_status: str
    issues: list[ToldIssue] = Field(description="As they were then.")


class Delivery(Document):
    id: str
    kind: Literal["reply", "notification"]
    status: Literal["queued", "sending", "retrying", "delivered", "failed", "expired", "canceled"]
    integration_id: str | None = Field(description="Null for a notification: see `changes`.")
    event_id: str | None
    webhook_id: str | None = Field(description="The notification webhook that it goes to.")
    changes: list[ToldChange] = Field(description="What a notification tells, the oldest first.")
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


def _text_or_texts(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return value
    raise ValueError("must be text, or a list of texts")


_TEXT = {"type": "string"}
# A union would tell what is wrong with each of its members.
Values = dict[
    str,
    Annotated[
        Any, AfterValidator(_text_or_texts), WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]})
    ],
]


def _visible_values(headers: Values) -> Values:
    for name, given in headers.items():
        values = given if isinstance(given, list) else [given]
        if not name.isascii() or not name.isprintable() or not all(value.isprintable() for value in values):
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
    prune: bool = Field(default=False, description="Delete what has no document.")


class Note(Written):
    """Why; it is kept with the event that is skipped."""

    note: Annotated[str, AfterValidator(lambda text: check_line(text, 500) if text else text)] = ""


class LaneDecision(Note):
    event_id: Annotated[
        str | None,
        Field(min_length=1, max_length=64, description="The head that is meant; 409 when another one is it by now."),
    ] = None


class ReplayedRequest(Written):
    """What replaces the original's."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None = None
    query: Annotated[Values | None, Field(description="A name with several values has a list.")] = None
    headers: Annotated[Values, AfterValidator(_visible_values)] | None = None
    body: Annotated[Any, Field(description="Text as it is; any other JSON value is sent as JSON.")] = None
    body_encoding: Annotated[
        Literal["utf-8", "base64"] | None, Field(description="base64: the text stands for bytes.")
    ] = None


class Replay(Written):
    workflow_version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    from_step: (
        Annotated[
            str,
            Field(max_length=1_000, description="The step to start from; what came of those before it is taken over."),
        ]
        | None
    ) = None
    request: ReplayedRequest | None = None
