"""`sql`: carries out one statement on a database of a connection.

The statement is fixed text. Values get into it as parameters only, which the database never takes for SQL; that is why
expressions in a statement are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from crossdock.expressions import CompiledTree
from crossdock.model.outcome import Done, Failure, Json, Retry, StepOutcome, Stop
from crossdock.outbound.connection import SqlConnection
from crossdock.outbound.request import SqlFailed, SqlQuery
from crossdock.outbound.sql_statement import Dialect, Statement, StatementRefused, read_statement
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.exchange import execute
from crossdock.run.steps.fields import refuse, require_object, value_at

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_EXPRESSION = re.compile(r"\{\{|\{%|\{#")


@dataclass(frozen=True, slots=True)
class SqlStep:
    connection: str
    statement: str
    parameters: CompiledTree
    exactly_once: bool
    is_read: bool
    """By its words it changes nothing. With `SqlQuery.reads_only`, the database sees to it."""
    is_pure = False
    is_quick = False
    branches = ()
    records_input = True

    @property
    def steps(self) -> frozenset[str]:
        return self.parameters.steps

    def prepare(self, names: Mapping[str, Json]) -> Json:
        return {
            "connection": self.connection,
            "statement": self.statement,
            "parameters": self.parameters.evaluate(names),
        }

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        try:
            connection = context.outside.find_connection(context.event.integration_id, given["connection"])
        except LookupError as missing:
            return Stop(Failure("connection_missing", str(missing.args[0]), permanent=True))
        if not isinstance(connection, SqlConnection):
            return Stop(Failure("connection_missing", _wrong_kind(connection.name, connection.kind), permanent=True))
        query = SqlQuery(
            statement=given["statement"],
            parameters=given["parameters"],
            key=context.idempotency_key,
            timeout=context.timeout,
            exactly_once=self.exactly_once,
        )
        try:
            answer = await execute(query, connection, context)
        except SqlFailed as failed:
            failure = Failure(failed.kind, str(failed), permanent=failed.permanent)
            return Stop(failure) if failed.permanent else Retry(failure)
        return Done({"rows": answer.rows, "row_count": answer.row_count})


def compile_sql(settings: Json, field: str, around: Compiling) -> SqlStep:
    written = require_object(
        settings,
        field,
        allowed=("connection", "statement", "parameters", "exactly_once"),
        required=("connection", "statement"),
    )
    connection = _connection_at(written["connection"], f"{field}.connection", around)
    readings = _readings(written["statement"], f"{field}.statement")
    parameters = _parameters_at(written.get("parameters", {}), f"{field}.parameters", readings)
    exactly_once = written.get("exactly_once", True)
    if not isinstance(exactly_once, bool):
        refuse(f"{field}.exactly_once", "true or false is needed")
    return SqlStep(
        connection=connection,
        statement=written["statement"],
        parameters=value_at(parameters, f"{field}.parameters", around.names),
        exactly_once=exactly_once,
        is_read=all(reading.is_read for reading in readings),
    )


def _connection_at(name: Json, field: str, around: Compiling) -> str:
    if not isinstance(name, str) or not name or _EXPRESSION.search(name):
        refuse(field, "the name of a SQL connection is needed, as fixed text")
    if around.connections is not None:
        kind = around.connections.get(name)
        if kind is None:
            refuse(field, f"there is no connection {name!r} in this workspace; create it first")
        if kind != "sql":
            refuse(field, _wrong_kind(name, kind))
    return name


def _wrong_kind(name: str, kind: str) -> str:
    return f"the connection {name!r} is of the kind {kind}, and this step needs one of the kind sql"


def _readings(statement: Json, field: str) -> list[Statement]:
    """The statement as each kind of database would read it. Which one it will be may change with the connection, so it
    is refused only where all of them would."""
    if not isinstance(statement, str):
        refuse(field, "a statement is needed, as text")
    if _EXPRESSION.search(statement):
        refuse(
            field,
            "a statement is fixed text, because a value in it could turn into SQL; write :name where a value belongs,"
            " and name: {{ ... }} in parameters",
        )
    readings: list[Statement] = []
    problems: list[str] = []
    for dialect in Dialect:
        try:
            readings.append(read_statement(statement, dialect))
        except StatementRefused as problem:
            problems.append(str(problem))
    if not readings:
        refuse(field, problems[0])
    return readings


def _parameters_at(parameters: Json, field: str, readings: list[Statement]) -> dict[str, Json]:
    if not isinstance(parameters, dict):
        refuse(field, "an object is needed: each parameter's name and value")
    for name in parameters:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            refuse(f"{field}.{name}", "a parameter's name is made of letters, digits and _")
        if not any(name in reading.names for reading in readings):
            refuse(f"{field}.{name}", f"the statement has no :{name}")
    for name in sorted(frozenset.intersection(*(reading.names for reading in readings)) - parameters.keys()):
        refuse(f"{field}.{name}", f"the statement has :{name}; a value is needed")
    return parameters
