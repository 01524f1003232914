"""The audit log on the command line, against a server that answers as told."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Answering, Command

HEAD = {
    "id": "aud_1",
    "at": "2026-11-22T10:00:00.000Z",
    "actor": {"id": "usr_1", "name": "alice"},
    "action": "integration.changed",
    "subject": {"id": "int_1", "name": "Orders"},
    "note": "apply",
}
LINE = {**HEAD, "fields": ["name", "reply.url"], "more_fields": 3}
ENTRY = {
    **HEAD,
    "before": {"name": "Orders", "reply.url": None},
    "after": {"name": "Shop", "reply.url": "https://erp.example"},
    "changes": [
        {"field": "name", "before": "Orders", "after": "Shop"},
        {"field": "reply.url", "before": None, "after": "https://erp.example"},
    ],
}


@pytest.fixture
def cli(crossdock: Command, server: Answering) -> Command:
    server.answers = {
        "GET /api/v1/audit": (200, {"items": [LINE], "next": None}),
        "GET /api/v1/audit/aud_1": (200, ENTRY),
    }
    return lambda *words: crossdock(*words, "--url", server.url, "--token", "t")


def test_changes_are_listed_with_the_fields(cli: Command) -> None:
    ended = cli("audit", "list")

    assert ended.code == 0
    assert ended.out.splitlines()[1].split("  ")[0] == "2026-11-22T10:00:00.000Z"
    for word in ("alice", "integration.changed", "Orders", "name, reply.url and 3 more", "apply"):
        assert word in ended.out


def test_a_list_is_narrowed_by_the_server(cli: Command, server: Answering) -> None:
    words = (
        "--subject",
        "int_1",
        "--actor",
        "usr_1",
        "--action",
        "key",
        "--q",
        "till",
        "--since",
        "2026-11-22T00:00:00Z",
    )

    assert cli("audit", "list", *words, "--until", "2026-11-23T00:00:00Z").code == 0
    asked = server.asked[-1][0]
    for part in ("subject=int_1", "actor=usr_1", "action=key", "q=till", "since=2026-11-22", "until=2026-11-23"):
        assert part in asked


def test_one_change_is_shown_before_and_after(cli: Command) -> None:
    ended = cli("audit", "show", "aud_1")

    assert ended.out.splitlines() == [
        "2026-11-22T10:00:00.000Z  alice  integration.changed",
        "Of: Orders (int_1)",
        "Note: apply",
        "",
        "name",
        "  before: Orders",
        "  after:  Shop",
        "",
        "reply.url",
        "  before: null",
        "  after:  https://erp.example",
    ]


def test_json_is_what_the_server_said(cli: Command) -> None:
    assert cli("audit", "list", "--json").json == [LINE]
    assert cli("audit", "show", "aud_1", "--json").json == ENTRY


def test_an_empty_log_says_so(cli: Command, server: Answering) -> None:
    server.answers["GET /api/v1/audit"] = (200, {"items": [], "next": None})

    assert cli("audit", "list").out == "The audit log has no such entry.\n"
