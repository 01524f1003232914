"""The status address: how an event stands, for whoever may call its integration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from crossdock.model.trigger import AuthenticationMode
from tests.support.yard import Answered, Yard, until

HELD = {"id": "h", "python": {"function": "work:held", "arguments": {"name": "{{ body.name }}"}}}
NAMED = b'{"name": "x"}'


async def status(yard: Yard, event_id: str, headers: Sequence[tuple[str, str]] = (), method: str = "GET") -> Answered:
    return await yard.call(f"/status/{event_id}", b"", method, headers=headers)


async def test_the_status_tells_how_an_event_stands(yard: Yard) -> None:
    await yard.add(steps=[HELD])
    event_id = await yard.accepted(body=NAMED)
    await yard.until_calls(1)

    running = (await status(yard, event_id)).json
    yard.open("x")
    row = await yard.until(event_id, "succeeded")
    ended = await status(yard, event_id)

    assert (running["id"], running["status"], running["finished_at"]) == (event_id, "running", None)
    assert "result" not in running
    assert row.finished_at is not None
    assert (ended.json["status"], ended.json["result"]["body"]) == ("succeeded", "x")
    assert ended.headers["cache-control"] == "no-store"


async def test_the_status_asks_for_the_integrations_credential(yard: Yard) -> None:
    live = await yard.add(authentication=AuthenticationMode.PLATFORM_TOKEN)
    yard.know(replace(live, token_hash=sha256(b"token").digest()))
    right = [("x-platform-token", "token")]
    event_id = await yard.accepted(headers=right)

    assert (await status(yard, event_id)).status == 401
    assert (await status(yard, event_id, [("x-platform-token", "wrong")])).status == 401
    assert (await status(yard, event_id, right)).status == 200


async def test_the_status_is_only_read(yard: Yard) -> None:
    for method in ("POST", "DELETE", "OPTIONS"):
        answer = await status(yard, "evt_1", method=method)

        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_head_asks_for_the_status_without_its_body(yard: Yard) -> None:
    await yard.add()
    event_id = await yard.accepted()

    answer = await status(yard, event_id, method="HEAD")

    assert (answer.status, answer.body) == (200, b"")


async def test_there_is_no_status_of_what_is_no_event(yard: Yard) -> None:
    await yard.add()
    known = await yard.accepted()

    for event_id in (
        "",
        "x",
        "evt_",
        "evt_unknown",
        known + "x",
        f"{known}/",
        "evt_\x00",
        "evt_" + "x" * 5_000,
        "evt_ü",
        "evt_'",
    ):
        answer = await status(yard, event_id)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json"), event_id


async def test_the_status_tells_any_result_that_a_workflow_gave(yard: Yard) -> None:
    bodies: list[tuple[dict[str, Any], Any]] = [
        ({"text": "ü"}, "ü"),
        ({"body": r'"\ud800"', "headers": {"content-type": "application/json"}}, r'"\ud800"'),
        ({"body": "NaN", "headers": {"content-type": "application/json"}}, "NaN"),
        ({"body": {"base64": "/w=="}}, {"base64": "/w=="}),
        ({}, None),
    ]
    for n, (settings, expected) in enumerate(bodies):
        name = f"int_{n}"
        await yard.add(name, steps=[{"id": "r", "respond": settings}])
        event_id = await yard.accepted(f"/hooks/yard/{name}")
        await yard.until(event_id, "succeeded")

        answer = await status(yard, event_id)

        assert (answer.status, answer.json["result"]["body"]) == (200, expected)


async def test_the_outcomes_of_other_nodes_are_found_by_looking(yard: Yard) -> None:
    await yard.add(steps=[HELD], sync=True)
    calling = asyncio.ensure_future(yard.call(body=NAMED))
    await yard.until_calls(1)
    (event_id,) = yard.answers.awaited
    await yard.app.look_for_answers()
    assert not calling.done()

    yard.open("x")
    await yard.until(event_id, "succeeded")
    await yard.app.look_for_answers()

    assert (await calling).json == "x"
    await until(lambda: not yard.answers.awaited)
