"""Trying workflows out over the API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crossdock.api.trial_documents import Preview, Trial
from tests.api.conftest import Api

STEPS = {
    "steps": [{"id": "sum", "transform": "{{ body.n + 1 }}"}, {"id": "answer", "respond": {"json": "{{ steps.sum }}"}}]
}


def address(integration: Any) -> str:
    return f"/api/v1/integrations/{integration['id']}/workflow/test"


async def test_a_trial_tells_steps_and_answer(api: Api):
    integration = await api.make(trigger={"response_mode": "sync"}, workflow=STEPS)

    answer = await api.call("POST", address(integration), {"request": {"body": {"n": 1}}}, who="bob")

    assert answer.status == 200
    assert Trial.model_validate(answer.json).status == "succeeded"
    assert [step["output"] for step in answer.json["steps"]] == [2, {"status": 200, "headers": {}, "json": 2}]
    assert answer.json["answer"]["body"] == 2


async def test_a_workflow_that_is_not_saved_can_be_tried(api: Api):
    integration = await api.make()

    answer = await api.call("POST", address(integration), {"workflow": STEPS, "request": {"body": {"n": 5}}})

    assert answer.json["result"]["body"] == 6


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"workflow": {"steps": [{"id": "a", "transform": "{{ nobody }}"}]}}, "workflow.steps[0].transform"),
        ({"mode": "wet"}, "mode"),
        ({"draft": True}, "draft"),
        ({"version": 99}, "version"),
        ({"recorded": []}, "recorded"),
        ({"request": {"body": {"n": 1}, "surprise": 1}}, "request.surprise"),
        ({"request": {"query": 1}}, "request.query"),
    ],
)
async def test_what_is_wrong_is_told_by_its_field(api: Api, wanted: Any, field: str):
    integration = await api.make(workflow=STEPS)

    answer = await api.call("POST", address(integration), wanted)

    assert answer.status == 422
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_who_may_try(api: Api):
    integration = await api.make(workflow=STEPS)

    assert (await api.call("POST", address(integration), {}, who="charlie")).status == 403
    assert (await api.call("POST", address(integration), {}, who="dora")).status == 404
    assert (await api.call("POST", address(integration), {"event_id": "evt_nobody"})).status == 404


async def test_a_trial_ends_when_whoever_asked_goes_away(api: Api):
    integration = await api.make()
    workflow = {"steps": [{"id": "call", "http": {"url": "https://erp.example/orders"}}]}

    asking = asyncio.create_task(api.call("POST", address(integration), {"workflow": workflow, "mode": "live"}))
    await asyncio.wait_for(api.silent.begun.wait(), 5)
    asking.cancel()

    await asyncio.wait_for(api.silent.ended.wait(), 5)


# --- single expressions ----------------------------------------------------------------------------------------------


async def test_expressions_are_tried_with_a_past_event(api: Api):
    integration = await api.make(workflow=STEPS)
    event_id = await api.story.succeed(integration["id"], b'{"n": 6}')
    wanted = {"event_id": event_id, "values": {"a": "{{ body.n * 7 }}", "b": "{{ body.m }}"}}

    answer = await api.call("POST", f"/api/v1/integrations/{integration['id']}/workflow/preview", wanted, who="bob")

    assert Preview.model_validate(answer.json).values["a"].value == 42
    assert set(answer.json["values"]["b"]) == {"error"}


async def test_a_viewer_may_not_try_expressions(api: Api):
    integration = await api.make()
    path = f"/api/v1/integrations/{integration['id']}/workflow/preview"

    assert (await api.call("POST", path, {"event_id": "evt_1"}, who="charlie")).status == 403
