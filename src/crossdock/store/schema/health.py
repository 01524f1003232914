"""The tables of health: what has come of runs and replies, what follows from it, and what was to be told of that."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from crossdock.model.health import HealthStatus
from crossdock.store.schema.shared import metadata, words

outcome = Table(  # what came of an integration's runs and replies in one commit; gone once its health has taken it in
    "outcome",
    metadata,
    Column("integration_id", String, primary_key=True),
    Column("token", String, primary_key=True),  # the lease token of the first of them: no commit has it twice
    Column("kind", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("content", Text, nullable=False),  # JSON, in order: so many went well, or one that did not
    words("kind", ("run", "reply"), "outcome_kind"),
)

health = Table(
    "health",
    metadata,
    Column("integration_id", String, primary_key=True),
    Column("status", String, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("outcomes", Text, nullable=False),  # JSON: the last finished runs, the oldest first
    Column("marks", Text, nullable=False),  # JSON: what the rules remember besides
    Column("revision", BigInteger, nullable=False),
    Column("checked_at", BigInteger, nullable=False),
    words("status", HealthStatus, "health_status"),
)

health_issue = Table(
    "health_issue",
    metadata,
    Column("id", String, primary_key=True),
    Column("integration_id", String, nullable=False),
    Column("key", Text, nullable=False),  # what makes it the same issue when it is met again
    Column("status", String, nullable=False),
    Column("message", Text, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("sample_event_id", String),
    Column("resolved_at", BigInteger),
    Column("acknowledged_at", BigInteger),
    Column("acknowledged_by", String),
    Column("note", Text),
    Column("snoozed_until", BigInteger),
    Column("snoozed_at", BigInteger),
    Column("snoozed_by", String),
    Column("snooze_note", Text),
    Column("resolved_by", String),  # nobody: it was over by itself
    Column("resolve_note", Text),
    words("status", (HealthStatus.WARNING, HealthStatus.ERROR), "health_issue_status"),
    Index("health_issue_by_integration", "integration_id", "id"),
    Index(
        "health_issue_open",
        "integration_id",
        "key",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
)

health_change = Table(  # never updated: notifications are composed from it
    "health_change",
    metadata,
    Column("id", String, primary_key=True),
    Column("integration_id", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("previous_status", String, nullable=False),
    Column("issues", Text, nullable=False),  # JSON: [{"status", "message"}]
    words("status", HealthStatus, "health_change_status"),
    words("previous_status", HealthStatus, "health_change_previous_status"),
    Index("health_change_by_integration", "integration_id", "id"),
)

notification_webhook = Table(
    "notification_webhook",
    metadata,
    Column("id", String, primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("document", Text, nullable=False),  # as written, defaults filled in, without secrets
    Column("revision", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("workspace_id", "name", name="notification_webhook_name"),
)

webhook_record = Table(  # how the last deliveries of a notification webhook went
    "webhook_record",
    metadata,
    Column("webhook_id", String, primary_key=True),
    Column("delivered_at", BigInteger),
    Column("failing_since", BigInteger),
    Column("failures", BigInteger, nullable=False),  # one after the other
    Column("last_error", Text),
)

notification = Table(  # what a delivery tells: immutable, as `event` is for replies
    "notification",
    metadata,
    Column("delivery_id", String, primary_key=True),
    Column("webhook_id", String, nullable=False),
    Column("integration_id", String, nullable=False),  # '' for a digest, which is about several
    Column("change_ids", Text, nullable=False),  # JSON, the oldest first
    Index("notification_by_webhook", "webhook_id", "delivery_id"),
)

told = Table(  # what a webhook was told of an integration, for damping
    "told",
    metadata,
    Column("webhook_id", String, primary_key=True),
    Column("integration_id", String, primary_key=True),
    Column("status", String, nullable=False),  # the last that was told
    Column("times", Text, nullable=False),  # JSON: when each status was told last
)

held_notice = Table(  # what is to be told later: damped, gathered for a digest, or in quiet hours
    "held_notice",
    metadata,
    Column("id", String, primary_key=True),
    Column("webhook_id", String, nullable=False),
    Column("integration_id", String, nullable=False),  # '' for a digest
    Column("change_ids", Text, nullable=False),  # JSON, the oldest first
    Column("status", String, nullable=False),  # of the last of them
    Column("due_at", BigInteger, nullable=False, index=True),
    Column("reason", String, nullable=False),
    words("reason", ("damping", "digest", "quiet_hours"), "held_notice_reason"),
    UniqueConstraint("webhook_id", "integration_id", name="held_notice_about"),
)
