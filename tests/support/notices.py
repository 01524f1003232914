"""Notification webhooks, changes of health, and what webhooks are told of them, through the store's own doors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from crossdock.clock import new_id
from crossdock.model.health import HealthChange, HealthStatus, ToldIssue
from crossdock.model.time import Instant
from crossdock.store import Store, schema
from crossdock.store.notifications import list_notifications
from crossdock.store.telling import release_held, tell_changes
from tests.support.replies import Ledger

DAMPING = 60.0
WARNING, ERROR, ACTIVE = HealthStatus.WARNING, HealthStatus.ERROR, HealthStatus.ACTIVE


def a_change(
    status: HealthStatus = ERROR,
    previous: HealthStatus = ACTIVE,
    *,
    at: Instant = 0,
    integration_id: str = "int_a",
) -> HealthChange:
    issues = (ToldIssue(ERROR, "5 of the last 20 runs failed"),) if status is ERROR else ()
    return HealthChange(new_id("hch"), integration_id, at, status, previous, issues)


@dataclass(slots=True)
class Board:
    """Webhooks on a store, and what they are told."""

    store: Store
    ledger: Ledger

    async def webhook(self, webhook_id: str = "nwh_1", *, active: bool = True, **document: Any) -> None:
        """A webhook of the integrations' workspace."""
        await self.ledger.add_integration("int_a")
        await self.store.write(insert_webhooks, [webhook_id], active, json.dumps(document))

    async def change(self, *changes: HealthChange, now: Instant, damping: float = DAMPING) -> int:
        """Health changed; how many deliveries were made."""
        for change in changes:
            await self.ledger.add_integration(change.integration_id)
        return await self.store.write(record_changes, changes, now, damping)

    async def release(self, now: Instant, damping: float = DAMPING) -> int:
        return await self.store.write(release_held, now, damping=damping, new_id=new_id)

    async def told(self, webhook_id: str = "nwh_1") -> list[list[str]]:
        """The ids of the changes that each of a webhook's deliveries tells, the first made first."""
        return await self.store.read(_told, webhook_id)

    async def delivery(self, webhook_id: str = "nwh_1") -> str:
        """The id of the newest delivery to a webhook."""
        (newest,) = await self.store.read(list_notifications, "ws_1", webhook_id, limit=1)
        return newest.delivery.id

    async def held(self) -> list[Any]:
        return await self.store.read(lambda c: list(c.execute(select(schema.held_notice)).all()))


def insert_webhooks(connection: Connection, ids: Sequence[str], active: bool, document: str) -> None:
    common = {"workspace_id": "ws_1", "active": active, "document": document, "revision": 1}
    rows = [{"id": one, "name": one, "created_at": 0, "updated_at": 0, **common} for one in ids]
    connection.execute(insert(schema.notification_webhook), rows)


def record_changes(connection: Connection, changes: Sequence[HealthChange], now: Instant, damping: float) -> int:
    """As evaluating an integration does."""
    rows = [
        {
            "id": one.id,
            "integration_id": one.integration_id,
            "at": one.at,
            "status": one.status.value,
            "previous_status": one.previous_status.value,
            "issues": json.dumps([{"status": issue.status.value, "message": issue.message} for issue in one.issues]),
        }
        for one in changes
    ]
    connection.execute(insert(schema.health_change), rows)
    return tell_changes(connection, changes, now, damping=damping, new_id=new_id)


def _told(connection: Connection, webhook_id: str) -> list[list[str]]:
    notification, delivery = schema.notification, schema.delivery
    query = (
        select(notification.c.change_ids)
        .join(delivery, delivery.c.id == notification.c.delivery_id)
        .where(delivery.c.webhook_id == webhook_id)
        .order_by(delivery.c.created_at, delivery.c.id)
    )
    return [json.loads(ids) for ids in connection.execute(query).scalars()]
