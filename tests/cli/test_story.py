"""An event told in words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from crossdock.cli.output import compact, duration_words
from crossdock.cli.story import tell
from crossdock.model.story import summary

ATTEMPT = {
    "number": 1,
    "started_at": "2026-11-22T14:03:12.300Z",
    "finished_at": "2026-11-22T14:03:12.312Z",
    "request": {"headers": {}},
    "response": {"status": 503, "headers": {}, "body": "", "body_encoding": "utf-8"},
    "error": None,
}


def event(**more: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "integration": {"id": "int_1", "name": "Orders"},
        "status": "succeeded",
        "waiting_for": None,
        "received_at": "2026-11-22T14:03:12.204Z",
        "started_at": "2026-11-22T14:03:12.207Z",
        "finished_at": "2026-11-22T14:03:12.248Z",
        "workflow_version": 2,
        "attempts": 1,
        "error": None,
        "lane": None,
        "replay_of": None,
        "request": {
            "method": "POST",
            "path": "/hooks/default/orders",
            "query": {"region": ["EU", "US"]},
            "content_type": "application/json",
            "size": 15,
            "body": '{"number": 1}',
            "body_encoding": "utf-8",
            "key_label": "ERP",
            "source_ip": "10.0.0.1",
        },
        "result": {"status": 200, "headers": {}, "body": {"ok": True}},
        "steps": [
            {
                "id": "total",
                "type": "transform",
                "status": "succeeded",
                "started_at": "2026-11-22T14:03:12.210Z",
                "finished_at": "2026-11-22T14:03:12.212Z",
                "attempts": 1,
                "input": None,
                "output": {"sum": 28},
                "error": None,
            }
        ],
        "reply": {"status": "none", "attempts": []},
        **more,
    }


def test_a_plain_event_is_a_sentence() -> None:
    assert summary(event()) == "accepted 2026-11-22T14:03:12.204Z, waited 3 ms, ran 41 ms"


def test_a_reply_on_the_second_try_is_part_of_it() -> None:
    delivered = {**ATTEMPT, "number": 2, "response": {"status": 200}}

    told = event(reply={"status": "delivered", "attempts": [ATTEMPT, delivered]})

    assert summary(told).endswith("ran 41 ms, replied 200 on the second try")
    assert "  1. 2026-11-22T14:03:12.300Z  answered 503 in 12 ms" in tell(told)


def test_a_waiting_event_says_what_it_waits_for() -> None:
    waiting = {"reason": "slot", "words": "It waits for a free slot.", "until": None, "step": None, "behind": None}
    told = tell(event(status="queued", finished_at=None, started_at=None, waiting_for=waiting))

    assert "queued now" in told
    assert "It waits for a free slot." in told


def test_the_whole_story_has_request_steps_and_result() -> None:
    told = tell(event())

    assert "evt_1  Orders" in told
    assert "POST /hooks/default/orders?region=EU&region=US" in told
    assert "15 bytes of application/json from 10.0.0.1 with the key 'ERP'" in told
    assert "1. total (transform)" in told
    assert 'output  {"sum": 28}' in told
    assert "Result   200" in told


def unstyle(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def a_step(path: str, **more: Any) -> dict[str, Any]:
    times = {"started_at": "2026-11-22T14:03:12.207Z", "finished_at": "2026-11-22T14:03:12.248Z"}
    return {"id": path, "type": "python", "status": "succeeded", **times, "attempts": 1, "input": None, **more}


def test_steps_inside_blocks_stand_under_them() -> None:
    steps = [a_step("a", reused=True), a_step("lines"), a_step("lines[0].book", output={"n": 1}), a_step("z")]

    told = unstyle(tell(event(steps=steps, steps_total=10_003))).splitlines()

    assert "  1. a (python) succeeded in 41 ms, taken over" in told
    assert "  2. lines (python) succeeded in 41 ms" in told
    assert "     lines[0].book (python) succeeded in 41 ms" in told
    assert '     output  {"n": 1}' in told
    assert "  3. z (python) succeeded in 41 ms" in told
    assert "  and 9999 more: crossdock events steps evt_1" in told


def test_a_waiting_step_says_until_when() -> None:
    step = a_step("pause", status="waiting", until="2026-11-22T15:03:12.207Z", attempts=2)

    told = unstyle(tell(event(steps=[step])))

    assert "1. pause (python) waiting until 2026-11-22T15:03:12.207Z, 2 attempts" in told


def test_what_came_of_an_event_is_named() -> None:
    told = tell(event(emitted_by="evt_0", emitted=["evt_2", "evt_3"], emitted_total=5, replays=["evt_9"]))

    assert "Emitted by evt_0." in told
    assert "Emitted  evt_2\n         evt_3\n         and 3 more" in told
    assert "Replays  evt_9" in told


def test_a_failure_names_its_step() -> None:
    error = {"kind": "no_stock", "message": "nothing left", "step": "reserve"}

    assert "Error    no_stock: nothing left in step reserve" in tell(event(status="failed", error=error, result=None))


def test_an_attempt_without_an_answer_tells_why() -> None:
    failed = {**ATTEMPT, "response": None, "error": "connection refused"}

    assert "connection refused in 12 ms" in tell(event(reply={"status": "pending", "attempts": [failed]}))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0 ms"), (0.0034, "3.4 ms"), (2.5, "2.5 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


def test_long_values_are_cut_and_say_so() -> None:
    assert compact("x" * 400) == f"{'x' * 300}… (400 characters; --json shows all)"
