"""An integration: a named inbound endpoint with its trigger, reply, limits and workflow."""

from __future__ import annotations

from dataclasses import dataclass

from crossdock.model.retry import NO_RETRY, RetryPolicy
from crossdock.model.time import Instant
from crossdock.model.trigger import ResponseMode, Trigger

DEFAULT_RETENTION_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class ReplySettings:
    """Where the handled event is sent."""

    url: str
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RejectedCalls:
    """More than `calls` refused calls within `per` seconds are too many."""

    calls: int
    per: float


@dataclass(frozen=True, slots=True)
class HealthRules:
    """Over the last `window` finished runs. `silence` and `backlog` are seconds. None: not watched."""

    window: int = 20
    warning_failures: int = 1
    error_failures: int = 5
    silence: float | None = None
    backlog: float | None = None
    rejected_calls: RejectedCalls | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of one integration. Only the SHA-256 of its text is known."""

    id: str
    label: str
    hash: bytes
    disabled: bool
    expires_at: Instant | None

    def is_usable(self, now: Instant) -> bool:
        return not self.disabled and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Integration:
    id: str
    workspace: str
    """The workspace's slug, as in the hook URL."""
    name: str
    type: str
    enabled: bool
    path: str
    trigger: Trigger
    reply: ReplySettings | None = None
    retry: RetryPolicy | None = None
    health: HealthRules = HealthRules()
    retention: float = DEFAULT_RETENTION_SECONDS
    workflow_number: int = 0
    revision: int = 1

    def run_retry(self) -> RetryPolicy:
        """The policy for whole runs: by default one attempt when a caller waits, five otherwise."""
        if self.retry is not None:
            return self.retry
        return NO_RETRY if self.trigger.response_mode is ResponseMode.SYNC else RetryPolicy()
