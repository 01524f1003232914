"""Notifications as JSON documents: what was told, what is held, and how a webhook fares. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crossdock.manage.event_documents import delivery_document
from crossdock.manage.health_documents import change_document
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, format_instant
from crossdock.notices.ready_made import ReadyMade
from crossdock.store.notice_deliveries import WebhookRecord
from crossdock.store.notifications import HeldRow, NotificationRow

_LINE = ("id", "status", "created_at", "finished_at", "next_attempt_at", "error")


def notification_line(row: NotificationRow, names: Mapping[str, str]) -> Json:
    """A delivery in the list of a webhook's; `names` are those of integrations, by id."""
    document = delivery_document(row.delivery)
    line = {name: document[name] for name in _LINE}
    return {**line, "attempts": row.delivery.attempts, "changes": changes_document(row, names)}


def changes_document(row: NotificationRow, names: Mapping[str, str]) -> list[Json]:
    """What a delivery tells, the oldest change first."""
    return [
        {**change_document(change), "integration": integration_document(change.integration_id, names)}
        for change in row.changes
    ]


def integrations_told(rows: Iterable[NotificationRow]) -> set[str]:
    """The ids of the integrations that these deliveries tell of."""
    return {change.integration_id for row in rows for change in row.changes}


def integration_document(integration_id: str, names: Mapping[str, str]) -> Json:
    return {"id": integration_id, "name": names.get(integration_id)}


def standing_document(record: WebhookRecord | None, held: Iterable[HeldRow], names: Mapping[str, str]) -> Json:
    """How a webhook's last deliveries went, and what waits to be told."""
    known = record or WebhookRecord()
    state = "unused" if known.delivered_at is None else "ok"
    return {
        "status": {
            "state": state if known.failing_since is None else "failing",
            "delivered_at": _instant(known.delivered_at),
            "failing_since": _instant(known.failing_since),
            "failures": known.failures,
            "last_error": known.last_error,
        },
        "held": [held_document(one, names) for one in held],
    }


def held_document(held: HeldRow, names: Mapping[str, str]) -> Json:
    """What waits, until when and why. A digest is about no integration in particular."""
    return {
        "id": held.id,
        "integration": integration_document(held.integration_id, names) if held.integration_id else None,
        "status": held.status.value,
        "changes": len(held.change_ids),
        "until": format_instant(held.due_at),
        "reason": held.reason.value,
    }


def template_document(ready_made: ReadyMade) -> Json:
    """A ready-made webhook: what a new one begins with, and where its secrets are found."""
    document = ready_made.document
    return {
        "name": ready_made.name,
        "title": ready_made.title,
        "help": ready_made.help,
        "secrets": [{"field": _as_written(key, document), "help": where} for key, where in ready_made.secrets.items()],
        "document": document,
    }


def _as_written(key: str, document: Json) -> str:
    """The field of a secret's place with the names as the document has them: places have header names in lower case."""
    found = []
    for part in key.split("."):
        name = next((one for one in document if one.lower() == part), part) if isinstance(document, dict) else part
        document = document.get(name) if isinstance(document, dict) else None
        found.append(name)
    return ".".join(found)


def _instant(moment: Instant | None) -> str | None:
    return None if moment is None else format_instant(moment)
