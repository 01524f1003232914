"""The fields of the integration document, explained once; each type offers those that suit it."""

from __future__ import annotations

from crossdock.connectors.external_system import Field, FieldKind, Section
from crossdock.model.integration import DEFAULT_RETENTION_SECONDS, HealthRules
from crossdock.model.time import format_duration
from crossdock.model.trigger import (
    DEFAULT_SYNC_TIMEOUT_SECONDS,
    METHODS,
    AuthenticationMode,
    OnExhausted,
    OnTimeout,
    Trigger,
)

_TRIGGER = Trigger()
_HEALTH = HealthRules()

NAME = Field(
    "name",
    "Integration Name",
    Section.ENDPOINT,
    FieldKind.TEXT,
    "What people call this integration. It is unique in the workspace.",
    required=True,
    example="Create customer record",
)
STATUS = Field(
    "status",
    "Status",
    Section.ENDPOINT,
    FieldKind.CHOICE,
    "Calls to a disabled integration are refused with 403. Work that was accepted before goes on.",
    default="disabled",
    choices=("enabled", "disabled"),
)
PATH = Field(
    "path",
    "Path",
    Section.ENDPOINT,
    FieldKind.TEXT,
    "The last part of the address. Left empty, it is made from the name. It may contain slashes.",
    example="CreateCustomerRecord",
)
METHODS_FIELD = Field(
    "trigger.methods",
    "Methods",
    Section.ENDPOINT,
    FieldKind.CHOICES,
    "The HTTP methods that callers may use; others get 405.",
    choices=METHODS,
)
CORS = Field(
    "trigger.cors.origins",
    "Allowed web origins",
    Section.ENDPOINT,
    FieldKind.TEXTS,
    "Web pages that may call the endpoint from a browser, such as https://shop.example. None by default.",
    default=[],
)
PLATFORM_TOKEN = Field(
    "platform_token",
    "Platform Token",
    Section.ACCESS,
    FieldKind.SECRET,
    "The secret that callers send as X-Platform-Token or bearer token. It is kept encrypted and never shown again.",
)
AUTHENTICATION = Field(
    "trigger.authentication",
    "Authentication",
    Section.ACCESS,
    FieldKind.AUTHENTICATION,
    "How callers prove who they are. With none, anyone who knows the address can start a run.",
    choices=tuple(mode.value for mode in AuthenticationMode),
)
QUERY_PARAMETERS = Field(
    "trigger.query_parameters",
    "Query parameters",
    Section.INPUT,
    FieldKind.QUERY_PARAMETERS,
    "Parameters that callers send in the address. A missing one takes its default; a missing required one is refused.",
    default=[],
)
MAX_BODY_BYTES = Field(
    "trigger.max_body_bytes",
    "Largest body in bytes",
    Section.INPUT,
    FieldKind.NUMBER,
    "Longer bodies are refused with 413 while they are read.",
    default=_TRIGGER.max_body_bytes,
)
REQUIRE_JSON = Field(
    "trigger.require_json",
    "Only JSON",
    Section.INPUT,
    FieldKind.SWITCH,
    "Refuses bodies that are not JSON. Without it, any body is taken and kept byte for byte.",
    default=_TRIGGER.require_json,
)
BODY_SCHEMA = Field(
    "trigger.body_schema",
    "Body schema",
    Section.INPUT,
    FieldKind.JSON,
    "A JSON Schema that bodies have to match; others are refused with 422 and the places that are wrong.",
)
DEDUPLICATE_KEY = Field(
    "trigger.deduplicate.key",
    "Duplicate key",
    Section.INPUT,
    FieldKind.EXPRESSION,
    "The same for the same message: a call that repeats it gets the first one's answer and runs nothing.",
    example="{{ headers['x-delivery-id'] }}",
)
DEDUPLICATE_WITHIN = Field(
    "trigger.deduplicate.within",
    "Duplicate window",
    Section.INPUT,
    FieldKind.DURATION,
    "How long a duplicate key is remembered.",
    default="PT24H",
)
RESPONSE_MODE = Field(
    "trigger.response_mode",
    "Request-Response",
    Section.HANDLING,
    FieldKind.CHOICE,
    "sync: the call returns when the run has a result. async: it returns at once with the event's id.",
    default=_TRIGGER.response_mode.value,
    choices=("async", "sync"),
)
REQUEST_TIMEOUT_ASYNC = Field(
    "trigger.request_timeout",
    "Request Timeout",
    Section.HANDLING,
    FieldKind.DURATION,
    "Counted from acceptance. After it no reply is posted any more; handling goes on to its end. Empty: no limit.",
    example="PT60S",
)
REQUEST_TIMEOUT_SYNC = Field(
    "trigger.request_timeout",
    "Request Timeout",
    Section.HANDLING,
    FieldKind.DURATION,
    "How long a caller waits for the result. The run itself goes on, and its result can be read at the status address.",
    default=format_duration(DEFAULT_SYNC_TIMEOUT_SECONDS),
    example="PT60S",
)
ON_TIMEOUT = Field(
    "trigger.on_timeout",
    "At timeout",
    Section.HANDLING,
    FieldKind.CHOICE,
    "What a waiting caller gets when time is up: an error (504), or the acknowledgement of the async mode (202).",
    default=_TRIGGER.on_timeout.value,
    choices=tuple(word.value for word in OnTimeout),
)
ORDERED_DELIVERY = Field(
    "trigger.ordered_delivery",
    "Ordered Delivery",
    Section.HANDLING,
    FieldKind.SWITCH,
    "Runs happen one after the other, exactly in the order in which the calls were accepted.",
    default=_TRIGGER.ordered,
)
ORDERING_KEY = Field(
    "trigger.ordering_key",
    "Ordering key",
    Section.HANDLING,
    FieldKind.EXPRESSION,
    "Keeps the order only among calls with the same key, so that different keys are handled side by side.",
    example="{{ body.customer.id }}",
)
ON_EXHAUSTED = Field(
    "trigger.on_exhausted",
    "When attempts are used up",
    Section.HANDLING,
    FieldKind.CHOICE,
    "block: the order waits until somebody decides. skip: the run is given up and the next one starts.",
    default=_TRIGGER.on_exhausted.value,
    choices=tuple(word.value for word in OnExhausted),
)
CONCURRENCY = Field(
    "trigger.concurrency",
    "Runs at once",
    Section.HANDLING,
    FieldKind.NUMBER,
    "How many runs of this integration may happen side by side, on all nodes together, when they are not ordered.",
    default=_TRIGGER.concurrency,
)
RATE_LIMIT = Field(
    "trigger.rate_limit",
    "Rate limit",
    Section.ACCESS,
    FieldKind.JSON,
    "How many calls are taken in a time; more are refused with 429. Empty: no limit.",
    example='{"requests": 100, "per": "PT1S"}',
)
RETRY = Field(
    "retry",
    "Retry",
    Section.HANDLING,
    FieldKind.JSON,
    "How often a failed run is started again, and after which waits. Empty: five attempts in async mode, one in sync.",
    example='{"attempts": 5, "delay": "PT2S", "factor": 2, "max_delay": "PT5M"}',
)
RETENTION = Field(
    "retention",
    "Keep events for",
    Section.HANDLING,
    FieldKind.DURATION,
    "Finished events older than this are deleted.",
    default=format_duration(DEFAULT_RETENTION_SECONDS),
)
REPLY_URL = Field(
    "reply.url",
    "Reply URL",
    Section.REPLY,
    FieldKind.URL,
    "Where the handled event is sent once its run has ended. Empty: no reply.",
    example="https://erp.example/callback",
)
REPLY_METHOD = Field(
    "reply.method",
    "Reply HTTP Method",
    Section.REPLY,
    FieldKind.CHOICE,
    "The HTTP method of the reply.",
    default="POST",
    choices=("POST", "PUT"),
)
REPLY_HEADERS = Field(
    "reply.headers",
    "Reply HTTP Headers",
    Section.REPLY,
    FieldKind.HEADERS,
    "Headers that are sent with the reply. Values of credentials are kept encrypted and never shown again.",
    default={},
)
HEALTH = Field(
    "health",
    "Health rules",
    Section.HEALTH,
    FieldKind.JSON,
    "When failures among the last runs, silence, a backlog or refused calls put the integration into warning or error.",
    default={
        "window": _HEALTH.window,
        "warning_failures": _HEALTH.warning_failures,
        "error_failures": _HEALTH.error_failures,
    },
    example='{"silence": "PT1H", "backlog": "PT5M", "rejected_calls": {"calls": 100, "per": "PT5M"}}',
)
