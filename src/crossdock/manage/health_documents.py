"""Health as JSON documents. Pure: what is known in, documents out."""

from __future__ import annotations

from collections.abc import Iterable

from crossdock.model.health import Health, HealthChange, HealthStatus, Issue
from crossdock.model.health_judging import WORST_FIRST
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, format_instant
from crossdock.store.health import StatusSince
from crossdock.store.integrations import IntegrationRow


def current_status(row: IntegrationRow, status: HealthStatus | None, since: Instant | None) -> Json:
    """The state as it is, and since when: what was judged last, but for what the integration's own row says by now."""
    told, begun = status, since
    if not row.enabled and status is not HealthStatus.DISABLED:
        told, begun = HealthStatus.DISABLED, row.updated_at
    elif row.enabled and status is HealthStatus.DISABLED:
        told, begun = HealthStatus.INITIALIZING, row.updated_at
    return {
        "status": (told or HealthStatus.INITIALIZING).value,
        "since": format_instant(row.created_at if begun is None else begun),
    }


def line_document(row: IntegrationRow, known: StatusSince | None) -> Json:
    """What an integration's own document and the list say of its health."""
    open_issues = known.open_issues if known is not None else 0
    status = (known.status, known.since) if known is not None else (None, None)
    return {**current_status(row, *status), "issues": open_issues}


def health_document(row: IntegrationRow, known: Health | None, now: Instant) -> Json:
    """The state with its open issues, the worst and newest first."""
    issues = known.issues if known is not None else ()
    status = (known.status, known.since) if known is not None else (None, None)
    return {**current_status(row, *status), "issues": [issue_document(one, now) for one in worst_first(issues)]}


def worst_first(issues: Iterable[Issue]) -> list[Issue]:
    return sorted(issues, key=lambda issue: (WORST_FIRST.get(issue.status, 2), -issue.last_seen, issue.id))


def issue_document(issue: Issue, now: Instant) -> Json:
    is_snoozed = issue.is_snoozed(now) and issue.resolved_at is None
    return {
        "id": issue.id,
        "key": issue.key,
        "status": issue.status.value,
        "message": issue.message,
        "first_seen": format_instant(issue.first_seen),
        "last_seen": format_instant(issue.last_seen),
        "count": issue.count,
        "sample_event": issue.sample_event_id,
        "acknowledged": _deed(issue.acknowledged_at, issue.acknowledged_by, issue.note),
        "snoozed_until": format_instant(issue.snoozed_until) if is_snoozed and issue.snoozed_until else None,
        "snoozed": _deed(issue.snoozed_at, issue.snoozed_by, issue.snooze_note) if is_snoozed else None,
        "resolved": _deed(issue.resolved_at, issue.resolved_by, issue.resolve_note),
    }


def change_document(change: HealthChange) -> Json:
    return {
        "id": change.id,
        "at": format_instant(change.at),
        "status": change.status.value,
        "previous_status": change.previous_status.value,
        "issues": [{"status": one.status.value, "message": one.message} for one in change.issues],
    }


def _deed(at: Instant | None, by: str | None, note: str | None) -> Json:
    """Who did something, when and why; None where nobody did. What was over by itself names nobody."""
    return None if at is None else {"at": format_instant(at), "by": by, "note": note}
