"""Request and response: the run's result is the answer, at once when it failed, later at the status address."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from crossdock.model.retry import RetryPolicy
from crossdock.model.trigger import OnTimeout
from crossdock.store.claims import request_cancel
from crossdock.store.lanes import skip_run
from tests.support.held import HeldClock
from tests.support.yard import Answered, Yard, deduplicated

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NOTE = {"id": "n", "python": {"function": "work:note", "arguments": {"name": "n"}}}
HELD = {"id": "h", "python": {"function": "work:held", "arguments": {"name": "{{ body.name }}"}}}
ECHO = {"id": "e", "transform": {"n": "{{ body.n }}"}}
FAILS = {"id": "n", "python": {"function": "work:note", "arguments": {"name": "n", "fail_times": 9}}}
ANSWER = {"id": "r", "respond": {"status": 201, "headers": {"X-Site": "12", "Set-Cookie": "a=1"}, "json": {"ok": True}}}
NAMED = b'{"name": "x"}'


async def status(yard: Yard, event_id: str, headers: Sequence[tuple[str, str]] = (), method: str = "GET") -> Answered:
    return await yard.call(f"/status/{event_id}", b"", method, headers=headers)


# --- the answer ------------------------------------------------------------------------------------------------------


async def test_the_result_of_the_run_is_the_answer(yard: Yard) -> None:
    await yard.add(steps=[ECHO], sync=True)

    answer = await yard.call(body=b'{"n": 7}')

    assert (answer.status, answer.json) == (200, {"n": 7})
    assert answer.headers["content-type"] == "application/json"
    assert (await yard.row(answer.headers["x-crossdock-event"])).state == "succeeded"


async def test_the_workflow_chooses_status_headers_and_body(yard: Yard) -> None:
    await yard.add(steps=[NOTE, ANSWER], sync=True)

    answer = await yard.call()

    assert (answer.status, answer.json) == (201, {"ok": True})
    assert (answer.headers["x-site"], answer.headers["set-cookie"]) == ("12", "a=1")
    assert int(answer.headers["content-length"]) == len(answer.body)


async def test_an_event_without_a_workflow_answers_null(yard: Yard) -> None:
    await yard.add(sync=True)

    answer = await yard.call()

    assert (answer.status, answer.body) == (200, b"null")


async def test_an_answer_without_a_body_has_none(yard: Yard) -> None:
    await yard.add(steps=[{"id": "r", "respond": {"status": 204}}], sync=True)

    answer = await yard.call()

    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers


async def test_an_early_answer_does_not_wait_for_the_rest(yard: Yard) -> None:
    await yard.add(steps=[ANSWER, HELD], sync=True)

    answer = await yard.call(body=NAMED)

    event_id = answer.headers["x-crossdock-event"]
    assert (answer.status, answer.json) == (201, {"ok": True})
    assert (await yard.row(event_id)).state == "running"
    yard.open("x")
    await yard.until(event_id, "succeeded")
    assert (await status(yard, event_id)).json["result"]["body"] == {"ok": True}


async def test_an_answer_stands_though_the_rest_fails(yard: Yard) -> None:
    await yard.add(steps=[ANSWER, FAILS], sync=True)

    answer = await yard.call()

    event_id = answer.headers["x-crossdock-event"]
    assert answer.status == 201
    await yard.until(event_id, "failed")
    told = (await status(yard, event_id)).json
    assert (told["status"], told["result"]["status"], told["error"]["kind"]) == ("failed", 201, "python_error")


# --- failures --------------------------------------------------------------------------------------------------------


async def test_a_failed_run_answers_at_once(yard: Yard) -> None:
    await yard.add(steps=[FAILS], sync=True, request_timeout=3_600.0)

    answer = await yard.call()

    document = answer.json
    assert (answer.status, answer.headers["content-type"]) == (502, "application/problem+json")
    assert document["event_id"] == answer.headers["x-crossdock-event"]
    assert (document["error"]["kind"], document["error"]["step"]) == ("python_error", "n")


async def test_the_answer_that_a_failing_workflow_chose_is_told_now_and_later(yard: Yard) -> None:
    fail = {"id": "f", "fail": {"message": "no stock", "kind": "stock", "status": 409, "json": {"left": 0}}}
    await yard.add(steps=[NOTE, fail], sync=True, deduplicate=deduplicated())
    headers = [("x-id", "1")]

    first = await yard.call(headers=headers)
    again = await yard.call(headers=headers)

    event_id = first.headers["x-crossdock-event"]
    assert (first.status, first.json) == (409, {"left": 0})
    assert (again.status, again.body) == (first.status, first.body)
    assert (await yard.row(event_id)).state == "failed"
    assert (await status(yard, event_id)).json["result"]["body"] == {"left": 0}


async def test_a_blocked_head_answers_at_once_and_those_behind_it_wait(yard: Yard) -> None:
    await yard.add(steps=[FAILS], sync=True, ordered=True, retry=RetryPolicy(attempts=1))

    answer = await yard.call()

    assert (answer.status, answer.json["error"]["kind"]) == (502, "python_error")
    event_id = answer.json["event_id"]
    assert (await yard.row(event_id)).state == "waiting"
    assert (await status(yard, event_id)).json["status"] == "waiting"
    await yard.store.write(skip_run, event_id, yard.clock.now, "")
    assert (await status(yard, event_id)).json["status"] == "failed"


async def test_a_caller_waits_through_the_retries_of_the_run(yard: Yard, clock: HeldClock) -> None:
    step = {"id": "n", "python": {"function": "work:note", "arguments": {"name": "n", "fail_times": 1}}}
    await yard.add(steps=[step], sync=True, retry=RetryPolicy(attempts=2, delay=10.0))

    calling = asyncio.ensure_future(yard.call())
    await yard.until_calls(1)
    while not calling.done():
        clock.advance(5)
        yard.stage.wake()
        await asyncio.sleep(0)

    assert (await calling).json["calls"] == 2


async def test_a_canceled_run_answers_its_caller(yard: Yard) -> None:
    await yard.add(steps=[HELD], sync=True)
    calling = asyncio.ensure_future(yard.call(body=NAMED))
    await yard.until_calls(1)
    (event_id,) = yard.answers.awaited

    await yard.store.write(request_cancel, event_id)
    yard.stage.wake()

    answer = await calling
    assert (answer.status, answer.json["error"]["kind"]) == (502, "canceled")


# --- time is over ----------------------------------------------------------------------------------------------------


async def test_a_caller_is_told_when_the_time_is_over_and_the_run_goes_on(yard: Yard) -> None:
    await yard.add(steps=[HELD], sync=True, request_timeout=0.02)

    answer = await yard.call(body=NAMED)

    event_id = answer.json["event_id"]
    assert (answer.status, answer.json["status_url"]) == (504, f"/status/{event_id}")
    assert (await status(yard, event_id)).json["status"] == "running"
    yard.open("x")
    await yard.until(event_id, "succeeded")
    assert (await status(yard, event_id)).json["result"] == {
        "status": 200, "headers": {"content-type": "application/json"}, "body": "x"
    }  # fmt: skip


async def test_a_caller_may_get_the_asynchronous_answer_instead(yard: Yard) -> None:
    await yard.add(steps=[HELD], sync=True, request_timeout=0.02, on_timeout=OnTimeout.ACCEPT)

    answer = await yard.call(body=NAMED)

    assert (answer.status, answer.json["status"]) == (202, "accepted")
    assert answer.headers["location"] == f"/status/{answer.json['id']}"
    yard.open("x")


# --- duplicates ------------------------------------------------------------------------------------------------------


async def test_a_duplicate_gets_the_first_answer(yard: Yard) -> None:
    await yard.add(steps=[NOTE], sync=True, deduplicate=deduplicated())

    first = await yard.call(headers=[("x-id", "1")])
    again = await yard.call(headers=[("x-id", "1")])

    assert (again.status, again.body, again.headers) == (first.status, first.body, first.headers)
    assert yard.calls == ["n"]


async def test_a_duplicate_of_a_call_that_is_handled_waits_for_the_same_answer(yard: Yard) -> None:
    await yard.add(steps=[HELD], sync=True, deduplicate=deduplicated())
    calls = [asyncio.ensure_future(yard.call(body=NAMED, headers=[("x-id", "1")])) for _ in range(3)]
    await yard.until_calls(1)

    yard.open("x")
    answers = await asyncio.gather(*calls)

    assert {answer.body for answer in answers} == {b'"x"'}
    assert len({answer.headers["x-crossdock-event"] for answer in answers}) == 1
    assert not yard.answers.awaited


async def test_a_duplicate_of_a_failed_event_is_told_its_failure(yard: Yard) -> None:
    await yard.add(steps=[FAILS], sync=True, deduplicate=deduplicated())

    first = await yard.call(headers=[("x-id", "1")])
    again = await yard.call(headers=[("x-id", "1")])

    assert (again.status, again.json["error"]) == (502, first.json["error"])
    assert yard.calls == ["n"]
