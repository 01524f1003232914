"""What several nodes on one database need: duties, shared rate limits, dormant lanes, where callers wait.

Nodes of the version before go on working with these tables: every new column has a default, and none is taken away.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("caller_node", sa.String(), nullable=True))
    op.add_column("lane", sa.Column("dormant", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "lane_claimable",
        "lane",
        ["id"],
        sqlite_where=sa.text("lease_node IS NULL AND NOT dormant"),
        postgresql_where=sa.text("lease_node IS NULL AND NOT dormant"),
    )
    op.create_index(
        "lane_dormant",
        "lane",
        ["id"],
        sqlite_where=sa.text("lease_node IS NULL AND dormant"),
        postgresql_where=sa.text("lease_node IS NULL AND dormant"),
    )
    op.drop_index("lane_unowned", "lane")
    op.drop_index("ix_lane_integration_id", "lane")  # nobody asks by it
    op.add_column("node", sa.Column("roles", sa.String(), server_default="", nullable=False))
    op.add_column("node", sa.Column("address", sa.String(), server_default="", nullable=False))
    op.add_column("node", sa.Column("is_leaving", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("node", sa.Column("stance", sa.Text(), server_default="", nullable=False))
    op.add_column("node", sa.Column("clock_skew", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("node", sa.Column("key_ids", sa.String(), server_default="", nullable=False))
    op.add_column("node", sa.Column("hears", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("node", sa.Column("lease_seconds", sa.Float(), server_default="0", nullable=False))
    op.create_table(
        "duty",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "rate_use",
        sa.Column("integration_id", sa.String(), nullable=False),
        sa.Column("slice", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("integration_id", "slice"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _tune()  # its indexes of large tables are built beside the work that goes on: see `store.migrate`
    else:
        _index_waiting_runs()


def _index_waiting_runs() -> None:
    op.create_index(
        "run_delayed",
        "run",
        ["integration_id", "due_at"],
        sqlite_where=sa.text("state = 'waiting' AND waiting_for = 'delay'"),
    )
    op.create_index(
        "run_held",
        "run",
        ["integration_id", "waiting_for"],
        sqlite_where=sa.text("state = 'waiting' AND waiting_for <> 'delay'"),
    )
    op.drop_index("run_waiting", "run")


_OFTEN = (
    "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_limit = 2000"
)
_SOME = "autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_limit = 2000"
_TINY = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200"

TUNING: dict[str, str] = {
    # Each row is changed two or three times, then never again. Room on its page keeps a new version beside the old one,
    # whose place the next change takes without a vacuum. The claim indexes are small and are to stay so: they are
    # cleaned after 2 % of dead rows, not after 20 % of all the runs that ever finished.
    "run": f"fillfactor = 70, {_OFTEN}, autovacuum_analyze_scale_factor = 0.05",
    "delivery": f"fillfactor = 70, {_OFTEN}, autovacuum_analyze_scale_factor = 0.05",
    # One row for thousands of events, changed in place: none of the columns that change with each event is indexed.
    "lane": f"fillfactor = 70, {_OFTEN}",
    # Written once, deleted once, by retention: what it frees is there for new rows soon, so that the files stay flat.
    "event": _SOME,
    "journal": _SOME,
    "attempt": _SOME,
    "dedupe": _OFTEN,
    # A few rows, changed all the time: half-empty pages keep each of them where it is.
    "node": f"fillfactor = 50, {_TINY}",
    "setting": f"fillfactor = 50, {_TINY}",
    "duty": f"fillfactor = 50, {_TINY}",
    "rate_use": f"fillfactor = 50, {_TINY}",
    "api_key": f"fillfactor = 70, {_TINY}",
    "rejection": f"fillfactor = 70, {_TINY}",
    "bulk_job": f"fillfactor = 70, {_TINY}",
}

LARGE_VALUES = (("event", "body"), ("journal", "steps"), ("journal", "result_body"), ("attempt", "response_body"))


def _tune() -> None:
    """How PostgreSQL stores and tidies tables that change much. The locks that this takes let readers and writers go
    on, but for the last, which changes an entry of the catalog.
    """
    for table, parameters in TUNING.items():
        op.execute(f"ALTER TABLE {table} SET ({parameters})")
    # Values above 2 KB are compressed. Measured with JSON of 10 KB: pglz halves what is stored and logged, and takes
    # 0.12 ms of a core for it; lz4 takes a fraction of that, where the server was built with it.
    has_lz4 = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    if op.get_bind().exec_driver_sql(has_lz4).scalar():
        for table, column in LARGE_VALUES:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET COMPRESSION lz4")
