"""What two people have differently."""

from __future__ import annotations

from typing import Any

from crossdock.ui.conflicts import KEPT_SECRET, NEW_SECRET, differences, in_words
from crossdock.ui.rendering import environment

LABELS = {"name": "Integration Name", "trigger.methods": "Methods", "reply.headers": "Reply HTTP Headers"}


def test_only_fields_that_differ_are_told_by_their_labels():
    mine = {"name": "Orders", "trigger": {"methods": ["POST", "GET"], "ordered_delivery": True}}
    theirs = {"name": "Orders", "trigger": {"methods": ["POST"], "ordered_delivery": False}}

    methods, ordered = differences(mine, theirs, LABELS)

    assert (methods.label, methods.mine, methods.theirs) == ("Methods", "POST, GET", "POST")
    assert (ordered.label, ordered.mine, ordered.theirs) == ("trigger.ordered_delivery", "yes", "no")


def test_a_field_inside_another_has_its_label_and_its_own_name():
    [found] = differences({"reply": {"headers": {"X-Site": "1"}}}, {"reply": {"headers": {}}}, LABELS)

    assert (found.label, found.mine, found.theirs) == ("Reply HTTP Headers: X-Site", "1", "nothing")


def test_a_header_whose_name_has_dots_keeps_them():
    [found] = differences({"reply": {"headers": {"a.b": "1"}}}, {"reply": {"headers": {}}}, LABELS)

    assert found.label == "Reply HTTP Headers: a.b"


def test_nothing_is_the_same_however_it_is_written():
    assert differences({"path": None, "list": []}, {"path": "", "tree": {}}, LABELS) == []


def test_secrets_are_not_told():
    [found] = differences({"token": "very-secret"}, {"token": None}, LABELS, secrets=["token"])

    assert (found.mine, found.theirs) == (NEW_SECRET, KEPT_SECRET)
    assert differences({"token": None}, {"token": "kept"}, LABELS, secrets=["token"]) == []


def test_a_secret_in_a_part_that_the_other_has_not_is_not_told():
    [found] = differences(
        {"reply": {"headers": {"X-Key": "secret"}}}, {"reply": None}, {}, secrets=["reply.headers.X-Key"]
    )

    assert (found.path, found.mine) == ("reply.headers.X-Key", NEW_SECRET)


def test_trees_are_shown_as_json():
    assert in_words({"type": "object"}) == '{\n  "type": "object"\n}'
    assert in_words([{"a": 1}]) == '[\n  {\n    "a": 1\n  }\n]'
    assert in_words(1.5) == "1.5"


def test_the_merge_view_shows_values_as_inert_text():
    found = differences({"name": "<script>alert(1)</script>"}, {"name": "Orders"}, LABELS)

    forms: Any = environment().globals["forms"]
    shown = forms.conflict(found, "settings", "/theirs")

    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert 'form="settings"' in shown
    assert "Take theirs" in shown
