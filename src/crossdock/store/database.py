"""Opening a database: which driver, which rules, one connection that writes, a pool that only reads.

SQLite: WAL with `synchronous=FULL`, read back; readers are `query_only`; a lock file keeps a second process out; the
bundled SQLite is used, because releases before 3.51.3 can corrupt a WAL with two connections
(https://sqlite.org/wal.html#walresetbug).
PostgreSQL: version 15 or newer, `synchronous_commit` on.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Literal, TypeAlias

import pysqlite3.dbapi2 as bundled_sqlite
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from crossdock.model.errors import Misconfigured, StoreUnavailable

Dialect: TypeAlias = Literal["sqlite", "postgresql"]

SAFE_SQLITE = (3, 51, 3)
POSTGRESQL_FLOOR = 150_000
READERS = 8
CHECKPOINT_PAGES = 4_000


@dataclass(frozen=True, slots=True)
class Database:
    """The engines of one database. `writer` hands out a single autocommit connection: its user says BEGIN itself."""

    url: URL
    dialect: Dialect
    writer: Engine
    reader: Engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only connection of the pool; StoreUnavailable when none is to be had."""
        try:
            with self.reader.connect() as connection:
                yield connection
        except DBAPIError as error:
            if is_unavailable(error):
                raise unavailable(error) from error
            raise

    def dispose(self) -> None:
        self.reader.dispose()
        self.writer.dispose()


def parse_url(text: str) -> URL:
    """The URL with the driver that Crossdock uses; Misconfigured when it names another database."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise Misconfigured(
            f"{text!r} is not a database URL; write sqlite:///path/to/file.db or postgresql://user@host/name"
        ) from None
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise Misconfigured("SQLite needs a file to be durable: sqlite:///path/to/file.db")
        return url.set(drivername="sqlite+pysqlite")
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise Misconfigured(f"{backend} is not supported; use sqlite:/// or postgresql://")


def open_database(text: str) -> Database:
    """Engines for a URL. Nothing is connected yet."""
    url = parse_url(text)
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    options = {"paramstyle": "format", "isolation_level": "AUTOCOMMIT"}
    writer = create_engine(url, poolclass=NullPool, connect_args=_postgresql_arguments("writer"), **options)
    reader = create_engine(
        url,
        pool_size=READERS,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=10,
        connect_args=_postgresql_arguments("reader"),
        **options,
    )
    event.listen(writer, "connect", _check_postgresql)
    event.listen(reader, "connect", _read_only_postgresql)
    return Database(url, "postgresql", writer, reader)


def _postgresql_arguments(use: str) -> dict[str, object]:
    return {
        "application_name": f"crossdock {use}",
        "connect_timeout": 5,
        "prepare_threshold": 3,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }


def _check_postgresql(connection: object, _record: object) -> None:
    version = connection.info.server_version  # type: ignore[attr-defined]
    if version < POSTGRESQL_FLOOR:
        raise Misconfigured(f"PostgreSQL {version // 10_000} is too old; 15 or newer is needed")
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("SET synchronous_commit = on")
    cursor.execute("SET lock_timeout = '10s'")
    cursor.execute("SET idle_in_transaction_session_timeout = '30s'")
    cursor.close()


def _read_only_postgresql(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("SET default_transaction_read_only = on")
    cursor.execute("SET statement_timeout = '60s'")
    cursor.close()


def sqlite_module() -> ModuleType:
    """The SQLite driver to use: the bundled one, or the system's where it is new enough too."""
    if bundled_sqlite.sqlite_version_info >= SAFE_SQLITE:
        return bundled_sqlite  # type: ignore[no-any-return]
    if sqlite3.sqlite_version_info >= SAFE_SQLITE:
        return sqlite3
    raise Misconfigured(
        f"SQLite {bundled_sqlite.sqlite_version} can corrupt a database that is in use; "
        "install pysqlite3 0.6.1 or newer"
    )


def _sqlite(url: URL) -> Database:
    module = sqlite_module()
    arguments = {"check_same_thread": False, "timeout": 10.0, "cached_statements": 1024, "isolation_level": None}
    Path(url.database or "").parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    writer = create_engine(url, module=module, poolclass=NullPool, connect_args=arguments, isolation_level="AUTOCOMMIT")
    reader = create_engine(
        url,
        module=module,
        poolclass=QueuePool,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=10,
        connect_args=arguments,
        isolation_level="AUTOCOMMIT",
    )
    event.listen(writer, "connect", _prepare_writer)
    event.listen(reader, "connect", _prepare_reader)
    return Database(url, "sqlite", writer, reader)


def _prepare_writer(connection: sqlite3.Connection, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-65536",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        f"journal_size_limit={64 * 1024 * 1024}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
    synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
    cursor.close()
    if mode != "wal" or synchronous != 2:
        raise Misconfigured(
            f"SQLite did not take WAL with synchronous=FULL (got {mode}, {synchronous}): "
            "the file system of the data folder does not support it"
        )


def _prepare_reader(connection: sqlite3.Connection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.execute("PRAGMA cache_size=-16384")
    cursor.close()


class LockFile:
    """Keeps a second process out of a SQLite database. The system releases it when the process ends in any way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Misconfigured when another process has it; the message names that process."""
        file = self.path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise Misconfigured(
                f"another Crossdock (process {holder}) is using {self.path.with_suffix('')}; stop it first, "
                "choose another data folder (--data), or use PostgreSQL to run several processes"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def lock_file(database: Database) -> LockFile | None:
    """The lock of a SQLite database; PostgreSQL is made to be shared and has none."""
    if database.dialect != "sqlite":
        return None
    return LockFile(Path(f"{database.url.database}.lock"))


def is_unavailable(error: Exception) -> bool:
    """Whether the database, and not the statement, is the trouble: gone, full, locked, read-only or restarting."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, OperationalError | InterfaceError):
        return not _blames_statement(error)
    return isinstance(error, StoreUnavailable)


_PROGRAM_LIMIT_EXCEEDED = "54"
_SQLITE_ERROR = 1


def _blames_statement(error: DBAPIError) -> bool:
    """Drivers call some refused statements operational errors too: trying those again would never end."""
    # Differs: SQLSTATE class 54 on PostgreSQL (a value too large for it), the general error code on SQLite.
    state = getattr(error.orig, "sqlstate", None) or ""
    return state.startswith(_PROGRAM_LIMIT_EXCEEDED) or getattr(error.orig, "sqlite_errorcode", None) == _SQLITE_ERROR


def unavailable(error: Exception) -> StoreUnavailable:
    """What callers are told; the driver's own words stay in the log."""
    return StoreUnavailable("the database can't be used at the moment; try again shortly")
