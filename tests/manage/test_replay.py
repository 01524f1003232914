"""Replays of single events, with the stages that carry them out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crossdock.manage.actor import Actor
from crossdock.manage.events import Events
from crossdock.manage.ports import Stages
from crossdock.model.errors import Conflict, Forbidden, Invalid, NotFound
from crossdock.model.retry import RetryPolicy
from crossdock.model.trigger import QueryParameter
from crossdock.store.versions import VersionRow, add_version
from tests.manage.conftest import wrong
from tests.support.yard import Yard, deduplicated

ALICE = Actor("alice", "ws_1", "yard", "admin")
BOB = Actor("bob", "ws_1", "yard", "operator")
CHARLIE = Actor("charlie", "ws_1", "yard", "viewer")
DORA = Actor("dora", "wsp_away", "away", "admin")
ONCE = RetryPolicy(attempts=1)


def note(step_id: str, fail_times: int = 0, value: Any = None, **more: Any) -> dict[str, Any]:
    arguments = {"name": step_id, "fail_times": fail_times, "value": value}
    return {"id": step_id, "python": {"function": "work:note", "arguments": arguments}, **more}


def answer(step_id: str, text: str) -> dict[str, Any]:
    return {"id": step_id, "respond": {"text": text}}


async def ended(yard: Yard, event_id: str) -> str:
    state: str = (await yard.until(event_id, "succeeded", "failed")).state
    return state


async def replayed(yard: Yard, events: Events, event_id: str, **changes: Any) -> Any:
    """The document of a replay that has ended."""
    made = await events.replay(BOB, event_id, changes)
    await ended(yard, made["id"])
    return await events.show(CHARLIE, made["id"])


async def publish(yard: Yard, live: Any, number: int, *steps: Any) -> None:
    row = VersionRow(live.integration.id, number, {"steps": list(steps)}, 0, "alice")
    await yard.store.write(add_version, row)
    yard.know(replace(live, integration=replace(live.integration, workflow_number=number)))


# --- from a step on --------------------------------------------------------------------------------------------------


async def test_a_replay_from_a_step_performs_nothing_before_it(yard: Yard, events: Events) -> None:
    await yard.add(steps=[note("a"), note("b", value="{{ steps.a.calls }}"), note("c", 1)], retry=ONCE)
    old = await yard.accepted()
    assert await ended(yard, old) == "failed"

    told = await replayed(yard, events, old, from_step="c")

    assert yard.calls == ["a", "b", "c", "c"]
    assert (told["status"], told["replay_of"]) == ("succeeded", old)
    assert [(step["id"], step["reused"]) for step in told["steps"]] == [("a", True), ("b", True), ("c", False)]
    assert told["steps"][1]["output"] == {"name": "b", "calls": 1, "value": 1}
    assert told["steps"][1]["finished_at"] <= (await events.show(CHARLIE, old))["finished_at"]


async def test_what_was_taken_over_is_found_by_whoever_takes_the_run_up(yard: Yard, events: Events) -> None:
    await yard.add(steps=[note("a"), note("b", 1)], retry=ONCE)
    old = await yard.accepted()
    await ended(yard, old)
    away = Events(yard.store, yard.catalog, yard.clock, Stages())  # no stage here: it is found in the store

    made = await away.replay(BOB, old, {"from_step": "b"})
    yard.stage.wake()

    assert await ended(yard, made["id"]) == "succeeded"
    assert yard.calls == ["a", "b", "b"]


@pytest.mark.parametrize("last", [note("b"), {"id": "b", "transform": {}}])
async def test_an_ordered_replay_starts_from_its_step_too(yard: Yard, events: Events, last: Any) -> None:
    await yard.add(steps=[note("a"), last], ordered=True)
    old = await yard.accepted()
    await ended(yard, old)

    told = await replayed(yard, events, old, from_step="b")

    assert yard.calls.count("a") == 1
    assert (told["lane"], [step["reused"] for step in told["steps"]]) == ("", [True, False])


async def test_steps_without_side_effects_are_taken_over_in_a_lane_too(yard: Yard, events: Events) -> None:
    steps = [{"id": "a", "transform": {"n": "{{ body.n }}"}}, {"id": "b", "transform": {"n": "{{ steps.a.n }}"}}]
    await yard.add(steps=steps, ordered=True)
    old = await yard.accepted(body=b'{"n": 1}')
    await ended(yard, old)

    told = await replayed(yard, events, old, from_step="b", request={"body": {"n": 2}})

    assert told["result"]["body"] == {"n": 1}


async def test_the_first_step_is_where_every_replay_starts(yard: Yard, events: Events) -> None:
    await yard.add(steps=[note("a"), note("b")])
    old = await yard.accepted()
    await ended(yard, old)

    told = await replayed(yard, events, old, from_step="a")

    assert [step["reused"] for step in told["steps"]] == [False, False]


async def test_wherever_a_replay_starts_it_comes_to_the_same_result(yard: Yard, events: Events) -> None:
    block = {"id": "lines", "for_each": {"over": "{{ body.lines }}", "steps": [note("line", value="{{ item }}")]}}
    shape = {"id": "sum", "transform": {"lines": "{{ steps.lines }}", "first": "{{ steps.a.name }}"}}
    await yard.add(steps=[note("a"), block, shape, {"id": "said", "respond": {"json": "{{ steps.sum }}"}}, note("z")])
    old = await yard.accepted(body=b'{"lines": [1, 2, 3]}')
    await ended(yard, old)
    result = (await events.show(CHARLIE, old))["result"]

    for start in ("sum", "said", "z"):
        assert (await replayed(yard, events, old, from_step=start))["result"] == result
    assert yard.calls == ["a", "line", "line", "line", "z", "z", "z", "z"]


async def test_an_answer_before_the_step_is_taken_over(yard: Yard, events: Events) -> None:
    await yard.add(steps=[note("a"), answer("said", "first"), note("b"), answer("again", "second")])
    old = await yard.accepted()
    await ended(yard, old)

    assert (await replayed(yard, events, old, from_step="b"))["result"]["body"] == "first"


async def test_an_answer_from_the_step_on_is_made_anew(yard: Yard, events: Events) -> None:
    steps = [note("a"), {"id": "said", "respond": {"json": "{{ body.n }}"}}, note("b")]
    await yard.add(steps=steps)
    old = await yard.accepted(body=b'{"n": 1}')
    await ended(yard, old)

    told = await replayed(yard, events, old, from_step="said", request={"body": {"n": 2}})

    assert told["result"]["body"] == 2


async def test_an_answer_inside_a_block_is_taken_over_from_replay_to_replay(yard: Yard, events: Events) -> None:
    block = {"id": "block", "switch": {"cases": [{"when": "{{ true }}", "steps": [answer("said", "inner")]}]}}
    await yard.add(steps=[block, note("a"), note("b"), answer("late", "outer")])
    old = await yard.accepted()
    await ended(yard, old)

    first = await replayed(yard, events, old, from_step="a")
    second = await replayed(yard, events, first["id"], from_step="b")
    third = await replayed(yard, events, second["id"], from_step="block")

    assert [one["result"]["body"] for one in (first, second, third)] == ["inner"] * 3
    assert [step["id"] for step in second["steps"] if step["reused"]] == ["block", "block.said", "a"]
    assert [step["id"] for step in third["steps"] if step["reused"]] == []


async def test_the_last_output_is_the_result_where_nobody_answered(yard: Yard, events: Events) -> None:
    await yard.add(steps=[note("a"), note("b"), note("c", value="{{ body.n }}")])
    old = await yard.accepted(body=b'{"n": 1}')
    await ended(yard, old)

    told = await replayed(yard, events, old, from_step="c", request={"body": {"n": 2}})

    assert (told["result"]["body"]["value"], yard.calls) == (2, ["a", "b", "c", "c"])


async def test_a_skipped_step_and_one_that_failed_and_went_on_are_taken_over(yard: Yard, events: Events) -> None:
    went_on = note("b", 9, on_error="continue", retry={"attempts": 1})
    live = await yard.add(steps=[note("a", when="{{ false }}"), went_on, note("c")])
    old = await yard.accepted()
    await ended(yard, old)
    await publish(yard, live, 2, note("a"), note("b", on_error="continue", retry={"attempts": 5}), note("c"))

    told = await replayed(yard, events, old, from_step="c")

    assert yard.calls == ["b", "c", "c"]
    assert [step["status"] for step in told["steps"]] == ["skipped", "failed", "succeeded"]


async def test_emitted_events_are_not_emitted_again_by_steps_taken_over(yard: Yard, events: Events) -> None:
    await yard.add("int_b")
    await yard.add(steps=[{"id": "tell", "emit": {"integration": "Name of int_b", "json": {}}}, note("b")])
    old = await yard.accepted()
    await ended(yard, old)

    told = await replayed(yard, events, old, from_step="b")

    assert (await events.show(CHARLIE, old))["emitted_total"] == 1
    assert (told["emitted"], told["emitted_total"]) == ([], 0)


async def test_a_replay_may_start_in_another_version(yard: Yard, events: Events) -> None:
    live = await yard.add(steps=[note("a"), note("b"), note("c")])
    old = await yard.accepted()
    await ended(yard, old)
    await publish(yard, live, 2, note("a"), note("b", value=5), note("d"), note("e"))

    told = await replayed(yard, events, old, from_step="d")

    assert (yard.calls[3:], told["workflow_version"]) == (["d", "e"], 2)
    assert told["steps"][1]["output"]["value"] is None


async def test_steps_that_differ_before_it_are_named(yard: Yard, events: Events) -> None:
    live = await yard.add(steps=[note("a"), note("b"), note("c")])
    old = await yard.accepted()
    await ended(yard, old)
    await publish(yard, live, 2, note("a"), {"id": "b", "transform": {}}, note("c"))

    with pytest.raises(Invalid) as error:
        await events.replay(BOB, old, {"from_step": "c"})

    said = wrong(error)["from_step"]
    assert "'b' (transform) is the first that differs" in said
    assert "it is 'b' (python) there" in said
    assert said.endswith("start from one of: a, b")
    assert (await replayed(yard, events, old, from_step="c", workflow_version=1))["status"] == "succeeded"


async def test_a_step_that_was_not_reached_is_no_start(yard: Yard, events: Events) -> None:
    await yard.add(steps=[note("a"), note("b", 9), note("c"), note("d")], retry=ONCE)
    old = await yard.accepted()
    await ended(yard, old)

    with pytest.raises(Conflict, match="the step 'b' before 'd' has no outcome.*start from one of: a, b$"):
        await events.replay(BOB, old, {"from_step": "d"})


@pytest.mark.parametrize(
    ("from_step", "said"),
    [
        ("x", "is no step of version 1; its steps are a, lines"),
        ("", "is no step of version 1"),
        ("book", "stands inside 'lines'; a run starts from a step of the workflow itself, such as 'lines'"),
        ("lines[3].book", "stands inside 'lines'"),
    ],
)
async def test_only_a_step_of_the_workflow_itself_is_a_start(
    yard: Yard, events: Events, from_step: str, said: str
) -> None:
    await yard.add(steps=[note("a"), {"id": "lines", "for_each": {"over": [1], "steps": [note("book")]}}])
    old = await yard.accepted()

    with pytest.raises(Invalid) as error:
        await events.replay(BOB, old, {"from_step": from_step})

    assert said in wrong(error)["from_step"]


async def test_without_a_workflow_there_is_no_step_to_start_from(yard: Yard, events: Events) -> None:
    await yard.add()
    old = await yard.accepted()

    with pytest.raises(Invalid) as error:
        await events.replay(BOB, old, {"from_step": "a"})

    assert wrong(error) == {"from_step": "is no step: no workflow has none"}


# --- another request -------------------------------------------------------------------------------------------------


async def test_a_json_body_says_what_it_is(yard: Yard, events: Events) -> None:
    await yard.add()
    old = await yard.accepted(body=b"a=1", headers=[("content-type", "text/plain"), ("content-length", "3")])

    told = await replayed(yard, events, old, request={"body": {"n": [1, 10**30]}})

    request = told["request"]
    assert (request["body"], request["content_type"]) == (f'{{"n":[1,{10**30}]}}', "application/json")
    assert request["headers"] == {"content-type": "application/json"}


async def test_text_keeps_the_type_that_was_there(yard: Yard, events: Events) -> None:
    await yard.add()
    old = await yard.accepted(body=b"<a/>", headers=[("content-type", "application/xml"), ("x-site", "12")])

    told = await replayed(yard, events, old, request={"body": "<b/>"})

    assert (told["request"]["body"], told["request"]["content_type"]) == ("<b/>", "application/xml")
    assert told["request"]["headers"] == {"x-site": "12", "content-type": "application/xml"}


async def test_bytes_come_as_base64(yard: Yard, events: Events) -> None:
    await yard.add()
    old = await yard.accepted()

    told = await replayed(
        yard, events, old,
        request={"body": "/wA=", "body_encoding": "base64", "headers": {"Content-Type": "image/png"}},
    )  # fmt: skip

    assert (told["request"]["body"], told["request"]["content_type"]) == ("/wA=", "image/png")
    assert await events.body(CHARLIE, told["id"]) == ("image/png", b"\xff\x00")


async def test_a_json_type_of_its_own_is_kept(yard: Yard, events: Events) -> None:
    await yard.add()
    old = await yard.accepted(headers=[("content-type", "application/cloudevents+json")])

    told = await replayed(yard, events, old, request={"body": {}})

    assert told["request"]["content_type"] == "application/cloudevents+json"


async def test_query_headers_and_method_are_replaced_whole(yard: Yard, events: Events) -> None:
    declared = (QueryParameter("region", default="EU"), QueryParameter("id", required=True))
    await yard.add(methods=("POST", "PUT"), query_parameters=declared)
    old = await yard.accepted(query="id=1&old=1", headers=[("x-old", "1")])

    request = {"method": "PUT", "query": {"id": ["1", "2"]}, "headers": {"X-Site": ["a", "b"], "Authorization": "top"}}
    told = (await replayed(yard, events, old, request=request))["request"]

    assert (told["method"], told["query"]) == ("PUT", {"id": ["1", "2"], "region": "EU"})
    assert told["headers"] == {"x-site": ["a", "b"], "authorization": "[redacted]"}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"method": "GET"}, "request.method"),
        ({"query": {"other": "1"}}, "request.query.id"),
        ({"body": "x" * 101}, "request.body"),
        ({"body": "{"}, "request.body"),
        ({"body": {"n": "text"}}, "request.body"),
        ({"body": "half \ud800"}, "request.body"),
        ({"body": {"n": 1}, "body_encoding": "base64"}, "request.body"),
    ],
)
async def test_what_the_integration_would_refuse_is_refused(
    yard: Yard, events: Events, request_: Any, field: str
) -> None:
    schema = '{"type": "object", "properties": {"n": {"type": "integer"}}}'
    await yard.add(query_parameters=(QueryParameter("id", required=True),), max_body_bytes=100, body_schema=schema)
    old = await yard.accepted(query="id=1")

    with pytest.raises(Invalid) as error:
        await events.replay(BOB, old, {"request": request_})

    assert list(wrong(error)) == [field]


async def test_what_came_in_once_is_not_asked_again(yard: Yard, events: Events) -> None:
    await yard.add()
    old = await yard.accepted(body=b"long " * 10)
    await yard.add(max_body_bytes=3, require_json=True)

    assert (await replayed(yard, events, old))["status"] == "succeeded"


# --- what a replay goes through --------------------------------------------------------------------------------------


async def test_a_replay_is_no_duplicate(yard: Yard, events: Events) -> None:
    await yard.add(deduplicate=deduplicated())
    old = await yard.accepted(headers=[("x-id", "7")])

    assert (await replayed(yard, events, old))["status"] == "succeeded"


async def test_an_event_knows_its_replays(yard: Yard, events: Events) -> None:
    await yard.add()
    old = await yard.accepted()

    made = [(await replayed(yard, events, old))["id"] for _ in range(2)]

    told = await events.show(CHARLIE, old)
    assert (told["replays"], told["replays_total"]) == (made, 2)


async def test_a_disabled_integration_takes_no_replays(yard: Yard, events: Events) -> None:
    await yard.add()
    old = await yard.accepted()
    await yard.add(enabled=False)

    with pytest.raises(Conflict, match="is disabled; enable it"):
        await events.replay(BOB, old, {})


async def test_only_an_operator_may_replay(yard: Yard, events: Events) -> None:
    await yard.add()
    old = await yard.accepted()

    with pytest.raises(Forbidden):
        await events.replay(CHARLIE, old, {})
    assert (await replayed(yard, events, old))["replay_of"] == old


async def test_events_of_another_workspace_do_not_exist(yard: Yard, events: Events) -> None:
    await yard.add()
    old = await yard.accepted()

    for attempt in (events.replay(DORA, old, {}), events.show(DORA, old), events.steps(DORA, old)):
        with pytest.raises(NotFound, match="retention is over"):
            await attempt
