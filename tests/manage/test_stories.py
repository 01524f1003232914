"""An event's story while its run is on its way, with the stages that carry it out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crossdock.manage.actor import Actor
from crossdock.manage.events import Events
from crossdock.model.errors import NotFound
from crossdock.model.retry import RetryPolicy
from crossdock.model.time import format_instant, later
from crossdock.store.versions import VersionRow, add_version
from tests.support.held import HeldClock
from tests.support.yard import Yard

CHARLIE = Actor("charlie", "ws_1", "yard", "viewer")
HOUR = {"id": "pause", "delay": {"for": "PT1H"}}


def call(step_id: str, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "python": {"function": "work:note", "arguments": {"name": step_id, **more}}}


async def told_once(yard: Yard, events: Events, state: str, event_id: str) -> Any:
    await yard.until(event_id, state)
    return await events.show(CHARLIE, event_id)


async def test_a_delay_names_its_step_and_its_end(yard: Yard, events: Events, clock: HeldClock) -> None:
    inner = {"id": "lines", "for_each": {"over": [1], "steps": [HOUR]}}
    await yard.add(steps=[call("a"), inner])
    until = format_instant(later(clock(), 3_600))

    told = await told_once(yard, events, "waiting", await yard.accepted())

    assert told["waiting_for"]["reason"] == "delay"
    assert (told["waiting_for"]["step"], told["waiting_for"]["until"]) == ("lines[0].pause", until)
    assert told["waiting_for"]["words"] == f"The step 'lines[0].pause' waits until {until}."
    step = next(step for step in told["steps"] if step["id"] == "lines[0].pause")
    assert (step["status"], step["until"]) == ("waiting", until)


async def test_a_step_that_waits_for_its_next_try_says_so(yard: Yard, events: Events) -> None:
    await yard.add(steps=[{**call("a", fail_times=9), "retry": {"attempts": 5, "delay": "PT10M"}}])

    told = await told_once(yard, events, "waiting", await yard.accepted())

    assert (told["waiting_for"]["reason"], told["waiting_for"]["step"]) == ("retry", "a")
    assert told["waiting_for"]["words"].startswith("The step 'a' failed; it is tried again at ")
    assert told["waiting_for"]["until"] == told["next_attempt_at"]


async def test_a_run_behind_another_says_behind_which(yard: Yard, events: Events) -> None:
    await yard.add(steps=[call("a", fail_times=9)], ordered=True, retry=RetryPolicy(attempts=1))
    head, second = [await yard.accepted() for _ in range(2)]

    blocked = await told_once(yard, events, "waiting", head)
    behind = await told_once(yard, events, "queued", second)

    assert (blocked["waiting_for"]["reason"], blocked["waiting_for"]["step"]) == ("operator", "a")
    assert (behind["waiting_for"]["reason"], behind["waiting_for"]["behind"]) == ("lane", head)
    assert head in behind["waiting_for"]["words"]


async def test_what_is_over_waits_for_nothing(yard: Yard, events: Events) -> None:
    await yard.add(steps=[call("a")])

    told = await told_once(yard, events, "succeeded", await yard.accepted())

    assert (told["waiting_for"], told["next_attempt_at"]) == (None, None)


async def test_a_step_that_was_tried_several_times_is_told_once(yard: Yard, events: Events, clock: HeldClock) -> None:
    await yard.add(steps=[{**call("a", fail_times=1), "retry": {"attempts": 2, "delay": "PT10M"}}])
    event_id = await yard.accepted()
    await yard.until(event_id, "waiting")
    clock.advance(601)
    yard.stage.wake()

    told = await told_once(yard, events, "succeeded", event_id)

    assert [(step["id"], step["status"], step["attempts"]) for step in told["steps"]] == [("a", "succeeded", 2)]


async def test_a_run_that_waits_keeps_its_version(yard: Yard, events: Events, clock: HeldClock) -> None:
    live = await yard.add(steps=[HOUR, call("a")])
    event_id = await yard.accepted()
    await yard.until(event_id, "waiting")
    await yard.store.write(add_version, VersionRow("int_a", 2, {"steps": [call("b")]}, 0, "alice"))
    yard.know(replace(live, integration=replace(live.integration, workflow_number=2)))
    clock.advance(3_601)
    yard.stage.wake()

    told = await told_once(yard, events, "succeeded", event_id)

    assert (told["workflow_version"], yard.calls) == (1, ["a"])


async def test_emitted_events_and_their_origin_are_told(yard: Yard, events: Events) -> None:
    await yard.add("int_b")
    await yard.add(steps=[{"id": "tell", "emit": {"integration": "Name of int_b", "json": {}}}])

    told = await told_once(yard, events, "succeeded", await yard.accepted())
    (child,) = told["emitted"]

    assert (told["emitted_total"], told["emitted_by"], told["depth"]) == (1, None, 0)
    made = await events.show(CHARLIE, child)
    assert (made["emitted_by"], made["depth"]) == (told["id"], 1)


async def test_all_steps_of_a_long_loop_come_in_pages(yard: Yard, events: Events) -> None:
    shape = {"id": "shape", "transform": {"n": "{{ item }}"}}
    await yard.add(steps=[{"id": "lines", "for_each": {"over": list(range(600)), "steps": [shape]}}])
    event_id = await yard.accepted()

    told = await told_once(yard, events, "succeeded", event_id)
    page = await events.steps(CHARLIE, event_id, prefix="lines[59", limit=5)

    assert (len(told["steps"]), told["steps_total"]) == (500, 601)
    assert [step["id"] for step in page.items] == [f"lines[{n}].shape" for n in (59, 590, 591, 592, 593)]
    assert page.items[1]["output"] == {"n": 590}
    rest = await events.steps(CHARLIE, event_id, prefix="lines[59", cursor=page.next)
    assert (len(rest.items), rest.next) == (6, None)


async def test_steps_of_an_event_that_is_not_there_are_not_found(yard: Yard, events: Events) -> None:
    with pytest.raises(NotFound):
        await events.steps(CHARLIE, "evt_0")
