"""Two ways of one event through a workflow, compared."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.comparison import MAX_DIFFERENCES, MISSING, Passage, Verdict, compare, differences
from crossdock.model.outcome import Failure, Result
from crossdock.model.run import StepRecord, StepStatus
from crossdock.model.trial import Answered, Trial, TrialStatus, TrialStep

JSON = (("content-type", "application/json"),)
trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False).map(lambda number: number + 0.0)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


def step(path: str = "a", output: Any = None, kind: str = "transform", **more: Any) -> StepRecord:
    return StepRecord(path, kind, StepStatus.SUCCEEDED, 0, 0, 1, output=output, **more)


def passage(*records: StepRecord, body: bytes = b"1", failure: Failure | None = None) -> Passage:
    result = Result(200, JSON, body) if failure is None else None
    return Passage(failure is None, {record.id: record for record in records}, result, failure)


def trial(*steps: StepRecord | TrialStep, body: bytes = b"1", failure: Failure | None = None) -> Trial:
    told = tuple(each if isinstance(each, TrialStep) else TrialStep(each) for each in steps)
    if failure is not None:
        return Trial(TrialStatus.FAILED, told, None, failure)
    return Trial(TrialStatus.SUCCEEDED, told, Result(200, JSON, body))


def found(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    return [(each.path, each.before, each.after) for each in differences(before, after)]


@given(tree=trees)
def test_a_tree_is_like_itself_read_again(tree: Any):
    assert found(tree, json.loads(json.dumps(tree))) == []


@given(before=trees, after=trees)
def test_trees_that_are_written_otherwise_differ(before: Any, after: Any):
    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)

    assert (found(before, after) == []) == same


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 2}, [("$.a", 1, 2)]),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, [("$.a[1].b", 2, 3)]),
        ([1], [1, None], [("$[1]", MISSING, None)]),
        ({"a b": 1}, {}, [('$["a b"]', 1, MISSING)]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        (1, True, [("$", 1, True)]),
        (1, 1.0, [("$", 1, 1.0)]),
        ([], {}, [("$", [], {})]),
    ],
)
def test_what_differs_is_named_by_its_path(before: Any, after: Any, expected: Any):
    assert found(before, after) == expected


def test_very_deep_trees_are_compared():
    def deep(leaf: Any) -> Any:
        for _ in range(5_000):
            leaf = [leaf]
        return leaf

    assert len(found(deep(1), deep(2))) == 1


def test_the_same_way_is_unchanged():
    comparison = compare(passage(step(output={"n": 1})), trial(step(output={"n": 1})))

    assert (comparison.verdict, comparison.differences, comparison.steps) == (Verdict.UNCHANGED, (), ())


def test_another_answer_is_told_by_its_json_path():
    document = compare(passage(body=b'{"n":1,"m":0}'), trial(body=b'{"m":0,"n":2}')).document()

    assert document["verdict"] == "changed"
    assert document["differences"] == [{"path": "$.result.body.n", "before": 1, "after": 2}]


def test_text_and_bytes_of_answers_are_compared():
    assert compare(passage(body=b"a"), trial(body=b"b")).differences[0].before == "a"
    assert compare(passage(body=b"\xff"), trial(body=b"\xfe")).differences[0].after == "fe"


def test_steps_that_came_and_went_are_told():
    comparison = compare(passage(step("a"), step("b")), trial(step("b"), step("lines[0].c")))

    assert [(each.path, each.change) for each in comparison.steps] == [("lines[0].c", "added"), ("a", "removed")]
    assert comparison.verdict is Verdict.CHANGED


def test_a_new_and_a_fixed_failure_have_verdicts_of_their_own():
    failure = Failure("no", "no", "a")

    assert compare(passage(), trial(failure=failure)).verdict is Verdict.NEW_FAILURE
    assert compare(passage(failure=failure), trial()).verdict is Verdict.FIXED_FAILURE
    assert compare(passage(failure=failure), trial(failure=failure)).verdict is Verdict.UNCHANGED
    assert compare(passage(failure=failure), trial(failure=Failure("no", "never", "a"))).verdict is Verdict.CHANGED


def test_an_answer_from_the_record_to_another_question_is_flagged():
    asked = TrialStep(step(kind="http", input={"n": 2}), Answered.RECORDED)

    (change,) = compare(passage(step(kind="http", input={"n": 1})), trial(asked)).steps

    assert (change.change, change.input_changed) == ("changed", True)


def test_a_step_that_nobody_knows_makes_the_verdict_unknown():
    comparison = compare(passage(), trial(TrialStep(step("new", kind="http"), unknown="never performed")))

    assert (comparison.verdict, comparison.reason) == (Verdict.UNKNOWN, "step 'new': never performed")


def test_a_trial_that_took_too_long_is_unknown():
    stopped = Trial(TrialStatus.STOPPED, (), None, Failure("trial_timeout", "it took too long"))

    assert compare(passage(), stopped).document()["reason"] == "it took too long"


def test_differences_are_limited_and_long_values_cut():
    many = step(output=list(range(200)))
    document = compare(passage(many, body=b'"%s"' % (b"x" * 999)), trial(step(output=[]), body=b"2")).document()

    assert len(document["differences"]) == MAX_DIFFERENCES
    assert document["differences"][0]["before"] == "x" * 300 + "… (999 characters)"
    assert document["steps"][0]["id"] == "a"
