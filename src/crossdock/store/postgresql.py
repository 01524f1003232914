"""How Crossdock speaks with PostgreSQL: what a connection is told when it is made, and how long it waits.

Nothing is waited for without end. The server ends a statement after 8 s, a wait for a lock after 2 s, and a transaction
whose client has fallen silent after 5 s, so that a process that was stopped in the middle of one does not keep others
from what it held. The system ends a connection whose packets nobody confirms within 8 s. And because both are silent
when a proxy or a frozen server holds the line, a connection that gets no answer within 10 s is given up here.

No session state is relied on where a pooler lends sessions out for one transaction each (PgBouncer with
`pool_mode = transaction`): there each transaction begins with its own SET LOCAL, and nothing is prepared. Such a pooler
is recognised by itself: the process that the pooler says it is differs from the one that answers.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, TypeAlias

import psycopg
from psycopg import errors, pq
from sqlalchemy.engine import URL
from sqlalchemy.pool import ConnectionPoolEntry

from crossdock.model.errors import Misconfigured
from crossdock.store.outages import Attempts

OLDEST_VERSION = 150_000
CONNECT_SECONDS = 4
ANSWER_SECONDS = 10.0
"""How long a statement may be without an answer: longer than the server lets it run, shorter than a lease lasts."""

_TIMEOUTS = {
    "lock_timeout": "2s",
    "statement_timeout": "8s",
    "idle_in_transaction_session_timeout": "5s",
}

# Every statement has its index. Without statistics (a table that was just filled) PostgreSQL takes conditions such as
# `lease_node IS NOT NULL` to hold for nearly every row, and would read a million to find the ten for which it does.
# A plan that is dear only because it was to be avoided must not be compiled either.
_PLANNING = {"enable_seqscan": "off", "jit": "off"}

# A lost packet is sent again for up to 8 s; a silent connection is tried after 4 s, every 2 s.
_NETWORK = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 8_000,
}

BEGIN = "begin"
"""The key under which a connection's `info` has the words that begin a transaction."""
IS_SHARED = "is_shared"
"""The key under which a connection's `info` says whether a pooler lends its session to others between transactions."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for an answer until its deadline, or ANSWER_SECONDS; then it is of no use any more."""

    deadline: float | None = None
    """A moment of `time.monotonic`."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:  # whoever names a limit copes with its end
            return super().wait(gen, interval, timeout)
        seconds = ANSWER_SECONDS if self.deadline is None else max(0.01, self.deadline - monotonic())
        try:
            return super().wait(gen, interval, seconds)
        except errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer from the database within {seconds:.0f} s") from None


def connect_arguments(url: URL, use: str) -> dict[str, object]:
    """What libpq is told beside the URL, whose own words win.

    Writers and readers alike want the server that takes writes: another one is behind it in what it has seen.
    """
    arguments: dict[str, object] = {
        **_NETWORK,
        "application_name": f"crossdock {use}",
        "target_session_attrs": "read-write",
        "prepare_threshold": 3,
    }
    return {name: value for name, value in arguments.items() if name not in url.query}


def check_url(url: URL) -> None:
    """Misconfigured for a parameter that libpq does not know."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    for name in url.query:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "PostgreSQL's documentation of libpq lists all of them"
            raise Misconfigured(f"the database URL has an unknown parameter {name!r}; {hint}")


def connecting(attempts: Attempts, *, is_bounded: bool) -> Callable[..., Any]:
    """What makes a connection for an engine; StoreUnavailable in the pause after one that could not be made."""
    kind = BoundedConnection if is_bounded else psycopg.Connection

    def connect(_dialect: object, _record: object, arguments: Any, named: Any) -> Any:
        attempts.check()
        try:
            connection = kind.connect(*arguments, **named)
        except psycopg.Error:
            attempts.failed()
            raise
        attempts.succeeded()
        _check_encoding(connection)
        return connection

    return connect


def _check_encoding(connection: psycopg.Connection[Any]) -> None:
    """Here, because SQLAlchemy's own first questions fail on a database without an encoding."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        connection.close()
        raise Misconfigured(
            f"the database has the encoding {encoding}, which can't hold every text; make it anew with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


# --- what a new connection is told -----------------------------------------------------------------------------------


def _prepare_writer(connection: Any, record: ConnectionPoolEntry) -> None:
    """Timeouts, and commits that are durable when they are confirmed."""
    settings = _TIMEOUTS | _PLANNING
    # remote_apply waits for more than `on` does: it is somebody's choice and kept
    if _settle(connection, record, "current_setting('synchronous_commit')") not in ("on", "remote_apply"):
        settings["synchronous_commit"] = "on"
    _tell(connection, record, settings)
    record.info[BEGIN] = "BEGIN" + (_local(settings) if record.info[IS_SHARED] else "")


def _prepare_reader(connection: Any, record: ConnectionPoolEntry) -> None:
    """Reads only, bounded in time."""
    settings = _TIMEOUTS | _PLANNING
    _settle(connection, record, "1")
    _tell(connection, record, {**settings, "default_transaction_read_only": "on"})
    if record.info[IS_SHARED]:  # else each statement is a transaction by itself, which saves two round trips
        record.info[BEGIN] = "BEGIN READ ONLY" + _local(settings)


def _prepare_direct(connection: Any, record: ConnectionPoolEntry) -> None:
    """No limits: for listening, and for migrations, which say theirs themselves."""
    _settle(connection, record, "1")


def _settle(connection: Any, record: ConnectionPoolEntry, question: str) -> Any:
    """Find out whose session it is; the answer to `question`."""
    if connection.info.server_version < OLDEST_VERSION:
        found = connection.info.server_version // 10_000
        raise Misconfigured(f"PostgreSQL {found} is too old; {OLDEST_VERSION // 10_000} or newer is needed")
    process, answer = connection.execute(f"SELECT pg_backend_pid(), {question}").fetchone()
    record.info[IS_SHARED] = process != connection.info.backend_pid
    if record.info[IS_SHARED]:
        connection.prepare_threshold = None
    return answer


def _tell(connection: Any, record: ConnectionPoolEntry, settings: dict[str, str]) -> None:
    if not record.info[IS_SHARED]:
        connection.execute("; ".join(f"SET {name} = '{value}'" for name, value in settings.items()))


def _local(settings: dict[str, str]) -> str:
    return "".join(f"; SET LOCAL {name} = '{value}'" for name, value in settings.items())


_Prepare: TypeAlias = Callable[[Any, ConnectionPoolEntry], None]


def _or_closed(prepare: _Prepare) -> _Prepare:
    def prepare_or_close(connection: Any, record: ConnectionPoolEntry) -> None:
        try:
            prepare(connection, record)
        except BaseException:
            connection.close()
            raise

    return prepare_or_close


PREPARE: Mapping[str, _Prepare] = {
    "writer": _or_closed(_prepare_writer),
    "reader": _or_closed(_prepare_reader),
    "direct": _or_closed(_prepare_direct),
}
"""What is done with a new connection, by its use."""
