"""What an entry of the audit log keeps: what differs, and not more of it than people can read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import LARGEST_DOCUMENT, Subject, changed_fields, cut, entry_of
from crossdock.manage.saving import Difference
from crossdock.model.outcome import Json
from tests.support.held import START

ALICE = Actor("alice", "wsp_1", "default", "admin", "usr_1")
TREES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="ab \n", max_size=400),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text("abcdef", max_size=20), inner, max_size=12),
    max_leaves=60,
)


def step(one: str, value: int = 1) -> Json:
    return {"id": one, "transform": {"value": value}}


def test_an_entry_says_who_and_where() -> None:
    told = entry_of(ALICE, "token.created", Subject("tok_1", "deploy"), now=START, after={"role": "viewer"})

    assert (told.workspace_id, told.actor_id, told.actor_name, told.at) == ("wsp_1", "usr_1", "alice", START)
    assert (told.action, told.subject_id, told.subject_name) == ("token.created", "tok_1", "deploy")
    assert (told.before, told.after, told.note) == (None, {"role": "viewer"}, None)
    assert told.id.startswith("aud_")


def test_text_that_no_database_takes_is_kept_without_the_unstorable_characters() -> None:
    told = entry_of(ALICE, "lane.skipped", Subject("int_1", "a\x00b"), now=START, note="why\x00\ud800")

    assert (told.subject_name, told.note) == ("a\ufffdb", "why\ufffd?")


def test_of_a_change_only_what_differs_is_kept_on_both_sides() -> None:
    found = changed_fields([Difference("reply.url", None, "https://a.example"), Difference("name", "One", "Two")])

    assert found == ({"reply.url": None, "name": "One"}, {"reply.url": "https://a.example", "name": "Two"})


def test_of_a_workflow_only_the_steps_that_differ_are_kept() -> None:
    was, became = [step("a"), step("b"), step("c")], [step("a"), step("b", 2), step("d")]

    before, after = changed_fields([Difference("workflow.steps", was, became)])

    assert before == {"workflow.steps": [step("b"), step("c")]}
    assert after == {"workflow.steps": [step("b", 2), step("d")]}


def test_a_new_order_of_steps_is_told_by_their_ids() -> None:
    before, after = changed_fields([Difference("workflow.steps", [step("a"), step("b")], [step("b"), step("a")])])

    assert before == {"workflow.steps": [], "workflow.steps (order)": ["a", "b"]}
    assert after == {"workflow.steps": [], "workflow.steps (order)": ["b", "a"]}


@pytest.mark.parametrize("odd", [[1, 2], ["a"], [{"name": "no id"}], [step("a"), step("a", 2)]], ids=str)
def test_other_lists_are_kept_whole(odd: Json) -> None:
    assert changed_fields([Difference("x", odd, [])]) == ({"x": odd}, {"x": []})


def test_a_huge_document_keeps_its_small_parts_and_says_what_was_cut() -> None:
    huge = {"name": "Orders", "workflow": {"steps": [step("a"), {"id": "b", "transform": {"text": "x" * 1_000_000}}]}}

    kept = cut(huge)

    assert len(json.dumps(kept)) <= LARGEST_DOCUMENT + 200
    assert (kept["name"], kept["workflow"]["steps"][0]) == ("Orders", step("a"))
    assert kept["workflow"]["steps"][1]["transform"]["text"].endswith("… (cut: 1000000 characters in all)")


def test_of_too_many_parts_the_rest_is_counted() -> None:
    kept = cut({f"field_{number:06}": number for number in range(50_000)})

    assert len(json.dumps(kept)) <= LARGEST_DOCUMENT + 200
    assert kept["…"] == f"{50_000 - (len(kept) - 1)} more were cut"


@given(TREES, st.integers(200, 3_000))
def test_what_is_kept_of_any_document_is_bounded(document: Json, budget: int) -> None:
    kept = cut(document, budget)

    if len(json.dumps(document)) <= budget:
        assert kept == document
    else:
        assert len(json.dumps(kept)) <= budget + 200
