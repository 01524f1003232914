"""Whether two databases hold the same rows, whatever their order: for each table the count of its rows, and a sum.

The sum adds up the SHA-256 of each row, so no order matters and nothing has to be in memory. What is hashed is the same
text on both sides, in which no two different rows look alike: texts stand behind their length, bodies as their own
SHA-256.

Differs: of SQLite the rows are read and hashed here. PostgreSQL hashes by itself and sends 32 bytes a row; nothing else
crosses the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Boolean, Column, Connection, Integer, LargeBinary, Table

from crossdock.store import schema
from crossdock.store.transfer_marks import IS_NO_MARK
from crossdock.store.transfer_rows import driver_of, rows_of, transaction, without_nul

FETCH_ROWS = 5_000
_NOTHING = "-"
_CURSOR = "crossdock_check"

Tick: TypeAlias = Callable[[int], None]
"""Hears how many rows were gone through, again and again."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a table holds, in short."""

    rows: int
    checksum: str


def contents_of(connection: Connection, table: Table, tick: Tick) -> Contents:
    """Read the whole table. What `tick` raises ends it."""
    digests = _digests_here if connection.dialect.name == "sqlite" else _digests_there
    rows, total = 0, 0
    tick(rows)
    for rows, digest in enumerate(digests(connection, table), 1):
        total += int.from_bytes(digest, "big")
        if rows % FETCH_ROWS == 0:
            tick(rows)
    tick(rows)
    return Contents(rows, f"{total % 2**256:064x}")


def _digests_here(connection: Connection, table: Table) -> Iterator[bytes]:
    written = [_writer_of(column) for column in table.columns]
    sha256 = hashlib.sha256
    for row in rows_of(connection, table):
        text = "|".join([write(value) for write, value in zip(written, row, strict=True)])
        if "\x00" in text:
            text = "|".join([write(value) for write, value in zip(written, without_nul(row), strict=True)])
        yield sha256(text.encode()).digest()


def _writer_of(column: Column[Any]) -> Callable[[Any], str]:
    match column.type:
        case LargeBinary():
            return lambda value: _NOTHING if value is None else hashlib.sha256(value).hexdigest()
        case Boolean() | Integer():
            return lambda value: _NOTHING if value is None else str(int(value))
    return lambda value: _NOTHING if value is None else f"{len(value.encode())}:{value}"


def _digests_there(connection: Connection, table: Table) -> Iterator[bytes]:
    statement = f"SELECT sha256(convert_to(concat_ws('|', {', '.join(map(_part, table.columns))}), 'UTF8'))"
    statement += f' FROM "{table.name}"'
    if table is schema.setting:
        statement += f" WHERE {IS_NO_MARK.compile(compile_kwargs={'literal_binds': True})}"
    with transaction(connection), driver_of(connection).cursor(name=_CURSOR, binary=True) as cursor:
        cursor.execute(statement)
        while rows := cursor.fetchmany(FETCH_ROWS):
            yield from (digest for (digest,) in rows)


def _part(column: Column[Any]) -> str:
    name = f'"{column.name}"'
    match column.type:
        case LargeBinary():
            text = f"encode(sha256({name}), 'hex')"
        case Boolean():
            text = f"CAST(CAST({name} AS integer) AS text)"
        case Integer():
            text = f"CAST({name} AS text)"
        case _:
            text = f"octet_length({name}) || ':' || {name}"
    return f"coalesce({text}, '{_NOTHING}')"
