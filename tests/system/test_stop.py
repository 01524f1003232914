"""Stopping: running work finishes or is handed back, a second signal does not wait for it, one process per file."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from crossdock.model.states import RunState
from crossdock.store import schema
from tests.support.postgres import OwnServer
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.system.calling import Callers, add_integrations
from tests.system.killing import prepare, url_of
from tests.system.ledger import Promises, opened_copy, read_effects, read_record

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(180)]


async def test_stop_under_load_keeps_every_promise(program: Program, sink):
    promises, ended = Promises(), asyncio.Event()
    await asyncio.to_thread(program.start)
    await asyncio.to_thread(add_integrations, program, f"{sink.url}/reply")
    calling = asyncio.create_task(Callers(program, promises).call_until(ended))
    await sink.wait_for(20)

    code = await asyncio.to_thread(program.stop)
    ended.set()
    await calling

    record = read_record(url_of(program, None))
    assert code == 0
    assert {*promises.accepted, *promises.answered} <= record.runs.keys()
    assert RunState.RUNNING not in {run.state for run in record.runs.values()}
    await asyncio.to_thread(program.start)
    await asyncio.to_thread(wait_until, lambda: not read_record(url_of(program, None)).unfinished())


def test_running_step_finishes_before_the_end(program: Program):
    event = begin_gated_run(program)

    ask_to_stop(program)
    open_gate(program)

    assert program.process is not None
    assert program.process.wait(40) == 0
    assert read_record(url_of(program, None)).runs[event].state == RunState.SUCCEEDED


def test_second_signal_does_not_wait_and_the_run_goes_on_at_the_next_start(program: Program):
    event = begin_gated_run(program)
    ask_to_stop(program)

    program.end(signal.SIGTERM, within=10)

    assert read_record(url_of(program, None)).runs[event].state != RunState.SUCCEEDED
    open_gate(program)
    program.start()
    wait_until(lambda: read_record(url_of(program, None)).runs[event].state == RunState.SUCCEEDED)


def test_second_process_on_the_same_data_is_told_why_it_can_not_start(program: Program, tmp_path: Path):
    program.start()
    second = prepare(tmp_path / "second", f"sqlite:///{program.database_path}")

    code = second.launch().wait(40)

    assert program.process is not None
    assert code == 1
    assert f"another Crossdock (process {program.process.pid})" in second.log
    assert "Traceback" not in second.log
    assert program.is_ready()


def test_stop_does_not_wait_for_a_database_that_is_away(own_postgres: OwnServer, tmp_path: Path):
    url = own_postgres.url(own_postgres.create_database())
    program = prepare(tmp_path / "program", url)
    try:
        program.start()
        begin_failing_lane(program, url)
        own_postgres.stop()
        wait_until(lambda: "store.lost" in program.log)
        wait_until(lambda: program.call("ordered", {}).status == 503)

        began = time.monotonic()
        code = program.stop()
    finally:
        program.kill()
        own_postgres.start()

    assert code == 0
    assert time.monotonic() - began < 25  # no run is worked on: the grace of 30 s has nothing to wait for
    assert "lanes.left" in program.log
    assert "server.stopped" in program.log
    assert "Traceback" not in program.log


def test_start_that_fails_leaves_no_node_behind(own_postgres: OwnServer, tmp_path: Path):
    url = own_postgres.url(own_postgres.create_database())
    program = prepare(tmp_path / "program", url)
    with socket.socket() as other:
        other.bind(("127.0.0.1", program.port))
        other.listen()
        code = program.launch().wait(40)

    assert code == 1
    assert f"Port {program.port} of 127.0.0.1 is taken by another program" in program.log
    assert "Traceback" not in program.log
    assert known_nodes(url) == []


def known_nodes(url: str) -> list[str]:
    with opened_copy(url) as database, database.reading() as connection:
        return list(connection.scalars(select(schema.node.c.id)))


def begin_failing_lane(program: Program, url: str) -> None:
    """Call an ordered integration whose step fails and is tried again each second; its lane waits for that."""
    step = {"id": "ask", "http": {"url": "http://127.0.0.1:9/", "method": "GET"}}
    trigger = {"ordered_delivery": True, "authentication": {"mode": "none"}}
    retry = {"attempts": 100, "delay": "PT1S", "factor": 1}
    document = {"name": "ordered", "type": "webhook-trigger", "path": "ordered", "trigger": trigger, "retry": retry}
    program.add_integration({**document, "workflow": {"steps": [step]}})
    event: str = program.call("ordered", {}).document["id"]
    wait_until(lambda: read_record(url).runs[event].state == RunState.RETRYING)


def begin_gated_run(program: Program) -> str:
    """Call an integration whose step waits for `open_gate`; the id of the event, once the step has begun."""
    program.environment["GATE"] = str(program.folder / "gate")
    program.start()
    step = {"id": "wait", "python": {"function": "effects:wait_for_gate", "arguments": {"event": "{{ event.id }}"}}}
    document = {"name": "gated", "type": "webhook-trigger", "path": "gated", "workflow": {"steps": [step]}}
    program.add_integration(document)
    event: str = program.call("gated", {}).document["id"]
    wait_until(lambda: any(effect.event == event for effect in read_effects(program.folder / "effects")))
    return event


def open_gate(program: Program) -> None:
    Path(program.environment["GATE"]).touch()


def ask_to_stop(program: Program) -> None:
    """Send the signal and wait until it has been noticed."""
    assert program.process is not None
    program.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not program.is_ready())
