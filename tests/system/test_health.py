"""What time and others do to an integration's health, on a real server by real time: the state, the issues and the
message that a webhook gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program
from tests.support.sink import Answer, Received, Sink
from tests.system.cluster import until
from tests.system.killing import prepare
from tests.system.notifying_calling import failing_integration

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]
LIMIT_SECONDS = 40.0
ONE_FAILURE = {"window": 1, "warning_failures": 1, "error_failures": 1}


class Station:
    """A server whose only webhook is told everything at once, and what it was told."""

    def __init__(self, program: Program, sink: Sink, gate: Path) -> None:
        self.program = program
        self.sink = sink
        self.gate = gate
        self.replies_wanted = False

    def answer(self, received: Received) -> Answer:
        is_refused = received.path == "/reply" and not self.replies_wanted
        return Answer(410) if is_refused else Answer()

    async def add(self, document: dict[str, Any], key: str | None = None) -> str:
        return await asyncio.to_thread(self.program.add_integration, document, key)

    async def call(self, path: str, body: Any = None) -> int:
        return (await asyncio.to_thread(self.program.call, path, body or {})).status

    async def admin(self, method: str, path: str, document: Any = None) -> Any:
        return await asyncio.to_thread(self.program.admin, method, path, document)

    def told(self, integration: str) -> list[dict[str, Any]]:
        """What the webhook was told of an integration so far."""
        told = (request.json()["data"] for request in self.sink.requests if request.path == "/told")
        return [data for data in told if data["id"] == integration]

    async def hears(self, integration: str, *statuses: str) -> dict[str, Any]:
        """The last message, once these states, and no others, have been told of an integration."""

        async def is_told() -> bool:
            return len(self.told(integration)) >= len(statuses)

        await until(is_told, LIMIT_SECONDS, f"{integration} is told to be {statuses}: {self.told(integration)}")
        assert [data["status"] for data in self.told(integration)] == list(statuses)
        return self.told(integration)[-1]

    async def health(self, integration: str) -> Any:
        return await self.admin("GET", f"/integrations/{integration}/health")


@pytest.fixture(scope="module")
async def station(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Station]:
    folder = tmp_path_factory.mktemp("station")
    program, sink = prepare(folder, None), Sink()
    program.environment |= {"CROSSDOCK_NOTIFICATION_DAMPING": "PT0S", "GATE": str(folder / "gate")}
    await sink.start()
    station = Station(program, sink, folder / "gate")
    sink.answer_to = station.answer
    try:
        await asyncio.to_thread(program.start)
        filters = {"statuses": ["warning", "error", "active"]}
        webhook = {"name": "all", "url": f"{sink.url}/told", "filters": filters}
        await station.admin("POST", "/notification-webhooks", webhook)
        yield station
        await asyncio.to_thread(program.stop)
    finally:
        program.kill()
        await sink.stop()


def texts(data: dict[str, Any]) -> list[str]:
    return [issue["message"] for issue in data["issues"]]


async def test_silence_is_told_and_ends_with_events(station: Station):
    made = await station.add(failing_integration("silent", health={"silence": "PT1S"}))

    warned = await station.hears(made, "warning")

    async def is_well() -> bool:
        await station.call("silent")
        return bool(station.told(made)[-1]["status"] == "active")

    await until(is_well, LIMIT_SECONDS, "events are noticed")

    assert texts(warned) == ["no event has come for longer than PT1S: none has come yet"]
    assert station.told(made)[1]["previous_status"] == "warning"


async def test_waiting_runs_of_a_full_integration_are_told(station: Station):
    wait = {"function": "effects:wait_for_gate", "arguments": {"event": "{{ event.id }}"}}
    document = failing_integration("full", trigger={"concurrency": 1}, health={"backlog": "PT1S"})
    document["workflow"] = {"steps": [{"id": "wait", "python": wait}]}
    made = await station.add(document)
    for _ in range(3):
        await station.call("full")

    warned = await station.hears(made, "warning")
    station.gate.touch()
    well = await station.hears(made, "warning", "active")

    assert "waited for longer than PT1S" in texts(warned)[0]
    assert well["issues"] == []


async def test_more_refused_calls_than_allowed_are_told(station: Station):
    rule = {"rejected_calls": {"calls": 2, "per": "PT60S"}}
    document = failing_integration("guarded", trigger={"authentication": {"mode": "api_keys"}}, health=rule)
    made = await station.add(document, "a-key-that-nobody-uses-here")

    async def is_told() -> bool:
        assert await station.call("guarded") == 401
        return bool(station.told(made))

    await until(is_told, LIMIT_SECONDS, "refused calls are told")

    assert "refused within PT60S" in texts(station.told(made)[0])[0]
    assert station.told(made)[0]["status"] == "warning"


async def test_reply_that_nobody_wants_is_told_until_one_is_delivered(station: Station):
    reply = {"url": f"{station.sink.url}/reply", "method": "POST"}
    made = await station.add(failing_integration("replying", reply=reply))

    await station.call("replying")
    warned = await told_of_reply(station, made)
    station.replies_wanted = True
    await station.call("replying")

    assert "410" in texts(warned)[0]
    await until(lambda: is_in_state(station, made, "active"), LIMIT_SECONDS, "the reply is delivered")
    assert station.told(made)[-1]["issues"] == []


async def told_of_reply(station: Station, integration: str) -> dict[str, Any]:
    """The warning about a lost reply. The run before it went well, which may have been told as a state of its own."""
    await until(lambda: is_in_state(station, integration, "warning"), LIMIT_SECONDS, "a lost reply is told")
    return station.told(integration)[-1]


async def is_in_state(station: Station, integration: str, status: str) -> bool:
    """Whether the webhook has heard it, and the API says the same."""
    told = station.told(integration)
    return bool(told) and told[-1]["status"] == status == (await station.health(integration))["status"]


async def test_snoozed_issue_counts_again_when_its_time_is_over(station: Station):
    made = await station.add(failing_integration("snoozed", health=ONE_FAILURE))
    await station.call("snoozed", {"fail": "the target is being moved"})
    await station.hears(made, "error")
    (issue,) = (await station.health(made))["issues"]
    path = f"/integrations/{made}/health/issues/{issue['id']}"

    await station.admin("POST", f"{path}/acknowledge", {"note": "we know"})
    snoozed = await station.admin("POST", f"{path}/snooze", {"for": "PT2S", "note": "until it is moved"})
    await station.hears(made, "error", "active", "error")

    assert snoozed["snoozed"]["note"] == "until it is moved"
    assert snoozed["acknowledged"]["note"] == "we know"
    history = (await station.health(made))["history"]
    assert [change["status"] for change in history] == ["error", "active", "error"]
    assert "the target is being moved" in texts(station.told(made)[-1])[0]


async def test_lane_that_waits_for_an_operator_is_told_with_its_head(station: Station):
    document = failing_integration("lane", trigger={"ordered_delivery": True, "on_exhausted": "block"})
    made = await station.add(document)
    await station.call("lane", {"fail": "no"})
    await station.hears(made, "warning")

    async def is_known() -> bool:
        return "blocked" in {issue["key"] for issue in (await station.health(made))["issues"]}

    await until(is_known, LIMIT_SECONDS, "the blocked lane is an issue")

    blocked = next(issue for issue in (await station.health(made))["issues"] if issue["key"] == "blocked")
    assert blocked["sample_event"] in blocked["message"]


async def test_switching_off_and_on_is_history_that_nobody_is_told(station: Station):
    made = await station.add(failing_integration("switched"))
    await station.call("switched")
    await station.hears(made, "active")

    for status in ("disabled", "enabled"):
        await station.admin("PATCH", f"/integrations/{made}", {"status": status})
        wanted = {"disabled": "disabled", "enabled": "active"}[status]
        await until(changed_to(station, made, wanted), LIMIT_SECONDS, f"it is {wanted}")

    assert "disabled" not in [data["status"] for data in station.told(made)]


def changed_to(station: Station, integration: str, status: str) -> Callable[[], Any]:
    async def is_so() -> bool:
        return bool((await station.health(integration))["history"][0]["status"] == status)

    return is_so
