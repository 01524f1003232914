"""Migrations: the tables that they make are the schema's, and nodes before and after one work on them together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, insert, text

from crossdock.model.errors import Misconfigured
from crossdock.store import Store, schema
from crossdock.store.database import Database, open_database
from crossdock.store.migrate import (
    LATEST_REVISION,
    OLDEST_PROGRAM,
    RETIRED_INDEXES,
    current_revision,
    lacking_indexes,
    migrate,
)
from crossdock.store.schema import metadata

pytestmark = pytest.mark.anyio

postgresql_only = pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
MIGRATIONS = Path(migrate.__code__.co_filename).parent / "migrations"
VERSIONS = MIGRATIONS / "versions"


async def test_migrations_make_the_tables_of_the_schema(store: Store) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    assert await store.read(differences) == []


async def test_a_migrated_database_is_at_the_latest_revision(store: Store) -> None:
    assert await store.read(current_revision) == LATEST_REVISION


def test_the_latest_revision_is_the_last_file() -> None:
    assert max(path.name for path in VERSIONS.glob("0*.py")).startswith(LATEST_REVISION)


# --- programs and tables of neighbouring releases --------------------------------------------------------------------


@pytest.fixture
def older(empty_database_url: str) -> Iterator[Database]:
    """A database as the oldest program that may share it left it, with an event in it."""
    database = open_database(empty_database_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.direct.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        config.attributes["connection"] = connection
        command.upgrade(config, OLDEST_PROGRAM)
        add_event(connection, "evt_1", columns_of(connection))
        connection.exec_driver_sql("COMMIT")
    yield database
    database.dispose()


def columns_of(connection: Connection) -> dict[str, list[str]]:
    """The columns of every table, as a program of this moment names them in its statements."""
    found = MetaData()
    found.reflect(connection)
    return {table.name: [column.name for column in table.columns] for table in found.sorted_tables}


VALUES: dict[str, Any] = {
    "id": "x", "event_id": "x", "integration_id": "int_a", "received_at": 1, "method": "POST", "path": "/",
    "query": "[]", "headers": "[]", "content_type": "", "source_ip": "", "depth": 0, "size": 1, "body": b"x",
    "state": "queued",
    "workflow_number": 1, "accepted_at": 1, "due_at": 1, "attempts": 0, "losses": 0, "cancel_requested": False,
    "key": "k", "last_sequence": 1, "last_used_at": 1, "host": "h", "pid": 1, "version": "1", "started_at": None,
    "heartbeat_at": 1, "dormant": False, "position": 0, "roles": "run", "address": "", "is_leaving": False,
    "stance": "", "clock_skew": 0, "key_ids": "", "hears": True, "lease_seconds": 10,
    "steps": "[]", "kind": "reply", "created_at": 1, "expires_at": None,
}  # fmt: skip
WRITTEN = ("event", "run", "journal", "lane", "delivery", "node")


def add_event(connection: Connection, event_id: str, columns: dict[str, list[str]]) -> None:
    """A row in each of the hot tables, with all columns that the program knew, and no other."""
    for name in WRITTEN:
        row = {column: VALUES.get(column) for column in columns[name]}
        row |= {column: event_id for column in ("id", "event_id") if column in row}
        if name == "node":
            row["started_at"] = 1
        connection.execute(insert(schema.metadata.tables[name]).values(row))


def test_statements_of_the_program_before_work_on_the_new_tables(older: Database) -> None:
    with older.direct.connect() as connection:
        columns = columns_of(connection)

    migrate(older)

    with older.direct.connect() as connection:
        add_event(connection, "evt_2", columns)
        for name in WRITTEN:
            old = ", ".join(columns[name])
            assert len(connection.exec_driver_sql(f"SELECT {old} FROM {name}").all()) == 2


def test_a_newer_program_may_let_this_one_go_on(older: Database) -> None:
    migrate(older)
    with older.direct.connect() as connection:
        newer = '{"tables":"9999","oldest_program":"%s"}' % LATEST_REVISION  # noqa: UP031
        connection.execute(text("UPDATE alembic_version SET version_num = '9999', compatible = :said"), {"said": newer})

    migrate(older)

    with older.direct.connect() as connection:
        assert current_revision(connection) == "9999"


TOO_NEW = ('{"tables":"9999","oldest_program":"9998"}', '{"tables":"9998","oldest_program":"0003"}', None)


@pytest.mark.parametrize("said", TOO_NEW)
def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path, said: str | None) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'newer.db'}")
    migrate(database)
    with database.writer.connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999', compatible = :said"), {"said": said})

    with pytest.raises(Misconfigured, match="newer Crossdock"):
        migrate(database)


# --- while work goes on ----------------------------------------------------------------------------------------------


@postgresql_only
def test_tables_in_use_are_changed_between_two_transactions(older: Database, empty_database_url: str) -> None:
    longest, turns, is_over = 0.0, 0, threading.Event()

    def work() -> None:
        nonlocal longest, turns
        with psycopg.connect(empty_database_url, autocommit=True) as connection:
            while not is_over.is_set():
                began = time.monotonic()
                with connection.transaction():
                    connection.execute("UPDATE run SET attempts = attempts + 1")
                    connection.execute("SELECT pg_sleep(0.05)")
                    connection.execute("UPDATE lane SET last_sequence = last_sequence + 1")
                longest, turns = max(longest, time.monotonic() - began), turns + 1

    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(work) for _ in range(2)]
        migrate(older)
        is_over.set()
        for worker in workers:
            worker.result()

    with older.direct.connect() as connection:
        assert current_revision(connection) == LATEST_REVISION
    assert turns > 0
    assert longest < 10


@postgresql_only
def test_a_lock_that_is_not_to_be_had_is_tried_again(older: Database, empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as operator, ThreadPoolExecutor(1) as pool:
        operator.execute("SELECT * FROM run")
        migrating = pool.submit(migrate, older)
        with older.writer.connect() as connection:  # nobody queues behind the migration for longer than it waits itself
            for _ in range(30):
                connection.execute(text("UPDATE run SET attempts = attempts + 1"))
                connection.execute(text("SELECT pg_sleep(0.1)"))
        assert not migrating.done()
        operator.rollback()
        migrating.result(30)

    with older.direct.connect() as connection:
        assert current_revision(connection) == LATEST_REVISION


# --- indexes, beside the work ----------------------------------------------------------------------------------------


def indexes(database: Database) -> set[str]:
    with database.direct.connect() as connection:
        query = "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisvalid"
        return set(connection.exec_driver_sql(query).scalars())


@postgresql_only
def test_indexes_of_a_table_with_rows_are_built_beside_the_work(older: Database) -> None:
    assert indexes(older) & set(RETIRED_INDEXES)

    migrate(older)

    assert {"run_delayed", "run_held"} <= indexes(older)
    assert not indexes(older) & set(RETIRED_INDEXES)


@postgresql_only
def test_an_index_whose_building_was_cut_off_is_built_again(older: Database) -> None:
    migrate(older)
    with older.direct.connect() as connection:
        connection.exec_driver_sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'run_held'::regclass")
    assert "run_held" not in indexes(older)

    migrate(older)

    assert "run_held" in indexes(older)
    with older.direct.connect() as connection:
        assert lacking_indexes(connection) == []


@postgresql_only
def test_nodes_that_start_together_build_an_index_once(older: Database, empty_database_url: str) -> None:
    databases = [open_database(empty_database_url) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, databases))

    assert {str(index.name) for table in metadata.sorted_tables for index in table.indexes} <= indexes(older)
    for database in databases:
        database.dispose()


# --- how tables are stored -------------------------------------------------------------------------------------------

STORED: dict[str, dict[str, float]] = {
    "run": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02},
    "delivery": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02},
    "lane": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02},
    "dedupe": {"autovacuum_vacuum_scale_factor": 0.02},
    "event": {"autovacuum_vacuum_scale_factor": 0.05},
    "journal": {"autovacuum_vacuum_scale_factor": 0.05},
    "attempt": {"autovacuum_vacuum_scale_factor": 0.05},
    "node": {"fillfactor": 50, "autovacuum_vacuum_threshold": 200},
    "setting": {"fillfactor": 50, "autovacuum_vacuum_threshold": 200},
    "duty": {"fillfactor": 50, "autovacuum_vacuum_threshold": 200},
    "rate_use": {"fillfactor": 50, "autovacuum_vacuum_threshold": 200},
    "api_key": {"fillfactor": 70, "autovacuum_vacuum_threshold": 200},
    "rejection": {"fillfactor": 70, "autovacuum_vacuum_threshold": 200},
    "bulk_job": {"fillfactor": 70, "autovacuum_vacuum_threshold": 200},
    "outcome": {"autovacuum_vacuum_threshold": 200},
    "health": {"fillfactor": 50, "autovacuum_vacuum_threshold": 200},
    "health_issue": {"fillfactor": 70, "autovacuum_vacuum_threshold": 200},
    "told": {"fillfactor": 70, "autovacuum_vacuum_threshold": 200},
    "held_notice": {"autovacuum_vacuum_threshold": 200},
    "webhook_record": {"fillfactor": 50, "autovacuum_vacuum_threshold": 200},
    "traffic": {"fillfactor": 70, "autovacuum_vacuum_threshold": 200},
    "session": {"fillfactor": 70, "autovacuum_vacuum_threshold": 200},
    "sign_in_failure": {"autovacuum_vacuum_threshold": 200},
}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_tables_that_change_much_are_tidied_early(store: Store) -> None:
    def options(connection: Connection) -> dict[str, dict[str, float]]:
        rows = connection.exec_driver_sql("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL")
        split = {row[0]: [option.partition("=") for option in row[1]] for row in rows if row[0] in STORED}
        return {name: {key: float(value) for key, _, value in parts} for name, parts in split.items()}

    found = await store.read(options)

    assert {name: {key: found[name][key] for key in wanted} for name, wanted in STORED.items()} == STORED


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_lane_is_changed_in_place(store: Store) -> None:
    """PostgreSQL does so (HOT) only while nothing that is indexed changes."""

    def go_on(connection: Connection) -> int:
        connection.exec_driver_sql(
            "INSERT INTO lane (id, integration_id, key, last_sequence, last_used_at, lease_node, lease_token) "
            "VALUES ('int_a:k', 'int_a', 'k', 1, 1, 'n', 't')"
        )
        for n in range(50):
            connection.exec_driver_sql(f"UPDATE lane SET last_sequence = {n}, last_used_at = {n}, dormant = false")
        query = "SELECT pg_stat_get_xact_tuples_hot_updated('lane'::regclass)"
        return int(connection.exec_driver_sql(query).scalar_one())

    assert await store.write(go_on) == 50
