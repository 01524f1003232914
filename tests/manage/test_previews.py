"""What expressions give for a past event."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.manage.actor import Actor, Role
from crossdock.manage.previews import NewPreview
from crossdock.manage.trials import Trials
from crossdock.model.errors import Forbidden, Invalid, NotFound
from tests.support.outside import outside_of
from tests.support.trials import trials_of
from tests.support.yard import Yard

NOTE = {"id": "note", "python": {"function": "work:note", "arguments": {"name": "{{ body.name }}"}}}
LOUD = {"id": "loud", "transform": {"name": "{{ body.name | upper }}"}}


def actor(role: Role = "operator", workspace: str = "yard") -> Actor:
    return Actor("bob", "ws_1" if workspace == "yard" else "ws_2", workspace, role)


@pytest.fixture
def trials(yard: Yard) -> Trials:
    return trials_of(yard.store, yard.catalog, yard.clock, outside_of(yard.functions))


async def past_event(yard: Yard, body: bytes = b'{"name": "a", "lines": [{"n": 4}, {"n": 5}]}') -> str:
    event_id = await yard.accepted(body=body)
    await yard.until(event_id, "succeeded")
    return event_id


async def seen(trials: Trials, event_id: str, value: Any, **more: Any) -> Any:
    told = await trials.preview(actor(), "int_a", NewPreview(event_id=event_id, values={"it": value}, **more))
    return told["values"]["it"]


async def test_values_and_conditions_are_told_with_what_earlier_steps_gave(yard: Yard, trials: Trials):
    await yard.add(steps=[NOTE, LOUD])
    wanted = NewPreview(
        event_id=await past_event(yard),
        values={
            "plain": "{{ body.name }}!",
            "tree": {"n": ["{{ steps.note.calls }}"]},
            "late": "{{ steps.loud.name }}",
        },
        conditions={"when": "body.name == 'a'"},
    )

    told = await trials.preview(actor(), "int_a", wanted)

    assert told["values"] == {"plain": {"value": "a!"}, "tree": {"value": {"n": [1]}}, "late": {"value": "A"}}
    assert told["conditions"] == {"when": {"value": True}}
    assert yard.calls == ["a"]  # the event's own; the preview called nothing


async def test_what_is_not_there_is_told_in_words(yard: Yard, trials: Trials):
    await yard.add(steps=[LOUD])

    told = await seen(trials, await past_event(yard), "{{ body.nobody }}")

    assert told == {"error": "body.nobody is not there; body has name, lines"}


@pytest.mark.parametrize("written", ["{{ body.name", "{{ nothing }}", {"a": "{{ 1 + }}"}])
async def test_what_does_not_compile_is_told_in_words(yard: Yard, trials: Trials, written: Any):
    await yard.add(steps=[LOUD])

    assert set(await seen(trials, await past_event(yard), written)) == {"error"}


async def test_a_step_sees_what_comes_before_it_alone(yard: Yard, trials: Trials):
    await yard.add(steps=[LOUD, {"id": "later", "transform": 1}])
    event_id = await past_event(yard)

    assert await seen(trials, event_id, "{{ steps.loud.name }}", at="later") == {"value": "A"}
    assert "error" in await seen(trials, event_id, "{{ steps.later }}", at="later")


async def test_inside_a_loop_the_first_item_counts(yard: Yard, trials: Trials):
    twice = {"id": "twice", "transform": "{{ line.n * 2 }}"}
    loop = {"over": "{{ body.lines }}", "as": "line", "steps": [twice, {"id": "end", "transform": 1}]}
    await yard.add(steps=[{"id": "lines", "for_each": loop}])

    told = await seen(trials, await past_event(yard), "{{ line.n }} {{ steps.twice }}", at="lines.end")

    assert told == {"value": "4 8"}


async def test_a_workflow_that_does_not_compile_yet_takes_what_was_recorded(yard: Yard, trials: Trials):
    await yard.add(steps=[LOUD])
    draft = {"steps": [LOUD, {"id": "broken", "transform": "{{"}]}

    told = await seen(trials, await past_event(yard), "{{ steps.loud.name }}", at="broken", workflow=draft)

    assert told == {"value": "A"}


async def test_vars_are_worked_out_for_the_event(yard: Yard, trials: Trials):
    await yard.add(steps=[LOUD])
    draft = {"vars": {"who": "{{ body.name }}"}, "steps": []}

    assert await seen(trials, await past_event(yard), "{{ vars.who }}", workflow=draft) == {"value": "a"}


async def test_a_large_value_is_told_by_its_size(yard: Yard, trials: Trials):
    await yard.add(steps=[LOUD])
    event_id = await past_event(yard, b'{"name": "%s"}' % (b"x" * 100_000))

    assert await seen(trials, event_id, "{{ body.name }}") == {"truncated": True, "size": 100_002}


async def test_an_expression_without_an_end_is_stopped(yard: Yard, trials: Trials):
    await yard.add(steps=[LOUD])
    written = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}"

    assert "too long" in (await seen(trials, await past_event(yard), written))["error"]


async def test_names_are_told_as_expressions_say_them(yard: Yard, trials: Trials):
    await yard.add(steps=[LOUD])
    wanted = NewPreview(event_id=await past_event(yard, b'{"name": "a", "first name": "b", "lines": [{"n": 1}]}'))

    told = await trials.preview(actor(), "int_a", wanted)

    names = {name["path"]: (name["kind"], name["sample"]) for name in told["names"]}
    assert names["body.name"] == ("text", "a")
    assert names["body['first name']"] == ("text", "b")
    assert names["body.lines[0].n"] == ("number", "1")
    assert names["steps.loud.name"] == ("text", "A")


async def test_only_operators_of_the_workspace_may_look(yard: Yard, trials: Trials):
    await yard.add(steps=[LOUD])
    wanted = NewPreview(event_id=await past_event(yard))

    with pytest.raises(Forbidden):
        await trials.preview(actor("viewer"), "int_a", wanted)
    with pytest.raises(NotFound):
        await trials.preview(actor("admin", "away"), "int_a", wanted)
    with pytest.raises(NotFound):
        await trials.preview(actor(), "int_a", NewPreview(event_id="evt_none"))


async def test_events_of_other_integrations_are_refused(yard: Yard, trials: Trials):
    await yard.add(steps=[LOUD])
    event_id = await past_event(yard)
    await yard.add("int_b", steps=[LOUD])

    with pytest.raises(Invalid, match="another integration"):
        await trials.preview(actor(), "int_b", NewPreview(event_id=event_id))
