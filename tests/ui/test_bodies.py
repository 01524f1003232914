"""Bodies as pages show them: inert, whole or said to be cut, as they were sent."""

from __future__ import annotations

import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.ui.bodies import MOST_PRETTY, MOST_RAW, hex_lines, sent_bytes, show_body, show_value
from crossdock.ui.inert import visible
from crossdock.ui.json_text import written_json

JSON = "application/json"


def test_json_stands_over_several_lines_with_its_parts_marked():
    shown = show_body(b'{"a": [1, null], "b": "x"}', JSON)

    assert (shown.kind, shown.view, shown.is_whole) == ("json", "pretty", True)
    assert shown.text.striptags() == '{ "a": [ 1, null ], "b": "x" }'
    assert '<span class="json-key">&#34;a&#34;</span>: [\n    <span class="json-number">1</span>' in shown.text


def test_members_that_are_there_twice_and_long_numbers_stay():
    shown = show_body(b'{"a":1,"a":2,"n":1.10000000000000000000001e99}', JSON)

    assert shown.text.striptags() == '{ "a": 1, "a": 2, "n": 1.10000000000000000000001e99 }'


def test_scripts_become_text():
    sent = b'{"a": "<script>alert(1)</script>"}'

    for view in ("pretty", "raw", "hex"):
        assert "<script" not in show_body(sent, JSON, view).text
    assert "<b" not in show_body(b"<b onclick=x>hi</b>", "text/html").text


def test_characters_that_turn_or_hide_text_are_shown_by_their_numbers():
    shown = show_body("pay \u202e001 \u200b\u2066x".encode(), "text/plain").text

    assert "\u202e" not in shown
    assert 'title="right-to-left override">U+202E<' in shown
    assert "U+200B" in shown
    assert "U+2066" in shown


def test_text_that_runs_from_right_to_left_stays_as_it_is():
    assert visible("שלום 👩‍👩‍👧") == "שלום 👩‍👩‍👧"


def test_halves_of_surrogate_pairs_can_be_written():
    assert "U+D800" in show_value(json.loads(r'"\ud800"')).text


def test_a_line_of_a_megabyte_is_cut_and_said_to_be():
    sent = ('{"a": "' + "x" * 1024 * 1024 + '"}').encode()

    pretty, raw = show_body(sent, JSON), show_body(sent, JSON, "raw")

    assert (pretty.is_whole, raw.is_whole) == (False, False)
    assert pretty.size == len(sent)
    assert len(pretty.text) < 2 * MOST_PRETTY
    assert len(raw.text) < 2 * MOST_RAW


def test_what_is_nested_deep_is_shown_without_falling_over():
    sent = b"[" * 100_000 + b"]" * 100_000

    shown = show_body(sent, JSON)

    assert shown.kind == "text"
    assert "nested more than" in shown.remark
    assert len(written_json(sent.decode(), MOST_PRETTY).markup) < 2 * MOST_PRETTY


def test_json_that_is_broken_is_shown_as_text_with_the_reason():
    shown = show_body(b'{"a": ', JSON)

    assert shown.text == "{&#34;a&#34;: "
    assert "can’t be read as that" in shown.remark


def test_bytes_are_shown_in_hex():
    shown = show_body(b"\xff\xfe\x00<b>", "application/octet-stream")

    assert (shown.kind, shown.view) == ("binary", "hex")
    assert shown.text.startswith("00000000  ff fe 00 3c 62 3e")
    assert "...&lt;b&gt;" in shown.text
    assert "byte 0" in shown.remark


def test_a_form_is_a_table_of_its_fields():
    shown = show_body(b"a=1&a=%3Cb%3E&empty=", "application/x-www-form-urlencoded")

    assert shown.pairs == (("a", "1"), ("a", "<b>"), ("empty", ""))


def test_nothing_is_said_to_be_nothing():
    assert show_body(b"", JSON).kind == "empty"


@pytest.mark.parametrize(
    ("document", "sent"),
    [
        ({"body": "é", "body_encoding": "utf-8"}, "é".encode()),
        ({"body": "/w==", "body_encoding": "base64"}, b"\xff"),
        ({"body": None, "body_encoding": "omitted"}, None),
    ],
)
def test_bytes_come_back_out_of_documents(document, sent):
    assert sent_bytes(document) == sent


def test_hex_lines_tell_where_they_begin():
    assert hex_lines(bytes(range(17))).splitlines()[1] == f"00000010  {'10':<48}  ."


TEXT = st.text(st.characters(codec="ascii", exclude_characters="\x7f"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(VALUES)
def test_written_json_says_what_the_text_says(value):
    markup = written_json(json.dumps(value), 10**9).markup

    assert json.loads(html.unescape(re.sub("<[^>]*>", "", markup))) == value


@given(st.text())
def test_any_text_can_be_shown_as_if_it_were_json(text):
    assert written_json(text, 100).markup.count("<span") == written_json(text, 100).markup.count("</span>")
