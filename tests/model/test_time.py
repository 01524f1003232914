"""Instants and durations: written and read back without loss; what has no fixed length is refused."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.time import (
    MAX_DURATION_SECONDS,
    SECOND,
    format_duration,
    format_instant,
    later,
    parse_duration,
    parse_instant,
    seconds_between,
)

MICROSECONDS = st.integers(0, int(MAX_DURATION_SECONDS) * SECOND)
MOMENTS = st.integers(0, 253_402_300_799 * SECOND)


@given(MICROSECONDS)
def test_a_duration_is_read_back_as_it_was_written(microseconds: int) -> None:
    seconds = microseconds / SECOND

    assert round(parse_duration(format_duration(seconds)) * SECOND) == microseconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT60S", 60), ("PT1M", 60), ("PT0S", 0), ("P1D", 86_400), ("P2W", 1_209_600), ("PT0.5S", 0.5), ("PT0,5S", 0.5),
        ("P1DT2H3M4.000005S", 93_784.000005), ("P30D", 2_592_000), ("PT24H", 86_400), ("P1W2D", 777_600),
        ("PT90M", 5_400),
    ],
)  # fmt: skip
def test_durations_are_iso_8601(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["P1Y", "P1M", "P1Y2M", "P1M2D", "P1Y1DT1H", "P2MT5S"])
def test_years_and_months_are_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match="years and months"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "P", "PT", "60", "60s", "PT60", "pt60s", " PT60S", "PT60S ", "PT60S\n", "-PT60S", "PT-60S", "P1DT",
        "PT1S1M",
        "PT1.5H", "PT1.1234567S", "PT.5S", "P1D1D", "PTS", "P1H", "PT1e3S", "PTNaNS", "PTinfS", "P" + "1" * 60 + "D",
        "P" + "9" * 200 + "D", "P3661D", "PT\u0661x",
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_duration(text)


@pytest.mark.parametrize("value", [None, 60, 1.5, ["PT1S"], b"PT1S"])
def test_what_is_no_text_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        parse_duration(value)  # type: ignore[arg-type]


@given(st.text(max_size=70))
def test_reading_any_text_gives_bounded_seconds_or_a_refusal(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= parse_duration(text) <= MAX_DURATION_SECONDS


@given(MOMENTS)
def test_an_instant_is_read_back_to_the_millisecond(moment: int) -> None:
    assert parse_instant(format_instant(moment)) == moment // 1_000 * 1_000


@given(MOMENTS, MOMENTS)
def test_written_instants_sort_as_they_are(first: int, second: int) -> None:
    if first <= second:
        assert format_instant(first) <= format_instant(second)


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1)), st.integers(-1_439, 1_439))  # noqa: DTZ001
def test_offsets_are_taken_into_account(moment: datetime, minutes: int) -> None:
    local = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert parse_instant(local.isoformat()) == (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize("text", ["", "now", "2026-11-22", "2026-11-22T14:03:12", "2026-13-01T00:00:00Z", "1790000000"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|offset"):
        parse_instant(text)


@given(MOMENTS, MICROSECONDS)
def test_later_and_between_are_each_others_reverse(moment: int, microseconds: int) -> None:
    seconds = microseconds / SECOND

    assert later(moment, seconds) == moment + microseconds
    assert seconds_between(moment, later(moment, seconds)) == seconds
