"""Health of integrations, and the webhooks that tell of it.

Nodes of the version before go on working with these tables, but what comes of the runs that they finish is not counted.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATUSES = "('initializing', 'active', 'warning', 'error', 'disabled')"


def upgrade() -> None:
    _create_health()
    _create_webhooks()
    _create_notices()
    op.add_column("delivery", sa.Column("webhook_id", sa.String(), nullable=True))
    op.add_column("attempt", sa.Column("request_body", sa.LargeBinary(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        for table, parameters in TUNING.items():  # its index of a large table is built beside the work that goes on
            op.execute(f"ALTER TABLE {table} SET ({parameters})")
    else:
        op.create_index(
            "delivery_notifying",
            "delivery",
            ["webhook_id", "due_at"],
            sqlite_where=sa.text("webhook_id IS NOT NULL AND finished_at IS NULL"),
        )


def _create_health() -> None:
    op.create_table(
        "outcome",
        sa.Column("integration_id", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('run', 'reply')", name="outcome_kind"),
        sa.PrimaryKeyConstraint("integration_id", "token"),
    )
    op.create_table(
        "health",
        sa.Column("integration_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("outcomes", sa.Text(), nullable=False),
        sa.Column("marks", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(f"status IN {_STATUSES}", name="health_status"),
        sa.PrimaryKeyConstraint("integration_id"),
    )
    op.create_table(
        "health_issue",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("integration_id", sa.String(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("sample_event_id", sa.String(), nullable=True),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("snoozed_until", sa.BigInteger(), nullable=True),
        sa.Column("snoozed_at", sa.BigInteger(), nullable=True),
        sa.Column("snoozed_by", sa.String(), nullable=True),
        sa.Column("snooze_note", sa.Text(), nullable=True),
        sa.Column("resolved_by", sa.String(), nullable=True),
        sa.Column("resolve_note", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('warning', 'error')", name="health_issue_status"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("health_issue_by_integration", "health_issue", ["integration_id", "id"])
    op.create_index(
        "health_issue_open",
        "health_issue",
        ["integration_id", "key"],
        unique=True,
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "health_change",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("integration_id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("previous_status", sa.String(), nullable=False),
        sa.Column("issues", sa.Text(), nullable=False),
        sa.CheckConstraint(f"status IN {_STATUSES}", name="health_change_status"),
        sa.CheckConstraint(f"previous_status IN {_STATUSES}", name="health_change_previous_status"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("health_change_by_integration", "health_change", ["integration_id", "id"])


def _create_webhooks() -> None:
    op.create_table(
        "notification_webhook",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "name", name="notification_webhook_name"),
    )
    op.create_table(
        "webhook_record",
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("webhook_id"),
    )


def _create_notices() -> None:
    op.create_table(
        "notification",
        sa.Column("delivery_id", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("integration_id", sa.String(), nullable=False),
        sa.Column("change_ids", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    op.create_index("notification_by_webhook", "notification", ["webhook_id", "delivery_id"])
    op.create_table(
        "told",
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("integration_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("times", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", "integration_id"),
    )
    op.create_table(
        "held_notice",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("integration_id", sa.String(), nullable=False),
        sa.Column("change_ids", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint("reason IN ('damping', 'digest', 'quiet_hours')", name="held_notice_reason"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("webhook_id", "integration_id", name="held_notice_about"),
    )
    op.create_index("ix_held_notice_due_at", "held_notice", ["due_at"])


_TINY = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200"

TUNING = {
    # Written with each commit that ends runs, deleted within a second: its files are to stay as small as it is.
    "outcome": f"{_TINY}, autovacuum_vacuum_cost_limit = 2000",
    "health": f"fillfactor = 50, {_TINY}",
    "health_issue": f"fillfactor = 70, {_TINY}",
    "told": f"fillfactor = 70, {_TINY}",
    "held_notice": _TINY,
    "webhook_record": f"fillfactor = 50, {_TINY}",
}
