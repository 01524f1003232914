"""The story of an event as bars: what happened when, and what goes on."""

from __future__ import annotations

from typing import Any

from crossdock.model.story import Bar, waterfall
from crossdock.model.time import format_instant
from tests.support.held import START

MS = 1_000


def at(ms: int) -> str:
    return format_instant(START + ms * MS)


def an_event(**more: Any) -> dict[str, Any]:
    given = {"received_at": at(0), "started_at": at(3), "finished_at": at(44), "status": "succeeded", "attempts": 1}
    return {**given, "steps": [], "reply": {"status": "none"}, **more}


def a_step(name: str, start: int, end: int, **more: Any) -> dict[str, Any]:
    times = {"started_at": at(start), "finished_at": at(end), "until": None}
    return {"id": name, "type": "http", "status": "succeeded", "attempts": 1, **times, **more}


def bars(event: dict[str, Any], now: int = 1_000) -> list[tuple[str, str, str, float, float, bool]]:
    return [
        (bar.kind, bar.label, bar.state, bar.start_ms, bar.duration_ms, bar.is_open)
        for bar in waterfall(event, START + now * MS).bars
    ]


def test_queue_and_steps_stand_one_after_the_other() -> None:
    event = an_event(steps=[a_step("map", 3, 5), a_step("call", 5, 44, status="failed", attempts=3)])

    shown = waterfall(event, START + 1_000 * MS)

    assert shown.bars == (
        Bar("queue", "queue", "succeeded", 0.0, 3.0),
        Bar("step", "map", "succeeded", 3.0, 2.0, step="map"),
        Bar("step", "call", "failed", 5.0, 39.0, attempts=3, step="call"),
    )
    assert shown.duration_ms == 44.0


def test_what_is_inside_of_a_block_is_deeper() -> None:
    event = an_event(steps=[a_step("each", 3, 9), a_step("each[0].call", 4, 8)])

    assert [bar.depth for bar in waterfall(event, START).bars] == [0, 0, 1]


def test_a_run_that_waits_for_its_turn_is_open() -> None:
    event = an_event(started_at=None, finished_at=None, status="queued")

    assert bars(event, now=250) == [("queue", "queue", "waiting", 0.0, 250.0, True)]


def test_a_run_that_was_canceled_in_the_queue_never_started() -> None:
    event = an_event(started_at=None, finished_at=at(80), status="canceled")

    assert bars(event) == [("queue", "queue", "canceled", 0.0, 80.0, False)]


def test_pauses_reach_to_their_end() -> None:
    delay = a_step("wait", 3, 4, type="delay", status="waiting", until=at(2_000))
    event = an_event(steps=[delay], finished_at=None, status="waiting")

    assert bars(event)[-1] == ("wait", "until wait goes on", "waiting", 4.0, 1_996.0, True)


def test_the_next_attempt_is_a_pause() -> None:
    event = an_event(
        steps=[a_step("call", 3, 10)], finished_at=None, status="retrying", next_attempt_at=at(5_010), attempts=2
    )

    assert bars(event)[-1] == ("wait", "until the next attempt", "waiting", 10.0, 5_000.0, True)


def test_a_reply_has_its_tries_inside() -> None:
    tries = [
        {"number": 1, "started_at": at(45), "finished_at": at(50), "response": None, "error": "connection refused"},
        {"number": 2, "started_at": at(550), "finished_at": at(560), "response": {"status": 200}, "error": None},
    ]
    event = an_event(reply={"status": "delivered", "attempts": tries, "next_attempt_at": None})

    assert bars(event)[1:] == [
        ("reply", "reply", "succeeded", 44.0, 516.0, False),
        ("attempt", "try 1: connection refused", "failed", 45.0, 5.0, False),
        ("attempt", "try 2: answered 200", "succeeded", 550.0, 10.0, False),
    ]


def test_a_reply_that_is_to_be_tried_again_goes_on() -> None:
    tries = [{"number": 1, "started_at": at(45), "finished_at": at(50), "response": {"status": 503}, "error": None}]
    event = an_event(reply={"status": "pending", "attempts": tries, "next_attempt_at": at(3_050)})

    shown = bars(event)

    assert shown[1] == ("reply", "reply", "waiting", 44.0, 956.0, True)
    assert shown[-1] == ("wait", "until the next try", "waiting", 50.0, 3_000.0, True)
