"""Histograms of durations: added up, and read."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.states import RunState
from crossdock.model.traffic import BOUNDS_MS, Counts, bucket_of, is_newer, percentile_ms, total

durations = st.lists(st.floats(1.0, 60_000.0), min_size=1, max_size=50)


@given(durations, st.sampled_from((1, 50, 95, 99, 100)))
def test_percentiles_are_off_by_a_bucket_at_most(milliseconds: list[float], rank: int) -> None:
    counts = Counts()
    for one in milliseconds:
        counts.add_runs(RunState.SUCCEEDED, bucket_of(one), 1)
    exact = sorted(milliseconds)[max(1, ceil(len(milliseconds) * rank / 100)) - 1]

    about = percentile_ms(counts.durations, rank)

    assert about is not None
    assert exact / 1.7 <= about <= exact * 1.7


@given(durations, durations)
def test_sums_are_those_of_all_runs(ones: list[float], others: list[float]) -> None:
    parts = [Counts(), Counts()]
    for counts, milliseconds in zip(parts, (ones, others), strict=True):
        for one in milliseconds:
            counts.add_runs(RunState.FAILED, bucket_of(one), 1)

    together = total(parts)

    assert (together.accepted, together.failed) == (len(ones) + len(others),) * 2
    assert sum(together.durations.values()) == together.failed


def test_bounds_grow_by_a_factor_of_less_than_two() -> None:
    assert all(1 < after / before <= 5 / 3 for before, after in pairwise(BOUNDS_MS))


def test_nothing_has_no_percentile() -> None:
    assert percentile_ms({}, 95) is None


def test_what_never_ends_in_the_last_bucket_is_told_by_its_bound() -> None:
    assert percentile_ms({len(BOUNDS_MS): 1}, 50) == BOUNDS_MS[-1]


def test_canceled_and_unfinished_runs_have_no_duration() -> None:
    counts = Counts()
    counts.add_runs(RunState.CANCELED, 5, 2)
    counts.add_runs(RunState.QUEUED, 5, 1)

    assert (counts.accepted, counts.canceled, counts.unfinished, counts.durations) == (3, 2, 1, {})


def test_a_count_that_knows_of_less_is_older() -> None:
    kept = Counts(accepted=5, succeeded=3)

    assert is_newer(Counts(accepted=5, succeeded=4), kept)
    assert not is_newer(Counts(accepted=5, succeeded=2), kept)
    assert not is_newer(Counts(accepted=4, succeeded=4), kept)
