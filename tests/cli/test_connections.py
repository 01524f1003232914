"""`crossdock connections`: what it asks and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Answering, Command

ERP: dict[str, Any] = {
    "id": "con_1",
    "name": "ERP",
    "kind": "http",
    "base_url": "https://erp.example/api",
    "authentication": {"type": "bearer_token", "token": "[set]"},
    "used_by": [{"id": "int_1", "name": "Orders", "published": True, "draft": False}],
    "warnings": ["The client certificate has expired; replace it."],
}
STOCK: dict[str, Any] = {
    "id": "con_2",
    "name": "Stock",
    "kind": "sql",
    "url": "postgresql://erp:***@db.example/stock",
    "used_by": [],
    "warnings": [],
}


@pytest.fixture
def listing(server: Answering) -> Answering:
    server.answers["GET /api/v1/connections"] = (200, {"items": [ERP, STOCK], "next": None})
    return server


def test_connections_are_listed_with_their_users(crossdock: Command, listing: Answering) -> None:
    ended = crossdock("connections", "list", "--kind", "http", "--url", listing.url, "--token", "t")

    assert "kind=http" in listing.asked[0][0]
    assert [line.split() for line in ended.out.splitlines()[1:]] == [
        ["con_1", "ERP", "http", "https://erp.example/api", "Orders", "1"],
        ["con_2", "Stock", "sql", "postgresql://erp:***@db.example/stock"],
    ]


def test_a_connection_is_found_by_its_name(crossdock: Command, listing: Answering) -> None:
    ended = crossdock("connections", "show", "Stock", "--url", listing.url, "--token", "t")

    assert "url: postgresql://erp:***@db.example/stock" in ended.out
    assert crossdock("connections", "show", "ERP", "--json", "--url", listing.url, "--token", "t").json == ERP


def test_an_unknown_name_says_what_to_do(crossdock: Command, listing: Answering) -> None:
    ended = crossdock("connections", "show", "erp", "--url", listing.url, "--token", "t")

    assert (ended.code, ended.err) == (
        1,
        "crossdock: there is no connection 'erp'; `crossdock connections list` shows them all\n",
    )


@pytest.mark.parametrize(
    ("answer", "code", "line"),
    [
        (
            {"outcome": "successful", "details": {"status": 200, "duration_ms": 12.3}},
            0,
            "Test successful: ERP (answered 200 in 12.3 ms)",
        ),
        (
            {"outcome": "failed", "error": "the connection was refused", "details": {"status": None}},
            1,
            "Test failed: the connection was refused",
        ),
    ],
)
def test_a_test_tells_how_it_went(crossdock: Command, listing: Answering, answer: Any, code: int, line: str) -> None:
    listing.answers["POST /api/v1/connections/con_1/test"] = (200, answer)

    ended = crossdock("connections", "test", "ERP", "--url", listing.url, "--token", "t")
    as_json = crossdock("connections", "test", "ERP", "--json", "--url", listing.url, "--token", "t")

    assert (ended.code, ended.out.strip()) == (code, line)
    assert (as_json.code, as_json.json) == (code, answer)
