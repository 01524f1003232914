"""Notifications as people look at them: what was sent to a webhook and how that went, and what is held for it.

Reads only: `telling` makes what is looked at here, `notice_deliveries` sends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from crossdock.model.health import HealthChange, HealthStatus
from crossdock.model.notification import HoldReason
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.events import DeliveryRow, deliveries_of
from crossdock.store.health_rows import read_changes

delivery, notification, held_notice = schema.delivery, schema.notification, schema.held_notice

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class NotificationRow:
    """A delivery to a webhook, with its tries and what it tells."""

    delivery: DeliveryRow
    webhook_id: str
    integration_id: str
    """Empty for a digest."""
    changes: tuple[HealthChange, ...]
    """The oldest first; without those that are not kept any more."""


def list_notifications(
    connection: Connection, workspace_id: str, webhook_id: str, *, limit: int, before: str | None = None
) -> list[NotificationRow]:
    """Up to `limit` deliveries to a webhook, the newest first, before the one with the id `before`; none when the
    workspace has no such webhook.
    """
    own = schema.notification_webhook
    mine = select(own.c.id).where(own.c.id == webhook_id, own.c.workspace_id == workspace_id)
    query = select(notification).where(notification.c.webhook_id.in_(mine))
    if before is not None:
        query = query.where(notification.c.delivery_id < before)
    rows = connection.execute(query.order_by(notification.c.delivery_id.desc()).limit(limit)).all()
    return _with_deliveries(connection, rows)


def show_notification(connection: Connection, workspace_id: str, delivery_id: str) -> NotificationRow | None:
    """A delivery to a webhook; None when the workspace has no such one."""
    own = schema.notification_webhook
    mine = select(own.c.id).where(own.c.workspace_id == workspace_id)
    query = select(notification).where(notification.c.delivery_id == delivery_id, notification.c.webhook_id.in_(mine))
    return next(iter(_with_deliveries(connection, connection.execute(query).all())), None)


def _with_deliveries(connection: Connection, rows: Sequence[Any]) -> list[NotificationRow]:
    told = {row.delivery_id: list(_decode(row.change_ids)) for row in rows}
    changes = read_changes(connection, {change_id for ids in told.values() for change_id in ids})
    sent = {one.id: one for one in deliveries_of(connection, delivery.c.id.in_(list(told)))}
    return [
        NotificationRow(
            delivery=sent[row.delivery_id],
            webhook_id=row.webhook_id,
            integration_id=row.integration_id,
            changes=tuple(changes[one] for one in told[row.delivery_id] if one in changes),
        )
        for row in rows
        if row.delivery_id in sent
    ]


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A notice that waits."""

    id: str
    webhook_id: str
    integration_id: str
    """Empty for a digest."""
    change_ids: tuple[str, ...]
    status: HealthStatus
    due_at: Instant
    reason: HoldReason


def held_notices_of_each(connection: Connection, webhook_ids: Sequence[str], limit: int) -> dict[str, list[HeldRow]]:
    """What is held for each of these webhooks, up to `limit` of it."""
    return {webhook_id: held_notices_of(connection, webhook_id, limit) for webhook_id in webhook_ids}


def held_notices_of(connection: Connection, webhook_id: str, limit: int = 100) -> list[HeldRow]:
    """What is held for a webhook, that which is due first in front."""
    query = select(held_notice).where(held_notice.c.webhook_id == webhook_id).order_by(held_notice.c.due_at)
    return [
        HeldRow(
            id=row.id,
            webhook_id=row.webhook_id,
            integration_id=row.integration_id,
            change_ids=tuple(_decode(row.change_ids)),
            status=HealthStatus(row.status),
            due_at=row.due_at,
            reason=HoldReason(row.reason),
        )
        for row in connection.execute(query.limit(limit))
    ]
