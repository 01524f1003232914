"""What is wrong with how a PostgreSQL server is set up, or with how it fares, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from crossdock.cli.findings import Finding
from crossdock.cli.output import duration_words
from crossdock.store.inspect import DatabaseFacts
from crossdock.store.inspect_server import CONNECTIONS_PER_NODE, ServerFacts

DEAD_SHARE = 0.5
DEAD_ROWS = 50_000
"""Dead rows are told of from so many on, where they are half as many as the others: vacuum comes far earlier."""
STANDBY_LAG_SECONDS = 10.0
OLD_TRANSACTIONS = 1_000_000_000
SHORTEST_TRANSACTION_SECONDS = 10.0
"""A transaction of Crossdock's may take 8 s for one statement."""


def judge_server(facts: DatabaseFacts) -> Iterator[Finding]:
    server = facts.server
    if server is None:
        return
    found = [
        *_judge_settings(server),
        *_judge_timeouts(server),
        *_judge_connections(server, len(facts.installation.nodes) if facts.installation else 0, facts.is_pooled),
        *_judge_transactions(server),
        *_judge_tables(server),
        *_judge_replication(server),
    ]
    if not found:
        yield Finding("server", "ok", f"{server.connections} of {server.connection_limit} connections are in use")
    yield from found


def _judge_settings(server: ServerFacts) -> Iterator[Finding]:
    if server.settings.get("fsync") == "off":
        words = "fsync is off: a power loss may destroy the whole database"
        yield Finding(
            "server", "error", words, "set fsync = on, restart PostgreSQL, and restore a backup if it crashed"
        )
    if server.settings.get("full_page_writes") == "off":
        words = "full_page_writes is off: a power loss may leave torn pages"
        yield Finding("server", "error", words, "set full_page_writes = on, unless the file system never tears pages")
    for name in ("autovacuum", "track_counts"):
        if server.settings.get(name) == "off":
            words = f"{name} is off: tables and indexes grow without end, and become slow"
            yield Finding("server", "error", words, f"set {name} = on")
    if server.transaction_age > OLD_TRANSACTIONS:
        words = f"rows have waited {server.transaction_age // 1_000_000} million transactions to be frozen"
        advice = "find what keeps vacuum from it (old transactions, idle slots), then run: vacuumdb --freeze"
        yield Finding("server", "error", words, advice)


def _judge_timeouts(server: ServerFacts) -> Iterator[Finding]:
    idle = int(server.settings.get("idle_session_timeout", 0))
    if idle:
        words = f"idle_session_timeout is {idle} ms: connections that rest are cut, and made anew for the next call"
        yield Finding("server", "warning", words, "set it to 0 for Crossdock's role: ALTER ROLE ... SET ...")
    whole = int(server.settings.get("transaction_timeout", 0)) / 1_000
    if 0 < whole < SHORTEST_TRANSACTION_SECONDS:
        words = f"transaction_timeout is {whole:g} s: shared commits under load may be cut off"
        yield Finding("server", "warning", words, f"set it to 0 or to {SHORTEST_TRANSACTION_SECONDS:g} s and more")


def _judge_connections(server: ServerFacts, nodes: int, is_pooled: bool) -> Iterator[Finding]:
    needed = max(nodes, 1) * CONNECTIONS_PER_NODE
    limit = server.connection_limit
    if not is_pooled and needed > limit:
        yield Finding(
            "connections",
            "error" if server.connections >= limit else "warning",
            f"{nodes} node(s) may want {needed} connections, and only {limit} may be had ({server.connections} in use)",
            f"raise max_connections ({CONNECTIONS_PER_NODE} for each node), or put a pooler between",
        )
    elif server.connections >= limit * 0.9:
        words = f"{server.connections} of {limit} connections are in use"
        yield Finding("connections", "warning", words, "raise max_connections, or find who takes so many")


def _judge_transactions(server: ServerFacts) -> Iterator[Finding]:
    for held in server.transactions:
        yield Finding(
            "long transaction",
            "warning",
            f"{held.what} has been open for {duration_words(held.seconds)}: no dead row can be tidied up meanwhile",
            f"end it if nobody needs it: {held.how_to_end}",
        )


def _judge_tables(server: ServerFacts) -> Iterator[Finding]:
    for table in server.tables:
        if table.dead_rows >= DEAD_ROWS and table.dead_rows >= table.live_rows * DEAD_SHARE:
            yield Finding(
                "dead rows",
                "warning",
                f"table {table.name}: {table.dead_rows} dead beside {table.live_rows} live rows, "
                f"{table.size_bytes / 1e6:.0f} MB in all",
                f"see that autovacuum comes to it and nothing holds it up; once by hand: VACUUM {table.name}",
            )


def _judge_replication(server: ServerFacts) -> Iterator[Finding]:
    for slot in server.idle_slots:
        words = (
            f"nobody reads the replication slot {slot}: the server keeps everything since then, until its disk is full"
        )
        yield Finding(
            "replication", "warning", words, f"let its reader come back, or: SELECT pg_drop_replication_slot('{slot}')"
        )
    for standby in server.standbys:
        lag = standby.lag_seconds or 0.0
        if standby.state != "streaming" or lag > STANDBY_LAG_SECONDS:
            words = f"standby {standby.name}: {standby.state}, {duration_words(lag)} behind"
            yield Finding("replication", "warning", words, "a failover now would wait for it, or lose what it lacks")
    names = server.settings.get("synchronous_standby_names", "")
    if names and not any(standby.is_synchronous for standby in server.standbys):
        words = f"synchronous_standby_names is {names!r}, and no such standby is there: commits wait for it without end"
        yield Finding("replication", "error", words, "bring the standby back, or empty the setting and reload")
