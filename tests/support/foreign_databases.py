"""Databases of other systems, as `sql` steps meet them: one way to speak of all three kinds."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pysqlite3.dbapi2 as sqlite

from crossdock.outbound.connection import SqlConnection
from crossdock.outbound.databases import Databases, SqliteFiles
from crossdock.outbound.guard import Guard
from crossdock.outbound.request import SqlAnswer, SqlQuery
from tests.support.mariadb import MariadbServer

LOOPBACK = Guard(hosts=frozenset({"127.0.0.1", "database.example"}))
"""Opens the loopback as a private target."""


@dataclass
class ForeignDatabase:
    """A database with nothing in it, reached by `databases` through `connection` and from behind by `look`."""

    kind: str
    url: str
    databases: Databases
    server: MariadbServer | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def connection(self, **options: Any) -> SqlConnection:
        given = {"id": "con_1", "revision": 1, "name": "Shop", "url": self.url, **self.options, **options}
        return SqlConnection(**given)

    async def run(
        self, statement: str, parameters: dict[str, Any] | None = None, *, key: str | None = None, **query: Any
    ) -> SqlAnswer:
        """What a step would do: exactly once where there is a key."""
        given = {"exactly_once": key is not None, **query}
        return await self.databases.execute(
            SqlQuery(statement, parameters or {}, key or "evt_1:step", **given), self.connection()
        )

    def look(self, *statements: str) -> list[tuple[Any, ...]]:
        """What somebody else sees; the rows of the last statement."""
        if self.kind == "sqlite":
            with closing(sqlite.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
                return [list(connection.execute(statement)) for statement in statements][-1]
        if self.kind == "postgresql":
            with psycopg.connect(self.url, autocommit=True) as connection:
                return [_rows(connection.execute(statement)) for statement in statements][-1]
        assert self.server is not None
        return self.server.run(*statements, database=self.url.rpartition("/")[2])


def databases_in(folder: Path, guard: Guard = LOOPBACK, **options: Any) -> Databases:
    return Databases(guard, SqliteFiles(folder, sqlite), **options)


class Speaking:
    """A server that says the same to everyone who calls, nothing for instance, and never hangs up."""

    def __init__(self, words: bytes = b"") -> None:
        self._words = words
        self._talks: list[asyncio.StreamWriter] = []
        self.has_called = asyncio.Event()

    async def __aenter__(self) -> Speaking:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._talks:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.append(writer)
        self.has_called.set()
        writer.write(self._words)
        await reader.read()


def _rows(cursor: psycopg.Cursor[Any]) -> list[tuple[Any, ...]]:
    return cursor.fetchall() if cursor.description else []
