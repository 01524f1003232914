"""The tables. Rows that carry bodies are never updated; rows that change are narrow.

Instants are microseconds since the epoch, durations seconds, documents JSON text, bodies exact bytes. States are the
words of `model.states`, enforced here by CHECK constraints too. Indexes that serve claims hold claimable rows only.

A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from crossdock.store.schema.happening import (
    attempt,
    bulk_item,
    bulk_job,
    dedupe,
    delivery,
    event,
    journal,
    lane,
    rejection,
    run,
    traffic,
)
from crossdock.store.schema.health import (
    health,
    health_change,
    health_issue,
    held_notice,
    notification,
    notification_webhook,
    outcome,
    told,
    webhook_record,
)
from crossdock.store.schema.nodes import duty, node, rate_use
from crossdock.store.schema.people import audit, membership, sign_in_failure, user
from crossdock.store.schema.setup import (
    api_key,
    api_token,
    connection,
    integration,
    secret,
    session,
    setting,
    workflow_draft,
    workflow_publication,
    workflow_version,
    workspace,
)
from crossdock.store.schema.shared import LaneId, metadata

__all__ = [
    "LaneId",
    "api_key",
    "api_token",
    "attempt",
    "audit",
    "bulk_item",
    "bulk_job",
    "connection",
    "dedupe",
    "delivery",
    "duty",
    "event",
    "health",
    "health_change",
    "health_issue",
    "held_notice",
    "integration",
    "journal",
    "lane",
    "membership",
    "metadata",
    "node",
    "notification",
    "notification_webhook",
    "outcome",
    "rate_use",
    "rejection",
    "run",
    "secret",
    "session",
    "setting",
    "sign_in_failure",
    "told",
    "traffic",
    "user",
    "webhook_record",
    "workflow_draft",
    "workflow_publication",
    "workflow_version",
    "workspace",
]
