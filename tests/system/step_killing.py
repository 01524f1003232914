"""Kill the program under a load of runs with steps of every kind, again and again, and audit what is left."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from crossdock.model.run import MAX_LOSSES
from tests.support.program import Program
from tests.support.sink import Sink
from tests.system.every_step import (
    EVERY,
    FILE,
    SERVER,
    StepCallers,
    add_databases,
    add_integrations,
    every_step,
    kinds_of,
    read_bookings,
)
from tests.system.killing import END_SECONDS, POLL_SECONDS, OnKill, Plan, kill_and_restart, prepare, url_of
from tests.system.ledger import Promises, read_effects
from tests.system.step_ledger import Recorded, StepAudit, StepFindings, read_recorded

ORPHAN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class StepReport:
    kills: int
    promises: int
    unclear: int
    runs: int
    effects: int
    """Calls of `http` steps and lines of `python` steps that arrived."""
    repeated_in_flight: int
    """Effects that came again because the kill came before their record: what at-least-once means."""
    children: int
    replies: int
    given_up: int
    """Runs that were killed so often that they were taken for the cause."""
    interrupted: dict[str, int]
    """How often a kill met a run at or inside a step of each kind."""
    findings: StepFindings

    def problems(self) -> dict[str, list[str]]:
        return self.findings.problems()


async def kill_steps_repeatedly(
    folder: Path, plan: Plan, *, database: str | None = None, on_kill: OnKill | None = None
) -> StepReport:
    """Carry out the plan; `on_kill` hears of every kill. The report's findings are empty when nothing went wrong."""
    sink = Sink()
    await sink.start()
    program = prepare(folder, database)
    program.environment["CROSSDOCK_PROCESS_ENVIRONMENT"] = "EFFECT_LEDGER"
    url = url_of(program, database)
    promises = Promises()
    audit = StepAudit(
        promises,
        folder / "effects",
        sink.requests,
        kinds_of(every_step(sink.url, (FILE, SERVER) if database else (FILE,))),
    )
    ended = asyncio.Event()
    try:
        await asyncio.to_thread(program.start)
        databases = await asyncio.to_thread(add_databases, program, database)
        every = (await asyncio.to_thread(add_integrations, program, sink.url, databases))[EVERY]
        calling = asyncio.create_task(StepCallers(program, promises).call_until(ended))

        async def compare() -> None:
            audit.findings.left_behind += await asyncio.to_thread(_left_behind, program)
            told = set(promises.accepted), set(promises.answered)
            audit.after_kill(*told, await asyncio.to_thread(read_recorded, url, every))

        kills = await kill_and_restart(
            program, plan, compare, lambda number: on_kill is None or on_kill(number, promises)
        )
        ended.set()
        await calling
        record = await _wait_until_over(url, every)
        await asyncio.to_thread(program.stop)
    finally:
        ended.set()
        program.kill()
        await sink.stop()
    audit.at_end(record, read_bookings(program, database))
    return _report(kills, promises, record, audit, sink, folder)


async def _wait_until_over(url: str, every: str) -> Recorded:
    """The record once nothing waits, or as it is when the limit is reached."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + END_SECONDS
    while True:
        record = await asyncio.to_thread(read_recorded, url, every)
        if record.is_over() or loop.time() > deadline:
            return record
        await asyncio.sleep(POLL_SECONDS)


def _left_behind(program: Program) -> list[str]:
    """Processes with the program's environment that do not end by themselves soon after it was killed."""
    word = f"EFFECT_LEDGER={program.environment['EFFECT_LEDGER']}".encode()
    deadline = time.monotonic() + ORPHAN_SECONDS
    while found := [process for process in Path("/proc").glob("[0-9]*") if word in _environment_of(process)]:
        if time.monotonic() > deadline:
            return [str(process) for process in found]
        time.sleep(0.01)
    return []


def _environment_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # it has ended, or it is somebody else's
        return b""


def _report(kills: int, promises: Promises, record: Recorded, audit: StepAudit, sink: Sink, folder: Path) -> StepReport:
    seen = Counter((effect.event, effect.step) for effect in read_effects(folder / "effects"))
    calls = Counter(request.headers["idempotency-key"] for request in sink.requests if request.path == "/steps")
    times = [*seen.values(), *calls.values()]
    return StepReport(
        kills=kills,
        promises=len(promises.accepted) + len(promises.answered),
        unclear=promises.unclear,
        runs=len(record.states),
        effects=sum(times),
        repeated_in_flight=sum(times) - len(times),
        children=sum(record.children.values()),
        replies=len(record.delivered),
        given_up=sum(1 for losses in record.losses.values() if losses >= MAX_LOSSES),
        interrupted=dict(sorted(audit.interrupted.items())),
        findings=audit.findings,
    )
