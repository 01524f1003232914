"""Databases that steps work with.

A statement goes through: its text is taken apart (`sql_statement`) and its values are bound (`sql_values`), the pool of
its connection lends a thread and a connection (`sql_pool`), the kind of database (`sql_sqlite`, `sql_postgresql`,
`sql_mysql`) carries it out in the transaction that it needs (`sql_work`, `sql_done`), and what the database complains
about is told without values (`sql_failures`).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from sqlalchemy import URL

from crossdock.model.errors import Invalid
from crossdock.model.gate import OPEN, Gate
from crossdock.outbound.connection import SqlConnection
from crossdock.outbound.guard import Guard
from crossdock.outbound.request import SqlAnswer, SqlFailed, SqlQuery
from crossdock.outbound.sql_done import key_of
from crossdock.outbound.sql_driver import Attempt, Driver, Kind, LookUp, ask_system
from crossdock.outbound.sql_failures import failed
from crossdock.outbound.sql_pool import OutOfTime, Pool
from crossdock.outbound.sql_statement import Dialect, StatementRefused, read_statement
from crossdock.outbound.sql_url import dialect_of, read_sql_url
from crossdock.outbound.sql_values import bind
from crossdock.outbound.sql_work import Order, Troubled

MAX_POOLS = 64
"""Connections that have a pool at once. Beyond it, those that are not at work lose theirs, longest unused first."""
IDLE_SECONDS = 60.0
"""After which the pool of a connection that nobody uses is closed."""


@dataclass(frozen=True, slots=True)
class SqliteFiles:
    """Where SQLite databases may lie, and with what they are opened."""

    folder: Path
    module: ModuleType
    """The one that the store uses: two copies of SQLite in one process lose each other's locks."""
    own_file: Path | None = None
    """Crossdock's own database, which is refused."""


class Databases:
    """All pools of the process; used from its event loop, closed at its end."""

    def __init__(
        self,
        guard: Guard,
        files: SqliteFiles,
        *,
        look_up: LookUp = ask_system,
        idle_seconds: float = IDLE_SECONDS,
        gate: Gate = OPEN,
    ) -> None:
        """`look_up` resolves names instead of the system. `gate` is asked before each statement and each commit."""
        self._gate = gate
        self._guard = guard
        self._files = files
        self._look_up = look_up
        self._idle_seconds = idle_seconds
        self._pools: dict[str, Pool] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def execute(self, query: SqlQuery, connection: SqlConnection) -> SqlAnswer:
        """Carry out one statement; SqlFailed says why it can't be."""
        try:
            return await self._execute(query, connection)
        except Troubled as error:
            raise _named(failed(error.trouble, query.statement, query.parameters), connection) from None
        except SqlFailed as error:
            raise _named(error, connection) from None

    async def close(self) -> None:
        """Close all connections. What still runs is broken off: not committed, or known by its key."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        pools = list(self._pools.values())
        self._pools.clear()
        await asyncio.gather(*(pool.close() for pool in pools))

    async def _execute(self, query: SqlQuery, connection: SqlConnection) -> SqlAnswer:
        seconds = connection.statement_timeout if query.timeout is None else query.timeout
        attempt = Attempt(time.monotonic() + seconds)
        pool = self._pool(connection)
        order = _order(query, pool.dialect, may_write=not connection.read_only)
        try:
            return await pool.carry_out(order, attempt)
        except OutOfTime as error:
            raise SqlFailed(Kind.TIMEOUT, f"{error} within {seconds:g} s", permanent=False) from None

    def _pool(self, connection: SqlConnection) -> Pool:
        """The pool of the connection as it is now; one of an older revision is given up."""
        pool = self._pools.pop(connection.id, None)
        if pool is not None and pool.connection != connection:
            pool.give_up()
            pool = None
        if pool is None:
            self._make_room()
            url = _url(connection, self._files.folder)
            pool = Pool(connection, self._driver(url), self._gate)
        self._pools[connection.id] = pool  # the last in the dict is the one that was used last
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_seconds / 2, self._sweep)
        return pool

    def _driver(self, url: URL) -> Driver:
        """Imported when the first connection of its kind is used: a start need not wait for libraries that nobody asks
        for."""
        match dialect_of(url):
            case Dialect.SQLITE:
                from crossdock.outbound.sql_sqlite import SqliteDriver

                return SqliteDriver(Path(url.database or ""), self._files.module, self._files.own_file)
            case Dialect.POSTGRESQL:
                from crossdock.outbound.sql_postgresql import PostgresqlDriver

                return PostgresqlDriver(url, self._guard, self._look_up)
            case Dialect.MYSQL:
                from crossdock.outbound.sql_mysql import MysqlDriver

                return MysqlDriver(url, self._guard, self._look_up)

    def _make_room(self) -> None:
        if len(self._pools) >= MAX_POOLS:
            idle = next((pool for pool in self._pools.values() if not pool.is_at_work), None)
            if idle is not None:
                del self._pools[idle.connection.id]
                idle.give_up()

    def _sweep(self) -> None:
        """Close what nobody has used for a while."""
        long_ago = time.monotonic() - self._idle_seconds
        for pool in [pool for pool in self._pools.values() if not pool.is_at_work and pool.used_at < long_ago]:
            del self._pools[pool.connection.id]
            pool.give_up()
        self._sweeper = None
        if self._pools:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_seconds / 2, self._sweep)


def _named(error: SqlFailed, connection: SqlConnection) -> SqlFailed:
    return SqlFailed(error.kind, f"{connection.name}: {error}", permanent=error.permanent)


def _url(connection: SqlConnection, folder: Path) -> URL:
    try:
        return read_sql_url(connection.url, folder)
    except Invalid as error:
        raise SqlFailed("sql_refused", str(error), permanent=True) from None


def _order(query: SqlQuery, dialect: Dialect, *, may_write: bool) -> Order:
    try:
        bound = bind(read_statement(query.statement, dialect), query.parameters, dialect)
    except StatementRefused as error:
        raise SqlFailed("sql_error", f"the statement can't be carried out: {error}", permanent=True) from None
    return Order(bound, may_write and not query.reads_only, key_of(query.key) if query.exactly_once else None)
