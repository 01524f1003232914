"""The tables of what people set up."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from crossdock.store.schema.shared import metadata

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
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False),  # which is shown first
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("id", String),  # by which a session is listed and ended; NULL where no user is known
    Column("user_id", ForeignKey("account.id", ondelete="CASCADE"), index=True),  # NULL: the first link of all
    Column("last_seen_at", BigInteger),
    Column("agent", String),  # what the browser calls itself
    Column("source_ip", String),
)

setting = Table(  # small facts of the installation: `configuration` counts changes of what people set up
    "setting",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
