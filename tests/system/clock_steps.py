"""A wall clock that jumps while the program works: forward and back, by minutes and by an hour.

`clockstep.c` shifts the wall clock of one process by what a file says; time that nobody may step goes on as it is.
Leases are judged by the database's clock (on SQLite by nobody: there is one process), order by what was committed
first, so that neither may suffer. Waits are written down as moments of the wall clock: one that was begun before a step
forward may end early, before a step back late, by as much as the step. One that begins after a step is as long as it
should be.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.program import Program
from tests.support.sink import Sink
from tests.system.calling import STEPS, add_integrations
from tests.system.cluster_report import summary
from tests.system.fault_counts import FaultReport, repeated_without_cause
from tests.system.fault_mode import OnFault, go_on
from tests.system.killing import prepare, url_of, wait_until_finished
from tests.system.ledger import Audit, Promises, Record, read_effects
from tests.system.powerloss import HERE, compile_library
from tests.system.timed_calling import TimedCallers

HOUR = 3_600.0
ALL_STEPS = (HOUR, -HOUR, 600.0, -600.0)
"""Seconds; after each the clock goes back to the right time, which is a step, too."""
DELAY_SECONDS = 1.0
LATE_SECONDS = 3.0
"""How much later than asked for a wait may end: the program looks once a second."""
EARLY_SECONDS = 0.05
HOLD_SECONDS = 2.5
MOST_SECONDS = DELAY_SECONDS + 2 * HOLD_SECONDS
LEASE_WORDS = ("runs.taken_over", "node.fenced", "lease.lost", "strays.returned")
"""What the log says when a lease was lost or given to two."""


class WallClock:
    """The wall clock of the processes that are started with its `environment`."""

    def __init__(self, folder: Path) -> None:
        """Makes the library in `folder`; AssertionError says what to install when it can't be."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "clock"
        self._library = compile_library(HERE / "clockstep.c", folder)
        self.set_off(0.0)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCKSTEP_FILE": str(self._file)}

    def set_off(self, seconds: float) -> None:
        """From now on the clock is wrong by so much."""
        content = struct.pack("=q", round(seconds * 1e9))
        if not self._file.exists():
            self._file.write_bytes(content)
        with self._file.open("r+b", buffering=0) as file:
            file.write(content)


@dataclass(frozen=True, slots=True)
class ClockPlan:
    steps: tuple[float, ...] = ALL_STEPS
    times: int = 1
    pause_seconds: float = 0.02


@dataclass(slots=True, kw_only=True)
class ClockReport(FaultReport):
    """`waits` are the lengths of delays of one second, by when they were begun."""

    waits: dict[str, list[float]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "waits": {name: summary(seconds) for name, seconds in self.waits.items()}}

    def note_wait(self, name: str, seconds: float, *, least: float, most: float) -> None:
        self.waits.setdefault(name, []).append(round(seconds, 3))
        if not least - EARLY_SECONDS <= seconds <= most + LATE_SECONDS:
            self.note_wrong("wrong_waits", f"{name}: {seconds:.2f} s in place of {least:g} to {most:g} s")


async def step_clock_repeatedly(folder: Path, plan: ClockPlan, on_fault: OnFault = go_on) -> ClockReport:
    """Carry out the plan on SQLite. The report has no problems when nothing went wrong."""
    sink = Sink()
    await sink.start()
    clock = await asyncio.to_thread(WallClock, folder / "clock")
    program = prepare(folder, None)
    program.environment |= clock.environment
    promises = Promises()
    audit = Audit(promises, folder / "effects", sink.requests)
    report = ClockReport(findings=audit.findings)
    callers = TimedCallers(program, promises, pause_seconds=plan.pause_seconds)
    ended = asyncio.Event()
    try:
        await asyncio.to_thread(program.start)
        await asyncio.to_thread(add_integrations, program, f"{sink.url}/reply")
        await asyncio.to_thread(add_probes, program)
        calling = asyncio.create_task(callers.call_until(ended))
        for number, step in enumerate(plan.steps * plan.times):
            await _step_there_and_back(clock, callers, step, report)
            if not on_fault(1 + number // len(plan.steps), promises):
                break
        ended.set()
        await calling
        record = await wait_until_finished(url_of(program, None))
        listed = await asyncio.to_thread(list_events, program)
        await asyncio.to_thread(program.stop)
    finally:
        ended.set()
        program.kill()
        await sink.stop()
    audit.at_end(_without_probes(record), STEPS)
    audit.findings.repeated += repeated_without_cause(read_effects(folder / "effects"), sink.requests)
    report.wrong["leases"] = lease_trouble(program.log)
    report.wrong["listing"] = wrong_listing(listed, record)
    report.count([promises], [callers.waits])
    return report


def add_probes(program: Program) -> None:
    """One integration that rests for a second, and one with a rate limit that a call in a while does not come near."""
    rest = {"id": "rest", "delay": {"for": f"PT{DELAY_SECONDS:g}S"}}
    document = {"type": "webhook-trigger", "trigger": {"response_mode": "async"}}
    program.add_integration({**document, "name": "resting", "path": "resting", "workflow": {"steps": [rest]}})
    limited = {"rate_limit": {"requests": 2, "per": "PT1S"}, "response_mode": "async"}
    program.add_integration({**document, "name": "limited", "path": "limited", "trigger": limited})


async def _step_there_and_back(clock: WallClock, callers: TimedCallers, step: float, report: ClockReport) -> None:
    """Two steps. A wait that was begun before the one back would end an hour later: only one ahead of both is begun."""
    program = callers.program
    resting = await _rest(program)
    await _set_off(clock, step, callers, report)
    await _looks_right(program, step, report)
    await asyncio.sleep(HOLD_SECONDS)
    if step > 0 or resting.done():
        least, name = 0.0 if step > 0 else DELAY_SECONDS, f"begun before {step:+g} s"
        report.note_wait(name, await resting, least=least, most=DELAY_SECONDS)
    await _set_off(clock, 0.0, callers, report)
    await _looks_right(program, 0.0, report)
    if not step > 0:
        seconds = await resting
        report.note_wait(f"begun before {step:+g} s and back", seconds, least=DELAY_SECONDS, most=MOST_SECONDS)


async def _set_off(clock: WallClock, seconds: float, callers: TimedCallers, report: ClockReport) -> None:
    """Step, and wait for the next call that is accepted."""
    accepted = callers.waits.answers[202]
    await asyncio.to_thread(clock.set_off, seconds)
    report.faults += 1
    stepped = time.monotonic()
    async with asyncio.timeout(10):
        await _until(lambda: callers.waits.answers[202] > accepted)
    report.note_recovery(time.monotonic() - stepped)


async def _looks_right(program: Program, off: float, report: ClockReport) -> None:
    """After a step a call bears the new time, no limit refuses it, and a wait is as long as it should be."""
    limited = await asyncio.to_thread(program.call, "limited", {})
    if limited.status != 202:
        told = f"{limited.status}, Retry-After {limited.headers.get('retry-after')}, clock off by {off:g} s"
        report.note_wrong("refused_by_limit", told)
    else:
        received = datetime.fromisoformat(limited.document["received_at"])
        wrong = (received - datetime.now(UTC)).total_seconds() - off
        if abs(wrong) > 5:
            report.note_wrong("received_at", f"{wrong:+.0f} s beside a clock that is off by {off:g} s")
    seconds = await (await _rest(program))
    report.note_wait("begun after a step", seconds, least=DELAY_SECONDS, most=DELAY_SECONDS)


async def _rest(program: Program) -> asyncio.Task[float]:
    """Begin a rest; the task tells how long it lasted, by the time that nobody steps."""
    accepted = await asyncio.to_thread(program.call, "resting", {})
    began = time.monotonic()
    path = f"/status/{accepted.document['id']}"

    async def over() -> float:
        while True:
            status = await asyncio.to_thread(program.ask, "GET", path)
            if status.document["status"] == "succeeded":
                return time.monotonic() - began
            await asyncio.sleep(0.05)

    return asyncio.create_task(over())


async def _until(claim: Callable[[], bool]) -> None:
    while True:
        if claim():
            return
        await asyncio.sleep(0.005)


# --- what is looked at in the end ------------------------------------------------------------------------------------


def lease_trouble(log: str) -> list[str]:
    """Lines of a log about leases that were lost: no step of a clock is a reason."""
    return [line for line in log.splitlines() if any(word in line for word in LEASE_WORDS)]


def list_events(program: Program) -> list[str]:
    """The ids of all events, page by page."""
    found: list[str] = []
    cursor = ""
    while True:
        page: dict[str, Any] = program.admin("GET", f"/events?limit=200{cursor}")
        found += [event["id"] for event in page["items"]]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def wrong_listing(listed: list[str], record: Record) -> list[str]:
    """Events that a walk through all pages misses, or meets twice."""
    missed = [f"{event} is missing" for event in record.runs if event not in set(listed)]
    return missed + [f"{event} twice" for event in set(listed) if listed.count(event) > 1]


def _without_probes(record: Record) -> Record:
    """The audit knows what each run has to leave behind; probes leave nothing."""
    probes = {event for event, step in record.finished_steps if step == "rest"}
    with_steps = {event for event, step in record.finished_steps if step in STEPS}
    kept = {
        event: run
        for event, run in record.runs.items()
        if event not in probes and (event in with_steps or run.state != "succeeded")
    }
    return Record(kept, record.finished_steps, record.deliveries)
