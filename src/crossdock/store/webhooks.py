"""Notification webhooks as rows.

Switching one off and deleting it end, in the same transaction, what waits to be sent to it or to be told later: after
that it is told nothing any more.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from crossdock.model.notification import rules_of
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.store.configuration import touch
from crossdock.store.named import (
    NameTaken,
    Overtaken,
    is_name_taken,
    keep_credentials,
    lock_named,
    lost_race,
    page_by_name,
)
from crossdock.store.notice_deliveries import forget_record
from crossdock.store.schema import integration, workspace
from crossdock.store.schema import notification_webhook as webhooks
from crossdock.store.secrets import CREDENTIALS, SecretRow, drop_secrets_of, secrets_by_owner
from crossdock.store.telling import drop_notices_of, review_notices_of

SWITCHED_OFF = "the notification webhook was switched off"
REMOVED = "the notification webhook was deleted"
"""Why what waited for it is canceled."""


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A notification webhook with its settings as a document, without secrets. `workspace` is the slug."""

    id: str
    workspace_id: str
    workspace: str
    name: str
    active: bool
    document: Json
    revision: int
    created_at: Instant
    updated_at: Instant


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """A notification webhook with its sealed secret, where it has one."""

    row: WebhookRow
    credentials: SecretRow | None


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """All that one save writes. Without `credentials` those that are kept stay, unless they are dropped."""

    row: WebhookRow
    credentials: SecretRow | None = None
    drops_credentials: bool = False


def add_webhook(connection: Connection, change: WebhookChange) -> WebhookRow | NameTaken:
    """Keep a new webhook with its secrets."""
    if _is_taken(connection, change.row):
        return NameTaken()
    try:
        connection.execute(insert(webhooks).values(_values(change.row)))
    except IntegrityError:
        raise lost_race() from None
    return _finish(connection, change)


def save_webhook(
    connection: Connection, change: WebhookChange, read_revision: int
) -> WebhookRow | NameTaken | Overtaken:
    """Write the row if it is still at `read_revision`; one that is switched off is told nothing any more."""
    row = change.row
    before = lock_named(connection, webhooks, row.workspace_id, row.id)
    if before is None or before.revision != read_revision:
        return Overtaken()
    if before.name != row.name and _is_taken(connection, row):
        return NameTaken()
    try:
        connection.execute(update(webhooks).where(webhooks.c.id == row.id).values(_values(row)))
    except IntegrityError:
        raise lost_race() from None
    if not row.active:
        drop_notices_of(connection, row.id, row.updated_at, SWITCHED_OFF)
    else:
        review_notices_of(connection, row.id, rules_of(row.document, row.active), row.updated_at)
    return _finish(connection, change)


def delete_webhook(connection: Connection, workspace_id: str, webhook_id: str, now: Instant) -> bool:
    """Forget the webhook with its secrets and end what waits for it; False when there is none."""
    if lock_named(connection, webhooks, workspace_id, webhook_id) is None:
        return False
    drop_notices_of(connection, webhook_id, now, REMOVED)
    forget_record(connection, webhook_id)
    drop_secrets_of(connection, webhook_id)
    connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))
    touch(connection)
    return True


# --- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WebhookFilter:
    """What a list shows. `search` is looked for in names, upper and lower case alike."""

    search: str = ""
    active: bool | None = None


def webhook_by_id(connection: Connection, workspace_id: str, webhook_id: str) -> StoredWebhook | None:
    query = _ROWS.where(webhooks.c.workspace_id == workspace_id, webhooks.c.id == webhook_id)
    return next(_stored(connection, [_row(row) for row in connection.execute(query)]), None)


def webhooks_page(
    connection: Connection, workspace_id: str, wanted: WebhookFilter, *, after_name: str | None, limit: int
) -> list[StoredWebhook]:
    """The notification webhooks of a workspace by name, those after `after_name`."""
    query = _ROWS.where(webhooks.c.workspace_id == workspace_id)
    if wanted.active is not None:
        query = query.where(webhooks.c.active == wanted.active)
    page = page_by_name(query, webhooks, wanted.search, after_name=after_name, limit=limit)
    return list(_stored(connection, [_row(row) for row in connection.execute(page)]))


def workspace_webhooks(connection: Connection, workspace_id: str) -> list[StoredWebhook]:
    """All notification webhooks of a workspace by name."""
    query = _ROWS.where(webhooks.c.workspace_id == workspace_id).order_by(webhooks.c.name)
    return list(_stored(connection, [_row(row) for row in connection.execute(query)]))


def all_webhooks(connection: Connection) -> list[WebhookRow]:
    return [_row(row) for row in connection.execute(_ROWS.order_by(webhooks.c.id))]


def integration_names(connection: Connection, workspace_id: str, ids: Collection[str] | None = None) -> dict[str, str]:
    """The names of a workspace's integrations by their ids, by name; of those with these ids, or of all."""
    query = select(integration.c.id, integration.c.name).where(integration.c.workspace_id == workspace_id)
    if ids is not None:
        query = query.where(integration.c.id.in_(sorted(ids)))
    return {row.id: row.name for row in connection.execute(query.order_by(integration.c.name))}


_ROWS = select(webhooks, workspace.c.slug.label("workspace")).join_from(webhooks, workspace)


def _stored(connection: Connection, rows: list[WebhookRow]) -> Iterator[StoredWebhook]:
    secrets = secrets_by_owner(connection, [row.id for row in rows])
    return (StoredWebhook(row, secrets[row.id].get(CREDENTIALS)) for row in rows)


def _row(row: Row[Any]) -> WebhookRow:
    values = dict(row._mapping)
    return WebhookRow(**{**values, "document": json.loads(values["document"])})


def _values(row: WebhookRow) -> dict[str, object]:
    values = {column.name: getattr(row, column.name) for column in webhooks.columns}
    return {**values, "document": json.dumps(row.document)}


def _is_taken(connection: Connection, row: WebhookRow) -> bool:
    return is_name_taken(connection, webhooks, row.workspace_id, row.name, row.id)


def _finish(connection: Connection, change: WebhookChange) -> WebhookRow:
    """The rest of a save whose row landed."""
    row = change.row
    keep_credentials(connection, row.id, change.credentials, row.updated_at, drops=change.drops_credentials)
    return row
