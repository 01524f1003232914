"""What the records of a run say of its end: the last one of each step counts, unless the step was stopped later."""

from __future__ import annotations

from crossdock.model.history import blocks_around, ends_of_steps
from crossdock.model.outcome import Failure
from crossdock.model.run import StepRecord, StepStatus

FAILURE = Failure("no", "no")


def done(path: str, start: int = 1) -> StepRecord:
    return StepRecord(path, "transform", StepStatus.SUCCEEDED, 0, 0, 1, start=start)


def failed(path: str, start: int = 1, until: int | None = None) -> StepRecord:
    return StepRecord(path, "fail", StepStatus.FAILED, 0, 0, 1, error=FAILURE, until=until, start=start)


def test_a_path_names_the_blocks_around_a_step():
    assert blocks_around("a[3].b.c") == ["a", "a[3].b"]
    assert blocks_around("a") == []


def test_the_last_record_counts_and_stands_where_it_was_made():
    ends = ends_of_steps([failed("a"), done("b"), done("a")])

    assert [(path, record.status) for path, record in ends.items()] == [
        ("b", StepStatus.SUCCEEDED),
        ("a", StepStatus.SUCCEEDED),
    ]


def test_a_failure_of_the_last_try_counts():
    assert set(ends_of_steps([failed("p.a"), failed("p")])) == {"p.a", "p"}


def test_a_failure_before_the_last_try_of_its_block_is_no_end():
    ends = ends_of_steps([failed("p.a"), failed("p", until=5), failed("p.b"), failed("p")])

    assert set(ends) == {"p.b", "p"}


def test_a_failure_before_the_last_start_is_no_end():
    assert set(ends_of_steps([failed("p.a"), failed("p.b", start=2), failed("p", start=2)], starts=2)) == {"p.b", "p"}


def test_a_block_that_was_begun_again_has_not_ended():
    assert set(ends_of_steps([failed("p.a"), failed("p"), done("p.a", start=2)], starts=2)) == {"p.a"}


def test_what_failed_in_a_block_that_went_on_past_it_counts_for_good():
    records = [failed("p.a"), failed("p"), failed("last", start=2)]

    assert set(ends_of_steps(records, lenient={"p"}, starts=2)) == {"p.a", "p", "last"}


def test_a_block_that_waits_for_its_next_try_keeps_what_failed_in_it():
    records = [failed("o.p.a"), failed("o.p", until=9), failed("o.b"), failed("o")]

    assert set(ends_of_steps(records)) == {"o.p.a", "o.p", "o.b", "o"}
