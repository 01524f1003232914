"""The tables of what happens: events, runs, lanes, deliveries, and what is done to many of them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
    text,
)

from crossdock.model.bulk import BulkKind, BulkState
from crossdock.model.delivery import DeliveryKind
from crossdock.model.states import DeliveryState, RunState, WaitingFor
from crossdock.store.schema.shared import LaneId, metadata, words

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
    words("state", RunState, "run_state"),
    words("waiting_for", WaitingFor, "run_waiting_for"),
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
    Column("integration_id", String, nullable=False),  # whose reply it is; '' for a notification
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
    Column("webhook_id", String),  # whose notification it is
    words("kind", DeliveryKind, "delivery_kind"),
    words("state", DeliveryState, "delivery_state"),
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
        "delivery_lost",
        "integration_id",
        "event_id",
        sqlite_where=text("state IN ('failed', 'expired') AND event_id IS NOT NULL"),
        postgresql_where=text("state IN ('failed', 'expired') AND event_id IS NOT NULL"),
    ),
    Index(
        "delivery_notifying",
        "webhook_id",
        "due_at",
        sqlite_where=text("webhook_id IS NOT NULL AND finished_at IS NULL"),
        postgresql_where=text("webhook_id IS NOT NULL AND finished_at IS NULL"),
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
    Column("request_body", LargeBinary),  # where it can't be made anew from rows that never change
)

rejection = Table(  # calls that were refused at the door: counted, never stored
    "rejection",
    metadata,
    Column("integration_id", String, primary_key=True),
    Column("reason", String, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
)

traffic = Table(  # how many calls came in a slot of time, and what became of them: counted from the runs
    "traffic",
    metadata,
    Column("width", Integer, primary_key=True),  # of the slot, in seconds: 300 or 3600
    Column("integration_id", String, primary_key=True),
    Column("slot", BigInteger, primary_key=True),  # when it begins
    Column("accepted", BigInteger, nullable=False),
    Column("succeeded", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("canceled", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("durations", Text, nullable=False),  # JSON: how many took how long, by bucket
    Index(
        "traffic_unfinished",
        "width",
        "slot",
        sqlite_where=text("accepted > succeeded + failed + canceled"),
        postgresql_where=text("accepted > succeeded + failed + canceled"),
    ),
    sqlite_with_rowid=False,
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
    words("kind", BulkKind, "bulk_job_kind"),
    words("state", BulkState, "bulk_job_state"),
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
