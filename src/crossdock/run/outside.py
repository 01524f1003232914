"""What steps reach beyond their run. Each part is handed in when the program is put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from crossdock.catalog import LiveIntegration
from crossdock.model.delivery import SendReport
from crossdock.outbound.connection import Connection, HttpConnection, SqlConnection
from crossdock.outbound.request import HttpRequest, SqlAnswer, SqlQuery
from crossdock.run.functions import Functions


class HttpCalls(Protocol):
    async def call(self, request: HttpRequest, connection: HttpConnection | None) -> SendReport:
        """Send one request and report; nothing that the other side does raises."""


class SqlCalls(Protocol):
    async def execute(self, query: SqlQuery, connection: SqlConnection) -> SqlAnswer:
        """Carry out one statement; SqlFailed says why it can't be."""


@dataclass(frozen=True, slots=True)
class Outside:
    functions: Functions
    http: HttpCalls
    sql: SqlCalls
    find_connection: Callable[[str, str], Connection]
    """The connection of an integration's workspace, by the integration's id and the connection's name; LookupError
    says why there is none."""
    find_target: Callable[[str, str], LiveIntegration]
    """The integration of the same workspace with a name; LookupError says why there is none."""
