"""What needs attention in a workspace: how its integrations stand, what is wrong with them, what waits, what fails.

Each question is one statement over small tables or small indexes, whatever the number of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from crossdock.model.health import HealthStatus, Issue
from crossdock.model.states import WaitingFor
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.claims import IS_HELD
from crossdock.store.health import effective_status
from crossdock.store.health_rows import issue_of
from crossdock.store.integrations import IntegrationFilter, narrowed

integration, health_issue, run = schema.integration, schema.health_issue, schema.run


@dataclass(frozen=True, slots=True)
class Standing:
    """An integration in a word: its state as it is now."""

    id: str
    name: str
    status: HealthStatus


def standings(connection: Connection, workspace_id: str, wanted: IntegrationFilter) -> list[Standing]:
    """How the integrations of a workspace stand that a filter leaves, by name."""
    query = select(integration.c.id, integration.c.name, effective_status().label("status"))
    query = narrowed(query.where(integration.c.workspace_id == workspace_id), wanted).order_by(integration.c.name)
    return [Standing(row.id, row.name, HealthStatus(row.status)) for row in connection.execute(query)]


def open_issues(connection: Connection, integration_ids: Sequence[str]) -> dict[str, list[Issue]]:
    """The open issues of integrations; those without any are left out."""
    query = select(health_issue).where(
        health_issue.c.integration_id.in_(integration_ids), health_issue.c.resolved_at.is_(None)
    )
    found: dict[str, list[Issue]] = {}
    for row in connection.execute(query):
        found.setdefault(row.integration_id, []).append(issue_of(row))
    return found


def last_received(connection: Connection, integration_ids: Sequence[str]) -> dict[str, Instant]:
    """When the last event of each of these integrations came; those without any are left out."""
    event = schema.event
    # A range, not `=`: PostgreSQL would think the order by id alone enough, and might walk back through the primary key
    # past everything that came to others since.
    mine = (event.c.integration_id >= integration.c.id, event.c.integration_id <= integration.c.id)
    newest = select(event.c.received_at).where(*mine).order_by(event.c.integration_id.desc(), event.c.id.desc())
    last = newest.limit(1).scalar_subquery()
    rows = connection.execute(select(integration.c.id, last).where(integration.c.id.in_(integration_ids)))
    return {row[0]: row[1] for row in rows if row[1] is not None}


@dataclass(frozen=True, slots=True)
class BlockedLane:
    """A lane whose head waits for an operator. `since` is when that was accepted."""

    integration_id: str
    lane_id: str
    event_id: str
    since: Instant
    error: str | None


def oldest_blocked(connection: Connection, integration_ids: Sequence[str], limit: int) -> list[BlockedLane]:
    """The lanes that wait for an operator the longest."""
    columns = (run.c.integration_id, run.c.lane_id, run.c.event_id, run.c.accepted_at, run.c.error_message)
    is_blocked = (IS_HELD, run.c.waiting_for == WaitingFor.OPERATOR.value, run.c.lane_id.is_not(None))
    query = select(*columns).where(*is_blocked, run.c.integration_id.in_(integration_ids))
    return [BlockedLane(*row) for row in connection.execute(query.order_by(run.c.accepted_at).limit(limit))]


@dataclass(frozen=True, slots=True)
class TroubledWebhook:
    """A notification webhook whose last deliveries failed, one after the other."""

    id: str
    name: str
    failing_since: Instant | None
    failures: int
    last_error: str | None


def troubled_webhooks(connection: Connection, workspace_id: str, limit: int) -> list[TroubledWebhook]:
    """The active webhooks of a workspace that fail, the longest first."""
    webhook, record = schema.notification_webhook, schema.webhook_record
    query = (
        select(webhook.c.id, webhook.c.name, record.c.failing_since, record.c.failures, record.c.last_error)
        .join(record, record.c.webhook_id == webhook.c.id)
        .where(webhook.c.workspace_id == workspace_id, webhook.c.active, record.c.failures > 0)
        .order_by(func.coalesce(record.c.failing_since, 0), webhook.c.name)
        .limit(limit)
    )
    return [TroubledWebhook(*row) for row in connection.execute(query)]


def refused_calls(
    connection: Connection, integration_ids: Sequence[str], limit: int
) -> list[tuple[str, str, int, Instant]]:
    """Refused calls of integrations by reason: (integration id, reason, how many, last at), the last ones first."""
    table = schema.rejection
    query = select(table.c.integration_id, table.c.reason, table.c["count"], table.c.last_at).where(
        table.c.integration_id.in_(integration_ids)
    )
    rows = connection.execute(query.order_by(table.c.last_at.desc(), table.c.reason).limit(limit))
    return [(row[0], row[1], int(row[2]), int(row[3])) for row in rows]
