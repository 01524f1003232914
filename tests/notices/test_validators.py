"""Response validators: where they look, what fits, and what is refused when they are saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.notices.validators import ValidatorRefused, compile_validators, judge_answer, refusal_of


def problem(path: str, expected: list[Any], answer: Any) -> str | None:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    [validation] = judge_answer(compile_validators([{"json_path": path, "expected_values": expected}]), body)
    assert validation.passed is (validation.problem is None)
    return validation.problem


@pytest.mark.parametrize(
    ("path", "expected", "answer"),
    [
        ("$.data.status", ["ok"], {"status": "ok"}),
        ("$.data.status", ["ok"], {"data": {"status": "ok"}}),
        ("$.status", ["ok"], {"status": "ok"}),
        ("$.data", ["ok"], "ok"),
        ("$.data[0].id", [7], [{"id": 7}]),
        ("$.data.items[*].state", ["done", "new"], {"items": [{"state": "new"}, {"state": "done"}]}),
        ("$['data']['my key']", ["x"], {"my key": "x"}),
        ("$.data.id", ["7"], {"id": 7}),
        ("$.data.id", [7], {"id": "7"}),
        ("$.data.id", [1], {"id": 1.0}),
        ("$.data.ok", ["true"], {"ok": True}),
        ("$.data.error", [None], {"error": None}),
        ("$.data.big", ["123456789012345678901234567890"], {"big": 123456789012345678901234567890}),
        ("$.data.status", [], {"status": "anything"}),
    ],
)
def test_what_is_found_and_expected_passes(path: str, expected: list[Any], answer: Any) -> None:
    assert problem(path, expected, answer) is None


@pytest.mark.parametrize(
    ("path", "expected", "answer", "reason"),
    [
        ("$.data.status", ["ok", "done"], {"status": "no"}, '"no" is found, and "ok" or "done" is expected'),
        ("$.data.status", ["ok"], {}, "nothing is found there in the answer"),
        ("$.data.status", [], {}, "nothing is found there in the answer"),
        ("$.data.status", ["ok"], {"status": "OK"}, '"OK" is found'),
        ("$.data.id", [True], {"id": 1}, "1 is found, and true is expected"),
        ("$.data.id", ["1"], {"id": 1.0}, "1.0 is found"),
        ("$.data.error", ["null"], {"error": None}, "null is found"),
        ("$.data.list", ["[]"], {"list": []}, "[] is found"),
        ("$.data.items[*].state", ["done"], {"items": [{"state": "done"}, {"state": "bad"}]}, '"bad" is found'),
        ("$.data.x", list(range(9)), {"x": "y"}, "0 or 1 or 2 or 3 or 4 or 4 others is expected"),
        ("$.data.x", ["ok"], b"<html>", "the answer is not JSON: "),
        ("$.data.x", ["ok"], b" \n", "the answer's body is empty, and JSON is needed"),
        ("$.data.x", ["ok"], b"\xff\xfe\x00", "the answer is not JSON: "),
        ("$.data.x", ["ok"], b"[" * 100_000, "the answer is not JSON: "),
        ("$.data.x", ["ok"], b'{"x": "\\ud83d"}', "the answer is not JSON: "),
    ],
)
def test_what_is_not_expected_fails_in_words(path: str, expected: list[Any], answer: Any, reason: str) -> None:
    assert reason in (problem(path, expected, answer) or "")


def test_what_was_found_is_shown_but_not_without_end() -> None:
    validators = compile_validators([{"json_path": "$.data[*]", "expected_values": ["x"]}])

    [validation] = judge_answer(validators, json.dumps(["y" * 5_000, *range(50)]).encode())

    assert len(validation.found) == 10
    assert len(validation.found[0]) <= 1_001
    assert validation.found[1:] == tuple(range(9))
    assert len(validation.problem or "") < 200


def test_all_have_to_hold_and_the_first_that_does_not_is_told() -> None:
    validators = compile_validators(
        [
            {"json_path": "$.data.a", "expected_values": [1]},
            {"json_path": "$.data.b", "expected_values": [1]},
            {"json_path": "$.data.c", "expected_values": [1]},
        ]
    )

    validations = judge_answer(validators, b'{"a": 1, "b": 2}')

    assert [one.passed for one in validations] == [True, False, False]
    assert refusal_of(validations) == "response validator $.data.b: 2 is found, and 1 is expected (and 1 more)"
    assert refusal_of(validations[:1]) is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "this is no JSONPath"),
        ("data.status", "this is no JSONPath"),
        ("$.data[", "this is no JSONPath"),
        ("$..a..b", "may have one .. only"),
        ("$.data[?match(@.a, 'b')]", "regular expressions may take too long"),
        ("$." + "a" * 2_000, "1024 characters long at most"),
    ],
)
def test_a_path_that_cant_be_used_is_refused_with_its_place(path: str, reason: str) -> None:
    good = {"json_path": "$.data.ok", "expected_values": [True]}

    with pytest.raises(ValidatorRefused, match=reason.replace("..", r"\.\.")) as refused:
        compile_validators([good, {"json_path": path, "expected_values": []}])

    assert (refused.value.index, refused.value.field) == (1, "json_path")


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_no_answer_of_any_kind_breaks_it(body: bytes) -> None:
    validators = compile_validators(
        [{"json_path": "$.data", "expected_values": ["x"]}, {"json_path": "$..*", "expected_values": ["x"]}]
    )

    for validation in judge_answer(validators, body):
        json.dumps(validation.found).encode()
