"""A database with a past for measuring pages: many integrations, and events of a week behind them.

The events are made by the database itself, with bodies, headers, runs, and for some of them steps and replies. One in a
hundred failed, a few were canceled, some of the newest wait; all in one workspace, spread over its integrations.
"""

from __future__ import annotations

import re

from sqlalchemy import Connection, text

from crossdock.model.time import SECOND, Instant

DAYS = 7
WAITING = 2_000
"""Of the newest events so many have not been handled, in one integration of twenty."""

_SERIES = """WITH RECURSIVE series(n) AS (
    SELECT CAST(:first AS BIGINT) UNION ALL SELECT n + 1 FROM series WHERE n < :last
)
INSERT INTO {table} ({columns}) SELECT {values} FROM series JOIN bench_owner ON bench_owner.k = n % :owners
{where}"""
_HEX = {"sqlite": "printf('%012x', {0})", "postgresql": "lpad(to_hex(CAST({0} AS BIGINT)), 12, '0')"}
_BYTES = {"sqlite": "CAST({0} AS BLOB)", "postgresql": "convert_to({0}, 'UTF8')"}
_AT = "(:now - (:total - n) * :step)"
_WAITS = f"(n > :total - {WAITING} AND n % 20 = 3)"
_STATE = f"""CASE WHEN {_WAITS} THEN 'queued' WHEN n % 100 = 0 THEN 'failed' WHEN n % 5000 = 1 THEN 'canceled'
ELSE 'succeeded' END"""
_ENDED = f"CASE WHEN {_WAITS} THEN NULL ELSE {_AT} + 4000 + (n * 7919) % 400000 END"
_HEADERS = """'[["host","hooks.example"],["user-agent","erp/4.2"],["content-type","application/json"],["x-trace","t' ||
n || '"]]'"""
_BODY = """'{"order":' || n || ',"customer":{"id":"c' || (n % 1000) || '","name":"Customer number ' || (n % 1000) ||
'"},"lines":[{"sku":"A-100","quantity":2},{"sku":"B-200","quantity":1}],"note":"please deliver before noon"}'"""


def fill(connection: Connection, integration_ids: list[str], total: int, now: Instant) -> None:
    """Make the events, in bites that leave the write-ahead log small. In autocommit."""
    kind = connection.dialect.name
    connection.execute(text("CREATE TEMPORARY TABLE bench_owner (k INTEGER PRIMARY KEY, id VARCHAR)"))
    for k, integration_id in enumerate(integration_ids):
        connection.execute(text("INSERT INTO bench_owner (k, id) VALUES (:k, :id)"), {"k": k, "id": integration_id})
    step = DAYS * 86_400 * SECOND // total
    given = {"total": total, "now": now, "step": step, "owners": len(integration_ids)}
    statements = _statements(kind)
    for first in range(1, total + 1, BITE):
        for statement in statements:
            connection.exec_driver_sql(
                _written(statement, {**given, "first": first, "last": min(first + BITE - 1, total)})
            )
    connection.exec_driver_sql("ANALYZE")


def _written(statement: str, numbers: dict[str, int]) -> str:
    """The numbers are written into the statement: its JSON has colons, too."""
    return _NAME.sub(lambda name: str(numbers[name[1]]), statement)


BITE = 50_000
_NAME = re.compile(r":([a-z]+)")


def _statements(kind: str) -> list[str]:
    at_ms = f"{_AT} / 1000"
    event_id = f"'evt_' || {_HEX[kind].format(at_ms)} || '7abc' || {_HEX[kind].format('n')} || '0123'"
    delivery_id = event_id.replace("evt_", "dlv_")
    event = {
        "id": event_id,
        "integration_id": "bench_owner.id",
        "received_at": _AT,
        "method": "CASE WHEN n % 10 = 0 THEN 'PUT' ELSE 'POST' END",
        "path": "'/hooks/default/flow-' || k",
        "query": "'[]'",
        "headers": _HEADERS,
        "content_type": "'application/json'",
        "source_ip": "'203.0.113.9'",
        "depth": "0",
        "size": "300",
        "body": _BYTES[kind].format(_BODY),
    }
    run = {
        "event_id": event_id,
        "integration_id": "bench_owner.id",
        "state": _STATE,
        "workflow_number": "1",
        "accepted_at": _AT,
        "due_at": _AT,
        "started_at": f"CASE WHEN {_WAITS} THEN NULL ELSE {_AT} + 3000 END",
        "finished_at": _ENDED,
        "attempts": "1",
        "losses": "0",
        "cancel_requested": "false",
        "error_kind": "CASE WHEN n % 100 = 0 THEN 'assert' END",
        "error_message": "CASE WHEN n % 100 = 0 THEN 'the order has no lines' END",
    }
    delivery = {
        "id": delivery_id,
        "kind": "'reply'",
        "integration_id": "bench_owner.id",
        "event_id": event_id,
        "state": "CASE WHEN n % 2000 = 0 THEN 'failed' ELSE 'delivered' END",
        "created_at": _AT,
        "due_at": _AT,
        "finished_at": _AT,
        "attempts": "1",
    }
    statements = [
        _insert("event", event),
        _insert("run", run),
        _insert("delivery", delivery, "WHERE n % 10 = 0"),
        _insert("journal", {"event_id": event_id, "position": "0", "steps": "'[]'"}, "WHERE n % 5 = 0"),
    ]
    # psycopg takes a single % for the beginning of a parameter
    return [one.replace("%", "%%") for one in statements] if kind == "postgresql" else statements


def _insert(table: str, values: dict[str, str], where: str = "") -> str:
    return _SERIES.format(table=table, columns=", ".join(values), values=", ".join(values.values()), where=where)
