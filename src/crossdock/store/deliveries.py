"""Outgoing messages: who sends them, what came of each try, and when the next one is due.

A delivery is leased like a run: its token fences every write-back. Deliveries are claimed integration by integration,
so that a long backlog of one integration costs the others nothing. `settle` inserts replies, `events` shows them.
Notifications are claimed webhook by webhook (`notice_deliveries`); all else is the same for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sqlalchemy import (
    BigInteger,
    Connection,
    Executable,
    Integer,
    String,
    Subquery,
    Text,
    case,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    text,
    union_all,
    update,
)

from crossdock.model.delivery import ATTEMPT_BODY_BYTES, DeliveryKind, HandledEvent, LeasedReply, SendReport
from crossdock.model.outcome import Failure, Result
from crossdock.model.states import DELIVERY_MOVES, FINAL_DELIVERY_STATES, DeliveryMove, DeliveryState, RunState
from crossdock.model.time import Instant, later
from crossdock.model.value import value
from crossdock.store import schema
from crossdock.store.accept import encode, event_of
from crossdock.store.claims import CLOCK_SKEW_SECONDS, is_due
from crossdock.store.journal import read_results
from crossdock.store.outcomes import MESSAGE_CHARACTERS, EndedReply, leave_replies
from crossdock.store.settle import clean
from crossdock.store.statements import RowInsert, RowUpdate, has_row

delivery = schema.delivery
run = schema.run

# Written out, not bound: both databases use a partial index only for the very words of its condition.
IS_WAITING = text("delivery.state IN ('queued', 'retrying')")
IS_EXPIRING = text("delivery.state IN ('queued', 'retrying') AND delivery.expires_at IS NOT NULL")
IS_SENDING = text("delivery.state = 'sending'")

TOO_LATE = "the time for the reply ran out before it was delivered"

# --- the end of a try ------------------------------------------------------------------------------------------------


@value
class AttemptSettle:
    """What became of a leased delivery: DELIVER, FAIL, RETRY, EXPIRE or HAND_BACK. Its answer says whether it landed.

    `report` is kept as a row of its own; None when nothing was sent. `error` is what operators see with the delivery.
    """

    rank: ClassVar[int] = 50

    delivery_id: str
    lease_token: str
    number: int
    move: DeliveryMove
    now: Instant
    due_at: Instant | None = None
    error: str | None = None
    report: SendReport | None = None

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[bool]:
        if len({change.delivery_id for change in changes}) < len(changes):
            # A stale sender and the delivery's holder end it in one commit: each change must meet the row by itself.
            return [landed for change in changes for landed in cls.record(connection, [change])]
        landed = {row.id: row for row in _settle_deliveries.execute(connection, [_settle_row(c) for c in changes])}
        rows = [
            _attempt_row(change.delivery_id, change.number, change.report)
            for change in changes
            if change.delivery_id in landed and change.report is not None
        ]
        _insert_attempts.execute(connection, rows)
        ended = [(change, landed.get(change.delivery_id)) for change in changes if change.move in COUNTED]
        leave_replies(connection, [_ended_reply(c, row) for c, row in ended if row is not None and is_reply(row)])
        return [change.delivery_id in landed for change in changes]


COUNTED = frozenset({DeliveryMove.DELIVER, DeliveryMove.FAIL, DeliveryMove.EXPIRE})
"""Ends that tell something of the integration's health, where a reply comes to them."""


def is_reply(row: Any) -> bool:
    return bool(row.kind == DeliveryKind.REPLY.value)


def _ended_reply(change: AttemptSettle, row: Any) -> EndedReply:
    state = DELIVERY_MOVES[change.move][1]
    message = clean((change.error or "no reason was given")[:MESSAGE_CHARACTERS])
    return EndedReply(row.integration_id, change.delivery_id, row.event_id, state, message, change.now)


def _settle_row(change: AttemptSettle) -> tuple[Any, ...]:
    state = DELIVERY_MOVES[change.move][1]
    return (
        change.delivery_id,
        change.lease_token,
        state.value,
        change.due_at if change.due_at is not None else change.now,
        change.now if state in FINAL_DELIVERY_STATES else None,
        -1 if change.report is None else 0,  # nothing was sent: it was not a try
        clean(change.error) if change.error is not None else None,
    )


def _build_settle(v: Subquery) -> Executable:
    return (
        update(delivery)
        .where(delivery.c.id == v.c.id, delivery.c.lease_token == v.c.lease_token, IS_SENDING)
        .values(
            state=v.c.state,
            due_at=v.c.due_at,
            finished_at=v.c.finished_at,
            attempts=delivery.c.attempts + v.c.uncounted,
            last_error=case((v.c.state == DeliveryState.QUEUED.value, delivery.c.last_error), else_=v.c.last_error),
            lease_node=null(),
            lease_token=null(),
        )
        .returning(delivery.c.id, delivery.c.kind, delivery.c.integration_id, delivery.c.event_id)
    )


_settle_deliveries = RowUpdate(
    {
        "id": String(),
        "lease_token": String(),
        "state": String(),
        "due_at": BigInteger(),
        "finished_at": BigInteger(),
        "uncounted": Integer(),
        "last_error": Text(),
    },
    _build_settle,
)

_insert_attempts = RowInsert(schema.attempt)


def _attempt_row(delivery_id: str, number: int, report: SendReport) -> tuple[Any, ...]:
    return (
        delivery_id,
        number,
        report.started_at,
        report.finished_at,
        clean(encode(report.request_headers).decode()),
        report.status,
        clean(encode(report.response_headers).decode()),
        report.response_body[:ATTEMPT_BODY_BYTES],
        clean(report.error) if report.error is not None else None,
        report.request_body[:ATTEMPT_BODY_BYTES] or None,
    )


# --- claiming --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeliveryClaim:
    """Take up to `len(tokens)` due replies of one integration, oldest first. Its answer is the leased replies."""

    rank: ClassVar[int] = 60

    integration_id: str
    node_id: str
    tokens: tuple[str, ...]
    now: Instant

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[list[LeasedReply]]:
        return [_claim(connection, change) for change in changes]


def _claim(connection: Connection, change: DeliveryClaim) -> list[LeasedReply]:
    query = (
        select(delivery.c.id)
        .where(IS_WAITING, delivery.c.integration_id == change.integration_id, is_due(delivery, change.now))
        .where(or_(delivery.c.expires_at.is_(None), delivery.c.expires_at > change.now))
        .order_by(delivery.c.due_at, delivery.c.id)
        .limit(len(change.tokens))
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(query).scalars())
    return read_leased_replies(connection, take(connection, ids, change.tokens, change.node_id))


def take(connection: Connection, delivery_ids: Sequence[str], tokens: Sequence[str], node_id: str) -> list[str]:
    """Lease waiting deliveries, each under a token of its own; those that were still there to be taken."""
    rows = [(delivery_id, token, node_id) for delivery_id, token in zip(delivery_ids, tokens, strict=False)]
    taken = {row.id for row in _take_deliveries.execute(connection, rows)}
    return [delivery_id for delivery_id in delivery_ids if delivery_id in taken]


def _build_take(v: Subquery) -> Executable:
    return (
        update(delivery)
        .where(delivery.c.id == v.c.id, IS_WAITING)
        .values(
            state=DELIVERY_MOVES[DeliveryMove.CLAIM][1].value,
            lease_node=v.c.node_id,
            lease_token=v.c.token,
            attempts=delivery.c.attempts + 1,
        )
        .returning(delivery.c.id)
    )


_take_deliveries = RowUpdate({"id": String(), "token": String(), "node_id": String()}, _build_take)


def read_leased_replies(connection: Connection, delivery_ids: Sequence[str]) -> list[LeasedReply]:
    """Leased replies with the events and outcomes that they tell of, in the order of the ids."""
    if not delivery_ids:
        return []
    sent = [delivery.c[name].label(f"delivery_{name}") for name in _DELIVERY_COLUMNS]
    outcome = [run.c.state, run.c.attempts, run.c.finished_at, run.c.error_kind, run.c.error_message, run.c.error_step]
    query = (
        select(schema.event, *sent, *outcome)
        .join(delivery, delivery.c.event_id == schema.event.c.id)
        .join(run, run.c.event_id == schema.event.c.id)
        .where(delivery.c.id.in_(delivery_ids))
    )
    rows = {row.delivery_id: row for row in connection.execute(query)}
    results = read_results(connection, [row.id for row in rows.values()])
    return [_leased(rows[name], results) for name in delivery_ids if name in rows]


_DELIVERY_COLUMNS = ("id", "integration_id", "created_at", "expires_at", "attempts", "lease_token")


def _leased(row: Any, results: dict[str, Result]) -> LeasedReply:
    failure = Failure(row.error_kind, row.error_message or "", row.error_step) if row.error_kind else None
    return LeasedReply(
        id=row.delivery_id,
        integration_id=row.delivery_integration_id,
        created_at=row.delivery_created_at,
        expires_at=row.delivery_expires_at,
        attempts=row.delivery_attempts,
        lease_token=row.delivery_lease_token,
        handled=HandledEvent(
            event=event_of(row),
            succeeded=row.state == RunState.SUCCEEDED.value,
            result=results.get(row.id),
            error=failure,
            attempts=row.attempts,
            handled_at=row.finished_at,
        ),
    )


# --- what time alone requires ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DueDeliveries:
    """What waits. `next_at` is when the next delivery that is not due yet becomes due or expires."""

    integrations: tuple[str, ...]
    webhooks: tuple[str, ...]
    """Those with a notification that is due, or would be if it did not have to wait for the one before it."""
    next_at: Instant | None
    has_expired: bool


def look_for_deliveries(connection: Connection, now: Instant) -> DueDeliveries:
    """What is due at `now`. A probe of an index for each integration, and for each webhook for which something waits,
    however long the backlogs are.
    """
    owner = schema.integration.c.id
    mine = (IS_WAITING, delivery.c.integration_id == owner)
    due = has_row(select(delivery.c.due_at).where(*mine, is_due(delivery, now)))
    later_on = select(func.min(delivery.c.due_at)).where(*mine, delivery.c.due_at > now).scalar_subquery()
    each = select(owner, due.label("is_due"), later_on.label("next_at"))
    expiry = select(literal(""), literal(False), func.min(delivery.c.expires_at)).where(IS_EXPIRING)
    found = {row.id: row for row in connection.execute(union_all(each, expiry))}
    expires_at = found.pop("").next_at
    notices = connection.execute(_DUE_NOTICES, {"now": now, "soon": later(now, CLOCK_SKEW_SECONDS)}).all()
    moments = [row.next_at for row in (*found.values(), *notices) if row.next_at is not None]
    if expires_at is not None and expires_at > now:
        moments.append(expires_at)
    return DueDeliveries(
        integrations=tuple(row.id for row in found.values() if row.is_due),
        webhooks=tuple(row.id for row in notices if row.is_due),
        next_at=min(moments, default=None),
        has_expired=expires_at is not None and expires_at <= now,
    )


_DUE_NOTICES = text(
    # Hops from one webhook to the next in the index of those that have not ended, whether the webhook is still there or
    # not. What may be taken is as `is_due` says.
    """
    WITH RECURSIVE owner(id) AS (
        SELECT min(webhook_id) FROM delivery WHERE webhook_id IS NOT NULL AND finished_at IS NULL
        UNION ALL
        SELECT (
            SELECT min(webhook_id) FROM delivery
            WHERE webhook_id > owner.id AND webhook_id IS NOT NULL AND finished_at IS NULL
        )
        FROM owner WHERE owner.id IS NOT NULL
    )
    SELECT
        id,
        (
            SELECT due_at FROM delivery
            WHERE webhook_id = owner.id AND webhook_id IS NOT NULL AND finished_at IS NULL
            AND state IN ('queued', 'retrying') AND due_at <= :soon AND (due_at <= :now OR state = 'queued')
            LIMIT 1
        ) IS NOT NULL AS is_due,
        (
            SELECT min(due_at) FROM delivery
            WHERE webhook_id = owner.id AND webhook_id IS NOT NULL AND finished_at IS NULL
            AND state IN ('queued', 'retrying') AND due_at > :now
        ) AS next_at
    FROM owner WHERE id IS NOT NULL
    """
)


def pull_back_deliveries(connection: Connection, now: Instant) -> int:
    """Let deliveries be due now that a clock far ahead has queued for later; how many there were."""
    is_queued = delivery.c.state == DeliveryState.QUEUED.value
    ahead = (IS_WAITING, is_queued, delivery.c.due_at > later(now, CLOCK_SKEW_SECONDS))
    return connection.execute(update(delivery).where(*ahead).values(due_at=now)).rowcount


@dataclass(frozen=True, slots=True)
class EndedDelivery:
    id: str
    kind: DeliveryKind
    created_at: Instant


def expire_due(connection: Connection, now: Instant, limit: int = 500) -> list[EndedDelivery]:
    """End waiting deliveries whose time is over, up to `limit` of them; the last error they met is kept."""
    chosen = (
        select(delivery.c.id)
        .where(IS_EXPIRING, delivery.c.expires_at <= now)
        .order_by(delivery.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(delivery)
        .where(delivery.c.id.in_(chosen), IS_WAITING)
        .values(
            state=DELIVERY_MOVES[DeliveryMove.EXPIRE][1].value,
            finished_at=now,
            last_error=func.coalesce(delivery.c.last_error, TOO_LATE),
        )
        .returning(delivery.c.id, delivery.c.kind, delivery.c.created_at)
        .returning(delivery.c.integration_id, delivery.c.event_id, delivery.c.last_error)
    )
    rows = connection.execute(statement).all()
    expired = DeliveryState.EXPIRED
    leave_replies(
        connection,
        [
            EndedReply(r.integration_id, r.id, r.event_id, expired, r.last_error[:MESSAGE_CHARACTERS], now)
            for r in rows
            if is_reply(r)
        ],
    )
    return [EndedDelivery(row.id, DeliveryKind(row.kind), row.created_at) for row in rows]


def rescue_deliveries(connection: Connection, dead: Sequence[str], now: Instant, only: str | None = None) -> int:
    """Take back what dead nodes were sending (or `only` this one delivery); how many.

    Any node may do this: the guard is the dead node's lease.
    """
    if not dead:
        return 0
    held = (delivery.c.lease_node.in_(dead), IS_SENDING)
    statement = (
        update(delivery)
        .where(*held, *([delivery.c.id == only] if only is not None else []))
        .values(state=DELIVERY_MOVES[DeliveryMove.RESCUE][1].value, due_at=now, lease_node=null(), lease_token=null())
    )
    return connection.execute(statement).rowcount


def held_deliveries(connection: Connection, node_ids: Sequence[str]) -> list[str]:
    """The deliveries that nodes are sending."""
    return list(connection.execute(select(delivery.c.id).where(delivery.c.lease_node.in_(node_ids))).scalars())


def read_sending(connection: Connection, node_id: str) -> list[str]:
    """The lease tokens of the deliveries that a node holds."""
    return list(connection.execute(select(delivery.c.lease_token).where(delivery.c.lease_node == node_id)).scalars())


def return_deliveries(connection: Connection, node_id: str, tokens: Sequence[str], now: Instant) -> int:
    """Queue deliveries again that a node holds and does not send, as if it had not begun; how many there were."""
    statement = (
        update(delivery)
        .where(delivery.c.lease_node == node_id, delivery.c.lease_token.in_(tokens), IS_SENDING)
        .values(
            state=DELIVERY_MOVES[DeliveryMove.HAND_BACK][1].value,
            due_at=now,
            attempts=delivery.c.attempts - 1,
            lease_node=null(),
            lease_token=null(),
        )
    )
    return connection.execute(statement).rowcount


def cancel_deliveries_of(connection: Connection, integration_id: str, now: Instant, limit: int) -> int:
    """End up to `limit` waiting deliveries of an integration that was removed; how many."""
    waiting = select(delivery.c.id).where(IS_WAITING, delivery.c.integration_id == integration_id).limit(limit)
    statement = (
        update(delivery)
        .where(delivery.c.id.in_(waiting), IS_WAITING)
        .values(
            state=DELIVERY_MOVES[DeliveryMove.CANCEL][1].value,
            finished_at=now,
            last_error="the integration was removed",
        )
    )
    return connection.execute(statement).rowcount


def has_integration(connection: Connection, integration_id: str) -> bool:
    """Whether the integration that a delivery belongs to is still there."""
    query = select(exists().where(schema.integration.c.id == integration_id))
    return bool(connection.execute(query).scalar())


def resend(connection: Connection, delivery_id: str, new_id: str, now: Instant) -> bool:
    """Send an ended delivery once more, as a new one with an id of its own; False while the old one has not ended.

    The new one never expires: whoever resends a message wants it delivered now. A notification tells the same changes.
    """
    source = select(
        literal(new_id),
        delivery.c.kind,
        delivery.c.integration_id,
        delivery.c.event_id,
        literal(DeliveryState.QUEUED.value),
        literal(now, BigInteger),
        literal(now, BigInteger),
        literal(0),
        delivery.c.webhook_id,
    ).where(delivery.c.id == delivery_id, delivery.c.finished_at.is_not(None))
    columns = ["id", "kind", "integration_id", "event_id", "state", "created_at", "due_at", "attempts", "webhook_id"]
    statement = insert(delivery).from_select(columns, source).returning(delivery.c.id, delivery.c.webhook_id)
    made = connection.execute(statement).first()
    if made is not None and made.webhook_id is not None:
        told = schema.notification
        same = [told.c.webhook_id, told.c.integration_id, told.c.change_ids]
        copy = select(literal(new_id), *same).where(told.c.delivery_id == delivery_id)
        connection.execute(insert(told).from_select([told.c.delivery_id, *same], copy))
    return made is not None
