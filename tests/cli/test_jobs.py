"""Bulk jobs and what-if on the command line, against a server that answers as told."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answering, Command

JOB = {
    "id": "job_1",
    "kind": "replay",
    "state": "running",
    "filter": {"status": "failed"},
    "options": {},
    "rate": 50.0,
    "total": 3,
    "done": 0,
    "skipped": 0,
    "failed": 0,
    "progress": 0.0,
    "remaining_seconds": 0.1,
    "waiting_because": None,
    "summary": {},
    "error": None,
    "created_at": "2026-11-22T10:00:00.000Z",
    "created_by": "bob",
    "started_at": None,
    "finished_at": None,
}
DONE = {**JOB, "state": "finished", "done": 3, "progress": 1.0, "summary": {"replayed": 3}}
EVENTS = {"items": [{"id": f"evt_{n}"} for n in range(3)], "next": None}
INTEGRATION = {"id": "int_1", "name": "Orders", "path": "orders"}


@pytest.fixture
def cli(crossdock: Command, server: Answering) -> Command:
    server.answers = {
        "GET /api/v1/events": (200, EVENTS),
        "GET /api/v1/integrations": (200, {"items": [INTEGRATION], "next": None}),
        "GET /api/v1/integrations/int_1": (200, INTEGRATION),
        "POST /api/v1/events/replay": (201, JOB),
        "POST /api/v1/events/cancel": (201, {**JOB, "kind": "cancel"}),
        "POST /api/v1/bulk-jobs/job_1/cancel": (200, {**JOB, "state": "canceled", "done": 1}),
        "GET /api/v1/bulk-jobs/job_1": (200, DONE),
    }
    return lambda *words: crossdock(*words, "--url", server.url, "--token", "t")


def sent(server: Answering, asked: str) -> Any:
    """The document that came with a request."""
    return next(document for what, _, document in server.asked if what == asked)


# --- jobs ---


def test_a_filter_becomes_one_job_of_the_server(cli: Command, server: Answering) -> None:
    ended = cli("events", "replay", "--integration", "Orders", "--failed-reply", "--workflow-version", "2", "--yes")

    assert (ended.code, ended.out) == (0, "Replayed 3 events.\n")
    assert sent(server, "POST /api/v1/events/replay") == {
        "filter": {"integration": "int_1", "has_failed_reply": True},
        "workflow_version": 2,
    }


def test_events_are_canceled_by_a_filter(cli: Command, server: Answering) -> None:
    ended = cli("events", "cancel", "--status", "queued", "--rate", "9", "--reason", "a test", "--yes", "--json")

    assert (ended.code, ended.json["state"]) == (0, "finished")
    assert sent(server, "POST /api/v1/events/cancel") == {
        "filter": {"status": "queued"},
        "rate": 9.0,
        "reason": "a test",
    }


def test_nothing_is_started_where_nothing_matches(cli: Command, server: Answering) -> None:
    server.answers["GET /api/v1/events"] = (200, {"items": [], "next": None})

    ended = cli("events", "replay", "--status", "failed")

    assert (ended.code, ended.out) == (0, "No such events.\n")
    assert not any(asked.startswith("POST") for asked, _, _ in server.asked)


def test_nothing_is_started_without_a_yes(cli: Command, server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))

    ended = cli("events", "replay", "--status", "failed")

    assert ended.code == 1
    assert "Replay 3 events?" in ended.err
    assert not any(asked.startswith("POST") for asked, _, _ in server.asked)


def test_a_detached_job_is_left_to_the_server(cli: Command, server: Answering) -> None:
    ended = cli("events", "replay", "--status", "failed", "--yes", "--detach")

    assert ended.out == "job_1 is at work; `crossdock jobs show job_1` tells how far it is.\n"
    assert not any("bulk-jobs" in asked for asked, _, _ in server.asked)


def test_ctrl_c_cancels_the_job_where_nobody_can_be_asked(cli: Command, server: Answering) -> None:
    server.interrupting = "GET /api/v1/bulk-jobs/job_1"

    ended = cli("events", "replay", "--status", "failed", "--yes")

    assert ended.code == 1
    assert "stopped job_1 after 1 of 3 events" in ended.err
    assert server.asked[-1][0] == "POST /api/v1/bulk-jobs/job_1/cancel"


class Terminal(io.StringIO):
    """Somebody types."""

    def isatty(self) -> bool:
        return True


def test_ctrl_c_may_leave_the_job_running(cli: Command, server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    server.interrupting = "GET /api/v1/bulk-jobs/job_1"
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))

    ended = cli("events", "replay", "--status", "failed", "--yes")

    assert ended.code == 1
    assert "Cancel the job? Otherwise it goes on." in ended.err
    assert "job_1 goes on" in ended.err
    assert not any(asked.endswith("/cancel") for asked, _, _ in server.asked)


def test_events_that_failed_end_the_command_with_1(cli: Command, server: Answering) -> None:
    server.answers["GET /api/v1/bulk-jobs/job_1"] = (200, {**DONE, "done": 1, "skipped": 1, "failed": 1})

    ended = cli("events", "replay", "--status", "failed", "--yes")

    assert (ended.code, ended.out) == (1, "Replayed 1 event, 1 skipped, 1 failed.\n")


def test_a_job_that_somebody_else_stopped_is_told_of(cli: Command, server: Answering) -> None:
    server.answers["GET /api/v1/bulk-jobs/job_1"] = (200, {**JOB, "state": "canceled", "done": 2})

    ended = cli("events", "replay", "--status", "failed", "--yes")

    assert ended.code == 1
    assert "job_1 was canceled after 2 of 3 events" in ended.err


def test_jobs_are_listed_and_shown(cli: Command, server: Answering) -> None:
    waiting = {**JOB, "done": 1, "progress": 0.3333, "waiting_because": "1000 runs or more of Orders wait"}
    server.answers["GET /api/v1/bulk-jobs?state=running&limit=50"] = (200, {"items": [waiting], "next": None})
    server.answers["GET /api/v1/bulk-jobs/job_1"] = (200, waiting)

    listed, shown = cli("jobs", "list", "--state", "running"), cli("jobs", "show", "job_1")

    assert listed.out.splitlines()[1].split() == [JOB["created_at"], "job_1", "replay", "running", "33%", "1", "0", "0"]
    assert "Events: 3; 1 done, 0 skipped, 0 failed." in shown.out
    assert "It waits: 1000 runs or more of Orders wait." in shown.out


@pytest.mark.parametrize(("move", "state"), [("pause", "paused"), ("resume", "running"), ("cancel", "canceled")])
def test_a_job_is_moved(cli: Command, server: Answering, move: str, state: str) -> None:
    server.answers[f"POST /api/v1/bulk-jobs/job_1/{move}"] = (200, {**JOB, "state": state})

    assert cli("jobs", move, "job_1").out == f"job_1 is {state}\n"


def test_items_say_what_became_of_each_event(cli: Command, server: Answering) -> None:
    items = [
        {"event_id": "evt_1", "outcome": "replayed", "new_event_id": "evt_9", "reason": None, "comparison": None},
        {"event_id": "evt_2", "outcome": "failed", "new_event_id": None, "reason": "no key", "comparison": None},
    ]
    server.answers["GET /api/v1/bulk-jobs/job_1/items"] = (200, {"items": items, "next": None})

    lines = cli("jobs", "items", "job_1").out.splitlines()

    assert [line.split() for line in lines[1:]] == [
        ["evt_1", "replayed", "evt_9"],
        ["evt_2", "failed", "no", "key"],
    ]


# --- what-if ---

COMPARISON = {
    "verdict": "changed",
    "reason": None,
    "status": {"before": "succeeded", "after": "succeeded"},
    "error": {"before": None, "after": None},
    "differences": [
        {"path": "$.result.body.total", "before": 28, "after": 30},
        {"path": "$.result.body.note", "after": "new"},
    ],
    "steps": [{"id": "tax", "type": "transform", "change": "added", "input_changed": False, "unknown": None}],
}


def comparing(server: Answering, **counts: int) -> None:
    """The job that `what-if` makes, with what its events came to."""
    summary = {"unchanged": 0, "changed": 0, "new_failure": 0, "fixed_failure": 0, "unknown": 0, **counts}
    job = {**JOB, "kind": "what_if", "options": {"last": 5, "draft": True}, "summary": summary}
    server.answers["POST /api/v1/integrations/int_1/what-if"] = (201, job)
    server.answers["GET /api/v1/bulk-jobs/job_1"] = (200, {**job, "state": "finished"})
    broken = {
        **COMPARISON,
        "verdict": "new_failure",
        "error": {"before": None, "after": {"kind": "assert", "message": "no lines", "step": "check"}},
        "differences": [],
        "steps": [],
    }
    for outcome, event_id, comparison in (("changed", "evt_1", COMPARISON), ("new_failure", "evt_2", broken)):
        item = {"event_id": event_id, "outcome": outcome, "new_event_id": None, "reason": None}
        page = {"items": [{**item, "comparison": comparison}], "next": None}
        server.answers[f"GET /api/v1/bulk-jobs/job_1/items?outcome={outcome}&limit=200"] = (200, page)


def test_what_if_finds_nothing_different(cli: Command, server: Answering) -> None:
    comparing(server, unchanged=5)

    ended = cli("what-if", "Orders", "--last", "5")

    assert ended.code == 0
    assert ended.out == "Orders: 5 events tried with the draft.\n\n  5 the same\n\nNothing would be different.\n"
    assert sent(server, "POST /api/v1/integrations/int_1/what-if") == {"last": 5, "draft": True}


def test_what_if_tells_what_would_be_different_the_worst_first(cli: Command, server: Answering) -> None:
    comparing(server, unchanged=3, changed=12, new_failure=1)

    ended = cli("what-if", "Orders", "--last", "5")

    assert ended.code == 1
    assert ended.out.splitlines() == [
        "Orders: 16 events tried with the draft.",
        "",
        "   3 the same",
        "  12 would change",
        "   1 would fail",
        "",
        "evt_2  would fail",
        "  would fail in step check: no lines",
        "",
        "evt_1  would change",
        "  step tax (transform): added",
        "  $.result.body.total: 28 -> 30",
        '  $.result.body.note: (nothing) -> "new"',
        "",
        "11 more: crossdock jobs items job_1 --json",
    ]


def test_what_if_as_json_has_the_job_and_what_differs(cli: Command, server: Answering) -> None:
    comparing(server, changed=1)

    ended = cli("what-if", "Orders", "--version", "3", "--json")

    assert (ended.code, ended.json["job"]["id"]) == (1, "job_1")
    assert [item["comparison"] for item in ended.json["items"]] == [COMPARISON]
    assert sent(server, "POST /api/v1/integrations/int_1/what-if") == {"last": 500, "version": 3}


@pytest.mark.parametrize(
    "text",
    [
        "steps: [{id: one, transform: {}}]",
        "kind: Integration\nspec:\n  name: Orders\n  workflow: {steps: [{id: one, transform: {}}]}",
        '{"steps": [{"id": "one", "transform": {}}]}',
    ],
)
def test_what_if_takes_a_workflow_from_a_file(cli: Command, server: Answering, tmp_path: Path, text: str) -> None:
    comparing(server, unchanged=1)
    (tmp_path / "flow.yaml").write_text(text)

    cli("what-if", "Orders", "--workflow", tmp_path / "flow.yaml")

    asked = sent(server, "POST /api/v1/integrations/int_1/what-if")
    assert asked["workflow"] == {"steps": [{"id": "one", "transform": {}}]}


@pytest.mark.parametrize(
    ("text", "said"), [("a: [", "is not YAML"), ("name: Orders", "holds no workflow"), ("- 1", "holds no workflow")]
)
def test_a_file_without_a_workflow_is_refused(cli: Command, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "flow.yaml").write_text(text)

    ended = cli("what-if", "Orders", "--workflow", tmp_path / "flow.yaml")

    assert (ended.code, said in ended.err) == (1, True)


def test_what_if_tries_one_workflow(cli: Command) -> None:
    assert cli("what-if", "Orders", "--draft", "--version", "2").code == 2
