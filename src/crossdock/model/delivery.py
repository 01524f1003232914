"""Outgoing messages, which are replies and notifications; and what an attempt to send one means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from crossdock.model.event import Event
from crossdock.model.notification import Notice
from crossdock.model.outcome import Failure, Result
from crossdock.model.retry import RetryPolicy
from crossdock.model.states import DeliveryMove
from crossdock.model.time import Instant, later
from crossdock.model.value import value

ATTEMPT_BODY_BYTES = 64 * 1024
"""How much of a request and of a response is kept with an attempt."""


class DeliveryKind(StrEnum):
    REPLY = "reply"
    NOTIFICATION = "notification"


@value
class HandledEvent:
    """What a reply tells: the event and how its run ended. Made of immutable rows, so every attempt sends the same."""

    event: Event
    succeeded: bool
    result: Result | None
    error: Failure | None
    attempts: int
    handled_at: Instant


@value
class LeasedReply:
    """A reply that this process holds, with all that it needs to send it. Its id is its idempotency key for ever."""

    id: str
    integration_id: str
    created_at: Instant
    expires_at: Instant | None
    attempts: int
    """Tries so far, the coming one included."""
    lease_token: str
    handled: HandledEvent

    @property
    def kind(self) -> DeliveryKind:
        return DeliveryKind.REPLY

    @property
    def owner_id(self) -> str:
        """With whose deliveries it shares senders and room."""
        return self.integration_id


@value
class LeasedNotice:
    """The same for a notification."""

    id: str
    created_at: Instant
    expires_at: Instant | None
    attempts: int
    lease_token: str
    notice: Notice

    @property
    def kind(self) -> DeliveryKind:
        return DeliveryKind.NOTIFICATION

    @property
    def owner_id(self) -> str:
        return self.notice.webhook_id


LeasedDelivery: TypeAlias = LeasedReply | LeasedNotice


@dataclass(frozen=True, slots=True)
class SendReport:
    """What one try to send looked like. `status` is None when no answer came; `error` says why then."""

    started_at: Instant
    finished_at: Instant
    request_headers: tuple[tuple[str, str], ...]
    status: int | None = None
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: bytes = b""
    error: str | None = None
    permanent: bool = False
    """Trying again can't help (a forbidden address, an invalid URL)."""
    retry_after: float | None = None
    request_body: bytes = b""
    """Kept where it can't be made anew from what never changes; without secrets."""


@value
class Verdict:
    """What an attempt means for its delivery. `due_at` is set for a retry."""

    move: DeliveryMove
    due_at: Instant | None = None


def judge_attempt(
    report: SendReport,
    *,
    attempts_made: int,
    policy: RetryPolicy,
    expires_at: Instant | None,
    fraction: float,
    refusal: str | None = None,
) -> Verdict:
    """Decide what follows from an attempt.

    2xx is delivered, unless there is a `refusal`: a reason why it is no success, which may pass. 408, 425, 429, 5xx
    and network faults are tried again; everything else fails for good. A retry that could only happen after
    `expires_at` is not waited for: the delivery expires then, not now, so that an operator sees the reason at the time
    that was promised.
    """
    is_good = report.status is not None and 200 <= report.status < 300
    if is_good and refusal is None:
        return Verdict(DeliveryMove.DELIVER)
    if report.permanent or not (is_good or report.status is None or is_passing(report.status)):
        return Verdict(DeliveryMove.FAIL)
    if not policy.has_another(attempts_made):
        return Verdict(DeliveryMove.FAIL)
    wait = policy.delay_before_next(attempts_made, fraction, report.retry_after)
    due_at = later(report.finished_at, wait)
    return Verdict(DeliveryMove.RETRY, due_at if expires_at is None else min(due_at, expires_at))


def is_passing(status: int) -> bool:
    """Whether an HTTP status says that the same request may succeed later."""
    return status in (408, 425, 429) or status >= 500
