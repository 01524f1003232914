"""The workflow editor: steps as cards, changed one by one, each change kept in the draft."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import pytest

from crossdock.model.outcome import Json
from tests.ui.conftest import Shown, Site

STEPS: list[Json] = [
    {"id": "order", "transform": {"number": "{{ body.a }}"}, "notes": "what we need"},
    {"id": "route", "switch": {"cases": [{"when": "{{ body.a > 1 }}", "steps": [{"id": "large", "transform": 1}]}]}},
    {"id": "answer", "respond": {"status": 201, "json": "{{ steps.order }}"}},
]
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 7))
EVERYONE_WHO_MAY_NOT = ("bob", "charlie")


async def make(site: Site, steps: Any = STEPS) -> str:
    """An integration with these steps published; the path of its editor."""
    document = {"name": "Orders", "type": "webhook-trigger", "status": "enabled", "workflow": {"steps": steps}}
    made = await site.cases.integrations.create(site.actor(), document)
    return f"/w/default/integrations/{made['id']}/workflow"


def id_of(path: str) -> str:
    return path.split("/")[4]


def seen(shown: Shown) -> str:
    """What a form of the page carries."""
    return str(re.findall(r'name="seen" value="([^"]*)"', shown.text)[0])


async def draft(site: Site, path: str) -> Json:
    return (await site.cases.drafts.show(site.actor(), id_of(path)))["document"]


async def ids(site: Site, path: str) -> list[str]:
    return [step["id"] for step in (await draft(site, path))["steps"]]


async def do(site: Site, path: str, deed: str, who: str = "alice", **fields: str) -> Shown:
    return await site.send(f"{path}/{deed}", {"seen": "0-1", **fields}, who=who)


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
async def test_every_member_sees_the_steps(site: Site, who: str):
    shown = await site.open(await make(site), who=who)

    assert shown.status == 200
    for words in ("order", "Makes number", "what we need", "body.a > 1", "large", "Answers 201"):
        assert words in shown.words


@pytest.mark.parametrize("who", EVERYONE_WHO_MAY_NOT)
async def test_only_admins_see_what_changes_steps(site: Site, who: str):
    path = await make(site)

    shown = await site.open(path, who=who)

    assert "Add a step" not in shown.words
    assert 'data-deed="edit"' not in shown.text
    assert "Add a step" in (await site.open(path)).words


async def test_others_do_not_find_it(site: Site):
    path = await make(site)

    assert (await site.open(path, who="dora")).status == 404
    assert (await site.open(path.replace("default", "away"), who="dora")).status == 404


async def test_an_empty_workflow_starts_people_off(site: Site):
    path = await make(site, [])

    shown = await site.open(path)
    await site.send(f"{path}/steps/add", {"seen": seen(shown), "into": "steps", "position": "0", "start": "check"})

    assert "No steps yet" in shown.words
    assert await ids(site, path) == ["complete", "answer"]


async def test_the_flow_is_a_picture_with_a_list(site: Site):
    shown = await site.open(await make(site))

    assert 'role="img" aria-label="The flow: order, route, answer"' in shown.text
    assert '<a href="#step-route.large">' in shown.text


async def test_a_version_is_looked_at_and_not_changed(site: Site):
    path = await make(site)

    shown = await site.open(f"{path}?version=1#step-order")

    assert "It is only looked at here" in shown.words
    assert 'data-deed="edit"' not in shown.text
    assert (await site.open(f"{path}?version=7")).status == 404
    assert (await site.open(f"{path}?version=x")).status == 404


# --- changes ---------------------------------------------------------------------------------------------------------


async def test_a_new_step_of_each_kind_opens_in_its_form(site: Site):
    path = await make(site)
    for kind in ("http", "sql", "python", "switch", "parallel", "for_each", "delay", "emit", "assert", "fail"):
        page = await site.open(f"{path}?into=steps&position=1")
        added = await do(site, path, "steps/add", seen=seen(page), into="steps", position="1", kind=kind)

        form = await site.open(added.location)

        assert (added.status, form.status) == (303, 200)
        assert 'id="step-form"' in form.text, kind
        assert (await draft(site, path))["steps"][1]["id"] == kind


async def test_a_step_goes_into_a_branch(site: Site):
    path = await make(site)

    await do(site, path, "steps/add", into="steps/1/switch/cases/0/steps", position="9", kind="transform")

    inner = (await draft(site, path))["steps"][1]["switch"]["cases"][0]["steps"]
    assert [step["id"] for step in inner] == ["large", "transform"]


async def test_steps_move_and_the_page_says_where_to(site: Site):
    path = await make(site)

    moved = await do(site, path, "steps/move", at="steps/0", was="order", by="down")

    assert await ids(site, path) == ["route", "order", "answer"]
    assert moved.location == f"{path}?moved=steps/1&by=down#step-order"
    assert "data-focus" in (await site.open(moved.location)).text


async def test_a_copy_has_ids_of_its_own(site: Site):
    path = await make(site)

    await do(site, path, "steps/duplicate", at="steps/1", was="route")

    steps = (await draft(site, path))["steps"]
    assert [step["id"] for step in steps] == ["order", "route", "route_2", "answer"]
    assert steps[2]["switch"]["cases"][0]["steps"][0]["id"] == "large_2"


async def test_a_deleted_step_is_brought_back(site: Site):
    path = await make(site)
    deleted = await do(site, path, "steps/delete", at="steps/1", was="route")
    assert await ids(site, path) == ["order", "answer"]

    said = deleted.headers["set-cookie"].partition(";")[0]
    page = await site.open(deleted.location, who="", Cookie=f"crossdock={site.cookies['alice']}; {said}")
    form = page.text.split("steps/restore")[1]
    fields = dict(re.findall(r'name="(seen|into|position|step)" value="([^"]*)"', form.split("</form>")[0]))
    await site.send(f"{path}/steps/restore", fields)

    assert (await draft(site, path))["steps"] == STEPS


async def test_a_step_too_large_to_be_brought_back_is_asked_for(site: Site):
    large = {"id": "large", "transform": {"text": Random(1).randbytes(2_000).hex()}}
    path = await make(site, [large])

    asked = await do(site, path, "steps/delete", at="steps/0", was="large")
    await do(site, path, "steps/delete", at="steps/0", was="large", agreed="yes")

    assert (asked.status, "Delete large?" in asked.words) == (200, True)
    assert await ids(site, path) == []


@pytest.mark.parametrize("deed", ["add", "move", "duplicate", "delete", "restore", "save"])
@pytest.mark.parametrize("who", EVERYONE_WHO_MAY_NOT)
async def test_only_admins_change_steps(site: Site, deed: str, who: str):
    path = await make(site)
    fields = {"at": "steps/0", "was": "order", "kind": "transform", "into": "steps", "step": "eJyrrgUAAXUA-Q=="}

    assert (await do(site, path, f"steps/{deed}", who, **fields, id="x", tree="1")).status == 403


@pytest.mark.parametrize("fields", [{"kind": "steal"}, {"start": "nothing"}, {}, {"kind": "http", "into": "steps/0"}])
async def test_what_can_not_be_added_is_refused(site: Site, fields: dict[str, str]):
    path = await make(site)

    assert (await do(site, path, "steps/add", **{"into": "steps", **fields})).status in (404, 422)


@pytest.mark.parametrize("at", ["steps/9", "steps", "", "steps/0/transform", "nowhere/1", "steps/-1", "a" * 5_000])
async def test_a_place_that_is_not_there_is_told(site: Site, at: str):
    path = await make(site)

    assert (await do(site, path, "steps/move", at=at, was="x")).status == 404
    assert (await site.open(f"{path}?step={at[:200]}")).status == (404 if at else 200)


# --- the form of a step ----------------------------------------------------------------------------------------------


async def save(site: Site, path: str, at: str, was: str, **fields: str) -> Shown:
    return await do(site, path, "steps/save", at=at, was=was, do="save", **fields)


async def test_a_step_is_edited_in_a_form(site: Site):
    path = await make(site)
    form = await site.open(f"{path}?step=steps/2")
    assert "Content of the answer" in form.words

    fields = {
        "id": "answer",
        "s.status": "202",
        "content": "json",
        "content_value": "n: '{{ body.a }}'",
        "when": "true",
    }
    saved = await save(site, path, "steps/2", "answer", **fields)

    assert saved.status == 303
    answer = (await draft(site, path))["steps"][2]
    assert answer == {"id": "answer", "respond": {"status": 202, "json": {"n": "{{ body.a }}"}}, "when": True}


async def test_the_steps_of_a_case_stay_with_it(site: Site):
    path = await make(site)
    rows = [("case.was", ""), ("case.when", "{{ body.b }}"), ("case.was", "0"), ("case.when", "{{ body.a > 2 }}")]
    fields = [("seen", "0-1"), ("at", "steps/1"), ("was", "route"), ("id", "route"), *rows]

    await site.send(f"{path}/steps/save", fields)

    cases = (await draft(site, path))["steps"][1]["switch"]["cases"]
    assert [(case["when"], len(case["steps"])) for case in cases] == [("{{ body.b }}", 0), ("{{ body.a > 2 }}", 1)]


@pytest.mark.parametrize("number", ["\u00b2", "9" * 5_000])
async def test_a_case_that_nobody_had_is_a_new_one(site: Site, number: str):
    path = await make(site)
    fields = {"at": "steps/1", "was": "route", "id": "route", "case.was": number, "case.when": "{{ body.b }}"}

    await site.send(f"{path}/steps/save", {"seen": "0-1", **fields})

    assert (await draft(site, path))["steps"][1]["switch"]["cases"] == [{"when": "{{ body.b }}", "steps": []}]


async def test_what_the_form_can_not_show_is_edited_as_yaml(site: Site):
    odd = {"id": "odd", "http": {"url": ["no", "text"], "json": {}, "form": {}}}
    path = await make(site, [odd])

    shown = await site.open(f"{path}?step=steps/0")

    assert "This step as YAML" in shown.words


async def test_a_step_is_edited_as_yaml(site: Site):
    path = await make(site)

    saved = await save(site, path, "steps/0", "order", yaml="id: changed\ntransform: {a: 1}\n")

    assert saved.status == 303
    assert (await draft(site, path))["steps"][0] == {"id": "changed", "transform": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id: [", "line 1"),
        ("- a\n- b", "is no step"),
        ("just words", "is no step"),
        ("total: {{ body.total }}", "stands in quotes"),
        (BOMB, "more than 200000 values"),
        ("[" * 3_000, "nested too deep"),
        ("a: !!python/object/apply:os.system [ls]", "is no YAML"),
        ("a: .nan", "not finite"),
    ],
)
async def test_broken_yaml_is_told_and_kept(site: Site, text: str, words: str):
    path = await make(site)

    for deed, fields in (("steps/save", {"at": "steps/0", "was": "order"}), ("yaml", {})):
        shown = await do(site, path, deed, yaml=text, **fields)

        assert shown.status == 422
        assert words in shown.words or ("is no workflow" in shown.words and deed == "yaml")
        assert " ".join(text[:20].split()) in shown.words


async def test_a_field_with_broken_yaml_is_told_there_and_kept(site: Site):
    path = await make(site)

    shown = await save(site, path, "steps/0", "order", id="order", tree="a: {{ body.a }}")

    assert shown.status == 422
    assert "stands in quotes" in shown.words
    assert "a: {{ body.a }}" in shown.words


async def test_problems_are_kept_in_the_draft_and_told_at_their_step(site: Site):
    path = await make(site)

    saved = await save(site, path, "steps/0", "order", yaml="transform: {a: 1}")  # without an id
    shown = await site.open(path)

    assert saved.status == 303
    assert re.search(r'class="step-problems">\s*<li class="error">.*?is required', shown.text, re.DOTALL)


async def test_deep_nesting_is_refused_in_words(site: Site):
    path = await make(site)
    step: Json = {"id": "in", "transform": 1}
    for n in range(25):
        step = {"id": f"l{n}", "for_each": {"over": [], "steps": [step]}}

    shown = await do(site, path, "yaml", yaml=str({"steps": [step]}))

    assert shown.status == 422
    assert "nested" in shown.words


async def test_scripts_in_names_stay_text(site: Site):
    evil = "<script>alert(1)</script>"
    steps = [
        {"id": evil, "transform": {evil: evil}, "notes": evil, "when": evil},
        {"id": evil, "parallel": {"branches": {evil: [], "\u202eb": []}}},
        {evil: {}},
        evil,
    ]
    path = await make(site, [])
    await site.cases.drafts.save(site.actor(), id_of(path), {"steps": steps})

    pages = [await site.open(path + query) for query in ("", "?step=steps/0", "?step=steps/0&as=yaml", "?step=steps/3")]

    for shown in pages:
        assert shown.status == 200
        assert "<script>alert" not in shown.text
    assert "U+202E" in pages[0].words


# --- two people ------------------------------------------------------------------------------------------------------


async def test_a_change_of_what_was_not_seen_is_asked_for(site: Site):
    path = await make(site)
    await do(site, path, "steps/move", at="steps/0", was="order", by="down")

    late = await do(site, path, "steps/delete", at="steps/0", was="order")
    fields = dict(re.findall(r'name="(at|was|seen)" value="([^"]*)"', late.text.split("Do it all the same")[0]))
    again = await site.send(f"{path}/steps/delete", fields)

    assert (late.status, "was changed meanwhile" in late.words) == (409, True)
    assert again.status == 303
    assert await ids(site, path) == ["route", "answer"]


async def test_what_two_people_typed_stands_side_by_side(site: Site):
    path = await make(site)
    await save(site, path, "steps/0", "order", id="order", tree="number: theirs")

    late = await save(site, path, "steps/0", "order", id="order", tree="number: mine")
    over = await save(site, path, "steps/0", "order", seen=seen(late), id="order", tree="number: mine")

    assert late.status == 409
    assert "alice saved this while you were editing" in late.words
    assert "mine theirs" in late.words
    assert over.status == 303
    assert (await draft(site, path))["steps"][0]["transform"] == {"number": "mine"}


async def test_a_step_that_somebody_deleted_is_told(site: Site):
    path = await make(site)
    await do(site, path, "steps/delete", at="steps/0", was="order")

    late = await save(site, path, "steps/0", "order", id="order", tree="1")

    assert (late.status, "is not there any more" in late.words) == (409, True)


async def test_two_people_edit_the_whole_as_yaml(site: Site):
    path = await make(site)
    await do(site, path, "yaml", yaml="steps: []")

    late = await do(site, path, "yaml", yaml="steps: [{id: mine, transform: 1}]")

    assert late.status == 409
    assert "id: mine" in late.words
    assert (await draft(site, path)) == {"steps": []}


# --- other places ----------------------------------------------------------------------------------------------------


async def test_a_step_is_put_into_a_block_and_out_of_it(site: Site):
    path = await make(site)
    page = await site.open(f"{path}?moving=steps/0")
    inside = "steps/1/switch/cases/0/steps"

    put = await do(site, path, "steps/put", at="steps/0", was="order", into=inside, position="0")
    into = [step["id"] for step in (await draft(site, path))["steps"][0]["switch"]["cases"][0]["steps"]]
    page_now = await site.open(put.location)
    back = {"at": "steps/0/switch/cases/0/steps/0", "was": "route.order", "into": "steps", "position": "9"}
    await do(site, path, "steps/put", seen=seen(page_now), **back)

    assert "Choose where order shall stand." in page.words
    assert into == ["order", "large"]
    assert await ids(site, path) == ["route", "answer", "order"]


async def test_a_block_is_not_put_into_itself(site: Site):
    path = await make(site)

    page = await site.open(f"{path}?moving=steps/1")
    refused = await do(site, path, "steps/put", at="steps/1", was="route", into="steps/1/switch/cases/0/steps")

    assert 'value="steps/1/switch/cases/0/steps"' not in page.text
    assert refused.status == 422
