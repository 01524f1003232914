"""How a call is recognised, authenticated, limited, ordered and answered.

All of it is plain data; `manage.documents` makes it from what people write, `receive` acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class AuthenticationMode(StrEnum):
    NONE = "none"
    API_KEYS = "api_keys"
    PLATFORM_TOKEN = "platform_token"
    BASIC = "basic"


class ResponseMode(StrEnum):
    ASYNC = "async"
    SYNC = "sync"


class OnTimeout(StrEnum):
    ERROR = "error"
    ACCEPT = "accept"


class OnExhausted(StrEnum):
    BLOCK = "block"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class QueryParameter:
    name: str
    required: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`requests` calls in any window of `per` seconds."""

    requests: int
    per: float


@dataclass(frozen=True, slots=True)
class Deduplication:
    """`key` is an expression; a call whose key was seen less than `within` seconds ago is a duplicate."""

    key: str
    within: float


@dataclass(frozen=True, slots=True)
class Cors:
    """Which web pages may call the endpoint from a browser. No origins: none."""

    origins: tuple[str, ...] = ()

    def allows(self, origin: str) -> bool:
        return "*" in self.origins or origin in self.origins


@dataclass(frozen=True, slots=True)
class Trigger:
    methods: tuple[str, ...] = ("POST",)
    authentication: AuthenticationMode = AuthenticationMode.NONE
    basic_username: str = ""
    query_parameters: tuple[QueryParameter, ...] = ()
    response_mode: ResponseMode = ResponseMode.ASYNC
    request_timeout: float | None = None
    on_timeout: OnTimeout = OnTimeout.ERROR
    ordered: bool = False
    ordering_key: str | None = None
    on_exhausted: OnExhausted = OnExhausted.BLOCK
    concurrency: int = 16
    rate_limit: RateLimit | None = None
    max_body_bytes: int = 1_048_576
    require_json: bool = False
    deduplicate: Deduplication | None = None
    body_schema: str | None = None
    """JSON Schema as JSON text."""
    cors: Cors = Cors()


DEFAULT_SYNC_TIMEOUT_SECONDS = 60.0


def sync_timeout(trigger: Trigger) -> float:
    """How long a caller in request-response mode is kept waiting, in seconds."""
    return trigger.request_timeout if trigger.request_timeout is not None else DEFAULT_SYNC_TIMEOUT_SECONDS
