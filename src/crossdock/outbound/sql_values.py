"""Values on their way into a statement, and on their way out of a result.

In: JSON null, booleans, numbers and texts are bound as what they are; an object or a list is bound as its JSON text.
Out: everything becomes JSON without losing anything. A number stands as a number where JSON's can hold it exactly, and
as text where not; what JSON has no form for is text or, for bytes, `{"base64": ...}`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from crossdock.model.outcome import Json
from crossdock.outbound.request import SqlFailed
from crossdock.outbound.sql_statement import Dialect, ListParameter, Parameter, Statement

MAX_ROWS = 10_000
MAX_BYTES = 8 * 1024 * 1024
MAX_LIST = 1_000
"""Elements of a list that is given for `IN (:name)`."""

Row: TypeAlias = tuple[Any, ...]
Scalar: TypeAlias = bool | int | float | str | None

_NOTHING = {
    (Dialect.SQLITE, False): "IN ()",
    (Dialect.SQLITE, True): "NOT IN ()",
    (Dialect.POSTGRESQL, False): "= ANY ('{}')",
    (Dialect.POSTGRESQL, True): "<> ALL ('{}')",
    (Dialect.MYSQL, False): "IN (SELECT 1 FROM DUAL WHERE FALSE)",
    (Dialect.MYSQL, True): "NOT IN (SELECT 1 FROM DUAL WHERE FALSE)",
}
"""`IN` and `NOT IN` with an empty list. Differs: only SQLite takes it as it is, and only PostgreSQL asks for a type."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement as its driver takes it, with the values apart from the text."""

    text: str
    values: Mapping[str, Scalar]
    statement: Statement


def bind(statement: Statement, parameters: Mapping[str, Json], dialect: Dialect) -> Bound:
    """Give each place in the statement its value; SqlFailed when names don't match or a value can't be bound."""
    check_names(statement.names, parameters)
    places = _Places(dialect)
    parts: list[str] = []
    for part in statement.parts:
        if isinstance(part, str):
            parts.append(part if dialect is Dialect.SQLITE else part.replace("%", "%%"))
        elif isinstance(part, Parameter):
            parts.append(places.one(part.name, parameters[part.name]))
        else:
            parts.append(places.several(part, parameters[part.name]))
    return Bound("".join(parts), places.values, statement)


def check_names(wanted: Iterable[str], given: Iterable[str]) -> None:
    """SqlFailed unless each parameter of the statement is given, and nothing else."""
    missing, unused = set(wanted) - set(given), set(given) - set(wanted)
    if missing:
        raise _unbindable(f"the statement has the parameter :{min(missing)}, and the step gives no value for it")
    if unused:
        raise _unbindable(f"the step gives the parameter {min(unused)}, and the statement has no :{min(unused)}")


class _Places:
    """Numbers the values: the same parameter is the same value wherever it stands."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[str, str] = {}
        self.values: dict[str, Scalar] = {}

    def one(self, name: str, value: Json) -> str:
        if name not in self._known:
            self._known[name] = self._place(name, value)
        return self._known[name]

    def several(self, parameter: ListParameter, value: Json) -> str:
        word = "NOT IN" if parameter.is_negated else "IN"
        if not isinstance(value, list):
            return f"{word} ({self.one(parameter.name, value)})"
        if not value:
            return _NOTHING[self._dialect, parameter.is_negated]
        if len(value) > MAX_LIST:
            raise _unbindable(f"the list for :{parameter.name} has {len(value)} elements, and IN takes {MAX_LIST}")
        return f"{word} ({', '.join(self._place(parameter.name, element) for element in value)})"

    def _place(self, name: str, value: Json) -> str:
        key = f"v{len(self.values)}"
        self.values[key] = _bindable(name, value, self._dialect)
        return f":{key}" if self._dialect is Dialect.SQLITE else f"%({key})s"


def _bindable(name: str, value: Json, dialect: Dialect) -> Scalar:
    if isinstance(value, dict | list):
        return _json_text(name, value)
    if isinstance(value, str):
        _check_text(name, value, dialect)
        return value
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and dialect is Dialect.SQLITE and not -(2**63) <= value < 2**63:
        raise _unbindable(f"the value of :{name} does not fit into 64 bits, and SQLite has no larger integers")
    if isinstance(value, float) and not math.isfinite(value):
        raise _unbindable(f"the value of :{name} is no finite number")
    if not isinstance(value, int | float):
        raise _unbindable(f"the value of :{name} is no JSON")
    return value


def _check_text(name: str, value: str, dialect: Dialect) -> None:
    if dialect is Dialect.POSTGRESQL and "\0" in value:
        raise _unbindable(f"the value of :{name} contains a zero byte, which PostgreSQL's texts can't hold")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _no_character(name) from None


def _json_text(name: str, value: Json) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        raise _no_character(name) from None


def _no_character(name: str) -> SqlFailed:
    return _unbindable(f"the value of :{name} has half of a surrogate pair, which is no character")


def _unbindable(message: str) -> SqlFailed:
    return SqlFailed("sql_parameters", message, permanent=True)


# --- results -------------------------------------------------------------------------------------------------------


def read_rows(columns: list[str], rows: Iterator[Row]) -> list[dict[str, Json]]:
    """The rows as objects, read one after the other; SqlFailed when they are more than a step takes."""
    _check_columns(columns)
    read: list[dict[str, Json]] = []
    size = 0
    for row in rows:
        if len(read) >= MAX_ROWS:
            raise _too_large(f"more than {MAX_ROWS} rows")
        taken = {column: to_json(value) for column, value in zip(columns, row, strict=True)}
        size += len(msgspec.json.encode(taken))
        if size > MAX_BYTES:
            raise _too_large(f"more than {MAX_BYTES // 1024**2} MiB")
        read.append(taken)
    return read


def _too_large(what: str) -> SqlFailed:
    advice = "read it in parts with LIMIT, or select fewer columns"
    return SqlFailed(
        "sql_too_large", f"the result has {what}, which is the most that a step takes; {advice}", permanent=True
    )


def _check_columns(columns: list[str]) -> None:
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            message = f"two columns of the result are called {column}; give one another name with AS"
            raise SqlFailed("sql_error", message, permanent=True)
        seen.add(column)


def to_json(value: Any) -> Json:
    """One value of a result. What a driver hands over in a type of its own is told by its text."""
    match value:
        case None | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else _not_finite(value)
        case Decimal():
            return _exact(value)
        case bytes() | bytearray() | memoryview():
            return {"base64": base64.b64encode(bytes(value)).decode()}
        case datetime():
            return to_utc(value) if value.tzinfo is not None else value.isoformat()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return f"PT{value.total_seconds()}S"
        case dict():
            return {str(key): to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [to_json(item) for item in value]
        case _:
            return str(value)


def to_utc(moment: datetime) -> str:
    """RFC 3339 with `Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _exact(value: Decimal) -> Json:
    """A number if JSON's can hold it exactly (as an integer, or as the shortest text of a float), else text."""
    if not value.is_finite():
        return _not_finite(float(value))
    if value == value.to_integral_value() and value.adjusted() < 30:
        return int(value)
    nearest = float(value)
    return nearest if math.isfinite(nearest) and Decimal(repr(nearest)) == value else str(value)


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
