"""MySQL and MariaDB for steps, through PyMySQL.

The connection is made on a socket of our own, to a checked address, and the certificate is compared with the host's
name. PyMySQL puts values into the text itself, escaped for the connection's character set and mode; both are fixed
here, so that the escaping is right whatever the server's defaults are.
"""

from __future__ import annotations

import math
import socket
import ssl
import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import conversions
from pymysql.cursors import SSCursor
from sqlalchemy import URL

from crossdock.outbound.guard import Guard
from crossdock.outbound.ranges import Address
from crossdock.outbound.request import SqlFailed
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
from crossdock.outbound.sql_values import Bound

DEFAULT_PORT = 3306

_KINDS = {
    **dict.fromkeys((1969, 3024, 1317, 1205, 1907, 4024), Kind.TIMEOUT),
    **dict.fromkeys((1213, 1020, 1412, 1637), Kind.CONFLICT),
    **dict.fromkeys((1040, 1041, 1203, 1226, 1021, 1037, 1038, 1053, 1077, 1079, 1836, 1927, 3168), Kind.UNAVAILABLE),
    **dict.fromkeys((1152, 1153, 1158, 1159, 1160, 1161, 1184), Kind.UNAVAILABLE),
    **dict.fromkeys((1022, 1048, 1062, 1169, 1216, 1217, 1451, 1452, 1557, 1761, 1762, 3819, 4025), Kind.CONSTRAINT),
    **dict.fromkeys((1044, 1045, 1130, 1142, 1143, 1227, 1370, 1698), Kind.DENIED),
    **dict.fromkeys((1792,), Kind.READ_ONLY),
    **dict.fromkeys((1146,), Kind.NO_TABLE),
}
"""By the numbers of the servers' error references; what is not here blames the statement."""
_CLIENT_ERRORS = range(2_000, 3_000)
"""Numbers that the driver gives itself: no connection, or one that broke off."""


class MysqlDriver:
    dialect = Dialect.MYSQL
    # What is no MySQL error comes from a server whose answers make no sense.
    errors = (pymysql.Error, OSError, RuntimeError, ValueError, LookupError, AssertionError, struct.error)

    def __init__(self, url: URL, guard: Guard, look_up: LookUp) -> None:
        self._url = url
        self._guard = guard
        self._look_up = look_up

    def connect(self, attempt: Attempt) -> Link:
        url = self._url
        port = url.port or DEFAULT_PORT
        failure: Exception | None = None
        for address in checked_addresses(self._guard, url.host or "", port, self._look_up):
            try:
                return self._connect_to(address, port, attempt)
            except self.errors as error:
                failure = error
                if attempt.is_cut or attempt.seconds_left < 0.01:
                    break
        raise failure or OSError(f"the name {url.host} has no address")

    def _connect_to(self, address: Address, port: int, attempt: Attempt) -> Link:
        seconds = min(attempt.seconds_left, float(option(self._url, "connect_timeout") or CONNECT_SECONDS))
        raw = self._client(seconds)
        handle = socket.create_connection((str(address), port), seconds)
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        twin = Twin(handle.dup())
        attempt.hold(twin.interrupt)
        link = Link(raw, twin.interrupt, lambda: _close(raw, twin))
        try:
            raw.connect(handle)
            self.do(
                link, "SET SESSION time_zone = '+00:00', sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')"
            )
        except BaseException:
            attempt.hold(None)
            handle.close()
            link.close()
            raise
        raw._read_timeout = None
        return link

    def check(self, link: Link) -> None:
        link.raw.ping(reconnect=False)

    def begin(self, link: Link, *, writes: bool, seconds: float) -> None:
        # Differs: MariaDB ends any statement in time, MySQL only those that read.
        is_mariadb = "mariadb" in link.raw.server_version.lower()
        limit = (
            f"max_statement_time = {seconds:.3f}" if is_mariadb else f"max_execution_time = {int(seconds * 1_000) + 1}"
        )
        whole = max(1, math.ceil(seconds))
        self.do(link, f"SET SESSION {limit}, innodb_lock_wait_timeout = {whole}, lock_wait_timeout = {whole}")
        # For the session: definitions end the transaction before they begin, and would get away with it.
        self.do(link, f"SET SESSION TRANSACTION READ {'WRITE' if writes else 'ONLY'}")
        self.do(link, "START TRANSACTION")

    def run(self, link: Link, bound: Bound) -> Ran:
        cursor = link.raw.cursor(SSCursor)
        cursor.execute(bound.text, bound.values)
        columns = [column[0] for column in cursor.description or ()]
        rows = iter(cursor.fetchone, None) if columns else iter(())
        return Ran(columns, rows, lambda: max(0, cursor.rowcount))

    def do(self, link: Link, text: str, values: Mapping[str, str] | None = None) -> Ran:
        cursor = link.raw.cursor()
        cursor.execute(text, values)
        columns = [column[0] for column in cursor.description or ()]
        return Ran(columns, iter(cursor.fetchall() if columns else ()), lambda: max(0, cursor.rowcount))

    def end(self, link: Link, word: str) -> None:
        self.do(link, word)

    def judge(self, error: Exception) -> Trouble:
        if not isinstance(error, pymysql.Error):
            words = str(error) if isinstance(error, OSError) else "the server's answer could not be understood"
            return Trouble(Kind.UNAVAILABLE, words)
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        words = str(error.args[-1]) if error.args else type(error).__name__
        is_ours = number == 0 and not isinstance(error, pymysql.ProgrammingError | pymysql.DataError)
        if number in _CLIENT_ERRORS or is_ours:
            return Trouble(Kind.UNAVAILABLE, words)
        return Trouble(_KINDS.get(number, Kind.ERROR), words)

    def _client(self, seconds: float) -> Any:
        url = self._url
        return pymysql.Connection(
            defer_connect=True,
            host=url.host,
            user=url.username,
            password=str(url.password or "").encode(),
            database=url.database,
            charset="utf8mb4",
            conv=_CONVERSIONS,
            client_flag=CLIENT.FOUND_ROWS,  # as elsewhere, rows count as changed when they were found
            autocommit=True,
            program_name=APPLICATION,
            read_timeout=seconds,
            **_encryption(url),
        )


def _encryption(url: URL) -> dict[str, Any]:
    """Differs from libpq's words: `allow` is `prefer`. Certificates are those that this machine trusts, or `ssl_ca`."""
    roots = option(url, "ssl_ca")
    mode = option(url, "sslmode") or ("verify-full" if roots else "prefer")
    if mode == "disable":
        return {"ssl_disabled": True}
    if mode in ("allow", "prefer"):
        return {}
    try:
        context = ssl.create_default_context(cafile=roots)
    except OSError as error:
        raise SqlFailed("sql_refused", f"the certificates in {roots} can't be used: {error}", permanent=True) from None
    if mode != "verify-full" or option(url, "ssl_check_hostname") == "false":
        context.check_hostname = False
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


def _close(raw: Any, twin: Twin) -> None:
    if raw._result is not None:  # or PyMySQL would read an abandoned result to its end
        raw._result.unbuffered_active = False
    if raw.open:
        raw.close()
    twin.close()


def _iso(text: str) -> str:
    return text.replace(" ", "T", 1)


_CONVERSIONS = {
    **conversions,
    FIELD_TYPE.DATE: str,
    FIELD_TYPE.TIME: str,
    FIELD_TYPE.DATETIME: _iso,
    FIELD_TYPE.TIMESTAMP: lambda text: f"{_iso(text)}Z",  # the session's time zone is UTC
    FIELD_TYPE.JSON: msgspec.json.decode,
}
"""Dates come as the server writes them, which is ISO 8601 but for one space, and has a form for `0000-00-00` too."""
