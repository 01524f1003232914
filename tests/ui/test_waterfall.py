"""The waterfall: each bar with its numbers beside it."""

from __future__ import annotations

from dataclasses import asdict

from crossdock.model.story import Bar
from crossdock.ui.pictures.waterfall import MOST_BARS, waterfall


def drawn(*bars: Bar, duration_ms: float = 100.0) -> str:
    return str(waterfall([asdict(bar) for bar in bars], duration_ms, lambda step: f"#step-{step}"))


def test_a_bar_stands_where_it_began_and_is_as_long_as_it_took():
    shown = drawn(Bar("step", "call", "failed", 25.0, 50.0, attempts=3, step="call"))

    assert 'x="25.00%" y="1" width="50.00%"' in shown
    assert '<a href="#step-call">call</a>' in shown
    assert "25 ms" in shown
    assert "50 ms" in shown
    assert "failed, 3 tries" in shown


def test_what_took_no_time_is_to_be_seen():
    assert 'x="99.50%" y="1" width="0.50%"' in drawn(Bar("step", "quick", "succeeded", 100.0, 0.0))


def test_nothing_at_all_is_drawn_too():
    assert "queue" in drawn(Bar("queue", "queue", "waiting", 0.0, 0.0, is_open=True), duration_ms=0.0)


def test_steps_of_blocks_are_left_out_first_when_there_are_too_many():
    inner = [Bar("step", f"each[{n}].a", "succeeded", 0.0, 1.0, depth=1, step=f"each[{n}].a") for n in range(500)]

    shown = drawn(*inner, Bar("step", "last", "succeeded", 0.0, 1.0, step="last"))

    assert shown.count("<tr ") == MOST_BARS
    assert ">last</a>" in shown
    assert "461 more steps are not drawn" in shown


def test_names_do_nothing():
    assert "<b>" not in drawn(Bar("step", "<b>\u202e", "succeeded", 0.0, 1.0))
    assert "U+202E" in drawn(Bar("step", "<b>\u202e", "succeeded", 0.0, 1.0))
