"""Opening a database: which driver, which rules, one connection that writes, a pool that only reads.

SQLite: WAL with `synchronous=FULL`, read back; readers are `query_only`; a lock file keeps a second process out; the
bundled SQLite is used, because releases before 3.51.3 can corrupt a WAL with two connections
(https://sqlite.org/wal.html#walresetbug).
PostgreSQL: version 15 or newer, `synchronous_commit` on; `store.postgresql` has the rest.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import IO, Any, Literal, TypeAlias, TypeVar

import pysqlite3.dbapi2 as bundled_sqlite
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from crossdock.model.errors import Misconfigured, StoreUnavailable
from crossdock.store.outages import Attempts, is_unavailable, unavailable

T = TypeVar("T")
Dialect: TypeAlias = Literal["sqlite", "postgresql"]

SAFE_SQLITE = (3, 51, 3)
READERS = 8
READ_SECONDS = 10.0
"""How long whoever asks PostgreSQL something waits for the answer, a free connection included."""
CHECKPOINT_PAGES = 4_000


@dataclass(frozen=True, slots=True)
class Database:
    """The engines of one database.

    `writer` hands out connections in autocommit: their user says BEGIN itself, in the words of `begin`. `direct` gives
    a connection of its own past any pooler, without limits: for migrations, and for listening.
    """

    url: URL
    dialect: Dialect
    writer: Engine
    reader: Engine
    direct: Engine
    direct_is_given: bool = False
    """Somebody named the way past the pooler."""

    @contextmanager
    def reading(self, deadline: float | None = None) -> Iterator[Connection]:
        """A read-only connection of the pool; StoreUnavailable when none is to be had.

        On PostgreSQL no answer is waited for beyond `deadline`, a moment of `time.monotonic`.
        """
        try:
            with self.reader.connect() as connection:
                if self.dialect == "postgresql":
                    _bound(connection, deadline)
                yield connection
        except DBAPIError as error:
            if is_unavailable(error):
                raise unavailable(error) from error
            raise

    def read(self, query: Callable[[Connection], T], deadline: float) -> T:
        """`query` on a connection of the pool, by the deadline; StoreUnavailable when that can't be.

        A connection that turns out to be dead is found out by its use, not by asking before each use: the question,
        which changes nothing, is asked once more on a new one.
        """
        if self.dialect == "postgresql" and monotonic() > deadline:
            raise StoreUnavailable("more is asked of the database than it can answer; try again shortly")
        try:
            with self.reading(deadline) as connection:
                return query(connection)
        except StoreUnavailable as error:
            cause = error.__cause__
            if self.dialect == "sqlite" or not isinstance(cause, DBAPIError) or not cause.connection_invalidated:
                raise
            if monotonic() > deadline:
                raise
        with self.reading(deadline) as connection:
            return query(connection)

    def begin(self, connection: Connection, *, lock_seconds: float | None = None) -> None:
        """Begin a transaction that writes, on a connection of `writer`. `lock_seconds` is how long it waits for a lock
        of another one, if that is to be less than usual.
        """
        words = "BEGIN IMMEDIATE" if self.dialect == "sqlite" else connection.info.get("begin", "BEGIN")
        if lock_seconds is not None and self.dialect == "postgresql":
            words += f"; SET LOCAL lock_timeout = '{lock_seconds * 1_000:.0f}ms'"
        connection.exec_driver_sql(words)

    def is_pooled(self, connection: Connection) -> bool:
        """Whether a connection goes through a pooler that lends its session to others between transactions."""
        return bool(connection.info.get("is_shared", False))

    def dispose(self) -> None:
        for engine in (self.reader, self.writer, self.direct):
            engine.dispose()


def parse_url(text: str) -> URL:
    """The URL with the driver that Crossdock uses; Misconfigured when it names another database."""
    try:
        url = make_url(_spread_hosts(text))
    except (ArgumentError, ValueError):
        # the text itself is not shown: it may hold a password
        raise Misconfigured(
            "this is not a database URL; write sqlite:///path/to/file.db or postgresql://USER:PASSWORD@HOST/NAME "
            "(in a password, write @ as %40, : as %3A, / as %2F)"
        ) from None
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise Misconfigured("SQLite needs a file to be durable: sqlite:///path/to/file.db")
        return url.set(drivername="sqlite+pysqlite")
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise Misconfigured(f"{backend} is not supported; use sqlite:/// or postgresql://")


def _spread_hosts(text: str) -> str:
    """Several hosts as libpq writes them, `u@one:5432,two:5433/name`, as SQLAlchemy wants: `?host=...&host=...`."""
    scheme, separator, rest = text.partition("://")
    place, slash, path = rest.partition("/")
    user, at, hosts = place.rpartition("@")
    if not separator or "," not in hosts:
        return text
    query = "&".join(f"host={host}" for host in hosts.split(","))
    return f"{scheme}://{user}{at}{slash}{path}{'&' if '?' in path else '?'}{query}"


def open_database(text: str, direct: str | None = None) -> Database:
    """Engines for a URL. Nothing is connected yet. `direct` leads past a pooler to the same database."""
    url = parse_url(text)
    if url.get_backend_name() == "sqlite":
        if direct is not None:
            raise Misconfigured("database_direct leads past a pooler to PostgreSQL; there is none before SQLite")
        return _sqlite(url)
    return _postgresql(url, parse_url(direct) if direct is not None else None)


def _postgresql(url: URL, direct: URL | None) -> Database:
    from crossdock.store import postgresql  # with its driver, which takes time and memory that SQLite saves

    for each in (url, direct or url):
        postgresql.check_url(each)

    def engine(use: str, url: URL, **options: Any) -> Engine:
        arguments = postgresql.connect_arguments(url, use)
        made = create_engine(url, paramstyle="format", isolation_level="AUTOCOMMIT", connect_args=arguments, **options)
        event.listen(made, "do_connect", postgresql.connecting(Attempts(), is_bounded=use != "direct"))
        event.listen(made, "connect", postgresql.PREPARE[use])
        return made

    return Database(
        url,
        "postgresql",
        writer=engine("writer", url, poolclass=NullPool),
        reader=engine("reader", url, pool_size=READERS, max_overflow=0, pool_timeout=READ_SECONDS),
        direct=engine("direct", direct or url, poolclass=NullPool),
        direct_is_given=direct is not None,
    )


def _bound(connection: Connection, deadline: float | None) -> None:
    driver: Any = connection.connection.dbapi_connection
    driver.deadline = deadline
    if "begin" in connection.info:
        connection.exec_driver_sql(connection.info["begin"])  # the pool rolls it back


@contextmanager
def one_moment(connection: Connection) -> Iterator[None]:
    """All that is asked inside sees the database at one moment. For connections of `Database.reading`."""
    if connection.dialect.name == "sqlite":
        words = "BEGIN"
    elif "begin" in connection.info:  # a pooler's: it has begun
        words = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    else:
        words = "BEGIN ISOLATION LEVEL REPEATABLE READ"
    connection.exec_driver_sql(words)
    yield
    # Nothing was written. A ROLLBACK would have the driver forget its prepared statements; after an error the pool
    # sends one by itself.
    connection.exec_driver_sql("COMMIT")


def count_statements(database: Database, sent: Callable[[], None]) -> None:
    """Call `sent` for each statement that goes to PostgreSQL. With SQLite none goes anywhere, and none is counted."""
    if database.dialect == "postgresql":
        for engine in (database.writer, database.reader, database.direct):
            event.listen(engine, "before_cursor_execute", lambda *_: sent())


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
    return Database(url, "sqlite", writer, reader, direct=writer)


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
    cursor.execute("PRAGMA cache_size=-4096")  # for each reader; what is not in it is in the memory of the system
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


__all__ = ["Database", "LockFile", "is_unavailable", "open_database", "parse_url", "unavailable"]
