"""Rows of a table on their way from one database to the other: read in the order of the primary key, one by one, and
written many at a time.

Differs: PostgreSQL is read and written with COPY, SQLite with a plain cursor and INSERT. Both ways no more than one
batch is in memory, however many rows there are and however large their bodies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeAlias

import psycopg
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    String,
    Table,
    insert,
    select,
    tuple_,
)

from crossdock.model.errors import Misconfigured
from crossdock.store import schema
from crossdock.store.transfer_marks import IS_NO_MARK

Row: TypeAlias = Sequence[Any]
Key: TypeAlias = tuple[str | int, ...]
"""A primary key as it can stand in JSON."""

_INT4_END = 2**31

BATCH_ROWS = 10_000
BATCH_BYTES = 8 * 1024 * 1024

LEFT_OUT = (schema.node.name, schema.duty.name)
"""Who runs, and who does what next: true of the processes of one database only. What a node held that is not known in
the target is taken over there like a dead one's."""

TABLES: tuple[Table, ...] = tuple(
    table for table in schema.metadata.sorted_tables if table.name not in LEFT_OUT
)  # what others refer to comes first
PLACES = {table.name: place for place, table in enumerate(TABLES)}


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """BEGIN and COMMIT, or ROLLBACK. What is moved takes as long as it takes: no statement here has a time limit."""
    sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "BEGIN")
    try:
        if not sqlite:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
        yield
    except BaseException:
        if not connection.invalidated and not _is_closed(connection):
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def key_of(table: Table, row: Row) -> Key:
    places = [index for index, column in enumerate(table.columns) if column.primary_key]
    return tuple(value.hex() if isinstance(value, bytes) else value for value in (row[place] for place in places))


def rows_of(connection: Connection, table: Table, after: Key | None = None) -> Iterator[Row]:
    """The rows behind the key `after`, in the order of the keys. Marks of transfers are no contents."""
    query = select(table)
    if table is schema.setting:
        query = query.where(IS_NO_MARK)
    keys = list(table.primary_key.columns)
    if after is not None:
        values = [_unshown(column, value) for column, value in zip(keys, after, strict=True)]
        query = query.where(tuple_(*keys) > tuple_(*values))
    query = query.order_by(*keys)
    if connection.dialect.name == "sqlite":
        with closing(connection.execute(query)) as result:
            yield from result
        return
    yield from _copied_out(connection, table, query)


def _copied_out(connection: Connection, table: Table, query: Any) -> Iterator[Row]:
    """A cursor would bring many rows at a time, and nobody knows how large their bodies are; COPY brings one."""
    compiled = query.compile(dialect=connection.dialect)
    statement = f"COPY ({compiled}) TO STDOUT (FORMAT BINARY)"
    values = [compiled.params[name] for name in compiled.positiontup or ()]
    driver: psycopg.Connection[Any] = driver_of(connection)
    with transaction(connection), driver.cursor() as cursor, cursor.copy(statement, values) as copy:
        copy.set_types(_type_names(table))
        yield from copy.rows()


def batches(table: Table, rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in lists of so many rows or bytes that a transaction is worth it."""
    wide = [index for index, column in enumerate(table.columns) if isinstance(column.type, String | LargeBinary)]
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(row[index] or "") for index in wide)
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def write_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Add the rows, in the transaction that the connection is in."""
    if connection.dialect.name == "sqlite":
        statement = str(insert(table).compile(dialect=connection.dialect))
        connection.exec_driver_sql(statement, [tuple(row) for row in rows])
        return
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    statement = f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT BINARY)'
    narrow = [index for index, name in enumerate(_type_names(table)) if name == "int4"]
    driver: psycopg.Connection[Any] = driver_of(connection)
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(_type_names(table))
        for row in rows:
            for index in narrow:
                if not -_INT4_END <= (row[index] or 0) < _INT4_END:  # the driver would cut it off without a word
                    raise Misconfigured(f"{table.columns[index]} of {key_of(table, row)} is too large for PostgreSQL")
            copy.write_row(row)


def without_nul(row: Row) -> Row:
    """The row with its texts as PostgreSQL takes them: it has no NUL characters, which SQLite does have."""
    return [value.replace("\x00", "\ufffd") if isinstance(value, str) else value for value in row]


def has_nul(row: Row) -> bool:
    return any(isinstance(value, str) and "\x00" in value for value in row)


def _type_names(table: Table) -> list[str]:
    return [_type_name(column) for column in table.columns]


def _type_name(column: Column[Any]) -> str:
    match column.type:
        case Boolean():
            return "bool"
        case BigInteger():
            return "int8"
        case Integer():
            return "int4"
        case LargeBinary():
            return "bytea"
        case String():
            return "text"
    raise TypeError(f"{column} has a type that transfers don't know")


def _unshown(column: Column[Any], value: str | int) -> object:
    return bytes.fromhex(str(value)) if isinstance(column.type, LargeBinary) else value


def driver_of(connection: Connection) -> Any:
    """The driver's own connection: COPY and cursors on the server's side are its matter."""
    return connection.connection.driver_connection


def _is_closed(connection: Connection) -> bool:
    """Whether a broken connection was closed by the driver, behind SQLAlchemy's back."""
    return connection.dialect.name == "postgresql" and bool(driver_of(connection).closed)
