"""What an end means for its run, and an attempt for its delivery."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.advance import Broken, Ended, Paused
from crossdock.model.delivery import SendReport, judge_attempt
from crossdock.model.outcome import Failure, Result
from crossdock.model.retry import RetryPolicy
from crossdock.model.run import JournalEntry, Lane, LeasedRun
from crossdock.model.states import DeliveryMove, RunMove
from crossdock.model.time import later
from crossdock.model.trigger import OnExhausted
from crossdock.model.verdict import Verdict, judge_run
from tests.support.held import START
from tests.support.runs import an_event

POLICY = RetryPolicy(attempts=3, delay=10.0, factor=2.0, max_delay=600.0)
PASSING = Failure("python_error", "no")
FOR_GOOD = Failure("assert", "no", permanent=True)
ENTRY = JournalEntry(0, ())
CHOSEN = Result(409, (), b"{}")


def judge(end: Any, attempts: int = 1, *, lane: bool = False, on_exhausted: OnExhausted = OnExhausted.BLOCK) -> Verdict:
    run = LeasedRun(an_event(START), 1, attempts, 0, "t", Lane("int_a:", 1) if lane else None)
    return judge_run(end, run, policy=POLICY, on_exhausted=on_exhausted, now=START, fraction=0.0)


def test_an_end_is_a_success_with_its_result() -> None:
    verdict = judge(Ended(ENTRY, CHOSEN))

    assert (verdict.move, verdict.entry, verdict.result) == (RunMove.SUCCEED, ENTRY, CHOSEN)
    assert verdict.is_final
    assert verdict.answers_caller


def test_a_pause_waits_until_its_time() -> None:
    verdict = judge(Paused(ENTRY, START + 5), attempts=9)

    assert (verdict.move, verdict.due_at, verdict.is_final) == (RunMove.DELAY, START + 5, False)
    assert not verdict.answers_caller


@pytest.mark.parametrize(("attempts", "wait"), [(1, 5), (2, 10)])
def test_a_passing_failure_is_tried_again_later(attempts: int, wait: float) -> None:
    verdict = judge(Broken(ENTRY, PASSING, CHOSEN), attempts)

    assert (verdict.move, verdict.due_at, verdict.failure) == (RunMove.RETRY, later(START, wait), PASSING)
    assert not verdict.answers_caller


def test_a_failure_that_asks_for_time_gets_it() -> None:
    verdict = judge(Broken(ENTRY, Failure("http", "busy", retry_after=100.0), None))

    assert verdict.due_at == later(START, 100)


@pytest.mark.parametrize(("failure", "attempts"), [(PASSING, 3), (PASSING, 4), (FOR_GOOD, 1)])
def test_a_failure_without_another_attempt_is_final(failure: Failure, attempts: int) -> None:
    verdict = judge(Broken(ENTRY, failure, None), attempts)

    assert (verdict.move, verdict.failure, verdict.due_at) == (RunMove.FAIL, failure, None)
    assert verdict.is_final


def test_a_failed_head_blocks_its_lane_unless_the_lane_skips() -> None:
    blocked = judge(Broken(ENTRY, FOR_GOOD, None), lane=True)
    skipped = judge(Broken(ENTRY, FOR_GOOD, None), lane=True, on_exhausted=OnExhausted.SKIP)
    retried = judge(Broken(ENTRY, PASSING, None), lane=True)

    assert [verdict.move for verdict in (blocked, skipped, retried)] == [RunMove.BLOCK, RunMove.FAIL, RunMove.RETRY]
    assert (blocked.is_final, blocked.answers_caller) == (False, True)


def test_the_answer_that_a_failed_run_chose_is_kept_with_its_end_and_with_no_other() -> None:
    chosen = Broken(ENTRY, FOR_GOOD, CHOSEN)

    assert judge(chosen).entry == JournalEntry(0, (), CHOSEN)
    assert judge(chosen, lane=True).entry == ENTRY  # an operator may have it tried again
    assert judge(Broken(ENTRY, PASSING, CHOSEN)).entry == ENTRY
    assert judge(Broken(None, FOR_GOOD, CHOSEN)).entry is None


# --- deliveries ------------------------------------------------------------------------------------------------------

PASSING_STATUSES = {408, 425, 429, *range(500, 600)}


def attempt(status: int | None, tries: int = 1, **more: Any) -> Any:
    report = SendReport(START, START, (), status, **more)
    return judge_attempt(report, attempts_made=tries, policy=POLICY, expires_at=None, fraction=0.0)


@given(st.integers(100, 599), st.integers(1, 5))
def test_the_status_of_an_answer_decides(status: int, tries: int) -> None:
    verdict = attempt(status, tries)

    if 200 <= status < 300:
        assert verdict.move is DeliveryMove.DELIVER
    elif status in PASSING_STATUSES and tries < POLICY.attempts:
        assert verdict.move is DeliveryMove.RETRY
    else:
        assert verdict.move is DeliveryMove.FAIL
    assert (verdict.due_at is not None) == (verdict.move is DeliveryMove.RETRY)


def test_no_answer_is_a_passing_failure_unless_it_is_for_good() -> None:
    assert attempt(None, error="refused").move is DeliveryMove.RETRY
    assert attempt(None, error="forbidden", permanent=True).move is DeliveryMove.FAIL


def test_the_next_try_is_not_waited_for_behind_the_end_of_the_time() -> None:
    report = SendReport(START, START, (), 503, retry_after=100.0)

    soon = judge_attempt(report, attempts_made=1, policy=POLICY, expires_at=later(START, 60), fraction=0.0)
    late = judge_attempt(report, attempts_made=1, policy=POLICY, expires_at=later(START, 600), fraction=0.0)

    assert (soon.due_at, late.due_at) == (later(START, 60), later(START, 100))
