"""Multi-row statements, built once for each size.

One statement for many rows costs one round trip, and on SQLite one release of the interpreter lock, instead of one
for each row. Sizes are few, so that the drivers' caches of prepared statements stay warm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    Row,
    Table,
    bindparam,
    column,
    values,
)
from sqlalchemy.sql.dml import Insert
from sqlalchemy.types import TypeEngine

SIZES = (128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)


def chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows in pieces whose lengths are all in SIZES."""
    start = 0
    while start < len(rows):
        size = next(size for size in SIZES if size <= len(rows) - start)
        yield rows[start : start + size]
        start += size


def _compile(statement: Executable, dialect: Dialect) -> tuple[str, list[str], dict[str, Any]]:
    compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
    return str(compiled), list(compiled.positiontup), dict(compiled.params)


class RowInsert:
    """`INSERT ... VALUES (...), (...)` for tuples in the order of the table's columns.

    `finish` may add an ON CONFLICT or RETURNING clause.
    """

    def __init__(self, table: Table, finish: Callable[[Insert], Executable] | None = None) -> None:
        self._table = table
        self._finish = finish or (lambda statement: statement)
        self._texts: dict[tuple[str, int], str] = {}

    def execute(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[Row[Any]]:
        """Insert all rows; what RETURNING gave, in no promised order."""
        returned: list[Row[Any]] = []
        for chunk in chunks(rows):
            flat = tuple(value for row in chunk for value in row)
            result = connection.exec_driver_sql(self._text(connection, len(chunk)), flat)
            if result.returns_rows:
                returned.extend(result.all())
        return returned

    def _text(self, connection: Connection, size: int) -> str:
        key = (connection.dialect.name, size)
        if key not in self._texts:
            columns: list[Column[Any]] = list(self._table.columns)
            rows = [{c.name: bindparam(f"{c.name}_{n}", type_=c.type) for c in columns} for n in range(size)]
            text, order, _ = _compile(
                self._finish(_insert(self._table, connection.dialect.name).values(rows)), connection.dialect
            )
            expected = [f"{c.name}_{n}" for n in range(size) for c in columns]
            assert order == expected, "the row's order must be the table's"
            self._texts[key] = text
        return self._texts[key]


def _insert(table: Table, dialect: str) -> Insert:
    # Differs: only the dialects' own INSERTs know ON CONFLICT.
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table)


class RowUpdate:
    """`WITH v(...) AS (VALUES ...) UPDATE ... FROM v WHERE ... RETURNING`: one guarded change for each row.

    `build` makes the statement from the values' columns. The rows' tuples follow `columns`. Missing rows up to the
    next size are padded with NULLs, which match nothing.
    """

    def __init__(self, columns: dict[str, TypeEngine[Any]], build: Callable[[CTE], Executable]) -> None:
        self._columns = columns
        self._build = build
        self._texts: dict[tuple[str, int], tuple[str, tuple[Any, ...]]] = {}

    def execute(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[Row[Any]]:
        """Carry out all changes; what RETURNING gave: the changes that landed, in no promised order."""
        landed: list[Row[Any]] = []
        padding = (None,) * len(self._columns)
        for start in range(0, len(rows), SIZES[0]):
            chunk = list(rows[start : start + SIZES[0]])
            size = min(size for size in SIZES if size >= len(chunk))
            chunk += [padding] * (size - len(chunk))
            text, constants = self._text(connection, size)
            flat = tuple(value for row in chunk for value in row)
            landed.extend(connection.exec_driver_sql(text, flat + constants).all())
        return landed

    def _text(self, connection: Connection, size: int) -> tuple[str, tuple[Any, ...]]:
        key = (connection.dialect.name, size)
        if key not in self._texts:
            v = self.values(size)
            text, order, params = _compile(self._build(v), connection.dialect)
            count = size * len(self._columns)
            assert order[:count] == [f"{name}_{n}_" for n in range(size) for name in self._columns]
            self._texts[key] = (text, tuple(params[name] for name in order[count:]))
        return self._texts[key]

    def values(self, size: int) -> CTE:
        names: list[ColumnElement[Any]] = [column(name, kind) for name, kind in self._columns.items()]
        rows = [
            tuple(bindparam(f"{name}_{n}_", type_=kind) for name, kind in self._columns.items()) for n in range(size)
        ]
        return values(*names, name="v").data(rows).cte("v")  # type: ignore[arg-type]
