"""How values are shown on pages."""

from __future__ import annotations

import pytest

from crossdock.model.time import SECOND, parse_instant
from crossdock.ui.rendering import (
    format_ago,
    format_bytes,
    format_count,
    format_took,
    query_string,
    sentence,
    time_element,
)

AT = "2026-11-22T14:03:12.204Z"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (4.9, "now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3_599, "59 min ago"),
        (172_799, "47 h ago"),
        (172_800, "2 d ago"),
        (-90, "in 1 min"),
    ],
)
def test_time_passed_is_told_as_the_script_tells_it(seconds: float, words: str):
    assert format_ago(AT, parse_instant(AT) + round(seconds * SECOND)) == words


def test_a_moment_says_its_utc_time():
    assert str(time_element(AT, "exact")) == (
        f'<time datetime="{AT}" data-form="exact" title="2026-11-22 14:03:12.204 UTC">2026-11-22 14:03:12.204</time>'
    )
    assert "never" in str(time_element(None))


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(None, "–"), (0.2, "< 1 ms"), (41, "41 ms"), (2_300, "2.3 s"), (250_000, "4 min 10 s"), (7_200_000, "2 h")],
)
def test_durations_have_the_digits_that_matter(milliseconds: float | None, words: str):
    assert format_took(milliseconds) == words


def test_sizes_and_counts_are_read_at_a_glance():
    assert (format_bytes(512), format_bytes(1_536), format_bytes(5 * 1024**2)) == ("512 bytes", "1.5 KiB", "5.0 MiB")
    assert format_count(1_234_567) == "1\u202f234\u202f567"


def test_the_shortest_address_stands_for_a_state():
    fields = {"status": ["failed"], "q": ["a b"], "cursor": ["x"]}

    assert query_string(fields, cursor=None) == "?status=failed&q=a+b"
    assert query_string({}, status="") == ""


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("the form is not acceptable", "The form is not acceptable"),
        ("alice has begun a draft", "alice has begun a draft"),
        ("body.article is not there", "body.article is not there"),
        ("", ""),
    ],
)
def test_an_error_begins_like_a_sentence_unless_it_begins_with_a_name(said: str, shown: str) -> None:
    assert sentence(said) == shown
