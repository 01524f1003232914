"""The database's account of health and notifications, read from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select

from crossdock.model.states import FINAL_DELIVERY_STATES
from crossdock.store import schema
from tests.system.ledger import opened_copy


@dataclass(frozen=True, slots=True)
class Change:
    """A recorded change of health."""

    id: str
    integration: str
    at: int
    status: str
    previous: str
    issues: tuple[tuple[str, str], ...] = ()
    """Status and message of each."""


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery to a webhook (by its name), and the changes that it tells."""

    id: str
    webhook: str
    changes: tuple[str, ...]
    state: str = "delivered"
    made_at: int = 0
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class EndedRun:
    integration: str
    state: str
    sequence: int | None = None
    finished_at: int | None = None
    error_kind: str | None = None


@dataclass(frozen=True, slots=True)
class NotifyingRecord:
    """The database at one moment. `changes` are in their order."""

    runs: Mapping[str, EndedRun] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    told: tuple[Told, ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    issues: tuple[tuple[str, str, int], ...] = ()
    """Integration, key and count of all issues, open or over."""
    held: tuple[tuple[str, str], ...] = ()
    """Webhook and integration of what waits to be told."""
    outcomes: int = 0
    """Rows that health has not taken in yet."""

    @property
    def is_quiet(self) -> bool:
        """Nothing waits any more."""
        waits = self.outcomes or self.held or any(run.finished_at is None for run in self.runs.values())
        return not waits and all(told.state in FINAL_DELIVERY_STATES for told in self.told)

    def in_order(self, integration: str) -> list[EndedRun]:
        """The runs of an ordered integration with one lane."""
        mine = [run for run in self.runs.values() if run.integration == integration and run.sequence is not None]
        return sorted(mine, key=lambda run: run.sequence or 0)


def read_notifying_record(url: str) -> NotifyingRecord:
    """The record as it would be found after a crash."""
    run, change, notice = schema.run, schema.health_change, schema.notification
    delivery, webhook, issue, held = (
        schema.delivery,
        schema.notification_webhook,
        schema.health_issue,
        schema.held_notice,
    )
    runs = select(run.c.event_id, run.c.integration_id, run.c.state, run.c.lane_sequence, run.c.finished_at)
    told = (
        select(delivery.c.id, webhook.c.name, notice.c.change_ids, delivery.c.state, delivery.c.created_at)
        .add_columns(delivery.c.attempts)
        .join(notice, notice.c.delivery_id == delivery.c.id)
        .join(webhook, webhook.c.id == delivery.c.webhook_id)
        .order_by(delivery.c.created_at, delivery.c.id)
    )
    with opened_copy(url) as database, database.reading() as connection:
        rows = connection.execute(runs.add_columns(run.c.error_kind))
        by_event = {event: EndedRun(*rest) for event, *rest in rows}
        changes = connection.execute(select(change).order_by(change.c.at, change.c.id))
        states = connection.execute(select(schema.health.c.integration_id, schema.health.c.status))
        return NotifyingRecord(
            runs=by_event,
            changes=tuple(_change(row) for row in changes),
            told=tuple(
                Told(key, name, tuple(json.loads(ids)), *rest) for key, name, ids, *rest in connection.execute(told)
            ),
            states={row.integration_id: row.status for row in states},
            issues=tuple(
                (integration, key, count)
                for integration, key, count in connection.execute(
                    select(issue.c.integration_id, issue.c.key, issue.c.count)
                )
            ),
            held=tuple(
                (row.webhook_id, row.integration_id)
                for row in connection.execute(select(held.c.webhook_id, held.c.integration_id))
            ),
            outcomes=connection.execute(select(func.count()).select_from(schema.outcome)).scalar_one(),
        )


def _change(row: Any) -> Change:
    issues = tuple((one["status"], one["message"]) for one in json.loads(row.issues))
    return Change(row.id, row.integration_id, row.at, row.status, row.previous_status, issues)
