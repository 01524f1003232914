"""Stopping: running work finishes or is handed back, a second signal does not wait for it, one process per file."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from crossdock.model.states import RunState
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.system.calling import Callers, add_integrations
from tests.system.killing import prepare, url_of
from tests.system.ledger import Promises, read_effects, read_record

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
