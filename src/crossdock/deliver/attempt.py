"""One try to send a delivery: what it came to, as the change that records it."""

from __future__ import annotations

from crossdock.clock import Sources
from crossdock.model.delivery import LeasedDelivery, SendReport, judge_attempt
from crossdock.model.retry import RetryPolicy
from crossdock.model.states import DeliveryMove
from crossdock.model.time import Instant
from crossdock.store.deliveries import AttemptSettle

UNKNOWN_OWNER_SECONDS = 5.0
"""How soon to try again when another node knows an integration, or webhook, that this one has not read yet, or can't
read.
"""


class Judge:
    """Says what follows from a try."""

    def __init__(self, retry: RetryPolicy, sources: Sources) -> None:
        self._retry = retry
        self._sources = sources

    def judge(
        self, delivery: LeasedDelivery, report: SendReport, error: str | None, refusal: str | None = None
    ) -> AttemptSettle:
        """`error` tells operators why it was not delivered, if it was not. `refusal` says why a good status is not
        enough.
        """
        verdict = judge_attempt(
            report,
            attempts_made=delivery.attempts,
            policy=self._retry,
            expires_at=delivery.expires_at,
            fraction=self._sources.fraction(),
            refusal=refusal,
        )
        move, now = verdict.move, self._sources.now()
        if move is DeliveryMove.RETRY and is_over(delivery, now):
            move = DeliveryMove.EXPIRE
        told = None if move is DeliveryMove.DELIVER else error
        return settle_of(delivery, move, now, due_at=verdict.due_at, error=told, report=report)


def is_over(delivery: LeasedDelivery, now: Instant) -> bool:
    """Whether the time of a delivery has run out."""
    return delivery.expires_at is not None and now >= delivery.expires_at


def settle_of(
    delivery: LeasedDelivery,
    move: DeliveryMove,
    now: Instant,
    *,
    due_at: Instant | None = None,
    error: str | None = None,
    report: SendReport | None = None,
) -> AttemptSettle:
    return AttemptSettle(
        delivery_id=delivery.id,
        lease_token=delivery.lease_token,
        number=delivery.attempts,
        move=move,
        now=now,
        due_at=due_at,
        error=error,
        report=report,
    )
