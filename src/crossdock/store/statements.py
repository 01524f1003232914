"""Statements for many rows at once: the rows travel as one JSON document, their bytes as one blob beside it.

One statement, one round trip and, on SQLite, one release of the interpreter lock for a whole batch: the database takes
the document apart, not Python, while the event loop goes on. The text of a statement is the same for every number of
rows, so it is built and prepared once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    LargeBinary,
    Row,
    Select,
    Subquery,
    Table,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import JSONB, psycopg
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.sql.dml import Insert
from sqlalchemy.types import Integer, String, Text, TypeEngine

_encode = msgspec.json.Encoder().encode

_DIALECTS: Mapping[str, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="named"),
    "postgresql": psycopg.dialect(),  # type: ignore[no-untyped-call]
}


def has_row(query: Select[Any]) -> ColumnElement[bool]:
    """Whether `query` finds a row for the row around it, looked up by itself each time.

    Not EXISTS: PostgreSQL may turn that into a join, and read all that waits to find out for whom something does.
    """
    return query.limit(1).scalar_subquery().is_not(None)


Rows: TypeAlias = Sequence[tuple[Any, ...]]


class _Statement:
    """Text and constant parameters for each database, made when they are first needed."""

    def __init__(self, columns: Mapping[str, TypeEngine[Any]]) -> None:
        self._columns = columns
        self._blobs = [n for n, kind in enumerate(columns.values()) if isinstance(kind, LargeBinary)]
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def _build(self, dialect: str) -> Executable:
        raise NotImplementedError

    def execute(self, connection: Connection, rows: Rows, **parameters: object) -> list[Row[Any]]:
        """Carry it out for all rows; what RETURNING gave, in no promised order. `parameters` are those that the
        statement names beside its rows.
        """
        if not rows:
            return []
        text, constants = self._text(connection.dialect.name)
        result = connection.exec_driver_sql(text, {**constants, **parameters, **_parameters(rows, self._blobs)})
        return list(result.all()) if result.returns_rows else []

    def _text(self, dialect: str) -> tuple[str, dict[str, Any]]:
        if dialect not in self._compiled:
            compiled = self._build(dialect).compile(dialect=_DIALECTS[dialect])  # type: ignore[attr-defined]
            constants = {name: value for name, value in compiled.params.items() if name not in (_DOCUMENT, _BYTES)}
            self._compiled[dialect] = (str(compiled), constants)
        return self._compiled[dialect]


class RowInsert(_Statement):
    """`INSERT INTO table SELECT ... FROM rows` for tuples in the order of the table's columns.

    `finish` may add an ON CONFLICT or RETURNING clause.
    """

    def __init__(self, table: Table, finish: Callable[[Insert], Executable] | None = None) -> None:
        super().__init__({c.name: c.type for c in table.columns})
        self._table = table
        self._finish = finish

    def _build(self, dialect: str) -> Executable:
        insert = sqlite.insert if dialect == "sqlite" else postgresql_insert
        rows = _select_rows(self._columns, dialect).where(true())  # SQLite needs a WHERE before ON CONFLICT
        statement = insert(self._table).from_select(list(self._columns), rows, include_defaults=False)
        return self._finish(statement) if self._finish else statement


class RowUpdate(_Statement):
    """`UPDATE ... FROM rows WHERE ... RETURNING`: one guarded change for each row.

    `build` makes the statement from the rows' columns. The rows' tuples follow `columns`.
    """

    def __init__(self, columns: Mapping[str, TypeEngine[Any]], build: Callable[[Subquery], Executable]) -> None:
        super().__init__(columns)
        self._finish = build

    def _build(self, dialect: str) -> Executable:
        return self._finish(_select_rows(self._columns, dialect).subquery("v"))


_DOCUMENT = "rows"
_BYTES = "bytes"


def _parameters(rows: Rows, blobs: Sequence[int]) -> dict[str, Any]:
    """The JSON document, and the joined bytes where the rows have some: a blob becomes its [start, length]."""
    if not blobs:
        return {_DOCUMENT: _encode(rows).decode()}
    pieces: list[bytes] = []
    start = 1
    slim: list[list[Any]] = []
    for row in rows:
        cells = list(row)
        for position in blobs:
            blob = cells[position]
            if blob is not None:
                pieces.append(blob)
                cells[position] = (start, len(blob))
                start += len(blob)
        slim.append(cells)
    # never empty: SQLite takes NULL for any part of an empty blob
    return {_DOCUMENT: _encode(slim).decode(), _BYTES: b"".join(pieces) or b"\x00"}


def _select_rows(columns: Mapping[str, TypeEngine[Any]], dialect: str) -> Select[Any]:
    # Differs: each database has its own way to take a JSON document apart.
    is_sqlite = dialect == "sqlite"
    document: ColumnElement[Any] = bindparam(_DOCUMENT, type_=Text())
    elements = func.jsonb_each(document) if is_sqlite else func.jsonb_array_elements(cast(document, JSONB))
    cells = [_cell(position, kind, is_sqlite).label(name) for position, (name, kind) in enumerate(columns.items())]
    return select(*cells).select_from(elements.table_valued("value", name="j"))


def _cell(position: int, kind: TypeEngine[Any], is_sqlite: bool) -> ColumnElement[Any]:
    row: ColumnElement[Any] = column("value")
    text = row.op("->>")(literal_column(str(position)))
    if isinstance(kind, LargeBinary):
        place = row.op("->")(literal_column(str(position)))
        start, length = (cast(place.op("->>")(literal_column(end)), Integer) for end in ("0", "1"))
        cut = func.substr if is_sqlite else func.substring
        return cut(bindparam(_BYTES, type_=LargeBinary()), start, length)
    return text if is_sqlite or isinstance(kind, String) else cast(text, kind)
