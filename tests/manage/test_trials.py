"""Trying workflows out, and comparing past events with what another workflow would make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crossdock.manage.actor import Actor, Role
from crossdock.manage.trials import NewTrial, TrialRequest, Trials
from crossdock.model.errors import Forbidden, Invalid, NotFound
from crossdock.model.integration import ReplySettings
from crossdock.model.retry import NO_RETRY, RetryPolicy
from crossdock.store import Store
from crossdock.store.claims import cancel_waiting
from crossdock.store.drafts import DraftRow, save_draft
from crossdock.store.lanes import skip_run
from crossdock.store.versions import VersionRow, add_version
from tests.manage.conftest import wrong
from tests.support.outside import outside_of
from tests.support.trials import trials_of
from tests.support.yard import Yard

NOTE = {"id": "note", "python": {"function": "work:note", "arguments": {"name": "{{ body.name }}"}}}
ANSWER = {"id": "answer", "respond": {"json": {"calls": "{{ steps.note.calls }}"}}}
STEPS = [NOTE, ANSWER]


def actor(role: Role = "operator", workspace: str = "yard") -> Actor:
    return Actor("bob", "ws_1" if workspace == "yard" else "ws_2", workspace, role)


@pytest.fixture
def trials(yard: Yard) -> Trials:
    return trials_of(yard.store, yard.catalog, yard.clock, outside_of(yard.functions))


async def past_event(yard: Yard, body: bytes = b'{"name": "a"}', state: str = "succeeded") -> str:
    event_id = await yard.accepted(body=body)
    await yard.until(event_id, state)
    return event_id


def target(*steps: Any) -> Any:
    return {"integration_id": "int_a", "document": {"steps": list(steps)}}


# --- trying ----------------------------------------------------------------------------------------------------------


async def test_the_published_workflow_is_tried_with_a_made_up_call(yard: Yard, trials: Trials):
    await yard.add(steps=STEPS, sync=True)
    wanted = NewTrial(request=TrialRequest(body={"name": "a"}), recorded={"note": {"calls": 7}})

    told = await trials.attempt(actor(), "int_a", wanted)

    assert (told["status"], told["mode"]) == ("succeeded", "dry_run")
    assert [(step["id"], step["recorded"]) for step in told["steps"]] == [("note", True), ("answer", False)]
    assert (told["answer"]["status"], told["answer"]["body"]) == (200, {"calls": 7})
    assert told["event"]["id"].startswith("test_")
    assert yard.calls == []


async def test_an_asynchronous_caller_would_get_an_acceptance(yard: Yard, trials: Trials):
    await yard.add(steps=[ANSWER | {"respond": {"text": "x"}}])

    told = await trials.attempt(actor(), "int_a", NewTrial())

    assert told["answer"]["status"] == 202
    assert told["result"]["body"] == "x"


async def test_a_failure_is_told_with_the_answer_that_it_would_give(yard: Yard, trials: Trials):
    await yard.add(steps=[{"id": "no", "fail": {"message": "no"}}], sync=True)

    told = await trials.attempt(actor(), "int_a", NewTrial())

    assert told["status"] == "failed"
    assert (told["answer"]["status"], told["error"]["step"]) == (502, "no")


async def test_the_reply_is_shown_without_secrets_and_unsigned(yard: Yard, trials: Trials):
    reply = ReplySettings("https://erp.example/callback", "PUT", (("authorization", "Bearer secret"), ("x-site", "12")))
    await yard.add(steps=[{"id": "a", "transform": {"n": 1}}], reply=reply)

    told = (await trials.attempt(actor(), "int_a", NewTrial()))["reply"]

    assert (told["url"], told["method"]) == ("https://erp.example/callback", "PUT")
    assert told["body"]["result"]["body"] == {"n": 1}
    assert (told["headers"]["authorization"], told["headers"]["x-site"]) == ("[redacted]", "12")
    assert told["headers"]["webhook-signature"] == "[set when it is sent]"


async def test_a_past_event_is_tried_with_what_was_recorded(yard: Yard, trials: Trials):
    await yard.add(steps=STEPS)
    event_id = await past_event(yard)
    changed = {"steps": [NOTE, {"id": "other", "transform": "{{ steps.note.calls + 10 }}"}]}

    told = await trials.attempt(actor(), "int_a", NewTrial(event_id=event_id, workflow=changed))

    assert told["event"]["id"] == event_id
    assert [(step["recorded"], step["output"]) for step in told["steps"]][1] == (False, 11)
    assert yard.calls == ["a"]


async def test_records_are_left_aside_when_they_are_not_wanted(yard: Yard, trials: Trials):
    await yard.add(steps=STEPS)
    event_id = await past_event(yard)

    told = await trials.attempt(actor(), "int_a", NewTrial(event_id=event_id, use_recorded=False))

    assert told["steps"][0]["simulated"]
    assert told["steps"][1]["because_of"] == ["note"]


async def test_a_live_test_performs_and_records_nothing(yard: Yard, trials: Trials, store: Store):
    await yard.add(steps=STEPS)
    event_id = await past_event(yard)

    told = await trials.attempt(actor(), "int_a", NewTrial(event_id=event_id, mode="live"))

    assert yard.calls == ["a", "a"]
    assert told["event"]["id"].startswith("test_")
    assert (await yard.row(event_id)).attempts == 1


async def test_a_version_and_the_draft_can_be_tried(yard: Yard, trials: Trials, store: Store):
    await yard.add(steps=[{"id": "old", "transform": 1}])
    draft = DraftRow("int_a", {"steps": [{"id": "new", "transform": 2}]}, 1, 1, 0, "alice")
    assert await store.write(save_draft, draft, 0)

    version = await trials.attempt(actor(), "int_a", NewTrial(version=1))
    tried = await trials.attempt(actor(), "int_a", NewTrial(draft=True))

    assert [version["steps"][0]["id"], tried["steps"][0]["id"]] == ["old", "new"]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (NewTrial(version=9), "version"),
        (NewTrial(draft=True), "draft"),
        (NewTrial(version=1, draft=True), "draft"),
        (NewTrial(workflow={"steps": [{"id": "a"}]}), "workflow.steps[0]"),
        (NewTrial(workflow={"steps": [{"id": "a", "transform": "{{ nobody }}"}]}), "workflow.steps[0].transform"),
        (NewTrial(request=TrialRequest(method="DELETE")), "request.method"),
    ],
)
async def test_what_can_not_be_tried_is_refused_by_its_field(yard: Yard, trials: Trials, wanted: NewTrial, field: str):
    await yard.add(steps=STEPS)

    with pytest.raises(Invalid) as refused:
        await trials.attempt(actor(), "int_a", wanted)

    assert list(wrong(refused)) == [field]


async def test_unknown_events_and_integrations_are_not_found(yard: Yard, trials: Trials):
    await yard.add(steps=STEPS)
    await yard.add("int_b", steps=STEPS)
    other = await yard.accepted("/hooks/yard/int_b", body=b'{"name": "a"}')

    for integration_id, event_id in (("int_x", None), ("int_a", "evt_nobody"), ("int_a", "evt_\x00")):
        with pytest.raises(NotFound):
            await trials.attempt(actor(), integration_id, NewTrial(event_id=event_id))
    with pytest.raises(Invalid, match="another integration"):
        await trials.attempt(actor(), "int_a", NewTrial(event_id=other))


async def test_only_operators_of_the_workspace_may_try(yard: Yard, trials: Trials):
    await yard.add(steps=STEPS)

    with pytest.raises(Forbidden):
        await trials.attempt(actor("viewer"), "int_a", NewTrial())
    with pytest.raises(NotFound):
        await trials.attempt(actor("admin", "away"), "int_a", NewTrial())


async def test_many_steps_are_told_up_to_a_limit(yard: Yard, trials: Trials):
    each = {"id": "all", "for_each": {"over": "{{ body }}", "steps": [{"id": "a", "transform": "{{ item }}"}]}}
    await yard.add(steps=[each, {"id": "last", "transform": 1}])

    told = await trials.attempt(actor(), "int_a", NewTrial(request=TrialRequest(body=list(range(1_000)))))

    assert (told["steps_total"], len(told["steps"])) == (1_002, 500)
    assert [step["id"] for step in told["steps"][-2:]] == ["all", "last"]


# --- comparing -------------------------------------------------------------------------------------------------------


async def test_an_unchanged_workflow_changes_nothing(yard: Yard, trials: Trials):
    await yard.add(steps=STEPS)
    event_id = await past_event(yard)

    told = await trials.compare("ws_1", event_id, target(*STEPS))

    assert (told["verdict"], told["differences"], told["steps"]) == ("unchanged", [], [])
    assert yard.calls == ["a"]


async def test_another_result_is_told(yard: Yard, trials: Trials):
    await yard.add(steps=STEPS)
    event_id = await past_event(yard)
    answer = {"id": "answer", "respond": {"json": {"calls": "{{ steps.note.calls + 1 }}"}}}

    told = await trials.compare("ws_1", event_id, target(NOTE, answer))

    assert told["verdict"] == "changed"
    assert {"path": "$.result.body.calls", "before": 1, "after": 2} in told["differences"]


async def test_a_run_that_was_tried_again_is_compared_by_its_end(yard: Yard, trials: Trials):
    failing = {"id": "note", "python": {"function": "work:note", "arguments": {"name": "a", "fail_times": 1}}}
    attempt = {"id": "attempt", "transform": "{{ event.attempt }}"}
    await yard.add(steps=[attempt, failing, ANSWER], retry=RetryPolicy(attempts=3, delay=0.0))
    event_id = await past_event(yard)

    told = await trials.compare("ws_1", event_id, target(attempt, failing, ANSWER))

    assert (told["verdict"], told["differences"]) == ("unchanged", [])


async def test_a_run_without_steps_is_like_itself(yard: Yard, trials: Trials):
    await yard.add()
    event_id = await past_event(yard)

    assert (await trials.compare("ws_1", event_id, target()))["verdict"] == "unchanged"


async def test_a_fixed_failure(yard: Yard, trials: Trials):
    await yard.add(steps=[{"id": "a", "transform": "{{ body.missing }}"}], retry=NO_RETRY)
    event_id = await past_event(yard, state="failed")

    told = await trials.compare("ws_1", event_id, target({"id": "a", "transform": "{{ body.name }}"}))

    assert told["verdict"] == "fixed_failure"
    assert told["error"]["before"]["step"] == "a"
    assert told["error"]["after"] is None


async def test_a_run_that_failed_by_its_vars_is_like_itself(yard: Yard, trials: Trials, store: Store):
    document = {"vars": {"name": "{{ body.missing }}"}, "steps": STEPS}
    live = await yard.add(steps=STEPS)
    await store.write(add_version, VersionRow("int_a", 2, document, 0, "alice"))
    yard.know(replace(live, integration=replace(live.integration, workflow_number=2)))
    event_id = await past_event(yard, state="failed")

    told = await trials.compare("ws_1", event_id, {"integration_id": "int_a", "document": document})

    assert (told["verdict"], told["error"]["before"]) == ("unchanged", told["error"]["after"])


async def test_a_run_that_has_not_ended_or_was_canceled_is_unknown(yard: Yard, trials: Trials, store: Store):
    await yard.add(steps=[{"id": "wait", "delay": {"for": "PT5H"}}])
    event_id = await past_event(yard, state="waiting")

    waiting = await trials.compare("ws_1", event_id, target())
    assert await store.write(cancel_waiting, event_id, yard.clock())
    canceled = await trials.compare("ws_1", event_id, target())

    assert (waiting["verdict"], canceled["verdict"]) == ("unknown", "unknown")
    assert "waiting" in waiting["reason"]
    assert "canceled" in canceled["reason"]


async def test_a_run_that_an_operator_ended_is_unknown(yard: Yard, trials: Trials, store: Store):
    await yard.add(steps=[{"id": "no", "fail": {"message": "no"}}], ordered=True)
    event_id = await past_event(yard, state="waiting")
    assert await store.write(skip_run, event_id, yard.clock(), "nobody needs it")

    told = await trials.compare("ws_1", event_id, target({"id": "no", "fail": {"message": "no"}}))

    assert told["verdict"] == "unknown"
    assert "somebody decided it" in told["reason"]


async def test_what_can_not_be_compared_is_refused(yard: Yard, trials: Trials):
    await yard.add(steps=STEPS)
    event_id = await past_event(yard)

    with pytest.raises(NotFound):
        await trials.compare("ws_2", event_id, target(*STEPS))
    with pytest.raises(NotFound):
        await trials.compare("ws_1", event_id, {"integration_id": "int_b", "document": {"steps": []}})
    with pytest.raises(Invalid):
        await trials.compare("ws_1", event_id, target({"id": "a"}))
