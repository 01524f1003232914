"""Users, what they may do in which workspace, the audit log, and traffic by slots of time.

Nodes of the version before go on working with these tables; their pages know no users and show the sign-in again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_users()
    _create_audit()
    _add_users_to_sessions()
    _create_traffic()
    _index_lost_replies()
    if op.get_bind().dialect.name == "postgresql":
        for table, parameters in TUNING.items():
            op.execute(f"ALTER TABLE {table} SET ({parameters})")


_TINY = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200"

TUNING = {
    # A few rows that change all the time, as in 0003.
    "traffic": f"fillfactor = 70, {_TINY}",
    "session": f"fillfactor = 70, {_TINY}",
    "sign_in_failure": _TINY,
}


def _create_users() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("login", sa.String(), nullable=False, unique=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("last_signed_in_at", sa.BigInteger(), nullable=True),
        sa.UniqueConstraint("issuer", "subject", name="account_identity"),
    )
    op.create_table(
        "membership",
        sa.Column("user_id", sa.String(), sa.ForeignKey("account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("workspace_id", sa.String(), sa.ForeignKey("workspace.id"), primary_key=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="membership_role"),
    )
    op.create_index("ix_membership_workspace_id", "membership", ["workspace_id"])
    op.create_table(
        "sign_in_failure",
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_sign_in_failure_last_at", "sign_in_failure", ["last_at"])


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("actor_name", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("subject_name", sa.String(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
    )
    op.create_index("audit_of_workspace", "audit", ["workspace_id", "id"])
    op.create_index("audit_of_subject", "audit", ["workspace_id", "subject_id", "id"])


def _add_users_to_sessions() -> None:
    with op.batch_alter_table("session") as session:
        session.add_column(sa.Column("id", sa.String(), nullable=True))
        session.add_column(sa.Column("user_id", sa.String(), nullable=True))
        session.add_column(sa.Column("last_seen_at", sa.BigInteger(), nullable=True))
        session.add_column(sa.Column("agent", sa.String(), nullable=True))
        session.add_column(sa.Column("source_ip", sa.String(), nullable=True))
        session.create_foreign_key("session_user", "account", ["user_id"], ["id"], ondelete="CASCADE")
        session.create_index("ix_session_user_id", ["user_id"])


def _create_traffic() -> None:
    counts = ("accepted", "succeeded", "failed", "canceled", "rejected")
    op.create_table(
        "traffic",
        sa.Column("width", sa.Integer(), primary_key=True),
        sa.Column("integration_id", sa.String(), primary_key=True),
        sa.Column("slot", sa.BigInteger(), primary_key=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in counts),
        sa.Column("durations", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    unfinished = sa.text("accepted > succeeded + failed + canceled")
    op.create_index(
        "traffic_unfinished",
        "traffic",
        ["width", "slot"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )


def _index_lost_replies() -> None:
    if op.get_bind().dialect.name == "sqlite":  # PostgreSQL builds its indexes afterwards, holding nobody up
        op.create_index(
            "delivery_lost",
            "delivery",
            ["integration_id", "event_id"],
            sqlite_where=sa.text("state IN ('failed', 'expired') AND event_id IS NOT NULL"),
        )
