"""The pure parts of the workflow editor: places in a document, forms of steps, lines, the picture, differences."""

from __future__ import annotations

import copy
import itertools
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from crossdock.manage.version_differences import text_difference
from crossdock.model.errors import Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.run.compile import compile_workflow
from crossdock.ui.pictures.flow import FlowStep, draw_flow
from crossdock.ui.screens.workflow.cards import deal
from crossdock.ui.screens.workflow.kinds import KINDS
from crossdock.ui.screens.workflow.lines import line_of
from crossdock.ui.screens.workflow.places import (
    duplicate_step,
    every_step,
    ids_of,
    move_step,
    place_steps,
    put_step,
    read_address,
    remove_step,
    step_at,
    write_address,
)
from crossdock.ui.screens.workflow.ready_made import READY_MADE
from crossdock.ui.screens.workflow.step_forms import write_tree, written_fields
from crossdock.ui.screens.workflow.text_differences import side_by_side, unified
from crossdock.ui.yaml_reading import parse_yaml

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "steps.md"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["steps", "id", "for_each", "switch", "parallel", "branches", "cases", "default", "when", "http", "a"]
)
DRAFTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=40,
)


def documented_steps() -> list[Json]:
    """Every step that the reference shows."""
    found: list[Json] = []
    for text in re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text("utf-8"), re.DOTALL):
        document = YAML(typ="safe").load(text)
        found += document["steps"] if isinstance(document, dict) and "steps" in document else []
    return found


def nested() -> Json:
    inner = {"id": "b", "transform": "{{ steps.a }}"}
    loop = {"id": "loop", "for_each": {"over": "{{ body }}", "steps": [{"id": "a", "transform": 1}, inner]}}
    both = {"id": "both", "parallel": {"branches": {"x/y": [loop], "~z": []}}}
    return {"vars": {"n": 1}, "steps": [both, {"id": "end", "respond": {"json": "{{ steps.both }}"}}]}


# --- places ----------------------------------------------------------------------------------------------------------


def test_an_address_leads_to_its_step_and_back():
    document = nested()

    for step in every_step(place_steps(document)):
        assert read_address(document, write_address(step.address)) == step.address
        assert step_at(document, step.at).written is step.written


@pytest.mark.parametrize(
    "text", ["", "x", "steps/7", "steps/0/parallel/branches/x~1y/0/for_each/steps/9", "//", "~", "vars/n"]
)
def test_an_address_of_nothing_is_not_found(text: str):
    with pytest.raises(NotFound):
        step_at(nested(), text)


def test_changes_leave_the_document_as_it_was():
    document, before = nested(), copy.deepcopy(nested())
    inner = step_at(document, "steps/0/parallel/branches/x~1y/0/for_each/steps/1").address

    for changed in (
        remove_step(document, inner),
        move_step(document, inner, -1)[0],
        duplicate_step(document, inner)[0],
        put_step(document, inner, ("steps",), 0)[0],
    ):
        assert changed != before
    assert document == before


def test_a_copied_block_refers_to_its_own_steps():
    made, there = duplicate_step(nested(), ("steps", 0))

    copied = step_at(made, write_address(there)).written
    loop = copied["parallel"]["branches"]["x/y"][0]
    assert [step["id"] for step in loop["for_each"]["steps"]] == ["a_2", "b_2"]
    assert loop["for_each"]["steps"][1]["transform"] == "{{ steps.a_2 }}"
    assert len(ids_of(made)) == len(list(every_step(place_steps(made))))


@settings(max_examples=40)
@given(st.data())
def test_moving_about_loses_no_step(data: st.DataObject):
    document = nested()
    steps = list(every_step(place_steps(document)))
    step = data.draw(st.sampled_from(steps))
    lists = [("steps",), *(branch.address for each in steps for branch in each.branches)]
    into = data.draw(st.sampled_from(lists))

    try:
        moved, there = put_step(document, step.address, into, data.draw(st.integers(0, 4)))
    except Invalid:
        assert into[: len(step.address)] == step.address
        return

    assert step_at(moved, write_address(there)).written == step.written
    assert sorted(each.id for each in every_step(place_steps(moved))) == sorted(each.id for each in steps)


@settings(max_examples=40)
@given(DRAFTS)
def test_whatever_a_draft_says_has_cards(document: Any):
    written = document if isinstance(document, dict) else {"steps": document}

    deck = deal(written, [{"field": "workflow.steps[0].id", "message": "is wrong"}])

    assert len(deck.problems) + sum(card.all_problems for card in deck.list.cards) == 1


# --- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", documented_steps(), ids=itertools.count())
def test_every_documented_step_has_a_form(step: Json):
    assert written_fields(step) is not None


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_new_step_has_a_form_and_a_line(kind: Any):
    assert written_fields({"id": "a", kind.name: kind.begins}) is not None
    assert line_of(kind.name, kind.begins)


@pytest.mark.parametrize("start", READY_MADE, ids=lambda start: start.name)
def test_every_ready_made_workflow_compiles(start: Any):
    compile_workflow({"steps": list(start.steps)})


@settings(max_examples=40)
@given(st.sampled_from(sorted(KINDS)), JSON)
def test_a_form_never_loses_what_a_step_says(kind: str, written: Any):
    step = {"id": "a", kind: written}

    fields = written_fields(step)  # compares what the form gives back with the step

    assert fields is None or fields["id"] == "a"


@settings(max_examples=40)
@given(JSON)
def test_a_tree_is_read_as_it_was_written(value: Any):
    assert parse_yaml(write_tree(value), "it") == value


@settings(max_examples=40)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str):
    with suppress(Invalid):  # and nothing else
        assert parse_yaml(text, "it") == parse_yaml(text, "it")


@settings(max_examples=40)
@given(st.sampled_from(sorted(KINDS)), JSON)
def test_every_step_has_a_line_however_odd(kind: str, written: Any):
    assert 0 < len(line_of(kind, written)) <= 140


# --- pictures and differences ----------------------------------------------------------------------------------------


def test_the_picture_names_steps_and_branches():
    inner = (FlowStep("large", "transform"),)
    picture = str(
        draw_flow((FlowStep("route", "switch", "failed", (("Case 1", inner), ("Otherwise", ()))),), "The flow")
    )

    for words in (">route<", ">large<", ">Case 1<", ">Otherwise<", 'data-state="failed"', 'role="img"'):
        assert words in picture


def test_names_in_the_picture_stay_text():
    picture = str(draw_flow((FlowStep("<script>x</script>", "a", '"><b>', (('"<i>', ()),)),), '"><script>'))

    assert "<script>" not in picture
    assert "<b>" not in picture
    assert "<i>" not in picture


def test_differences_are_told_line_by_line_with_numbers():
    text = text_difference({"steps": [{"id": "a"}], "x": 1}, {"steps": [{"id": "b"}], "x": 1}, ("version 1", "draft"))

    lines = unified(text)
    pairs = side_by_side(text)

    assert [(line.sign, line.before, line.after) for line in lines if line.sign in "+-"] == [("-", 2, 0), ("+", 0, 2)]
    changed = [pair for pair in pairs if pair.left != pair.right]
    assert [(pair.left and pair.left.text.strip(), pair.right and pair.right.text.strip()) for pair in changed] == [
        ("- id: a", "- id: b")
    ]
    assert not unified(None)
    assert not side_by_side("")
