"""Short changes and looks at a database from another program than the server, which may be running meanwhile.

PostgreSQL is made for it. On SQLite the lock file keeps a second *server* out, whose memory would not know what the
first one does; a single transaction needs no such thing: SQLite lets writers of several programs take turns, and the
bundled version has no trouble with two of them (`store.database`). What is changed this way is nothing that a server
keeps in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import DBAPIError

from crossdock.model.errors import Misconfigured
from crossdock.store.database import Database, is_unavailable, lock_file, open_database, unavailable
from crossdock.store.migrate import current_revision, latest_revision, migrate

T = TypeVar("T")


class Records(Protocol):
    """What use cases need that do not care whether they are in a server: a `Store`, or this module's `Beside`."""

    async def read(self, query: Callable[..., T], *arguments: Any, **named: Any) -> T: ...
    async def write(self, change: Callable[..., T], *arguments: Any, **named: Any) -> T: ...


class Beside:
    """A database for one command. Nothing happens at the same time here, so nothing is put on threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, query: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """`query(connection, ...)` on a connection that can't write."""
        with self._database.reading() as connection:
            return query(connection, *arguments, **named)

    async def write(self, change: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """`change(connection, ...)` in a transaction of its own; what it raises is raised, and nothing is kept."""
        with _told(), self._database.writer.connect() as connection:
            self._database.begin(connection)
            try:
                answer = change(connection, *arguments, **named)
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")
            return answer


@contextmanager
def open_beside(url: str, direct: str | None = None) -> Iterator[Beside]:
    """The database at `url`, with tables made where there are none yet.

    Misconfigured when they are those of another version, StoreUnavailable when the database can't be reached.
    """
    database = open_database(url, direct)
    try:
        _prepare(database)
        yield Beside(database)
    finally:
        database.dispose()


def _prepare(database: Database) -> None:
    with database.reading() as connection:
        revision = current_revision(connection)
    if revision == latest_revision():
        return
    if revision is not None:
        advice = (
            "use the newer version's program"
            if revision > latest_revision()
            else "start this version's server, or run `crossdock migrate`, and try again"
        )
        raise Misconfigured(
            f"the tables are at revision {revision}, but this program works with {latest_revision()}; {advice}"
        )
    lock = lock_file(database)
    try:
        if lock is not None:
            lock.acquire()
        with _told():
            migrate(database)
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if is_unavailable(error):
            raise unavailable(error) from error
        raise
