"""The integration document, as people and programs write it.

`read_document` checks a whole document and takes it apart into what is stored: plain settings, secrets, and the
workflow. Nothing is ever half accepted: all that is wrong is told at once, each with its field. A field that is null
counts as left out; what a document leaves out comes from its type's preset, then from the defaults here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crossdock.catalog import compile_body_schema
from crossdock.connectors import EXTERNAL_SYSTEMS
from crossdock.expressions import compile_value
from crossdock.manage.fields import (
    LONGEST_SYNC_TIMEOUT,
    DedupeWindow,
    Headers,
    LongestDelay,
    Name,
    Origin,
    ParameterDefault,
    ParameterName,
    Password,
    Path,
    PlatformToken,
    RatePeriod,
    RequestTimeout,
    Retention,
    RetryDelay,
    Silence,
    Username,
    is_secret_header,
    slug,
)
from crossdock.manage.merge import lay_over
from crossdock.manage.refusals import field_errors, invalid
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.expression import ExpressionError
from crossdock.model.integration import DEFAULT_RETENTION_SECONDS, HealthRules
from crossdock.model.outcome import Json
from crossdock.model.retry import RetryPolicy
from crossdock.model.time import format_duration, parse_duration
from crossdock.model.trigger import Trigger

MAX_DOCUMENT_BYTES = 1024 * 1024
MAX_DOCUMENT_DEPTH = 64
MAX_DOCUMENT_NODES = 200_000
MAX_BODY_BYTES = 64 * 1024 * 1024

OWN_TREES = ("workflow", "trigger.body_schema")
"""Where the document holds trees of somebody's own making: a change replaces them whole."""

_TRIGGER, _RETRY, _HEALTH = Trigger(), RetryPolicy(), HealthRules()


class Part(BaseModel):
    """A part of a document: no unknown fields, no guessing at types, null means left out."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}


class AuthenticationPart(Part):
    mode: Literal["none", "api_keys", "platform_token", "basic"] = "none"
    username: Username | None = None
    password: Password | None = None


class QueryParameterPart(Part):
    name: ParameterName
    required: bool = False
    default: ParameterDefault | None = None


class RateLimitPart(Part):
    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    per: RatePeriod = "PT1S"


class DeduplicatePart(Part):
    key: str
    within: DedupeWindow = "PT24H"


class CorsPart(Part):
    origins: Annotated[list[Origin], Field(max_length=50)] = []


class TriggerPart(Part):
    methods: Annotated[list[Literal["GET", "POST", "PUT", "PATCH", "DELETE"]], Field(min_length=1, max_length=5)] = [
        "POST"
    ]
    authentication: AuthenticationPart = AuthenticationPart()
    query_parameters: Annotated[list[QueryParameterPart], Field(max_length=50)] = []
    response_mode: Literal["async", "sync"] = "async"
    request_timeout: RequestTimeout | None = None
    on_timeout: Literal["error", "accept"] = "error"
    ordered_delivery: bool = _TRIGGER.ordered
    ordering_key: str | None = None
    on_exhausted: Literal["block", "skip"] = "block"
    concurrency: Annotated[int, Field(ge=1, le=1_000)] = _TRIGGER.concurrency
    rate_limit: RateLimitPart | None = None
    max_body_bytes: Annotated[int, Field(ge=1, le=MAX_BODY_BYTES)] = _TRIGGER.max_body_bytes
    require_json: bool = _TRIGGER.require_json
    deduplicate: DeduplicatePart | None = None
    body_schema: dict[str, Any] | None = None
    cors: CorsPart = CorsPart()


class ReplyPart(Part):
    url: str
    method: Literal["POST", "PUT"] = "POST"
    headers: Headers = {}


class RetryPart(Part):
    attempts: Annotated[int, Field(ge=1, le=100)] = _RETRY.attempts
    delay: RetryDelay = format_duration(_RETRY.delay)
    factor: Annotated[float, Field(ge=1, le=10)] = _RETRY.factor
    max_delay: LongestDelay = format_duration(_RETRY.max_delay)


class RejectedCallsPart(Part):
    calls: Annotated[int, Field(ge=0, le=1_000_000_000)]
    per: Silence = "PT5M"


class HealthPart(Part):
    window: Annotated[int, Field(ge=1, le=1_000)] = _HEALTH.window
    warning_failures: Annotated[int, Field(ge=1, le=1_000)] = _HEALTH.warning_failures
    error_failures: Annotated[int, Field(ge=1, le=1_000)] = _HEALTH.error_failures
    silence: Silence | None = None
    backlog: Silence | None = None
    rejected_calls: RejectedCallsPart | None = None


class IntegrationPart(Part):
    """The whole document. `path` is empty until it is made from the name."""

    name: Name
    type: str
    status: Literal["enabled", "disabled"] = "disabled"
    platform_token: PlatformToken | None = None
    path: Path | None = None
    trigger: TriggerPart = TriggerPart()
    reply: ReplyPart | None = None
    retry: RetryPart | None = None
    health: HealthPart = HealthPart()
    retention: Retention = format_duration(DEFAULT_RETENTION_SECONDS)
    workflow: dict[str, Any] | None = None


class CompileWorkflow(Protocol):
    """Compiles a workflow document. `connections` are the kinds of the workspace's connections by name: a step that
    names another one is refused."""

    def __call__(self, document: Json, number: int, /, *, connections: Mapping[str, str]) -> object: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """Checks that are made elsewhere, for one workspace. They raise Invalid."""

    compile_workflow: CompileWorkflow
    check_url: Callable[[str], None]
    connections: Mapping[str, str] = field(default_factory=dict)
    """The kinds of the workspace's connections by name."""

    def check_workflow(self, document: Json, number: int = 0) -> None:
        """Invalid when the workflow does not compile with what the workspace has."""
        self.compile_workflow(document, number, connections=self.connections)


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that was found good, taken apart. Secrets that it does not name are None or missing."""

    name: str
    type: str
    enabled: bool
    path: str
    settings: Json
    """Trigger, reply, retry, health and retention with all defaults; values of secret headers are left in."""
    workflow: Json = None
    platform_token: str | None = None
    basic_password: str | None = None
    secret_headers: Mapping[str, str] = field(default_factory=dict)
    """Reply headers that are taken for credentials, by lower-case name."""


def read_document(document: Json, rules: Rules) -> Draft:
    """Check a complete document; Invalid names every field that is wrong."""
    check_size(document)
    preset = _preset(document)
    try:
        part = IntegrationPart.model_validate(lay_over(preset, document))
    except ValidationError as error:
        raise invalid("the integration", field_errors(error, IntegrationPart)) from None
    errors = [*_contradictions(part), *_uncompilable(part, rules)]
    path = part.path or slug(part.name)
    if not path:
        errors.append(FieldError("path", "is required here: the name has no letter or digit to make one from"))
    if errors:
        raise invalid("the integration", errors)
    return _draft(part, path)


def default_document(type: str) -> Json:  # noqa: A002 - the document's own word
    """What a document of this type has where it says nothing."""
    preset = EXTERNAL_SYSTEMS[type].preset
    part = IntegrationPart.model_validate(lay_over(preset, {"name": "-", "type": type}))
    document = part.model_dump(exclude={"name", "type", "path", "platform_token"})
    del document["trigger"]["authentication"]["password"]
    return document


def check_size(document: Json, subject: str = "the integration") -> None:
    """Invalid when the document is no object, not JSON, over 1 MiB, or nested deeper than 64 levels."""
    if not isinstance(document, dict):
        raise Invalid(f"{subject} document must be an object", (FieldError("", "must be an object"),))
    _check_shape(document, subject)
    try:
        size = len(json.dumps(document, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:  # a date from YAML, NaN, half of a surrogate pair
        raise Invalid(f"{subject} document holds something that is not JSON: {error}") from None
    if size > MAX_DOCUMENT_BYTES:
        raise Invalid(f"{subject} document has {size} bytes; {MAX_DOCUMENT_BYTES} are allowed")


def _check_shape(document: Json, subject: str) -> None:
    """Level by level, so that neither depth nor a few YAML aliases that stand for millions of nodes can hurt."""
    level, nodes = [document], 1
    for _ in range(MAX_DOCUMENT_DEPTH):
        children: list[Json] = []
        for node in level:
            inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
            nodes += len(inner)
            if nodes > MAX_DOCUMENT_NODES:
                raise Invalid(f"{subject} document has more than {MAX_DOCUMENT_NODES} values")
            children.extend(inner)
        if not children:
            return
        level = children
    raise Invalid(f"{subject} document is nested deeper than {MAX_DOCUMENT_DEPTH} levels")


def _preset(document: Json) -> Json:
    name = document.get("type")
    if name is None:
        raise invalid("the integration", (FieldError("type", f"is required: {_types()}"),))
    system = EXTERNAL_SYSTEMS.get(name) if isinstance(name, str) else None
    if system is None:
        raise invalid("the integration", (FieldError("type", f"must be one of {_types()}"),))
    return system.preset


def _types() -> str:
    return ", ".join(EXTERNAL_SYSTEMS)


def _contradictions(part: IntegrationPart) -> list[FieldError]:
    """Fields that are each acceptable but not together."""
    trigger, found = part.trigger, []
    names = [parameter.name for parameter in trigger.query_parameters]
    for position, parameter in enumerate(trigger.query_parameters):
        place = f"trigger.query_parameters[{position}]"
        if parameter.name in names[:position]:
            found.append(FieldError(f"{place}.name", f"is there twice: {parameter.name}"))
        if parameter.required and parameter.default is not None:
            found.append(FieldError(f"{place}.default", "is never used, because the parameter is required"))
    timeout = trigger.request_timeout
    if trigger.response_mode == "sync" and timeout is not None and parse_duration(timeout) > LONGEST_SYNC_TIMEOUT:
        longest = format_duration(LONGEST_SYNC_TIMEOUT)
        found.append(FieldError("trigger.request_timeout", f"must be {longest} at most while a caller waits (sync)"))
    limits = {"warning_failures": part.health.warning_failures, "error_failures": part.health.error_failures}
    found += [
        FieldError(f"health.{name}", f"is {failures}, and must not be more than health.window ({part.health.window})")
        for name, failures in limits.items()
        if failures > part.health.window
    ]
    return found


def _uncompilable(part: IntegrationPart, rules: Rules) -> list[FieldError]:
    """Expressions, schema, address and workflow: what only their own reader can judge."""
    trigger, found = part.trigger, []
    if trigger.ordering_key is not None:
        found += _expression_errors("trigger.ordering_key", trigger.ordering_key)
    if trigger.deduplicate is not None:
        found += _expression_errors("trigger.deduplicate.key", trigger.deduplicate.key)
    if trigger.body_schema is not None:
        try:
            compile_body_schema(trigger.body_schema)
        except ValueError as error:
            found.append(FieldError("trigger.body_schema", str(error)))
    if part.reply is not None:
        try:
            rules.check_url(part.reply.url)
        except Invalid as error:
            found.append(FieldError("reply.url", str(error)))
    if part.workflow is not None:
        found += _workflow_errors(part.workflow, rules)
    return found


def _expression_errors(name: str, text: str) -> list[FieldError]:
    if not text.strip():
        return [FieldError(name, "must not be empty")]
    try:
        compile_value(text, name)
    except ExpressionError as error:
        return [FieldError(name, str(error))]
    return []


def _workflow_errors(workflow: Json, rules: Rules) -> list[FieldError]:
    try:
        rules.check_workflow(workflow)
    except Invalid as error:
        return list(error.errors) or [FieldError("workflow", str(error))]
    return []


def _draft(part: IntegrationPart, path: str) -> Draft:
    settings = part.model_dump(include={"trigger", "reply", "retry", "health", "retention"})
    settings["trigger"]["methods"] = list(dict.fromkeys(part.trigger.methods))
    password = settings["trigger"]["authentication"].pop("password")
    headers = part.reply.headers if part.reply is not None else {}
    return Draft(
        name=part.name,
        type=part.type,
        enabled=part.status == "enabled",
        path=path,
        settings=settings,
        workflow=part.workflow,
        platform_token=part.platform_token,
        basic_password=password,
        secret_headers={name.lower(): value for name, value in headers.items() if is_secret_header(name)},
    )
