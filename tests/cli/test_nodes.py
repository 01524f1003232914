"""Nodes and the backlog on the command line, against a server that answers as told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Answering, Command

NODE = {
    "id": "node_1",
    "host": "one.example",
    "pid": 7,
    "version": "0.9",
    "roles": ["receive", "run"],
    "address": "http://one.example:8420",
    "state": "silent",
    "started_at": "2026-11-22T10:00:00.000Z",
    "heartbeat_at": "2026-11-22T12:05:00.000Z",
    "heartbeat_age_seconds": 6.5,
    "clock_skew_seconds": 0.002,
    "hears_signals": True,
    "key_ids": ["mk_1"],
    "leases": {"run": 3, "lane": 41, "delivery": 2, "bulk_job": 0},
    "is_this": True,
}
HEAD = {"id": "evt_1", "status": "waiting", "waiting_for": "operator", "error": None}
LANE = {"id": "customer-7", "depth": 12, "head": HEAD, "head_age_seconds": 200.0, "why": "its head failed for good"}
BACKLOG = {
    "integration": {"id": "int_1", "name": "Orders"},
    "queued": 11,
    "running": 0,
    "retrying": 0,
    "waiting": 1,
    "blocked": 1,
    "oldest_age_seconds": 200.0,
    "replies_waiting": 4,
    "lanes": [LANE],
}


def page(*items: Any) -> tuple[int, Any]:
    return 200, {"items": list(items), "next": None}


@pytest.fixture
def cli(crossdock: Command, server: Answering) -> Command:
    server.answers = {"GET /api/v1/nodes": page(NODE), "GET /api/v1/backlog": page(BACKLOG)}
    return lambda *words: crossdock(*words, "--url", server.url, "--token", "t")


def test_nodes_are_listed_with_their_state_and_what_they_hold(cli: Command) -> None:
    ended = cli("nodes")

    titles, line = ended.out.splitlines()
    assert ended.code == 0
    assert titles.split()[:3] == ["NODE", "STATE", "HOST"]
    expected = "node_1 * silent one.example 7 0.9 receive,run 2 h 5 min 6.5 s ago 3 41 2 0"
    assert " ".join(line.split()) == expected


def test_nodes_are_told_as_json(cli: Command) -> None:
    assert cli("nodes", "--json").json == [NODE]


def test_the_backlog_comes_with_what_the_lanes_wait_for(cli: Command) -> None:
    ended = cli("backlog")

    first, second = ended.out.split("\n\n")
    assert first.splitlines()[1].split() == ["Orders", "11", "0", "0", "1", "1", "3", "min", "20", "s", "4"]
    assert "customer-7" in second
    assert "its head failed for good" in second


def test_where_nothing_waits_it_says_so(cli: Command, server: Answering) -> None:
    server.answers["GET /api/v1/backlog"] = page()

    assert cli("backlog").out == "Nothing waits.\n"


def test_the_backlog_is_told_as_json(cli: Command) -> None:
    assert cli("backlog", "--json").json == [BACKLOG]


def test_a_token_that_may_not_look_is_told_in_words(cli: Command, server: Answering) -> None:
    server.answers["GET /api/v1/nodes"] = (403, {"detail": "this needs the role viewer"})

    ended = cli("nodes")

    assert (ended.code, ended.err.strip()) == (1, "crossdock: this needs the role viewer")
