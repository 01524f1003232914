"""The tables of the nodes, and of what they share out between them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    String,
    Table,
    Text,
    false,
    true,
)

from crossdock.store.schema.shared import metadata

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
