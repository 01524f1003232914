"""A steady load for a long time: does anything grow that should not?

First it is measured how many runs a second are worked off, then half as many calls are made. Runs have steps of every
kind, and rows are deleted a minute after they came, so that a minute of the soak is what a month is elsewhere. Each
sample tells what the process holds (memory, open files, threads) and what the database does (rows, bytes, log). A line
is fitted to what came after the warm-up; it climbs when even its slope less two standard errors is above the limit, so
that a short soak accuses nobody and a long one sees little.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import Connection, bindparam, text

from crossdock.store.database import Database, open_database
from tests.support.program import Program
from tests.support.sink import Sink
from tests.system.calling import AWAY_SECONDS
from tests.system.every_step import StepCallers, add_databases, add_integrations
from tests.system.fault_mode import OnFault, go_on
from tests.system.killing import prepare, url_of
from tests.system.ledger import Promises

RETENTION = "PT1M"
TEN_MINUTES = 600.0
WARM_SHARE, WARM_SECONDS = 1 / 3, 180.0
"""Of the soak, and at least: caches fill, workers start, and the first rows become old enough to be deleted."""
LIMITS = {"memory_mb": 1.0, "worker_mb": 1.0, "open_files": 20.0, "threads": 5.0}
"""What may be added in ten minutes. Worker processes come and go, with some files each, and threads start when they are
needed; what leaked with every run would be hundreds."""
MOST_SLACK = 0.10
"""The database may grow by so much of its size in ten minutes: pages that deleted rows have left are used again."""
TABLES = ("event", "run", "journal", "delivery", "attempt")
FINISH_SECONDS = 60.0
LOOK_SECONDS = 0.25
FULL_AT, HELD_BACK_AT = 24, 200
"""Unfinished runs from which on nobody calls: while the capacity is measured, and afterwards. Should the machine have
less power for us than it had at first, the soak does not become an overload."""


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """`share` of the capacity is asked for, which is measured for so many seconds."""

    seconds: float = 3_600.0
    every_seconds: float = 60.0
    callers: int = 3
    capacity_seconds: float = 20.0
    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `at` is in seconds since the soak began, memory in MB, the processor's share of one core."""

    at: float
    memory_mb: float
    workers: int
    worker_mb: float
    """Of one worker process, on average."""
    open_files: int
    threads: int
    processor: float
    accepted: int
    unfinished: int
    rows: dict[str, int]
    database_mb: float
    log_mb: float


@dataclass(slots=True)
class SoakReport:
    seconds: float = 0.0
    capacity: float = 0.0
    acknowledged: int = 0
    checked: int = 0
    unclear: int = 0
    lost: list[str] = field(default_factory=list)
    not_succeeded: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def judged(self) -> list[Sample]:
        """What came after the warm-up."""
        warm = max(WARM_SECONDS, self.seconds * WARM_SHARE)
        return [sample for sample in self.samples if sample.at >= warm]

    def slope(self, name: str) -> tuple[float, float]:
        """By how much something grows in ten minutes, and the standard error of that."""
        judged = self.judged
        slope, error = fit([sample.at for sample in judged], [getattr(sample, name) for sample in judged])
        return slope * TEN_MINUTES, error * TEN_MINUTES

    def document(self) -> dict[str, Any]:
        slopes = {name: self.slope(name) for name in (*LIMITS, "database_mb", "log_mb")}
        return {
            "fault": "soak",
            "seconds": round(self.seconds, 1),
            "capacity": round(self.capacity, 1),
            "acknowledged": self.acknowledged,
            "checked": self.checked,
            "unclear": self.unclear,
            "lost": len(self.lost),
            "in ten minutes": {
                name: {"more": round(slope, 3), "standard_error": round(error, 3) if math.isfinite(error) else None}
                for name, (slope, error) in slopes.items()
            },
            "samples": [{part: getattr(sample, part) for part in Sample.__slots__} for sample in self.samples],
        }

    def problems(self) -> dict[str, list[str]]:
        limits = dict(LIMITS)
        if self.judged:
            limits["database_mb"] = max(1.0, MOST_SLACK * max(sample.database_mb for sample in self.judged))
        climbing = []
        for name, most in limits.items():
            slope, error = self.slope(name)
            if slope - 2 * error > most:
                climbing.append(f"{name} by {slope:.1f} (± {error:.1f}) in ten minutes")
        named = {"lost": self.lost, "not_succeeded": self.not_succeeded, "unfinished": self.unfinished}
        named |= {"unexpected": self.unexpected, "climbing": climbing}
        return {name: found[:5] for name, found in named.items() if found}


def fit(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """The slope of the line of least squares and its standard error; endless where three points are missing."""
    count = len(xs)
    if count < 3:
        return 0.0, math.inf
    middle_x, middle_y = sum(xs) / count, sum(ys) / count
    spread = sum((x - middle_x) ** 2 for x in xs)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / spread
    rest = sum((y - middle_y - slope * (x - middle_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    return slope, math.sqrt(rest / (count - 2) / spread)


@dataclass(slots=True)
class SteadyCallers(StepCallers):
    """Together they make a call every `interval_seconds`, as long as not too many runs wait."""

    interval_seconds: float = 0.0
    most_unfinished: int = FULL_AT
    may_call: asyncio.Event = field(default_factory=asyncio.Event)
    _next_at: float = 0.0

    async def _call(self, session: aiohttp.ClientSession, ended: asyncio.Event, path: str) -> None:
        while not ended.is_set():
            await self._wait_for_turn()
            try:
                await self._call_once(session, path)
            except (aiohttp.ClientError, TimeoutError):
                self.promises.unclear += 1
                await asyncio.sleep(AWAY_SECONDS)

    async def _wait_for_turn(self) -> None:
        await self.may_call.wait()
        now = time.monotonic()
        self._next_at = max(now, self._next_at) + self.interval_seconds
        await asyncio.sleep(self._next_at - now)


# --- the soak --------------------------------------------------------------------------------------------------------


async def soak(folder: Path, plan: SoakPlan, on_fault: OnFault = go_on, *, database: str | None = None) -> SoakReport:
    """Carry out the plan on SQLite, or on a PostgreSQL database."""
    sink = Sink()
    await sink.start()
    program = prepare(folder, database)
    program.environment["CROSSDOCK_PROCESS_ENVIRONMENT"] = "EFFECT_LEDGER"
    looking = open_database(url_of(program, database))
    ended = asyncio.Event()
    soaking = _Soaking(program, sink, looking, Promises())
    try:
        await asyncio.to_thread(program.start)
        databases = await asyncio.to_thread(add_databases, program, database)
        made = await asyncio.to_thread(add_integrations, program, sink.url, databases)
        for integration in made.values():
            change = {"retention": RETENTION}
            await asyncio.to_thread(program.admin, "PATCH", f"/integrations/{integration}", change)
        callers = SteadyCallers(program, soaking.promises, plan.callers)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(callers.call_until(ended))
            tasks.create_task(soaking.hold_back(callers, ended))
            await soaking.measure_capacity(callers, plan)
            await soaking.sample_until(plan, on_fault)
            ended.set()
        await soaking.finish()
        await asyncio.to_thread(program.stop)
    finally:
        ended.set()
        program.kill()
        looking.dispose()
        await sink.stop()
    return soaking.report


class _Soaking:
    """Takes samples, and forgets what is checked: the one who looks must not grow either."""

    def __init__(self, program: Program, sink: Sink, database: Database, promises: Promises) -> None:
        self.report = SoakReport()
        self.promises = promises
        self._program = program
        self._sink = sink
        self._database = database
        self._processor = 0.0
        self._at = 0.0
        self._waiting = 0

    async def hold_back(self, callers: SteadyCallers, ended: asyncio.Event) -> None:
        """Stop the callers while too many runs are unfinished, and let them go at the end."""
        while not ended.is_set():
            self._waiting = await asyncio.to_thread(self._unfinished)
            callers.may_call.set() if self._waiting < callers.most_unfinished else callers.may_call.clear()
            await asyncio.sleep(LOOK_SECONDS)
        callers.may_call.set()

    async def measure_capacity(self, callers: SteadyCallers, plan: SoakPlan) -> None:
        """Runs a second that are worked off while there are always some to do; then call for a share of them."""
        await asyncio.sleep(plan.capacity_seconds / 2)
        before = len(self.promises.accepted) + len(self.promises.answered)
        await asyncio.sleep(plan.capacity_seconds)
        told = len(self.promises.accepted) + len(self.promises.answered) - before
        self.report.capacity = max(told, 1) / plan.capacity_seconds
        callers.most_unfinished = HELD_BACK_AT
        callers.interval_seconds = 1 / (self.report.capacity * plan.share)

    async def sample_until(self, plan: SoakPlan, on_fault: OnFault) -> None:
        began = time.monotonic()
        self._processor = _processor_seconds(self._folder)
        while (now := time.monotonic() - began) < plan.seconds:
            await asyncio.sleep(min(plan.every_seconds, plan.seconds - now))
            self.report.seconds = time.monotonic() - began
            await self._check(is_over=False)
            self.report.samples.append(await asyncio.to_thread(self._look, self.report.seconds))
            if not on_fault(round(self.report.seconds / 60), self.promises):
                break

    async def finish(self) -> None:
        """Everything that was promised last comes to its end."""
        deadline = time.monotonic() + FINISH_SECONDS
        while time.monotonic() < deadline:
            if not await asyncio.to_thread(self._unfinished):
                break
            await asyncio.sleep(0.2)
        left = await asyncio.to_thread(self._unfinished)
        self.report.unfinished = [f"{left} runs have not ended"] if left else []
        await self._check(is_over=True)
        self.report.unclear, self.report.unexpected = self.promises.unclear, self.promises.unexpected

    async def _check(self, *, is_over: bool) -> None:
        """Promises that are younger than the retention have to be in the record; then they are forgotten."""
        told = [*self.promises.accepted, *self.promises.answered]
        self.promises.accepted.clear()
        self.promises.answered.clear()
        self._sink.requests.clear()
        states = await asyncio.to_thread(self._states, told)
        self.report.acknowledged += len(told)
        self.report.checked += len(states)
        self.report.lost += [event for event in told if event not in states]
        wrong = {"failed", "canceled"} if not is_over else {"failed", "canceled", "queued", "running", "waiting"}
        self.report.not_succeeded += [f"{event} {state}" for event, state in states.items() if state in wrong]

    def _states(self, events: list[str]) -> dict[str, str]:
        query = text("SELECT event_id, state FROM run WHERE event_id IN :events")
        found: dict[str, str] = {}
        with self._database.reading() as connection:
            for start in range(0, len(events), 500):
                asked = query.bindparams(bindparam("events", events[start : start + 500], expanding=True))
                found |= {row[0]: row[1] for row in connection.execute(asked)}
        return found

    def _unfinished(self) -> int:
        query = "SELECT count(*) FROM run WHERE state NOT IN ('succeeded', 'failed', 'canceled')"
        with self._database.reading() as connection:
            return int(connection.execute(text(query)).scalar_one())

    def _look(self, at: float) -> Sample:
        folder = self._folder
        with self._database.reading() as connection:
            rows = {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in TABLES}
            database_mb, log_mb = self._sizes(connection)
        workers = [_memory_of(child) for child in _children(int(folder.name))]
        used = _processor_seconds(folder)
        share, self._processor = (used - self._processor) / (at - self._at), used
        self._at = at
        return Sample(
            at=round(at, 1),
            memory_mb=round(self._program.memory()[0], 2),
            workers=len(workers),
            worker_mb=round(sum(workers) / max(1, len(workers)), 2),
            open_files=len(list((folder / "fd").iterdir())),
            threads=len(list((folder / "task").iterdir())),
            processor=round(share, 3),
            accepted=self.report.acknowledged,
            unfinished=self._waiting,
            rows=rows,
            database_mb=round(database_mb / 1024**2, 2),
            log_mb=round(log_mb / 1024**2, 2),
        )

    @property
    def _folder(self) -> Path:
        """What the system tells of the process."""
        assert self._program.process is not None
        return Path(f"/proc/{self._program.process.pid}")

    def _sizes(self, connection: Connection) -> tuple[float, float]:
        """Bytes of the database and of its write-ahead log."""
        if self._database.dialect == "postgresql":
            query = "SELECT pg_database_size(current_database()), (SELECT sum(size) FROM pg_ls_waldir())"
            database, log = connection.execute(text(query)).one()
            return float(database), float(log)
        path = self._program.database_path
        log = Path(f"{path}-wal")
        return path.stat().st_size, log.stat().st_size if log.exists() else 0


def _processor_seconds(folder: Path) -> float:
    """User and system time that a process has used (proc(5), fields 14 and 15 of stat)."""
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[Path]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:  # it has ended meanwhile
            continue
        if int(parent) == pid:
            found.append(folder)
    return found


def _memory_of(folder: Path) -> float:
    """Resident memory in MB; none when the process has ended."""
    try:
        pages = int((folder / "statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2
