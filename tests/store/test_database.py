"""Opening databases: the rules that make them durable, read back; who is kept out; what counts as an outage."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from crossdock.model.errors import Misconfigured, StoreUnavailable
from crossdock.store import Store, open_store
from crossdock.store.database import LockFile, is_unavailable, open_database, parse_url
from crossdock.store.migrate import LATEST_REVISION, current_revision, migrate

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


# --- which one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:////data/x.db", "sqlite+pysqlite"),
        ("postgresql://u:p@host/db", "postgresql+psycopg"),
        ("postgresql+psycopg2://u:p@host/db", "postgresql+psycopg"),
    ],
)
def test_a_url_gets_the_driver_that_is_used(given: str, driver: str) -> None:
    assert parse_url(given).drivername == driver


@pytest.mark.parametrize("given", ["", "x", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "oracle://x"])
def test_another_database_is_refused_with_what_to_write(given: str) -> None:
    with pytest.raises(Misconfigured, match=r"sqlite:///"):
        parse_url(given)


# --- SQLite ----------------------------------------------------------------------------------------------------------


@sqlite_only
async def test_sqlite_syncs_every_commit(store: Store) -> None:
    def pragmas(connection: Connection) -> list[Any]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await store.write(pragmas) == ["wal", 2, 1]


async def test_readers_can_not_write(store: Store) -> None:
    with pytest.raises((DBAPIError, StoreUnavailable), match=r"read-?only|can't be used"):
        await store.read(lambda c: c.execute(text("INSERT INTO setting (name, value) VALUES ('a', 'b')")))

    assert await store.read(lambda c: c.execute(text("SELECT count(*) FROM setting")).scalar()) == 0


@sqlite_only
async def test_a_second_store_on_one_file_is_refused_and_the_first_goes_on(store: Store, database_url: str) -> None:
    with pytest.raises(Misconfigured, match=r"another Crossdock \(process \d+\)"):
        async with open_store(database_url):
            pass

    assert await store.write(current_revision) == LATEST_REVISION


@sqlite_only
async def test_a_stopped_store_lets_the_next_in(database_url: str) -> None:
    for _ in range(2):
        async with open_store(database_url) as store:
            assert await store.read(current_revision) == LATEST_REVISION


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "crossdock.db.lock"
    program = (
        "import os, sys; from pathlib import Path; from crossdock.store.database import LockFile; "
        f"lock = LockFile(Path({str(path)!r})); lock.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(Misconfigured, match=f"process {process.pid}"):
        LockFile(path).acquire()

    process.kill()
    process.wait(20)
    process.stdin.close()
    process.stdout.close()
    lock = LockFile(path)
    lock.acquire()
    lock.release()


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@postgresql_only
async def test_postgresql_confirms_commits_when_they_are_durable(store: Store) -> None:
    assert await store.write(lambda c: c.execute(text("SHOW synchronous_commit")).scalar()) == "on"


@postgresql_only
async def test_a_reader_whose_connection_is_cut_gets_another(store: Store) -> None:
    def cut(connection: Connection) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(StoreUnavailable):
        await store.read(cut)

    for _ in range(20):
        assert await store.read(current_revision) == LATEST_REVISION


async def test_a_database_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    for url in ("postgresql://nobody@127.0.0.1:1/none", f"sqlite:///{tmp_path}"):
        with pytest.raises(Misconfigured):
            async with open_store(url):
                pass


# --- migrating -------------------------------------------------------------------------------------------------------


def test_an_empty_database_is_brought_up_to_date_once(empty_database_url: str) -> None:
    database = open_database(empty_database_url)

    migrate(database)
    migrate(database)

    with database.reading() as connection:
        assert current_revision(connection) == LATEST_REVISION
    database.dispose()


@pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
def test_nodes_that_start_together_migrate_one_after_the_other(empty_database_url: str) -> None:
    databases = [open_database(empty_database_url) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, databases))

    with databases[0].reading() as connection:
        assert current_revision(connection) == LATEST_REVISION
    for database in databases:
        database.dispose()


def test_a_newer_database_is_left_as_it_is(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    migrate(database)
    with database.writer.connect() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(Misconfigured, match="newer Crossdock"):
        migrate(database)

    with database.reading() as connection:
        assert current_revision(connection) == "9999"
    database.dispose()


# --- rules that live in the schema -----------------------------------------------------------------------------------

RUN = {
    "event_id": "e", "integration_id": "i", "state": "queued", "workflow_number": 0, "accepted_at": 1, "due_at": 1,
    "attempts": 0, "losses": 0, "cancel_requested": False,
}  # fmt: skip
BROKEN: list[dict[str, Any]] = [
    {"state": "nonsense"},
    {"state": "running"},
    {"lease_token": "t"},
    {"state": "succeeded"},
    {"finished_at": 1},
    {"state": "waiting", "waiting_for": "nonsense"},
]


async def test_the_schema_refuses_states_that_can_not_be(store: Store) -> None:
    def add(connection: Connection, row: dict[str, Any]) -> None:
        columns = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO run ({columns}) VALUES ({values})"), row)

    for broken in BROKEN:
        with pytest.raises(DBAPIError, match=r"(?i)check"):
            await store.write(add, {**RUN, **broken})
    await store.write(add, RUN)


async def test_a_refused_statement_is_no_outage(store: Store) -> None:
    def act(connection: Connection) -> None:
        connection.execute(text("SELECT nonsense FROM nowhere"))

    with pytest.raises(DBAPIError) as refused:
        await store.read(act)

    assert not is_unavailable(refused.value)
