"""Forgetting finished events when their time is over, in small slices that hold up nobody."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.claims import IS_UNFINISHED

run = schema.run
event = schema.event
delivery = schema.delivery


def forget_events(connection: Connection, integration_id: str, before: Instant, limit: int) -> int:
    """Delete up to `limit` events of an integration that came before an instant and are finished; how many."""
    unfinished = select(run.c.event_id).where(run.c.event_id == event.c.id, IS_UNFINISHED).exists()
    pending = select(delivery.c.id).where(delivery.c.event_id == event.c.id, delivery.c.finished_at.is_(None)).exists()
    query = (
        select(event.c.id)
        .where(event.c.integration_id == integration_id, event.c.received_at < before, ~unfinished, ~pending)
        .order_by(event.c.id)
        .limit(limit)
    )
    ids = list(connection.execute(query).scalars())
    if ids:
        deliveries = select(delivery.c.id).where(delivery.c.event_id.in_(ids))
        connection.execute(delete(schema.attempt).where(schema.attempt.c.delivery_id.in_(deliveries)))
        connection.execute(delete(delivery).where(delivery.c.event_id.in_(ids)))
        connection.execute(delete(schema.journal).where(schema.journal.c.event_id.in_(ids)))
        connection.execute(delete(run).where(run.c.event_id.in_(ids)))
        connection.execute(delete(event).where(event.c.id.in_(ids)))
    return len(ids)


def forget_dedupe_keys(connection: Connection, now: Instant, limit: int) -> int:
    """Delete up to `limit` dedupe keys whose window is over; how many."""
    dedupe = schema.dedupe
    query = select(dedupe.c.integration_id, dedupe.c.key).where(dedupe.c.expires_at <= now).limit(limit)
    rows = connection.execute(query).all()
    for row in rows:
        connection.execute(delete(dedupe).where(dedupe.c.integration_id == row.integration_id, dedupe.c.key == row.key))
    return len(rows)


def forgotten_integrations(connection: Connection) -> list[str]:
    """Ids of integrations that are gone but still have events."""
    query = (
        select(event.c.integration_id)
        .where(event.c.integration_id.not_in(select(schema.integration.c.id)))
        .distinct()
        .limit(10)
    )
    return list(connection.execute(query).scalars())
