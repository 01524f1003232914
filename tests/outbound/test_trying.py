"""Trying a connection: what counts as working, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.model.delivery import SendReport
from crossdock.outbound.connection import HttpConnection, SqlConnection
from crossdock.outbound.request import SqlAnswer, SqlFailed
from crossdock.outbound.trying import ConnectionTest, Trying
from tests.support.held import START

ERP = HttpConnection("con_1", 1, "ERP", "https://erp.example/api", timeout=5.0)
STOCK = SqlConnection("con_2", 1, "Stock", "postgresql+psycopg://u:p@db.example/x")
FILES = SqlConnection("con_3", 1, "Files", "sqlite:////srv/files.db")


class Answering:
    """Both kinds of systems: they answer as they are told, and keep what they were asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    async def call(self, request: Any, connection: Any) -> Any:
        self.asked.append((request, connection))
        return self.answer

    async def execute(self, query: Any, connection: Any) -> Any:
        self.asked.append((query, connection))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def report(**more: Any) -> SendReport:
    return SendReport(START, START + 12_345, (), **more)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None),
        (302, None),
        (404, None),
        (500, None),
        (401, "the system answered 401: it does not accept these credentials"),
        (403, "the system answered 403: it knows the credentials and does not allow the call"),
        (407, "the system answered 407: a proxy in between asks for credentials of its own"),
    ],
)
async def test_any_answer_but_a_refusal_counts_as_working(status: int, error: str | None) -> None:
    http = Answering(report(status=status, response_body=b"secret"))

    tested = await Trying(http, http).test(ERP, "health")

    assert tested == ConnectionTest(error, {"status": status, "duration_ms": 12.3})
    request, connection = http.asked[0]
    assert (request.method, request.url, request.timeout, connection) == ("GET", "health", 5.0, ERP)


async def test_a_system_that_does_not_answer_has_failed() -> None:
    http = Answering(report(error="the connection was refused by erp.example:443"))

    tested = await Trying(http, http).test(ERP)

    assert tested.error == "the connection was refused by erp.example:443"
    assert tested.details["status"] is None


@pytest.mark.parametrize(
    ("connection", "statement"),
    [(STOCK, "SELECT version() AS version"), (FILES, "SELECT sqlite_version() AS version")],
)
async def test_a_database_tells_its_version(connection: SqlConnection, statement: str) -> None:
    sql = Answering(SqlAnswer([{"version": "18.6"}], 1))

    tested = await Trying(sql, sql).test(connection)

    assert (tested.error, tested.details["server_version"]) == (None, "18.6")
    assert sql.asked[0][0].statement == statement
    assert sql.asked[0][0].exactly_once is False


async def test_a_database_that_can_not_be_asked_says_why() -> None:
    sql = Answering(SqlFailed("sql_unavailable", "Stock can't be reached", permanent=False))

    tested = await Trying(sql, sql).test(STOCK)

    assert tested.error == "Stock can't be reached"
