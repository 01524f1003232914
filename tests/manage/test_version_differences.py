"""What differs between two workflow documents."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crossdock.manage.outline import outline
from crossdock.manage.version_differences import MAX_LINES, version_differences


def step(step_id: str, **settings: Any) -> dict[str, Any]:
    return {"id": step_id, "transform": settings}


def loop(step_id: str, *steps: Any, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "for_each": {"over": "{{ body }}", **more, "steps": list(steps)}}


def choice(step_id: str, *cases: tuple[str, list[Any]]) -> dict[str, Any]:
    return {"id": step_id, "switch": {"cases": [{"when": when, "steps": steps} for when, steps in cases]}}


def differences(before: list[Any], after: list[Any]) -> Any:
    return version_differences({"steps": before}, {"steps": after}, ("a", "b"))


def told(before: list[Any], after: list[Any]) -> list[tuple[str, str]]:
    return [(one["change"], one["path"]) for one in differences(before, after)["steps"]]


def test_equal_documents_differ_in_nothing():
    found = differences([step("a"), loop("l", step("b"))], [step("a"), loop("l", step("b"))])

    assert found == {"same": True, "steps": [], "fields": [], "text": ""}


def test_added_and_removed_steps_are_told_by_their_paths():
    before = [step("a"), loop("l", step("b"))]
    after = [step("c"), loop("l", step("d")), step("a")]

    assert told(before, after) == [("added", "c"), ("added", "l.d"), ("moved", "a"), ("removed", "l.b")]


def test_a_change_is_told_field_by_field():
    before = [{"id": "a", "http": {"url": "/x", "query": {"q": 1}, "form": [1, 2]}, "retry": {"attempts": 2}}]
    after = [{"id": "a", "http": {"url": "/x", "query": {"q": True}, "form": [1, 3]}, "when": None}]

    assert differences(before, after)["steps"][0]["fields"] == [
        {"field": "http.query.q", "before": 1, "after": True},
        {"field": "http.form[1]", "before": 2, "after": 3},
        {"field": "retry", "before": {"attempts": 2}},
        {"field": "when", "after": None},
    ]


def test_another_kind_under_the_same_id_is_a_change():
    (found,) = differences([step("a")], [{"id": "a", "fail": {"message": "no"}}])["steps"]

    assert (found["change"], found["type"]) == ("changed", "fail")
    assert [one["field"] for one in found["fields"]] == ["transform", "fail"]


def test_as_few_steps_as_possible_have_moved():
    names = "abcdefgh"
    after = "bcdeafgh"

    assert told([step(one) for one in names], [step(one) for one in after]) == [("moved", "a")]


def test_a_step_that_was_taken_into_a_block_has_moved():
    (found, *_) = (
        one
        for one in differences([step("a"), loop("l", step("b"))], [loop("l", step("b"), step("a"))])["steps"]
        if one["change"] == "moved"
    )

    assert (found["path"], found["before"]["path"], found["after"]["path"]) == ("l.a", "a", "l.a")


def test_a_step_may_have_moved_and_changed():
    (found,) = differences([step("a", x=1), step("b"), step("c")], [step("b"), step("c"), step("a", x=2)])["steps"]

    assert (found["change"], found["fields"]) == ("moved", [{"field": "transform.x", "before": 1, "after": 2}])


def test_a_change_inside_a_block_is_the_inner_step_s():
    before = [loop("l", step("b", x=1), concurrency=1)]
    after = [loop("l", step("b", x=2), concurrency=4)]

    assert told(before, after) == [("changed", "l"), ("changed", "l.b")]


def test_a_case_before_the_others_moves_none_of_their_steps():
    before = [choice("s", ("{{ body.a }}", [step("a")]), ("{{ body.b }}", [step("b")]))]
    after = [choice("s", ("{{ body.n }}", [step("n")]), ("{{ body.a }}", [step("a")]), ("{{ body.b }}", [step("b")]))]

    assert told(before, after) == [("changed", "s"), ("added", "s.n")]


def test_a_step_in_another_case_has_moved():
    before = [choice("s", ("{{ body.a }}", [step("a"), step("x")]), ("{{ body.b }}", [step("b")]))]
    after = [choice("s", ("{{ body.a }}", [step("a")]), ("{{ body.b }}", [step("x"), step("b")]))]

    assert told(before, after) == [("moved", "s.x")]


def test_a_case_with_another_condition_keeps_its_steps():
    before = [choice("s", ("{{ body.a }}", [step("a")]))]
    after = [choice("s", ("{{ body.a > 1 }}", [step("a")]))]

    (found,) = differences(before, after)["steps"]
    assert [one["field"] for one in found["fields"]] == ["switch.cases[0].when"]


def test_branches_without_steps_are_told():
    before = [{"id": "p", "parallel": {"branches": {"left": [step("a")], "right": []}}}]
    after = [{"id": "p", "parallel": {"branches": {"left": [step("a")]}}}]

    assert told(before, after) == [("changed", "p")]


def test_what_stands_around_the_steps_is_told():
    found = version_differences({"steps": [], "notes": "old"}, {"steps": [], "vars": {"a": 1}}, ("a", "b"))

    assert found["fields"] == [{"field": "notes", "before": "old"}, {"field": "vars", "after": {"a": 1}}]


def test_the_text_shows_lines_as_people_write_them():
    before = [{"id": "q", "sql": {"statement": "SELECT a\nFROM b\n"}}]
    after = [{"id": "q", "sql": {"statement": "SELECT a, c\nFROM b\n"}}]

    text = differences(before, after)["text"]

    assert text.startswith("--- a\n+++ b\n")
    assert "-        SELECT a\n+        SELECT a, c\n         FROM b\n" in text


def test_too_much_to_compare_is_left_out_and_the_steps_are_told():
    before = [step(f"a{n}", value=n) for n in range(MAX_LINES)]
    after = [step(f"b{n}", value=n) for n in range(MAX_LINES)]

    found = differences(before, after)

    assert (found["text"], len(found["steps"])) == (None, 2 * MAX_LINES)


def test_a_draft_may_hold_anything():
    odd = {
        "steps": [
            1,
            {"id": 7},
            {"id": "a"},
            {"id": "a", "switch": 5},
            {"parallel": {"branches": [1]}},
            {"switch": {"cases": [None]}},
        ]
    }

    assert version_differences(odd, {"steps": None}, ("a", "b"))["same"] is False
    assert version_differences(odd, copy.deepcopy(odd), ("a", "b"))["steps"] == []


_leaf = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "a", "x\ny"])
_settings = st.dictionaries(st.sampled_from("xyz"), _leaf, max_size=2)


@st.composite
def _workflows(draw: st.DrawFn) -> Any:
    names = draw(st.permutations("abcdef"))
    made = [step(name, **draw(_settings)) for name in names[: draw(st.integers(0, 6))]]
    cut = draw(st.integers(0, len(made)))
    inner, outer = made[:cut], made[cut:]
    if inner:
        outer.insert(draw(st.integers(0, len(outer))), loop("l", *inner))
    return {"steps": outer}


@given(_workflows(), _workflows())
def test_documents_are_the_same_exactly_where_nothing_is_told(before: Any, after: Any):
    found = version_differences(before, after, ("a", "b"))

    assert found["same"] == (before == after and repr(before) == repr(after))
    assert found["same"] == (found["steps"] == [])
    assert found["same"] == (found["text"] == "")


_odd = st.recursive(
    st.sampled_from([None, 1, "a", True]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "steps", "switch", "cases", "when", "default", "for_each"]), inner)
        | st.dictionaries(st.sampled_from(["id", "steps", "parallel", "branches", "transform"]), inner)
        | inner.map(lambda value: {"id": "a", "switch": {"cases": [{"steps": value}], "default": [value]}})
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["steps", "notes"]), _odd), st.dictionaries(st.sampled_from(["steps"]), _odd))
def test_nothing_of_a_draft_escapes_however_odd_it_is(before: Any, after: Any):
    found = version_differences(before, after, ("a", "b"))

    assert found["same"] == (found["steps"] == [] and found["fields"] == [])


@given(_workflows(), _workflows())
def test_what_was_added_and_removed_makes_the_one_out_of_the_other(before: Any, after: Any):
    found = version_differences(before, after, ("a", "b"))["steps"]

    ids = {one.id for one in outline(before)} - {one["id"] for one in found if one["change"] == "removed"}
    ids |= {one["id"] for one in found if one["change"] == "added"}
    assert ids == {one.id for one in outline(after)}
