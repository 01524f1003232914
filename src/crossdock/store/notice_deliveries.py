"""Notifications on their way out: claimed webhook by webhook, and ended like replies.

Of what one webhook is told of one integration, nothing is claimed before what was told earlier has ended: the last that
it hears is the last that happened. Digests are told one after the other, too.

How a webhook fares is written down with the end of each try, in the same transaction. It says nothing of any
integration's health.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar, Self

import msgspec
from sqlalchemy import Connection, Executable, Subquery, bindparam, func, select, text, update

from crossdock.model.delivery import LeasedNotice
from crossdock.model.health import HealthChange
from crossdock.model.notification import Notice
from crossdock.model.states import DELIVERY_MOVES, DeliveryMove, DeliveryState
from crossdock.model.time import Instant
from crossdock.model.value import value
from crossdock.store import schema
from crossdock.store.claims import is_due
from crossdock.store.deliveries import IS_WAITING, AttemptSettle, take
from crossdock.store.health_rows import read_changes
from crossdock.store.settle import clean
from crossdock.store.statements import RowUpdate

delivery, notification, record = schema.delivery, schema.notification, schema.webhook_record

_decode = msgspec.json.Decoder().decode

# Written out, not bound: both databases use a partial index only for the very words of its condition.
_IS_UNFINISHED = text("delivery.webhook_id IS NOT NULL AND delivery.finished_at IS NULL")

# --- claiming --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoticeClaim:
    """Take up to `len(tokens)` due notifications of one webhook, of each integration the first that has not ended. Its
    answer is the leased ones.
    """

    rank: ClassVar[int] = 61

    webhook_id: str
    node_id: str
    tokens: tuple[str, ...]
    now: Instant

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[list[LeasedNotice]]:
        """All together: a thousand webhooks may be told of one change, and everybody waits for the writer."""
        waiting = _first_in_line(connection, {change.webhook_id for change in changes}, max(c.now for c in changes))
        wanted = [[waiting[c.webhook_id].popleft() for _ in c.tokens if waiting[c.webhook_id]] for c in changes]
        leases: dict[str, list[tuple[str, str]]] = {}
        for change, ids in zip(changes, wanted, strict=True):
            leases.setdefault(change.node_id, []).extend(zip(ids, change.tokens, strict=False))
        taken: list[str] = []
        for node_id, pairs in leases.items():
            taken += take(connection, [one for one, _ in pairs], [token for _, token in pairs], node_id)
        leased = {notice.id: notice for notice in read_leased_notices(connection, taken)}
        return [[leased[one] for one in ids if one in leased] for ids in wanted]


def _first_in_line(connection: Connection, webhook_ids: set[str], now: Instant) -> dict[str, deque[str]]:
    """By webhook, the due deliveries that no earlier one of their integration is ahead of."""
    turn = func.row_number().over(
        partition_by=(notification.c.webhook_id, notification.c.integration_id),
        order_by=(delivery.c.created_at, delivery.c.id),
    )
    line = (
        select(delivery.c.id, turn.label("turn"))
        .join(notification, notification.c.delivery_id == delivery.c.id)
        .where(delivery.c.webhook_id.in_(webhook_ids), _IS_UNFINISHED)
        .subquery("line")
    )
    # Not locked while they are looked for: what another node takes in between is not `IS_WAITING` any more.
    first = (
        select(delivery.c.id, delivery.c.webhook_id)
        .join(line, line.c.id == delivery.c.id)
        .where(line.c.turn == 1, IS_WAITING, is_due(delivery, now))
        .order_by(delivery.c.due_at, delivery.c.id)
    )
    found: dict[str, deque[str]] = {webhook_id: deque() for webhook_id in webhook_ids}
    for row in connection.execute(first):
        found[row.webhook_id].append(row.id)
    return found


MOST_IN_LINE = 100
"""Notifications that wait for one webhook about one integration."""
_TOO_MANY = f"newer ones took its place: {MOST_IN_LINE} about an integration are kept waiting for a webhook"


def shorten_lines(connection: Connection, now: Instant, limit: int) -> int:
    """Cancel up to `limit` of the oldest notifications where too many wait in a line; how many.

    A target that is away for long is told how things stand then, not what they were like a thousand times before.
    """
    newest_first = func.row_number().over(
        partition_by=(notification.c.webhook_id, notification.c.integration_id),
        order_by=(delivery.c.created_at.desc(), delivery.c.id.desc()),
    )
    line = (
        select(delivery.c.id, delivery.c.state, newest_first.label("place"))
        .join(notification, notification.c.delivery_id == delivery.c.id)
        .where(_IS_UNFINISHED)
        .subquery("line")
    )
    is_queued = DeliveryState.QUEUED.value
    chosen = select(line.c.id).where(line.c.place > MOST_IN_LINE, line.c.state == is_queued).limit(limit)
    canceled = {"state": DELIVERY_MOVES[DeliveryMove.CANCEL][1].value, "finished_at": now, "last_error": _TOO_MANY}
    statement = update(delivery).where(delivery.c.id.in_(chosen), delivery.c.state == is_queued).values(**canceled)
    return connection.execute(statement).rowcount


def read_leased_notices(connection: Connection, delivery_ids: Sequence[str]) -> list[LeasedNotice]:
    """Leased notifications with the changes that they tell, in the order of the ids. Changes that are not kept any more
    are missing.
    """
    if not delivery_ids:
        return []
    query = (
        select(delivery, notification.c.integration_id.label("about"), notification.c.change_ids)
        .join(notification, notification.c.delivery_id == delivery.c.id)
        .where(delivery.c.id.in_(delivery_ids))
    )
    rows = {row.id: row for row in connection.execute(query)}
    told = {row.id: list(_decode(row.change_ids)) for row in rows.values()}
    changes = read_changes(connection, {change_id for ids in told.values() for change_id in ids})
    return [_leased(rows[one], [changes[c] for c in told[one] if c in changes]) for one in delivery_ids if one in rows]


def _leased(row: Any, changes: Sequence[HealthChange]) -> LeasedNotice:
    return LeasedNotice(
        id=row.id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        attempts=row.attempts,
        lease_token=row.lease_token,
        notice=Notice(row.webhook_id, row.about, tuple(changes)),
    )


def is_webhook_active(connection: Connection, webhook_id: str) -> bool | None:
    """Whether the webhook that a notification belongs to is switched on; None when it is gone."""
    webhook = schema.notification_webhook
    active: bool | None = connection.execute(select(webhook.c.active).where(webhook.c.id == webhook_id)).scalar()
    return active


# --- the end of a try ------------------------------------------------------------------------------------------------


class WebhookTurn(StrEnum):
    """What a try changed for its webhook."""

    FAILING = "failing"
    """It is the first one that failed, ever or since the last one that did not."""
    RECOVERED = "recovered"
    """It is the first one that did not fail any more."""


@value
class NoticeSettled:
    has_landed: bool
    turn: WebhookTurn | None = None


@value
class NoticeSettle:
    """What became of a leased notification; answered by whether it landed, and what it changed for its webhook."""

    rank: ClassVar[int] = 51

    settle: AttemptSettle
    webhook_id: str

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[NoticeSettled]:
        landed = AttemptSettle.record(connection, [change.settle for change in changes])
        kept = [change for change, has_landed in zip(changes, landed, strict=True) if has_landed]
        turns = _note(connection, [change for change in kept if _is_telling(change.settle)])
        ids = (change.settle.delivery_id for change in changes)
        return [NoticeSettled(has, turns.get(one)) for one, has in zip(ids, landed, strict=True)]


def _is_telling(settle: AttemptSettle) -> bool:
    """Whether an end says something of the webhook: there was a try, and nobody broke it off."""
    return settle.report is not None and settle.move is not DeliveryMove.HAND_BACK


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """How the last tries to reach a webhook went. `failures` counts those since the last one that did not fail."""

    delivered_at: Instant | None = None
    failing_since: Instant | None = None
    failures: int = 0
    last_error: str | None = None

    def after(self, settle: AttemptSettle) -> WebhookRecord:
        if settle.move is DeliveryMove.DELIVER:
            return WebhookRecord(delivered_at=settle.now)
        since = settle.now if self.failing_since is None else self.failing_since
        return replace(self, failing_since=since, failures=self.failures + 1, last_error=settle.error)


def read_records(connection: Connection, webhook_ids: Sequence[str]) -> dict[str, WebhookRecord]:
    """How webhooks fare, by their ids; none for those that nothing was sent to yet."""
    return {row.webhook_id: _record(row) for row in connection.execute(select(record).where(_is_of(webhook_ids)))}


def failing_webhooks(connection: Connection) -> dict[str, int]:
    """How many tries in a row webhooks have failed, by their ids; none for those that do not fail."""
    query = select(record.c.webhook_id, record.c.failures).where(record.c.failures > 0)
    return {row.webhook_id: row.failures for row in connection.execute(query)}


def forget_record(connection: Connection, webhook_id: str) -> None:
    """Forget how a webhook fared that is deleted."""
    connection.execute(record.delete().where(record.c.webhook_id == webhook_id))


def _is_of(webhook_ids: Sequence[str]) -> Any:
    return record.c.webhook_id.in_(webhook_ids)


def _record(row: Any) -> WebhookRecord:
    return WebhookRecord(row.delivered_at, row.failing_since, row.failures, row.last_error)


def _note(connection: Connection, changes: Sequence[NoticeSettle]) -> dict[str, WebhookTurn]:
    """Write down how webhooks fare, and what that changed, by delivery. Nothing is kept of a webhook that is gone."""
    if not changes:
        return {}
    webhook_ids = sorted({change.webhook_id for change in changes})
    connection.execute(_BEGIN_RECORDS, {"ids": webhook_ids})
    query = select(record).where(_is_of(webhook_ids)).order_by(record.c.webhook_id).with_for_update()
    records = {row.webhook_id: _record(row) for row in connection.execute(query)}
    turns: dict[str, WebhookTurn] = {}
    for change in changes:
        before = records.get(change.webhook_id)
        if before is None:
            continue
        after = records[change.webhook_id] = before.after(change.settle)
        if (before.failures == 0) != (after.failures == 0):
            turns[change.settle.delivery_id] = WebhookTurn.FAILING if after.failures else WebhookTurn.RECOVERED
    _update_records.execute(connection, [_record_row(one, known) for one, known in records.items()])
    return turns


_BEGIN_RECORDS = text(
    """
    INSERT INTO webhook_record (webhook_id, failures) SELECT id, 0 FROM notification_webhook WHERE id IN :ids
    ON CONFLICT (webhook_id) DO NOTHING
    """
).bindparams(bindparam("ids", expanding=True))


def _record_row(webhook_id: str, known: WebhookRecord) -> tuple[Any, ...]:
    error = None if known.last_error is None else clean(known.last_error)
    return webhook_id, known.delivered_at, known.failing_since, known.failures, error


def _build_update(v: Subquery) -> Executable:
    new = {name: v.c[name] for name in ("delivered_at", "failing_since", "failures", "last_error")}
    return update(record).where(record.c.webhook_id == v.c.webhook_id).values(**new).returning(record.c.webhook_id)


_update_records = RowUpdate({column.name: column.type for column in record.columns}, _build_update)
