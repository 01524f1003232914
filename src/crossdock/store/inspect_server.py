"""What a PostgreSQL server tells about how it is set up and how it fares, for `crossdock doctor`.

Any role may ask all of it. What other roles' sessions do is told to members of `pg_monitor` only; such sessions are
passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from crossdock.store import schema
from crossdock.store.database import READERS

CONNECTIONS_PER_NODE = READERS + 5
"""Readers, the recorder, the heartbeat, the counts of rate limits, and one each for sending and hearing signals."""

LONG_SECONDS = 60.0
"""From when on a transaction is told of: none of Crossdock's own takes a tenth of it."""

_ASKED = (
    "autovacuum", "fsync", "full_page_writes", "idle_session_timeout", "max_connections", "reserved_connections",
    "superuser_reserved_connections", "synchronous_commit", "synchronous_standby_names", "track_counts",
    "transaction_timeout",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LongTransaction:
    """`what` is who holds it: a session, or a prepared transaction."""

    what: str
    seconds: float
    how_to_end: str


@dataclass(frozen=True, slots=True)
class TableHealth:
    name: str
    live_rows: int
    dead_rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Standby:
    """A server that follows this one; `lag_seconds` is how far behind, None where it is told nobody."""

    name: str
    state: str
    is_synchronous: bool
    lag_seconds: float | None


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """`settings` are those of the server as it was started, in its own units."""

    settings: Mapping[str, str]
    connections: int
    """Of all clients, in all databases."""
    connection_limit: int
    """The least of what the server leaves to ordinary roles, what this role may have and what the database may have."""
    transactions: tuple[LongTransaction, ...]
    tables: tuple[TableHealth, ...]
    standbys: tuple[Standby, ...]
    idle_slots: tuple[str, ...]
    """Replication slots that nobody reads: the server keeps everything since they stopped."""
    transaction_age: int
    """How many transactions ago the oldest row was written that was not frozen; work stops at 2,000 million."""


def inspect_server(connection: Connection, long_seconds: float = LONG_SECONDS) -> ServerFacts:
    """Ask a PostgreSQL server about itself. Transactions are told of when they are older than `long_seconds`."""
    settings = _settings(connection)
    return ServerFacts(
        settings=settings,
        connections=_number(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"),
        connection_limit=_connection_limit(connection, settings),
        transactions=tuple(LongTransaction(*row) for row in connection.execute(_TRANSACTIONS, {"long": long_seconds})),
        tables=tuple(TableHealth(*row) for row in connection.execute(_TABLES, {"names": _table_names()})),
        standbys=tuple(Standby(*row) for row in connection.execute(_STANDBYS)),
        idle_slots=tuple(connection.execute(_IDLE_SLOTS).scalars()),
        transaction_age=_number(
            connection, "SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()"
        ),
    )


def _settings(connection: Connection) -> dict[str, str]:
    """What the server was set to; sessions may have other values of some."""
    query = text("SELECT name, coalesce(reset_val, setting) FROM pg_settings WHERE name = ANY(CAST(:names AS text[]))")
    return {row[0]: row[1] for row in connection.execute(query, {"names": list(_ASKED)})}


def _connection_limit(connection: Connection, settings: Mapping[str, str]) -> int:
    kept = ("superuser_reserved_connections", "reserved_connections")
    limits = [int(settings["max_connections"]) - sum(int(settings.get(name, 0)) for name in kept)]
    for query in (
        "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user",
        "SELECT datconnlimit FROM pg_database WHERE datname = current_database()",
    ):
        limit = _number(connection, query)
        limits += [limit] if limit >= 0 else []
    return min(limits)


def _number(connection: Connection, query: str) -> int:
    return int(connection.exec_driver_sql(query).scalar_one())


def _table_names() -> list[str]:
    return [table.name for table in schema.metadata.sorted_tables]


_TRANSACTIONS: Any = text(
    """
    SELECT 'session ' || pid || ' (' || coalesce(nullif(application_name, ''), usename, '?') || ', ' || state || ')',
        extract(epoch FROM clock_timestamp() - xact_start)::float8,
        'SELECT pg_terminate_backend(' || pid || ')'
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
        AND xact_start < clock_timestamp() - make_interval(secs => :long)
    UNION ALL
    SELECT 'prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared)::float8,
        'ROLLBACK PREPARED ' || quote_literal(gid)
    FROM pg_prepared_xacts
    WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => :long)
    ORDER BY 2 DESC
    """
)

_TABLES: Any = text(
    """
    SELECT relname::text, n_live_tup, n_dead_tup, pg_total_relation_size(relid)
    FROM pg_stat_user_tables
    WHERE relid IN (SELECT CAST(to_regclass(name) AS oid) FROM unnest(CAST(:names AS text[])) AS t(name))
    ORDER BY pg_total_relation_size(relid) DESC, relname
    """
)

_STANDBYS: Any = text(
    """
    SELECT coalesce(nullif(application_name, ''), 'standby'), coalesce(state, 'unknown'),
        coalesce(sync_state IN ('sync', 'quorum'), false), extract(epoch FROM replay_lag)::float8
    FROM pg_stat_replication ORDER BY 1
    """
)

_IDLE_SLOTS: Any = text("SELECT slot_name::text FROM pg_replication_slots WHERE NOT active ORDER BY 1")
