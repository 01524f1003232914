"""Trying a connection: one harmless use of it, and what came of it in words for whoever sets it up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from crossdock.model.delivery import SendReport
from crossdock.model.outcome import Json
from crossdock.model.time import seconds_between
from crossdock.outbound.connection import Connection, HttpConnection, SqlConnection
from crossdock.outbound.request import HttpRequest, SqlAnswer, SqlFailed, SqlQuery

RESPONSE_BYTES = 64 * 1024
LONGEST_SECONDS = 30.0
"""Somebody waits for it in front of a screen."""
_REFUSALS: Mapping[int, str] = {
    401: "it does not accept these credentials",
    403: "it knows the credentials and does not allow the call",
    407: "a proxy in between asks for credentials of its own",
}


class HttpCalls(Protocol):
    async def call(self, request: HttpRequest, connection: HttpConnection | None) -> SendReport: ...


class SqlCalls(Protocol):
    async def execute(self, query: SqlQuery, connection: SqlConnection) -> SqlAnswer: ...


@dataclass(frozen=True, slots=True)
class ConnectionTest:
    """`error` is None when it went well. `details` hold no secrets."""

    error: str | None = None
    details: Mapping[str, Json] = field(default_factory=dict)


class Trying:
    def __init__(self, http: HttpCalls, sql: SqlCalls) -> None:
        self._http = http
        self._sql = sql

    async def test(self, connection: Connection, path: str = "") -> ConnectionTest:
        """Use it once: a GET of `base_url` (and `path` below it), or a question for the database's version."""
        if isinstance(connection, SqlConnection):
            return await self._test_database(connection)
        return await self._test_system(connection, path)

    async def _test_system(self, connection: HttpConnection, path: str) -> ConnectionTest:
        limit = min(connection.timeout, LONGEST_SECONDS)
        request = HttpRequest("GET", path, timeout=limit, response_bytes=RESPONSE_BYTES)
        report = await self._http.call(request, connection)
        elapsed = seconds_between(report.started_at, report.finished_at)
        details: dict[str, Json] = {"status": report.status, "duration_ms": round(elapsed * 1_000, 1)}
        if report.status is None:
            return ConnectionTest(report.error or "no answer came", details)
        if report.status in _REFUSALS:
            return ConnectionTest(f"the system answered {report.status}: {_REFUSALS[report.status]}", details)
        return ConnectionTest(None, details)

    async def _test_database(self, connection: SqlConnection) -> ConnectionTest:
        limit = min(connection.statement_timeout, LONGEST_SECONDS)
        query = SqlQuery(_version_statement(connection), {}, key="test", timeout=limit, exactly_once=False)
        started = time.perf_counter()
        try:
            answer = await self._sql.execute(query, connection)
        except SqlFailed as failure:
            return ConnectionTest(str(failure), {"duration_ms": _milliseconds_since(started)})
        version = str(answer.rows[0]["version"]) if answer.rows else None
        return ConnectionTest(None, {"server_version": version, "duration_ms": _milliseconds_since(started)})


def _version_statement(connection: SqlConnection) -> str:
    is_file = connection.url.startswith("sqlite")
    return "SELECT sqlite_version() AS version" if is_file else "SELECT version() AS version"


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1_000, 1)
