"""A server on SQLite is killed with work in every state; moved to PostgreSQL, another one finishes all of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crossdock.model.states import RunState
from tests.support.postgres import ForeignServer
from tests.support.program import Program
from tests.support.sink import Answer, Sink
from tests.support.waiting import wait_until
from tests.system.killing import prepare, url_of
from tests.system.ledger import Record, out_of_order, read_effects, read_record

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("system"), pytest.mark.timeout(240)]

ORDERED = {"ordered_delivery": True, "ordering_key": "{{ body.lane }}"}
EVENTS = 6 * 5 + 4 + 8 + 4 + 4
"""Lanes that are held, one that is blocked, held runs, failing ones, sleeping ones; and those with replies beside."""
REPLIES = 5


@pytest.fixture
def target(postgres: ForeignServer) -> Iterator[str]:
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


async def test_what_waits_on_sqlite_is_finished_on_postgresql(tmp_path: Path, target: str, sink: Sink) -> None:
    sink.otherwise = Answer(status=503)
    old = program_in(tmp_path, None)
    new = program_in(tmp_path, target)
    try:
        await asyncio.to_thread(fill, old, f"{sink.url}/reply")
        before = await asyncio.to_thread(killed_in_the_middle, old)
        await asyncio.to_thread(transfer, old, target)
        (tmp_path / "gate").touch()
        sink.otherwise = Answer()

        await asyncio.to_thread(new.start)
        await asyncio.to_thread(retry_the_blocked_lane, new)
        await asyncio.to_thread(wait_until, lambda: is_finished(read_record(target)), 90)
    finally:
        old.kill()
        new.kill()

    after = read_record(target)
    effects = read_effects(tmp_path / "effects")
    assert states_of(before) >= {RunState.QUEUED, RunState.RUNNING, RunState.RETRYING, RunState.WAITING}
    assert len(before.open_deliveries()) == REPLIES
    assert after.runs.keys() == before.runs.keys()
    assert states_of(after) == {RunState.SUCCEEDED}
    assert out_of_order(effects, after) == []
    assert {effect.event for effect in effects} == before.runs.keys()
    assert set(Counter(request.headers["webhook-id"] for request in sink.requests)) == after.delivered()


def program_in(folder: Path, database: str | None) -> Program:
    program = prepare(folder, database)
    program.environment["GATE"] = str(folder / "gate")
    return program


def integration(name: str, deed: str, trigger: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    arguments = {"event": "{{ event.id }}", "lane": "{{ body.lane }}", "number": "{{ body.number }}", "deed": deed}
    steps: list[dict[str, Any]] = [{"id": "work", "python": {"function": "moving:work", "arguments": arguments}}]
    if deed == "sleep":
        steps.insert(0, {"id": "sleep", "delay": {"for": "PT10S"}})
    document = {"name": name, "path": name, "type": "webhook-trigger", "workflow": {"steps": steps}}
    open_to_all = {"methods": ["POST"], "authentication": {"mode": "none"}}
    retry = {"attempts": 30, "delay": "PT2S", "factor": 1}
    return {**document, "trigger": {**open_to_all, **(trigger or {})}, "retry": retry, **more}


def fill(program: Program, reply_url: str) -> None:
    """Start it, and call until something is in every state."""
    program.start()
    program.add_integration(integration("lanes", "hold", ORDERED))
    blocked = program.add_integration(integration("blocked", "stop", ORDERED))
    (program.folder / "blocked").write_text(blocked)
    for name, deed in (("held", "hold"), ("failing", "fail"), ("sleeping", "sleep")):
        program.add_integration(integration(name, deed, {"concurrency": 4}))
    program.add_integration(integration("replying", "note", reply={"url": reply_url, "method": "POST"}))
    for number in range(5):
        for lane in range(6):
            call(program, "lanes", f"L{lane}", number)
    for path, times in (("blocked", 4), ("failing", 4), ("sleeping", 4), ("replying", REPLIES), ("held", 8)):
        for number in range(times):
            call(program, path, path, number)


def call(program: Program, path: str, lane: str, number: int) -> None:
    assert program.call(path, {"lane": lane, "number": number}).status == 202


def killed_in_the_middle(program: Program) -> Record:
    url = url_of(program, None)
    wanted = {RunState.QUEUED, RunState.RUNNING, RunState.RETRYING, RunState.WAITING}

    def is_ready() -> bool:
        record = read_record(url)
        return states_of(record) >= wanted and len(record.open_deliveries()) == REPLIES

    wait_until(is_ready)
    program.kill()
    record = read_record(url)
    assert len(record.runs) == EVENTS + REPLIES
    return record


def states_of(record: Record) -> set[str]:
    return {run.state for run in record.runs.values()}


def transfer(program: Program, target: str) -> None:
    words = ["transfer", "--from", url_of(program, None), "--to", target, "--data", str(program.data)]
    command = [sys.executable, "-m", "crossdock", *words]
    done = subprocess.run(command, env=program.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def retry_the_blocked_lane(program: Program) -> None:
    blocked = (program.folder / "blocked").read_text()
    program.admin("POST", f"/integrations/{blocked}/lanes/blocked/retry", {})


def is_finished(record: Record) -> bool:
    return not record.unfinished() and not record.open_deliveries()
