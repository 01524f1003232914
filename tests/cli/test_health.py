"""`crossdock health`: what it asks and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Answering, Command

AT = "2026-11-22T10:00:00.000Z"
ERP: dict[str, Any] = {
    "id": "int_1",
    "name": "ERP",
    "path": "erp",
    "current_health": {"status": "warning", "since": AT, "issues": 1},
}
ISSUE: dict[str, Any] = {
    "id": "iss_1",
    "key": "run:http:send",
    "status": "warning",
    "message": "1 of the last 20 runs failed",
    "first_seen": AT,
    "last_seen": AT,
    "count": 1,
    "sample_event": "evt_1",
    "acknowledged": {"at": AT, "by": "bob", "note": "I look at it"},
    "snoozed_until": None,
    "snoozed": None,
    "resolved": None,
}
HEALTH: dict[str, Any] = {
    "status": "warning",
    "since": AT,
    "issues": [ISSUE],
    "history": [
        {
            "id": "hch_1",
            "at": AT,
            "status": "warning",
            "previous_status": "active",
            "issues": [{"status": "warning", "message": "1 of the last 20 runs failed"}],
        }
    ],
    "next": None,
}
PLACE = "/api/v1/integrations/int_1/health"


@pytest.fixture
def asked(server: Answering) -> Answering:
    server.answers["GET /api/v1/integrations"] = (200, {"items": [ERP], "next": None})
    server.answers["GET /api/v1/integrations/int_1"] = (200, ERP)
    server.answers[f"GET {PLACE}"] = (200, HEALTH)
    server.answers[f"GET {PLACE}/issues"] = (200, {"items": [ISSUE], "next": None})
    return server


def test_integrations_are_listed_by_their_health(crossdock: Command, asked: Answering) -> None:
    ended = crossdock("health", "--status", "warning,error", "--url", asked.url, "--token", "t")

    assert "health=warning%2Cerror" in asked.asked[0][0]
    assert ended.out.splitlines()[1].split() == ["ERP", "warning", AT, "1"]


def test_one_integration_is_shown_with_issues_and_history(crossdock: Command, asked: Answering) -> None:
    ended = crossdock("health", "ERP", "--url", asked.url, "--token", "t")

    assert ended.out.startswith(f"ERP is warning since {AT}.\n")
    assert "1 of the last 20 runs failed  evt_1  seen by bob (I look at it)" in ended.out
    assert f"{AT}  active  warning  1 of the last 20 runs failed" in ended.out
    assert crossdock("health", "show", "ERP", "--json", "--url", asked.url, "--token", "t").json == HEALTH


@pytest.mark.parametrize(
    ("words", "deed", "sent", "said"),
    [
        (("ack", "ERP", "--note", "me"), "acknowledge", {"note": "me"}, "iss_1 is acknowledged"),
        (("snooze", "ERP", "--for", "PT8H"), "snooze", {"for": "PT8H", "note": ""}, "iss_1 is snoozed until never"),
        (("wake", "ERP"), "wake", None, "iss_1 counts again"),
        (("resolve", "ERP", "iss_1"), "resolve", {"note": ""}, "iss_1 is resolved"),
    ],
)
def test_people_act_on_the_only_issue(
    crossdock: Command, asked: Answering, words: tuple[str, ...], deed: str, sent: Any, said: str
) -> None:
    asked.answers[f"POST {PLACE}/issues/iss_1/{deed}"] = (200, {**ISSUE, "snoozed_until": "never"})

    ended = crossdock("health", *words, "--url", asked.url, "--token", "t")

    assert (ended.code, asked.asked[-1][2]) == (0, sent)
    assert ended.out == f"{said}: 1 of the last 20 runs failed\n"


def test_several_issues_ask_for_a_choice(crossdock: Command, asked: Answering) -> None:
    asked.answers[f"GET {PLACE}/issues"] = (200, {"items": [ISSUE, {**ISSUE, "id": "iss_2"}], "next": None})

    ended = crossdock("health", "ack", "ERP", "--url", asked.url, "--token", "t")

    assert (ended.code, "say which one:\n  iss_1  1 of the last" in ended.err) == (1, True)


def test_no_issue_is_said(crossdock: Command, asked: Answering) -> None:
    asked.answers[f"GET {PLACE}/issues"] = (200, {"items": [], "next": None})

    assert crossdock("health", "resolve", "ERP", "--url", asked.url, "--token", "t").err == (
        "crossdock: ERP has no open issue\n"
    )
