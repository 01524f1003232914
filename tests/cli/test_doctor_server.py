"""What `crossdock doctor` finds wrong with a PostgreSQL server, each made to be so on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from crossdock.cli.doctor import judge_database
from crossdock.cli.doctor_server import judge_server
from crossdock.cli.findings import Finding
from crossdock.clock import system_now
from crossdock.store.database import open_database
from crossdock.store.inspect import DatabaseFacts, inspect_database
from crossdock.store.inspect_server import ServerFacts, Standby, inspect_server
from crossdock.store.migrate import migrate
from tests.support.postgres import OwnServer

GOOD = ServerFacts(
    settings={"fsync": "on", "full_page_writes": "on", "autovacuum": "on", "track_counts": "on"},
    connections=3,
    connection_limit=97,
    transactions=(),
    tables=(),
    standbys=(),
    idle_slots=(),
    transaction_age=1_000,
)
"""As a server tells of itself that nothing is wrong with."""


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """A server that is set up badly on purpose."""
    made = OwnServer(settings=("autovacuum=off", "max_prepared_transactions=2", "wal_level=replica"))
    yield made
    made.remove()


@pytest.fixture
def url(server: OwnServer) -> Iterator[str]:
    name = server.create_database()
    database = open_database(server.url(name))
    migrate(database)
    database.dispose()
    yield server.url(name)
    server.drop_database(name)


def tell(url: str, *statements: str) -> None:
    """Carry statements out, in one session."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def alter(url: str, what: str) -> None:
    """Change the database itself."""
    tell(url, f"ALTER DATABASE {url.rpartition('/')[2]} {what}")


def judged(server: ServerFacts) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in judge_server(DatabaseFacts("postgresql", "x/y", server=server)):
        assert finding.advice or finding.grade == "ok"
        found.setdefault(finding.subject, []).append(finding)
    return found


def examined(url: str, *, long_seconds: float = 60.0) -> dict[str, list[Finding]]:
    """What is said about the server behind a URL."""
    database = open_database(url)
    try:
        with database.reading() as connection:
            return judged(inspect_server(connection, long_seconds))
    finally:
        database.dispose()


def words(findings: list[Finding]) -> str:
    return "\n".join(finding.message for finding in findings)


def test_a_good_server_is_fine() -> None:
    assert [finding.grade for finding in judged(GOOD)["server"]] == ["ok"]


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "autovacuum"])
def test_switches_that_lose_events_or_let_tables_grow_are_errors(url: str, setting: str) -> None:
    found = [finding for finding in examined(url)["server"] if finding.message.startswith(f"{setting} is off")]

    assert [finding.grade for finding in found] == ["error"]


@pytest.mark.parametrize(("setting", "value"), [("idle_session_timeout", "10min"), ("transaction_timeout", "3s")])
def test_timeouts_that_cut_connections_off_are_told(url: str, setting: str, value: str) -> None:
    alter(url, f"SET {setting} = '{value}'")

    assert f"{setting} is" in words(examined(url)["server"])


def test_too_few_connections_for_the_nodes_are_told(url: str) -> None:
    alter(url, "CONNECTION LIMIT 5")

    assert "only 5 may be had" in words(examined(url)["connections"])


def test_a_transaction_that_is_left_open_is_told_with_how_to_end_it(url: str) -> None:
    with psycopg.connect(url, application_name="forgotten") as connection:
        pid = connection.info.backend_pid
        connection.execute("SELECT 1")

        (found,) = examined(url, long_seconds=0.0)["long transaction"]

    assert f"session {pid} (forgotten, idle in transaction)" in found.message
    assert f"pg_terminate_backend({pid})" in found.advice


def test_a_prepared_transaction_that_nobody_ends_is_told(url: str) -> None:
    tell(url, "BEGIN", "CREATE TABLE half (n int)", "PREPARE TRANSACTION 'left'")
    try:
        (found,) = examined(url, long_seconds=0.0)["long transaction"]
    finally:
        tell(url, "ROLLBACK PREPARED 'left'")

    assert "prepared transaction left" in found.message
    assert found.advice.endswith("ROLLBACK PREPARED 'left'")


def test_a_young_transaction_is_nothing_to_tell_of(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1")

        assert "long transaction" not in examined(url)


def test_a_table_of_dead_rows_is_told(url: str) -> None:
    tell(
        url,
        "INSERT INTO rate_use (integration_id, slice, count) SELECT 'i', n, 1 FROM generate_series(1, 60000) AS n",
        "DELETE FROM rate_use",
        "SELECT pg_stat_force_next_flush()",
    )

    (found,) = examined(url)["dead rows"]

    assert "table rate_use: 60000 dead beside 0 live rows" in found.message
    assert found.advice.endswith("VACUUM rate_use")


def test_a_replication_slot_that_nobody_reads_is_told(url: str) -> None:
    tell(url, "SELECT pg_create_physical_replication_slot('left_behind')")
    try:
        found = examined(url)["replication"]
    finally:
        tell(url, "SELECT pg_drop_replication_slot('left_behind')")

    assert "left_behind" in words(found)


def test_commits_that_would_wait_for_a_standby_that_is_not_there_are_an_error(url: str) -> None:
    tell(url, "ALTER SYSTEM SET synchronous_standby_names = 'far'", "SELECT pg_reload_conf()")
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            while connection.execute("SHOW synchronous_standby_names").fetchone() != ("far",):
                pass
        (found,) = examined(url)["replication"]
    finally:
        tell(url, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")

    assert (found.grade, "'far'" in found.message) == ("error", True)


@pytest.mark.parametrize(
    ("standby", "is_told"),
    [
        (Standby("b", "streaming", False, 0.2), False),
        (Standby("b", "streaming", False, None), False),
        (Standby("b", "streaming", False, 30.0), True),
        (Standby("b", "catchup", False, 1.0), True),
    ],
)
def test_a_standby_that_lags_is_told(standby: Standby, is_told: bool) -> None:
    assert ("replication" in judged(replace(GOOD, standbys=(standby,)))) is is_told


def test_rows_that_were_never_frozen_are_an_error() -> None:
    assert "frozen" in words(judged(replace(GOOD, transaction_age=1_500_000_000))["server"])


def test_nearly_all_connections_in_use_are_told() -> None:
    assert "90 of 97" in words(judged(replace(GOOD, connections=90))["connections"])


def test_a_server_that_only_reads_is_told_as_a_standby(url: str) -> None:
    alter(url, "SET default_transaction_read_only = on")

    (found,) = judge_database(inspect_database(url, system_now()))

    assert found.grade == "error"
    assert "name the primary" in found.advice


def test_a_role_that_may_not_see_others_is_answered_all_the_same(url: str) -> None:
    tell(url, "CREATE ROLE modest LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO modest")
    try:
        found = examined(url.replace("postgres@", "modest@"))
    finally:
        tell(url, "DROP OWNED BY modest", "DROP ROLE modest")

    assert found["server"]
