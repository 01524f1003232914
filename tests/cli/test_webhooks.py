"""`crossdock webhooks`: what it asks and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Answering, Command

OK = {"state": "ok", "delivered_at": None, "failing_since": None, "failures": 0, "last_error": None}
ALERTS: dict[str, Any] = {
    "id": "nwh_1",
    "name": "Alerts",
    "active": True,
    "url": "https://alerts.example/hook",
    "filters": {"integrations": ["int_1"], "types": [], "statuses": ["error"]},
    "filtered_integrations": [{"id": "int_1", "name": "ERP"}],
    "status": OK,
    "held": [],
    "warnings": [],
}
CHAT: dict[str, Any] = {
    **ALERTS,
    "id": "nwh_2",
    "name": "Chat",
    "active": False,
    "filters": {"integrations": [], "types": [], "statuses": ["warning", "error"]},
    "filtered_integrations": [],
    "status": {**OK, "state": "failing"},
    "warnings": ["It has not been told anything."],
}
TESTED: dict[str, Any] = {
    "outcome": "successful",
    "invocation": {
        "request": {
            "method": "POST",
            "url": "https://alerts.example/hook",
            "headers": {"Authorization": "[redacted]"},
            "body": '{"a": 1}',
        },
        "response": {"status": 200, "headers": {"X-B": "c"}, "body": '{"status": "ok"}', "duration_ms": 12.3},
        "validators": [{"json_path": "$.data.status", "found": ["ok"], "passed": True}],
    },
}
WHERE = "/api/v1/notification-webhooks"


@pytest.fixture
def listing(server: Answering) -> Answering:
    server.answers[f"GET {WHERE}"] = (200, {"items": [ALERTS, CHAT], "next": None})
    return server


def test_webhooks_are_listed_with_what_they_are_told_and_how_they_fare(crossdock: Command, listing: Answering) -> None:
    ended = crossdock("webhooks", "list", "--inactive", "--url", listing.url, "--token", "t")

    assert "active=false" in listing.asked[0][0]
    assert [line.split() for line in ended.out.splitlines()[1:]] == [
        ["nwh_1", "Alerts", "active", "https://alerts.example/hook", "error", "of", "ERP", "ok"],
        ["nwh_2", "Chat", "inactive", "https://alerts.example/hook", "warning,", "error", "failing", "1"],
    ]


def test_a_webhook_is_found_by_its_name(crossdock: Command, listing: Answering) -> None:
    ended = crossdock("webhooks", "show", "Chat", "--url", listing.url, "--token", "t")

    assert "name: Chat" in ended.out
    assert crossdock("webhooks", "show", "Alerts", "--json", "--url", listing.url, "--token", "t").json == ALERTS


def test_an_unknown_name_says_what_to_do(crossdock: Command, listing: Answering) -> None:
    ended = crossdock("webhooks", "test", "alerts", "--url", listing.url, "--token", "t")

    assert (ended.code, ended.err) == (
        1,
        "crossdock: there is no notification webhook 'alerts'; `crossdock webhooks list` shows them all\n",
    )


def test_a_test_shows_request_answer_and_validators(crossdock: Command, listing: Answering) -> None:
    listing.answers[f"POST {WHERE}/nwh_1/test"] = (200, TESTED)

    ended = crossdock("webhooks", "test", "Alerts", "--url", listing.url, "--token", "t")

    assert ended.code == 0
    assert [line for line in ended.out.splitlines() if line] == [
        "Test successful: Alerts",
        "POST https://alerts.example/hook",
        "Authorization: [redacted]",
        '{"a": 1}',
        "200 in 12.3 ms",
        "X-B: c",
        '{"status": "ok"}',
        '$.data.status found "ok": passed',
    ]


@pytest.mark.parametrize("invocation", [None, {**TESTED["invocation"], "response": None, "validators": []}])
def test_a_failed_test_says_why_and_ends_with_1(crossdock: Command, listing: Answering, invocation: Any) -> None:
    answer = {"outcome": "failed", "error": "the connection was refused", "invocation": invocation}
    listing.answers[f"POST {WHERE}/nwh_1/test"] = (200, answer)

    ended = crossdock("webhooks", "test", "Alerts", "--url", listing.url, "--token", "t")
    as_json = crossdock("webhooks", "test", "Alerts", "--json", "--url", listing.url, "--token", "t")

    assert (ended.code, ended.out.splitlines()[0]) == (1, "Test failed: the connection was refused")
    assert (as_json.code, as_json.json) == (1, answer)


def test_deliveries_tell_what_and_how(crossdock: Command, listing: Answering) -> None:
    line = {
        "id": "dlv_1",
        "created_at": "2026-11-22T10:00:00.000Z",
        "status": "failed",
        "attempts": 3,
        "error": "the target answered 500",
        "changes": [{"integration": {"id": "int_1", "name": "ERP"}, "status": "error"}],
    }
    listing.answers[f"GET {WHERE}/nwh_1/deliveries"] = (200, {"items": [line], "next": None})
    listing.answers[f"GET {WHERE}/nwh_2/deliveries"] = (200, {"items": [], "next": None})

    ended = crossdock("webhooks", "deliveries", "Alerts", "--limit", 5, "--url", listing.url, "--token", "t")
    nothing = crossdock("webhooks", "deliveries", "Chat", "--url", listing.url, "--token", "t")

    assert "dlv_1  2026-11-22T10:00:00.000Z  failed  3      ERP: error  the target answered 500" in ended.out
    assert "limit=5" in listing.asked[1][0]
    assert "Chat was not told anything yet" in nothing.out


@pytest.mark.parametrize(("command", "active", "words"), [("enable", True, "active"), ("disable", False, "inactive")])
def test_webhooks_are_switched(crossdock: Command, listing: Answering, command: str, active: bool, words: str) -> None:
    listing.answers[f"PATCH {WHERE}/nwh_1"] = (200, {**ALERTS, "active": active})

    ended = crossdock("webhooks", command, "Alerts", "--url", listing.url, "--token", "t")

    assert listing.asked[-1][2] == {"active": active}
    assert ended.out == f"Alerts is {words}.\n"


def test_a_webhook_is_deleted(crossdock: Command, listing: Answering) -> None:
    listing.answers[f"DELETE {WHERE}/nwh_1"] = (204, {})

    assert crossdock("webhooks", "delete", "Alerts", "--url", listing.url, "--token", "t").out == "Alerts is deleted.\n"
