"""The tables. Rows that carry bodies are never updated; rows that change are narrow.

Instants are microseconds since the epoch, durations seconds, documents JSON text, bodies exact bytes. States are the
words of `model.states`, enforced here by CHECK constraints too. Indexes that serve claims hold claimable rows only.

A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from crossdock.model.bulk import BulkKind, BulkState
from crossdock.model.delivery import DeliveryKind
from crossdock.model.states import DeliveryState, RunState, WaitingFor

metadata = MetaData()


# Differs: ranges of lane ids are compared byte by byte, whatever collation a PostgreSQL database has.
LaneId = String().with_variant(String(collation="C"), "postgresql")


def _words(column: str, words: Iterable[str], name: str) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=name)


# --- what people set up --------------------------------------------------------------------------------------------

workspace = Table(
    "workspace",
    metadata,
    Column("id", String, primary_key=True),
    Column("slug", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

integration = Table(
    "integration",
    metadata,
    Column("id", String, primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("type", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("path", String, nullable=False),
    Column("document", Text, nullable=False),  # as written, defaults filled in, without secrets and workflow
    Column("workflow_number", Integer, nullable=False),  # the published version; 0: none
    Column("revision", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("workspace_id", "name", name="integration_name"),
    UniqueConstraint("workspace_id", "path", name="integration_path"),
)

workflow_version = Table(
    "workflow_version",
    metadata,
    Column("integration_id", ForeignKey("integration.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("document", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String, nullable=False),
)

workflow_publication = Table(  # which version became the one for new events, one after the other
    "workflow_publication",
    metadata,
    Column("integration_id", ForeignKey("integration.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("number", Integer, nullable=False),  # 0: the integration has no workflow from here on
    Column("returns_to", Integer),  # the position whose version a rollback brought back
    Column("published_at", BigInteger, nullable=False),
    Column("published_by", String, nullable=False),
)

workflow_draft = Table(  # what somebody is working on: at most one for each integration
    "workflow_draft",
    metadata,
    Column("integration_id", ForeignKey("integration.id", ondelete="CASCADE"), primary_key=True),
    Column("document", Text, nullable=False),
    Column("based_on", Integer, nullable=False),  # the version that was published when it was begun
    Column("revision", BigInteger, nullable=False),  # of no draft before: it begins with the time
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", String, nullable=False),
)

connection = Table(
    "connection",
    metadata,
    Column("id", String, primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("document", Text, nullable=False),  # as written, without secrets
    Column("revision", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("workspace_id", "name", name="connection_name"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String, primary_key=True),
    Column("integration_id", ForeignKey("integration.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("label", String, nullable=False),
    Column("hint", String, nullable=False),
    Column("hash", LargeBinary, nullable=False),  # SHA-256 of the key
    Column("disabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("calls", BigInteger, nullable=False),
    UniqueConstraint("integration_id", "hash", name="api_key_value"),
)

secret = Table(  # AES-256-GCM; the associated data is owner_id/name
    "secret",
    metadata,
    Column("owner_id", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("key_id", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

api_token = Table(
    "api_token",
    metadata,
    Column("id", String, primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("role", String, nullable=False),
    Column("hint", String, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
)

session = Table(  # a signed-in browser; also the one-time sign-in link (kind = 'link')
    "session",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("kind", String, nullable=False),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

setting = Table(  # small facts of the installation: `configuration` counts changes of what people set up
    "setting",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)

# --- what happens --------------------------------------------------------------------------------------------------

event = Table(
    "event",
    metadata,
    Column("id", String, primary_key=True),
    Column("integration_id", String, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("method", String, nullable=False),
    Column("path", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("key_id", String),
    Column("source_ip", String, nullable=False),
    Column("replay_of", String),
    Column("emitted_by", String),
    Column("depth", Integer, nullable=False, server_default="0"),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("event_by_integration", "integration_id", "id"),
    Index(
        "event_by_emitter",
        "emitted_by",
        "id",
        sqlite_where=text("emitted_by IS NOT NULL"),
        postgresql_where=text("emitted_by IS NOT NULL"),
    ),
    Index(
        "event_by_original",
        "replay_of",
        "id",
        sqlite_where=text("replay_of IS NOT NULL"),
        postgresql_where=text("replay_of IS NOT NULL"),
    ),
)

_unfinished = "state NOT IN ('succeeded', 'failed', 'canceled')"

run = Table(
    "run",
    metadata,
    Column("event_id", String, primary_key=True),
    Column("integration_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("waiting_for", String),
    Column("workflow_number", Integer, nullable=False),
    Column("lane_id", LaneId),
    Column("lane_sequence", BigInteger),
    Column("accepted_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),  # not before this moment
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("attempts", Integer, nullable=False),  # starts since it was last released by hand
    Column("losses", Integer, nullable=False),  # how often its node died under it
    Column("lease_node", String),
    Column("lease_token", String),
    Column("cancel_requested", Boolean, nullable=False),
    Column("error_kind", String),
    Column("error_message", Text),
    Column("error_step", String),
    Column("caller_node", String),  # the node where somebody waits for the answer
    _words("state", RunState, "run_state"),
    _words("waiting_for", WaitingFor, "run_waiting_for"),
    CheckConstraint("(state = 'running') = (lease_token IS NOT NULL)", name="run_lease"),
    CheckConstraint("(state IN ('succeeded', 'failed', 'canceled')) = (finished_at IS NOT NULL)", name="run_finished"),
    Index(
        "run_claimable",
        "integration_id",
        "due_at",
        "event_id",
        sqlite_where=text("state IN ('queued', 'retrying') AND lane_id IS NULL"),
        postgresql_where=text("state IN ('queued', 'retrying') AND lane_id IS NULL"),
    ),
    Index(
        "run_lost_before",
        "due_at",
        sqlite_where=text("state IN ('queued', 'retrying') AND lane_id IS NULL AND losses > 0"),
        postgresql_where=text("state IN ('queued', 'retrying') AND lane_id IS NULL AND losses > 0"),
    ),
    Index(
        "run_in_lane",
        "lane_id",
        "lane_sequence",
        sqlite_where=text(f"lane_id IS NOT NULL AND {_unfinished}"),
        postgresql_where=text(f"lane_id IS NOT NULL AND {_unfinished}"),
    ),
    Index(
        "run_leased",
        "lease_node",
        sqlite_where=text("lease_node IS NOT NULL"),
        postgresql_where=text("lease_node IS NOT NULL"),
    ),
    Index(
        "run_delayed",
        "integration_id",
        "due_at",
        sqlite_where=text("state = 'waiting' AND waiting_for = 'delay'"),
        postgresql_where=text("state = 'waiting' AND waiting_for = 'delay'"),
    ),
    Index(
        "run_held",
        "integration_id",
        "waiting_for",
        sqlite_where=text("state = 'waiting' AND waiting_for <> 'delay'"),
        postgresql_where=text("state = 'waiting' AND waiting_for <> 'delay'"),
    ),
    Index(
        "run_failed",
        "integration_id",
        "event_id",
        sqlite_where=text("state = 'failed'"),
        postgresql_where=text("state = 'failed'"),
    ),
    sqlite_with_rowid=False,
)

journal = Table(  # what each commit added to a run: finished steps, and the result once it is decided
    "journal",
    metadata,
    Column("event_id", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("steps", Text, nullable=False),
    Column("result_status", Integer),
    Column("result_headers", Text),
    Column("result_body", LargeBinary),
)

lane = Table(  # one row per order that has to be kept; the lane is leased, not its runs
    "lane",
    metadata,
    Column("id", LaneId, primary_key=True),  # integration id, ':', ordering key
    Column("integration_id", String, nullable=False),
    Column("key", Text, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("last_used_at", BigInteger, nullable=False),
    Column("lease_node", String),
    Column("lease_token", String),
    # nothing in it can start before an event comes or somebody acts: it is empty, or its head waits for an operator
    Column("dormant", Boolean, nullable=False, server_default=false()),
    Index(
        "lane_claimable",
        "id",
        sqlite_where=text("lease_node IS NULL AND NOT dormant"),
        postgresql_where=text("lease_node IS NULL AND NOT dormant"),
    ),
    # Not by `last_used_at`: PostgreSQL updates a row in place only while nothing that is indexed changes.
    Index(
        "lane_dormant",
        "id",
        sqlite_where=text("lease_node IS NULL AND dormant"),
        postgresql_where=text("lease_node IS NULL AND dormant"),
    ),
    Index(
        "lane_leased",
        "lease_node",
        sqlite_where=text("lease_node IS NOT NULL"),
        postgresql_where=text("lease_node IS NOT NULL"),
    ),
)

dedupe = Table(
    "dedupe",
    metadata,
    Column("integration_id", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("event_id", String, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("integration_id", String, nullable=False),
    Column("event_id", String, index=True),
    Column("state", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("lease_node", String),
    Column("lease_token", String),
    Column("last_error", Text),
    _words("kind", DeliveryKind, "delivery_kind"),
    _words("state", DeliveryState, "delivery_state"),
    CheckConstraint("(state = 'sending') = (lease_token IS NOT NULL)", name="delivery_lease"),
    CheckConstraint(
        "(state IN ('delivered', 'failed', 'expired', 'canceled')) = (finished_at IS NOT NULL)",
        name="delivery_finished",
    ),
    Index(
        "delivery_claimable",
        "integration_id",
        "due_at",
        sqlite_where=text("state IN ('queued', 'retrying')"),
        postgresql_where=text("state IN ('queued', 'retrying')"),
    ),
    Index(
        "delivery_expiring",
        "expires_at",
        sqlite_where=text("state IN ('queued', 'retrying') AND expires_at IS NOT NULL"),
        postgresql_where=text("state IN ('queued', 'retrying') AND expires_at IS NOT NULL"),
    ),
    Index(
        "delivery_leased",
        "lease_node",
        sqlite_where=text("lease_node IS NOT NULL"),
        postgresql_where=text("lease_node IS NOT NULL"),
    ),
)

attempt = Table(
    "attempt",
    metadata,
    Column("delivery_id", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    Column("request_headers", Text, nullable=False),
    Column("status", Integer),
    Column("response_headers", Text, nullable=False),
    Column("response_body", LargeBinary, nullable=False),
    Column("error", Text),
)

rejection = Table(  # calls that were refused at the door: counted, never stored
    "rejection",
    metadata,
    Column("integration_id", String, primary_key=True),
    Column("reason", String, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
)

bulk_job = Table(  # something to be done to many events, bit by bit
    "bulk_job",
    metadata,
    Column("id", String, primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("request", Text, nullable=False),  # filter and options, as JSON
    Column("cursor", String),  # the last event that was dealt with
    Column("total", BigInteger),  # how many events there are to deal with, once they are counted
    Column("done", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("summary", Text),
    Column("waiting_because", Text),  # why it stands still although it is running
    Column("error", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("lease_node", String),
    Column("lease_token", String),
    _words("kind", BulkKind, "bulk_job_kind"),
    _words("state", BulkState, "bulk_job_state"),
    CheckConstraint(
        "(state IN ('finished', 'canceled', 'failed')) = (finished_at IS NOT NULL)", name="bulk_job_finished"
    ),
    CheckConstraint("state = 'running' OR lease_token IS NULL", name="bulk_job_lease"),
    Index("bulk_job_by_workspace", "workspace_id", "id"),
    Index(
        "bulk_job_unfinished",
        "id",
        sqlite_where=text("finished_at IS NULL"),
        postgresql_where=text("finished_at IS NULL"),
    ),
)

bulk_item = Table(  # what a job has to tell of one event
    "bulk_item",
    metadata,
    Column("job_id", ForeignKey("bulk_job.id", ondelete="CASCADE"), primary_key=True),
    Column("event_id", String, primary_key=True),
    Column("outcome", String, nullable=False),
    Column("document", Text, nullable=False),
    Index("bulk_item_by_outcome", "job_id", "outcome", "event_id"),
)

node = Table(
    "node",
    metadata,
    Column("id", String, primary_key=True),  # a new one each start: the epoch
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("heartbeat_at", BigInteger, nullable=False),
    Column("roles", String, nullable=False, server_default=""),  # comma-separated
    Column("address", String, nullable=False, server_default=""),  # where it listens
    Column("is_leaving", Boolean, nullable=False, server_default=false()),  # it finishes what it has, and takes nothing
    Column("stance", Text, nullable=False, server_default=""),  # what it tells of its work, as JSON
    Column("clock_skew", BigInteger, nullable=False, server_default="0"),  # microseconds before the database's clock
    Column("key_ids", String, nullable=False, server_default=""),  # comma-separated: the master keys that it has
    Column("hears", Boolean, nullable=False, server_default=true()),  # what other nodes tell
    Column("lease_seconds", Float, nullable=False, server_default="0"),  # how long it goes on without a heartbeat
)

duty = Table(  # what is done once for all nodes: whoever takes it when it is due, does it this time
    "duty",
    metadata,
    Column("name", String, primary_key=True),
    Column("due_at", BigInteger, nullable=False),
    Column("node_id", String, nullable=False),  # who took it last
)

rate_use = Table(  # calls let in by integrations with a rate limit, counted in slices of time
    "rate_use",
    metadata,
    Column("integration_id", String, primary_key=True),
    Column("slice", BigInteger, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
