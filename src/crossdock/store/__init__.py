"""The record: everything that outlives the process. The only package with SQL or a database driver.

`Store` is its face: `read` and `write` carry out functions of this package's modules on a connection, `submit` shares
a commit with whatever else waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection

from crossdock.store.apart import CLOSE_SECONDS, Apart
from crossdock.store.database import (
    READ_SECONDS,
    READERS,
    Database,
    Dialect,
    LockFile,
    count_statements,
    lock_file,
    one_moment,
    open_database,
)
from crossdock.store.migrate import migrate
from crossdock.store.permits import Permits
from crossdock.store.record import CommitObserver, DatabaseObserver, HotChange, Recorder, Unobserved
from crossdock.store.transfer_marks import check_may_serve

T = TypeVar("T")


class Store:
    """One opened database. Its functions run on threads; the answers come back on the event loop."""

    def __init__(
        self,
        database: Database,
        observe_commit: CommitObserver | None = None,
        observer: DatabaseObserver | None = None,
    ) -> None:
        self.database = database
        self._observer = observer or Unobserved()
        if observer is not None:
            count_statements(database, observer.sent)
        self._recorder = Recorder(database, observe_commit, self._observer)
        self._apart = Apart(database) if database.dialect == "postgresql" else None
        self.permits = Permits(database) if database.dialect == "postgresql" else None
        """For calls of integrations with a rate limit; SQLite has one process, which counts in memory."""
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._reading: set[Future[Any]] = set()
        self._lock: LockFile | None = None

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    def start(self) -> None:
        """Lock (SQLite), bring the tables up to date, start the writer. Misconfigured when one of them is refused."""
        self._lock = lock_file(self.database)
        if self._lock is not None:
            self._lock.acquire()
        try:
            check_may_serve(self.database)
            migrate(self.database)
            self._recorder.start()
        except BaseException:
            self._let_go()
            raise

    async def stop(self) -> None:
        """Record what waits, then let go of the database."""
        await self._recorder.stop()
        if self._apart is not None:
            await self._apart.close()
        if self.permits is not None:
            await self.permits.close()
        self._readers.shutdown(wait=False)
        await self._end_reads()
        self._let_go()

    async def _end_reads(self) -> None:
        """Give the reads under way that nobody waits for any more the time to give their connections back."""
        deadline = monotonic() + CLOSE_SECONDS
        while self._reading and monotonic() < deadline:  # noqa: ASYNC110 - threads have no signal for the loop
            await asyncio.sleep(0.005)

    def _let_go(self) -> None:
        self.database.dispose()
        if self._lock is not None:
            self._lock.release()

    async def read(self, query: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """`query(connection, ...)` on a connection that can't write; StoreUnavailable when there is none.

        On PostgreSQL it may be asked twice, and is answered or refused within READ_SECONDS and the time to connect.
        """
        asked_at = monotonic()

        def work() -> T:
            self._observer.waited(monotonic() - asked_at)
            answer = self.database.read(lambda c: query(c, *arguments, **named), asked_at + READ_SECONDS)
            self._observer.answered("read", monotonic() - asked_at)
            return answer

        reading = self._readers.submit(work)
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        return await asyncio.wrap_future(reading)

    async def read_at_once(self, query: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """As `read`, and all that `query` asks sees the database at one moment: a row and its secrets, for example."""

        def ask(connection: Connection) -> T:
            with one_moment(connection):
                return query(connection, *arguments, **named)

        return await self.read(ask)

    async def write(self, change: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """`change(connection, ...)` in a transaction of its own, committed when this returns."""
        return await self._recorder.write(lambda connection: change(connection, *arguments, **named))

    async def write_apart(self, change: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """As `write`, for what must not wait behind other changes: the heartbeat.

        Differs: on PostgreSQL a connection of its own, where each statement is a transaction; SQLite has one writer.
        """
        if self._apart is None:
            return await self.write(change, *arguments, **named)
        return await self._apart.run(lambda connection: change(connection, *arguments, **named))

    def submit(
        self, change: HotChange, after: Callable[[Any], None] | None = None, *, weight: int = 0
    ) -> asyncio.Future[Any]:
        """Record a hot change with the next shared commit; see `record.Recorder.submit`."""
        return self._recorder.submit(change, after, weight=weight)

    @property
    def waiting(self) -> int:
        """Changes that wait for a commit."""
        return self._recorder.waiting

    @property
    def has_just_recovered(self) -> bool:
        """Whether the database was lost and is back since a moment: answers to commits may have been lost with it."""
        return self._recorder.has_just_recovered

    def on_recovered(self, listener: Callable[[], None]) -> None:
        """Call `listener` on the event loop each time that the database is back."""
        self._recorder.recovered.append(listener)

    @property
    def stalled_seconds(self) -> float:
        """How long the database has not answered a commit; 0 when none is under way."""
        return self._recorder.stalled_seconds


@asynccontextmanager
async def open_store(
    url: str,
    observe_commit: CommitObserver | None = None,
    *,
    direct: str | None = None,
    observer: DatabaseObserver | None = None,
) -> AsyncIterator[Store]:
    """A started store, stopped at the end. `direct` leads past a pooler to the same PostgreSQL database."""
    store = Store(open_database(url, direct), observe_commit, observer)
    store.start()
    try:
        yield store
    finally:
        await store.stop()
