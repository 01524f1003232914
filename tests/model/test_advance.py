"""What a run's history settles, and what follows from a failed try."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.advance import (
    LONGEST_WAIT_IN_PLACE,
    GiveUp,
    TryAgain,
    after_failed_try,
    is_finished,
    progress_of,
    tries_made,
)
from crossdock.model.outcome import Failure, Result
from crossdock.model.retry import RetryPolicy
from crossdock.model.run import JournalEntry, StepRecord, StepStatus
from crossdock.model.workflow import Step

STEP = Step("one", "python", {}, retry=RetryPolicy(attempts=3, delay=1))
PASSING = Failure("timeout", "late")
PERMANENT = Failure("refused", "no", permanent=True)


def record(status: StepStatus, attempts: int = 1, error: Failure | None = None) -> StepRecord:
    return StepRecord("one", "python", status, 0, 0, attempts, error=error)


def history(*records: StepRecord) -> tuple[JournalEntry, ...]:
    return tuple(JournalEntry(position, (each,)) for position, each in enumerate(records))


def last(*records: StepRecord) -> StepRecord | None:
    """What a history tells of the step."""
    return progress_of(history(*records)).records.get("one")


def test_nothing_is_settled_at_first():
    progress = progress_of(())

    assert (progress.position, progress.records, progress.result) == (0, {}, None)
    assert not is_finished(STEP, None)
    assert tries_made(STEP, None) == 0


def test_succeeded_and_skipped_steps_are_finished():
    for status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED):
        assert is_finished(STEP, last(record(status)))


def test_a_step_that_waits_is_not_finished():
    waits = last(record(StepStatus.WAITING))

    assert not is_finished(STEP, waits)
    assert tries_made(STEP, waits) == 0


def test_a_failed_step_is_tried_again():
    failed = last(record(StepStatus.FAILED, 1, PASSING))

    assert not is_finished(STEP, failed)
    assert tries_made(STEP, failed) == 1


def test_a_step_that_was_given_up_starts_afresh():
    for attempts, error in ((3, PASSING), (1, PERMANENT)):
        assert tries_made(STEP, last(record(StepStatus.FAILED, attempts, error))) == 0


def test_a_step_that_may_fail_is_finished_once_it_is_given_up():
    step = replace(STEP, continue_on_error=True)

    assert not is_finished(step, last(record(StepStatus.FAILED, 2, PASSING)))
    assert is_finished(step, last(record(StepStatus.FAILED, 3, PASSING)))


def test_the_last_record_counts():
    found = last(record(StepStatus.FAILED, 1, PASSING), record(StepStatus.SUCCEEDED))

    assert is_finished(STEP, found)


def test_the_first_result_counts_however_the_entries_are_ordered():
    entries = (JournalEntry(1, (), Result(202)), JournalEntry(0, (), Result(201)), JournalEntry(2, ()))

    assert progress_of(entries).result == Result(201)


def test_without_a_policy_there_is_one_try():
    assert after_failed_try(replace(STEP, retry=None), PASSING, 1, 0.5) == GiveUp()


def test_a_permanent_failure_is_not_tried_again():
    assert after_failed_try(STEP, PERMANENT, 1, 0.5) == GiveUp()


@given(st.integers(1, 200), st.integers(1, 100), st.floats(0, 0.999), st.none() | st.floats(0, 1e6))
def test_tries_are_bounded_and_long_waits_give_the_slot_back(
    tries: int, attempts: int, fraction: float, retry_after: float | None
):
    step = replace(STEP, retry=RetryPolicy(attempts=attempts))

    following = after_failed_try(step, replace(PASSING, retry_after=retry_after), tries, fraction)

    if tries >= attempts:
        assert following == GiveUp()
    else:
        assert isinstance(following, TryAgain)
        assert 0 <= following.wait <= 300
        assert following.pauses == (following.wait > LONGEST_WAIT_IN_PLACE)
