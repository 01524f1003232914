"""The test drawer of the workflow editor, and values of expressions while they are written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ui.conftest import Shown, Site
from tests.ui.test_workflow_editor import do, make

STEPS = [
    {"id": "sum", "transform": {"n": "{{ body.n + 1 }}"}},
    {"id": "book", "http": {"url": "https://erp.example/orders", "method": "POST", "json": "{{ steps.sum }}"}},
    {"id": "answer", "respond": {"json": {"booked": "{{ steps.book.body.number }}"}}},
]
CALL: dict[str, str] = {
    "from": "form",
    "method": "POST",
    "headers": "Content-Type: application/json",
    "body": '{"n": 41}',
}


async def attempt(site: Site, path: str, who: str = "bob", **fields: str) -> Shown:
    return await site.send(f"{path}/test", {**CALL, "do": "dry_run", **fields}, who=who)


async def test_a_filled_in_call_goes_through(site: Site):
    path = await make(site, STEPS)

    shown = await attempt(site, path, recorded="book: {status: 200, body: {number: 512}}")

    assert shown.status == 200
    assert "Succeeded Dry run 3 steps" in shown.words
    assert "answered as you said" in shown.words
    assert '"number"' in shown.words
    assert "Answer 202" in shown.words  # the integration is asynchronous
    assert "No reply URL is set" in shown.words


async def test_a_failure_names_its_step_and_what_is_made_up(site: Site):
    path = await make(site, STEPS)

    shown = await attempt(site, path)

    assert "Failed Dry run" in shown.words
    assert "It builds on what is made up for book" in shown.words
    assert "https://erp.example/orders" in shown.words  # what it would do
    assert f'href="{path}#step-answer"' in shown.text


async def test_a_step_in_the_workflow_is_a_click_away_for_admins(site: Site):
    path = await make(site, STEPS)

    assert f'href="{path}?step=steps/2#step-answer"' in (await attempt(site, path, who="alice")).text


async def test_a_curl_goes_through(site: Site):
    path = await make(site, STEPS[:1])
    command = "curl https://x/hooks/default/orders -H 'Content-Type: application/json' -d '{\"n\": 1}'"

    shown = await attempt(site, path, **{"from": "curl", "curl": command})

    assert '"n" : 2' in shown.words.replace('"n": 2', '"n" : 2')


async def test_a_real_event_goes_through(site: Site):
    path = await make(site, [{"id": "sum", "transform": "{{ body.a * 7 }}"}])
    event_id = await site.story.receive(path.split("/")[4])

    shown = await attempt(site, path, **{"from": "event", "event": event_id})

    assert "Succeeded Dry run" in shown.words
    assert event_id in (await site.open(f"{path}/test", who="bob")).text


async def test_a_live_test_is_asked_for_first(site: Site):
    path = await make(site, STEPS)

    shown = await attempt(site, path, do="live")

    assert "Run this live?" in shown.words
    assert "book (http)" in shown.words
    assert "Succeeded" not in shown.words
    assert '"n": 41' in shown.words  # nothing typed is lost


async def test_a_live_test_that_was_agreed_to_is_performed(site: Site):
    path = await make(site, STEPS[:1])

    assert "Succeeded Live test" in (await attempt(site, path, do="live-agreed")).words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"from": "event"}, "is to be chosen"),
        ({"from": "event", "event": "evt_nothing"}, "there is no event evt_nothing"),
        ({"from": "curl", "curl": "wget x"}, "begins with curl"),
        ({"headers": "no colon"}, "has the line 'no colon'"),
        ({"query": "=1"}, "one name= value a line"),
        ({"method": "BREW"}, "must be one of"),
        ({"method": "DELETE"}, "is not accepted by the integration"),
        ({"recorded": "- a"}, "names steps and their outputs"),
        ({"recorded": "a: ["}, "is no YAML"),
        ({"workflow": "draft"}, "the integration has none"),
        ({"headers": "X-A: a\u2028b"}, "visible characters"),
    ],
)
async def test_what_is_wrong_with_a_test_is_told_and_kept(site: Site, fields: dict[str, str], words: str):
    path = await make(site, STEPS)

    shown = await attempt(site, path, **fields)

    assert shown.status == 422
    assert words in shown.words
    assert '"n": 41' in shown.words


async def test_a_workflow_that_does_not_compile_is_told(site: Site):
    path = await make(site, STEPS)
    await do(site, path, "steps/save", at="steps/0", was="sum", yaml="id: sum\ntransform: '{{ nobody }}'")

    shown = await attempt(site, path, workflow="draft")

    assert shown.status == 422
    assert "there is no 'nobody'" in shown.words


async def test_what_came_of_a_test_does_nothing(site: Site):
    evil = "</pre><script>alert(1)</script>\u202e"
    path = await make(site, [{"id": "a", "transform": {evil: "{{ body }}"}}])

    shown = await attempt(site, path, body=json.dumps(evil))

    assert shown.status == 200
    assert "<script>alert" not in shown.text
    assert "U+202E" in shown.words


async def test_a_part_of_a_page_gets_the_drawer_alone(site: Site):
    path = await make(site, STEPS)

    shown = await site.open(f"{path}/test", **{"hx-request": "true", "hx-request-type": "partial"})

    assert shown.text.strip().startswith('<div id="test"')


async def test_viewers_do_not_test(site: Site):
    path = await make(site, STEPS)

    assert (await site.open(f"{path}/test", who="charlie")).status == 403
    assert (await attempt(site, path, who="charlie")).status == 403
    assert (await attempt(site, path, who="dora")).status == 404
    assert ">Test<" not in (await site.open(path, who="charlie")).text


# --- values of expressions -------------------------------------------------------------------------------------------


async def preview(site: Site, path: str, who: str = "alice", **fields: str) -> Any:
    event_id = await site.story.receive(path.split("/")[4])
    shown = await site.send(f"{path}/preview", {"event": event_id, **fields}, who=who)
    return shown.status, (json.loads(shown.text) if shown.status == 200 else shown.text)


async def test_fields_tell_their_values(site: Site):
    path = await make(site, STEPS)
    fields = {"kind": "http", "was": "book", "s.url": "https://x/{{ body.a }}", "s.query": "a: '{{ body.b }}'"}

    status, told = await preview(site, path, **fields, when="body.a == 1", content="json", content_value="x: {{ 1 }}")

    assert status == 200
    assert told["fields"]["s.url"] == {"text": '"https://x/1"', "tone": "good"}
    assert told["fields"]["s.query"]["tone"] == "bad"
    assert told["fields"]["when"]["text"] == "true"
    assert "stands in quotes" in told["fields"]["content_value"]["text"]
    assert "body.a" in [name["path"] for name in told["names"]]


async def test_conditions_of_one_field_are_told_together(site: Site):
    path = await make(site, STEPS)

    _, told = await preview(site, path, kind="assert", **{"s.that": "{{ body.a == 1 }}\n{{ body.a > 1 }}"})

    assert told["fields"]["s.that"]["text"] == "true\nfalse"


async def test_values_are_shown_without_scripts(site: Site):
    path = await make(site, STEPS)
    event_id = await site.story.receive(path.split("/")[4])
    fields = {"at": "steps/0", "was": "sum", "id": "sum", "tree": "n: '{{ body.a + 7 }}'", "event": event_id}

    shown = await do(site, path, "steps/save", do="preview", **fields)
    unchosen = await do(site, path, "steps/save", do="preview", **{**fields, "event": ""})

    assert (shown.status, unchosen.status) == (200, 422)
    assert '{ "n": 8 }' in shown.words
    assert "choose an event" in unchosen.words


@pytest.mark.parametrize("who", ["charlie", "dora"])
async def test_only_operators_of_the_workspace_see_values(site: Site, who: str):
    path = await make(site, STEPS)

    assert (await preview(site, path, who, kind="http"))[0] in (403, 404)
