"""`crossdock events replay` of single events, and `events steps`, against a server that answers as told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answering, Command

REPLAY = "POST /api/v1/events/evt_1/replay"


@pytest.fixture
def replaying(server: Answering) -> Answering:
    server.answers[REPLAY] = (201, {"id": "evt_2", "replay_of": "evt_1"})
    return server


def test_a_replay_may_start_from_a_step_with_another_body(crossdock: Command, replaying: Answering) -> None:
    words = ("--from-step", "book", "--data", '{"n": 1}', "--workflow-version", 3)

    ended = crossdock("events", "replay", "evt_1", *words, "--url", replaying.url)

    assert ended.out == "evt_1 -> evt_2\n"
    assert replaying.asked[-1][2] == {"from_step": "book", "request": {"body": '{"n": 1}'}, "workflow_version": 3}


@pytest.mark.parametrize(
    ("content", "request_"),
    [("grüß".encode(), {"body": "grüß"}), (b"\xff\x00", {"body": "/wA=", "body_encoding": "base64"})],
)
def test_another_body_comes_from_a_file(
    crossdock: Command, replaying: Answering, tmp_path: Path, content: bytes, request_: Any
) -> None:
    (tmp_path / "body").write_bytes(content)

    crossdock("events", "replay", "evt_1", "--data", f"@{tmp_path / 'body'}", "--url", replaying.url)

    assert replaying.asked[-1][2] == {"request": request_}


def test_a_step_and_a_body_are_for_single_events(crossdock: Command, replaying: Answering) -> None:
    ended = crossdock("events", "replay", "--status", "failed", "--from-step", "a", "--url", replaying.url)

    assert ended.code == 2
    assert "go with ids of events" in ended.err
    assert replaying.asked == []


def test_steps_are_listed_below_a_path(crossdock: Command, server: Answering) -> None:
    times = {"started_at": "2026-11-22T14:03:12.207Z", "finished_at": "2026-11-22T14:03:12.248Z"}
    step = {
        "id": "lines[3].book",
        "type": "http",
        "status": "failed",
        **times,
        "attempts": 2,
        "input": None,
        "output": None,
    }
    server.answers["GET /api/v1/events/evt_1/steps"] = (200, {"items": [step], "next": None})

    ended = crossdock("events", "steps", "evt_1", "--prefix", "lines[3].", "--url", server.url)

    assert ended.out == "     lines[3].book (http) failed in 41 ms, 2 attempts\n"
    assert "prefix=lines%5B3%5D." in server.asked[-1][0]
