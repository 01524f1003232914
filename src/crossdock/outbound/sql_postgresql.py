"""PostgreSQL for steps, through psycopg.

A session keeps nothing from one step to the next: each transaction begins with the settings that the server gives a new
connection, and with its own limits. Dates and intervals come as the text that PostgreSQL writes in ISO 8601, which also
has a form for what Python's types can't hold (infinity, years before Christ, months).
"""

from __future__ import annotations

import math
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import psycopg
from psycopg import capabilities
from psycopg.abc import Buffer
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.string import TextLoader
from sqlalchemy import URL

from crossdock.outbound.guard import Guard
from crossdock.outbound.sql_driver import (
    APPLICATION,
    CONNECT_SECONDS,
    Attempt,
    Kind,
    Link,
    LookUp,
    Ran,
    Trouble,
    Twin,
    checked_addresses,
)
from crossdock.outbound.sql_statement import Dialect
from crossdock.outbound.sql_url import option
from crossdock.outbound.sql_values import Bound, Row, to_utc

DEFAULT_PORT = 5432
ROWS_AT_ONCE = 200
IDLE_LIMIT = "60s"
"""After which the server ends a transaction of ours that we lost: its locks must not stay."""

_LOOK = "client_connection_check_interval = '2s'"
_RANGES = ("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange")
_MULTIRANGES = tuple(name.replace("range", "multirange") for name in _RANGES)
_READ_AS_TEXT = ("date", "time", "timetz", "interval", *_RANGES, *_MULTIRANGES)
_KINDS_BY_STATE = {
    "57014": Kind.TIMEOUT,
    "25P03": Kind.TIMEOUT,
    "55P03": Kind.TIMEOUT,
    "25006": Kind.READ_ONLY,
    "42P01": Kind.NO_TABLE,
    "42501": Kind.DENIED,
    "3D000": Kind.ERROR,
    "54000": Kind.ERROR,
}
_KINDS_BY_CLASS = {
    "08": Kind.UNAVAILABLE,
    "28": Kind.DENIED,
    "23": Kind.CONSTRAINT,
    "40": Kind.CONFLICT,
    "53": Kind.UNAVAILABLE,
    "57": Kind.UNAVAILABLE,
    "58": Kind.UNAVAILABLE,
}
_NO_FILE = f"{os.devnull}/none"
"""Can't exist; of the null device itself, libpq says on stderr that it is no plain file."""
_DENIED = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|root certificate file"
    r"|(role|database) \".*\" does not exist"
)
"""What psycopg tells of a sign-in that can't succeed: without a code, in words only."""


class PostgresqlDriver:
    dialect = Dialect.POSTGRESQL
    errors = (psycopg.Error,)

    def __init__(self, url: URL, guard: Guard, look_up: LookUp) -> None:
        self._url = url
        self._guard = guard
        self._look_up = look_up

    def connect(self, attempt: Attempt) -> Link:
        url = self._url
        port = url.port or DEFAULT_PORT
        addresses = checked_addresses(self._guard, url.host or "", port, self._look_up)
        failure: psycopg.OperationalError | None = None
        for address in addresses:
            seconds = min(attempt.seconds_left, float(option(url, "connect_timeout") or CONNECT_SECONDS))
            try:
                raw: Any = psycopg.connect(
                    **self._place(),
                    hostaddr=str(address),
                    port=port,
                    connect_timeout=math.ceil(seconds),
                    autocommit=True,
                )
            except psycopg.OperationalError as error:
                failure = error
                if attempt.is_cut or attempt.seconds_left < 0.01:
                    break
            else:
                return _prepared(raw, attempt)
        raise failure or psycopg.OperationalError(f"the name {url.host} has no address")

    def check(self, link: Link) -> None:
        link.raw.execute("SELECT 1").close()

    def begin(self, link: Link, *, writes: bool, seconds: float) -> None:
        link.raw.execute(
            f"RESET ALL; BEGIN{'' if writes else ' READ ONLY'};"
            f" SET LOCAL statement_timeout = {max(1, int(seconds * 1_000))};"
            f" SET LOCAL idle_in_transaction_session_timeout = '{IDLE_LIMIT}';"
            " SET LOCAL datestyle = 'ISO'; SET LOCAL intervalstyle = 'iso_8601';"
            " SET LOCAL standard_conforming_strings = on"  # as `sql_statement` reads strings
            f"{link.remembered}"
        ).close()

    def run(self, link: Link, bound: Bound) -> Ran:
        cursor = link.raw.cursor()
        if bound.statement.gives_rows:
            rows = cursor.stream(
                bound.text, bound.values, size=ROWS_AT_ONCE if capabilities.has_stream_chunked() else 1
            )
            first = list(_first(rows))
            columns = [column.name for column in cursor.description or ()] if first else []
            return Ran(columns, chain(first, rows), lambda: 0)
        cursor.execute(bound.text, bound.values, binary=True)  # which also keeps it to one statement
        return _ran(cursor)

    def do(self, link: Link, text: str, values: Mapping[str, str] | None = None) -> Ran:
        return _ran(link.raw.execute(text, values))

    def end(self, link: Link, word: str) -> None:
        link.raw.execute(word).close()

    def judge(self, error: Exception) -> Trouble:
        state = getattr(error, "sqlstate", None)
        words = _words(error)
        if state is not None:
            return Trouble(_KINDS_BY_STATE.get(state) or _KINDS_BY_CLASS.get(state[:2]) or Kind.ERROR, words)
        if _DENIED.search(words):
            return Trouble(Kind.DENIED, words)
        is_ours = isinstance(error, psycopg.DataError | psycopg.ProgrammingError | psycopg.NotSupportedError)
        return Trouble(Kind.ERROR if is_ours else Kind.UNAVAILABLE, words)

    def _place(self) -> dict[str, Any]:
        """What leads to the database, with everything closed by which libpq would look into this machine's files."""
        url = self._url
        mode = option(url, "sslmode") or "prefer"
        roots = option(url, "sslrootcert") or (_system_roots() if mode.startswith("verify") else None)
        return {
            "host": url.host,
            "user": url.username,
            "password": str(url.password or ""),
            "dbname": url.database,
            "passfile": _NO_FILE,
            "sslmode": mode,
            "sslrootcert": roots,
            "sslcertmode": "disable",
            "gssencmode": "disable",
            "channel_binding": option(url, "channel_binding") or "prefer",
            "application_name": option(url, "application_name") or APPLICATION,
            "client_encoding": "utf8",
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "prepare_threshold": None,  # prepared statements get lost behind a pooler
        }


def _prepared(raw: Any, attempt: Attempt) -> Link:
    twin = Twin(socket.socket(fileno=os.dup(raw.fileno())))

    def close() -> None:
        raw.close()
        twin.close()

    link = Link(raw, twin.interrupt, close)
    attempt.hold(link.interrupt)
    try:
        link.remembered = _looks_for_us(raw)
    except BaseException:
        attempt.hold(None)
        close()
        raise
    for name in _READ_AS_TEXT:
        raw.adapters.register_loader(name, TextLoader)
    raw.adapters.register_loader("timestamp", _Timestamp)
    raw.adapters.register_loader("timestamptz", _Moment)
    return link


def _looks_for_us(raw: Any) -> str:
    """What makes the server end a statement whose client is gone; empty before 14 and on systems that can't tell."""
    try:
        raw.execute(f"SET {_LOOK}").close()
    except psycopg.DatabaseError as error:
        if error.sqlstate is None:
            raise
        return ""
    return f"; SET LOCAL {_LOOK}"


class _Timestamp(TextLoader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode().replace(" ", "T", 1)


class _Moment(TimestamptzLoader):
    def load(self, data: Buffer) -> Any:
        try:
            return to_utc(super().load(data))
        except (psycopg.DataError, OverflowError):  # infinity, and years that Python does not know
            return bytes(data).decode().replace(" ", "T", 1)


def _first(rows: Iterator[Row]) -> Iterator[Row]:
    """The first row, if there is one: only then the columns are known."""
    for row in rows:
        yield row
        return


def _ran(cursor: Any) -> Ran:
    if cursor.description is None:
        return Ran([], iter(()), lambda: max(0, cursor.rowcount))
    return Ran([column.name for column in cursor.description], iter(cursor), lambda: max(0, cursor.rowcount))


def _words(error: Exception) -> str:
    """The first line only: what follows repeats the statement and the values of the row."""
    diagnosis = getattr(error, "diag", None)
    return getattr(diagnosis, "message_primary", None) or str(error)


def _system_roots() -> str:
    """The certificates that this machine trusts. The bundled OpenSSL of psycopg may look for them elsewhere."""
    return ssl.get_default_verify_paths().cafile or "system"
