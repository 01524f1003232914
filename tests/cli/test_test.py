"""`crossdock test`, against a server that answers as told."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answering, Command

TRY = "POST /api/v1/integrations/int_1/workflow/test"


def step(step_id: str, kind: str = "transform", **more: Any) -> dict[str, Any]:
    return {
        "id": step_id, "type": kind, "status": "succeeded", "input": None, "output": None, "error": None,
        "answered": "performed", "simulated": False, "recorded": False, "would": None, "because_of": [], **more,
    }  # fmt: skip


def trial(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = {"status": 200, "headers": {}, "body": {"n": 1}}
    return {
        "mode": "dry_run", "status": "succeeded", "steps": list(steps), "steps_total": len(steps), "result": answer,
        "answer": answer, "reply": None, "error": None, "unused_recorded": [], **more,
    }  # fmt: skip


@pytest.fixture
def trying(server: Answering) -> Answering:
    server.answers["GET /api/v1/integrations"] = (200, {"items": [{"id": "int_1", "name": "Orders", "path": "o"}]})
    server.answers["GET /api/v1/integrations/int_1"] = (200, {"id": "int_1", "name": "Orders"})
    server.answers[TRY] = (200, trial(step("sum", output=2)))
    return server


def test_a_made_up_call_is_sent(crossdock: Command, trying: Answering) -> None:
    call = ("--data", '{"n": 1}', "--query", "a=1", "--query", "a=2", "--header", "X-Site: 12", "--method", "put")

    ended = crossdock("test", "Orders", *call, "--draft", "--url", trying.url)

    assert ended.code == 0
    assert trying.asked[-1][2] == {
        "mode": "dry_run",
        "draft": True,
        "request": {
            "body": '{"n": 1}',
            "query": {"a": ["1", "2"]},
            "headers": {"Content-Type": "application/json", "X-Site": "12"},
            "method": "PUT",
        },
    }


def test_a_past_event_keeps_its_headers(crossdock: Command, trying: Answering) -> None:
    crossdock("test", "Orders", "--event", "evt_1", "--data", "{}", "--version", 3, "--url", trying.url)

    assert trying.asked[-1][2] == {"mode": "dry_run", "event_id": "evt_1", "version": 3, "request": {"body": "{}"}}


def test_a_workflow_and_outputs_come_from_files(crossdock: Command, trying: Answering, tmp_path: Path) -> None:
    (tmp_path / "next.yaml").write_text("steps: [{id: a, transform: 1}]")
    (tmp_path / "outputs.json").write_text('{"book": {"status": 200}}')
    files = ("--workflow", tmp_path / "next.yaml", "--recorded", f"@{tmp_path / 'outputs.json'}")

    crossdock("test", "Orders", *files, "--url", trying.url)

    sent = trying.asked[-1][2]
    assert sent["workflow"] == {"steps": [{"id": "a", "transform": 1}]}
    assert sent["recorded"] == {"book": {"status": 200}}


def test_steps_are_told_with_how_real_they_are(crossdock: Command, trying: Answering) -> None:
    made_up = step("book", "http", answered="simulated", would={"method": "POST"})
    failed = step("bad", status="failed", error={"kind": "expression", "message": "no", "step": "bad"},
                  because_of=["book"])  # fmt: skip
    reply = {"method": "POST", "url": "https://erp.example", "headers": {}, "body": {"id": "test_1"}}
    error = {"kind": "expression", "message": "no", "step": "bad"}
    trying.answers[TRY] = (200, trial(made_up, failed, status="failed", error=error, reply=reply))

    ended = crossdock("test", "Orders", "--url", trying.url)

    assert ended.code == 1
    assert "nothing was changed or recorded" in ended.out
    assert "book (http) succeeded, not performed: its output is made up" in ended.out
    assert '{"method": "POST"}' in ended.out
    assert "builds on what is made up for book" in ended.out
    assert "Reply    POST https://erp.example" in ended.out


def test_a_live_test_is_asked_for_twice(crossdock: Command, trying: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))

    asked = crossdock("test", "Orders", "--live", "--url", trying.url)
    sent = crossdock("test", "Orders", "--live", "--yes", "--url", trying.url)

    assert asked.code == 1
    assert "really be performed" in asked.err
    assert sent.code == 0
    assert trying.asked[-1][2] == {"mode": "live"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--draft", "--version", 1), 2, "choose one"),
        (("--recorded", "[1]"), 1, "needs an object"),
        (("--recorded", "{"), 1, "not JSON"),
        (("--data", "@nowhere"), 1, "can't be read"),
    ],
)
def test_wrong_usage_is_told(crossdock: Command, trying: Answering, words: Any, code: int, said: str) -> None:
    ended = crossdock("test", "Orders", *words, "--url", trying.url)

    assert ended.code == code
    assert said in ended.err


def test_json_is_the_whole_answer(crossdock: Command, trying: Answering) -> None:
    assert crossdock("test", "Orders", "--json", "--url", trying.url).json["steps"][0]["id"] == "sum"
