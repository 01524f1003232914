"""Bulk jobs: what their table of moves allows, how fast they go, in which order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.bulk import (
    BATCH_SECONDS,
    BULK_MOVES,
    FINAL_BULK_STATES,
    MAX_BATCH,
    MAX_RATE,
    BulkMove,
    BulkState,
    batch_size,
    bulk_after,
    in_lane_order,
    next_batch_due,
    progress,
)
from crossdock.model.errors import WrongTransition

LAW = {
    BulkMove.PAUSE: ("running", "paused"),
    BulkMove.RESUME: ("paused", "running"),
    BulkMove.FINISH: ("running", "finished"),
    BulkMove.CANCEL: ("running paused", "canceled"),
    BulkMove.FAIL: ("running", "failed"),
}
"""Written out a second time, so that a change of the table is a decision."""


def test_every_move_from_every_state_follows_the_table() -> None:
    for move, state in itertools.product(BulkMove, BulkState):
        allowed, target = LAW[move]
        if state in allowed.split():
            assert bulk_after(move, state) == target
        else:
            with pytest.raises(WrongTransition, match=str(state)):
                bulk_after(move, state)


def test_nothing_leads_out_of_a_final_state() -> None:
    assert not [move for move, (allowed, _) in BULK_MOVES.items() if allowed & FINAL_BULK_STATES]


@given(rate=st.floats(min_value=0.001, max_value=MAX_RATE))
def test_a_batch_is_half_a_second_of_work_or_one_event(rate: float) -> None:
    size = batch_size(rate)

    assert 1 <= size <= MAX_BATCH
    assert size == 1 or size / rate <= 0.5


@given(rate=st.floats(min_value=0.1, max_value=MAX_RATE), lags=st.lists(st.floats(min_value=0, max_value=9)))
def test_a_job_is_never_faster_than_its_rate(rate: float, lags: list[float]) -> None:
    now, due, done = 0.0, 0.0, 0
    for lag in lags:
        done += batch_size(rate)
        due = next_batch_due(due, now + lag, batch_size(rate), rate)
        now = max(now + lag, due)

        assert done <= now * rate * (1 + 1e-9)


def test_what_a_batch_took_longer_is_caught_up_with() -> None:
    assert next_batch_due(10.0, 10.6, 25, 50.0) == 10.5


def test_a_job_that_stood_still_does_not_storm() -> None:
    assert next_batch_due(10.0, 60.0, 25, 50.0) == 60.0 - BATCH_SECONDS


def test_progress_stays_between_nothing_and_all() -> None:
    assert [progress(0, None), progress(1, 4), progress(5, 4), progress(0, 0)] == [0.0, 0.25, 1.0, 1.0]


def test_events_of_a_lane_are_taken_in_the_order_of_the_lane() -> None:
    found = [("a", "x", 2), ("b", None, 0), ("c", "y", 5), ("d", "x", 1), ("e", "y", 6)]

    assert in_lane_order(found) == ["d", "b", "c", "a", "e"]


@given(lanes=st.lists(st.sampled_from([None, "x", "y"]), unique=False), data=st.data())
def test_no_event_is_lost_or_doubled_by_the_order(lanes: list[str | None], data: st.DataObject) -> None:
    places = data.draw(st.permutations(range(len(lanes))))
    found = [(f"evt_{n}", lane, place) for n, (lane, place) in enumerate(zip(lanes, places, strict=True))]

    ordered = in_lane_order(found)

    assert sorted(ordered) == sorted(event_id for event_id, _, _ in found)
    known = {event_id: (lane, place) for event_id, lane, place in found}
    for lane in ("x", "y"):
        taken = [known[event_id][1] for event_id in ordered if known[event_id][0] == lane]
        assert taken == sorted(taken)
