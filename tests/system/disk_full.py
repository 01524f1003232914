"""The disk of the SQLite database is full, again and again, under load.

Where this may be done, the data folder is a small file system of its own (a tmpfs: for root on Linux) which is filled
up with ballast. Elsewhere the files of the process may not grow any more (RLIMIT_FSIZE), which SQLite takes for the
same.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.support.program import Program
from tests.support.sink import Sink
from tests.system.calling import STEPS, add_integrations
from tests.system.fault_counts import FaultReport, repeated_without_cause
from tests.system.fault_mode import OnFault, go_on
from tests.system.killing import prepare, url_of, wait_until_finished
from tests.system.ledger import Audit, Promises, read_effects
from tests.system.timed_calling import TimedCallers

DISK_BYTES = 384 * 1024 * 1024
BALLAST_BYTES = 1024 * 1024
REFUSED_WITHIN = 20.0
RECOVERED_WITHIN = 30.0
ADVICE = "make room"
"""Words that the log has to have for whoever reads it when the disk is full."""


@dataclass(frozen=True, slots=True)
class DiskPlan:
    fills: int
    full_seconds: float = 2.0
    between_seconds: float = 1.5
    pause_seconds: float = 0.01


@dataclass(slots=True, kw_only=True)
class DiskReport(FaultReport):
    disk: str = ""


class Disk(Protocol):
    """What the database lies on. `fill` leaves no room for one more page, `make_room` gives it back."""

    name: str

    def fill(self) -> None: ...
    def make_room(self) -> None: ...


class SmallDisk:
    """A tmpfs that is filled up with ballast."""

    name = "tmpfs"

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """With smaller and smaller pieces, down to the last page; again and again, as logs are shortened meanwhile."""
        with self._ballast.open("ab", buffering=0) as file:
            size = BALLAST_BYTES
            while size >= 512:
                try:
                    written = file.write(bytes(size))
                except OSError:
                    written = 0
                size = size if written == size else size // 2

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)


class LimitedFiles:
    """No file of the process may grow beyond 4 KiB."""

    name = "limit of file sizes"

    def __init__(self, program: Program) -> None:
        self._program = program

    def fill(self) -> None:
        self._limit(4_096)

    def make_room(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, most_bytes: int) -> None:
        assert self._program.process is not None
        pid = self._program.process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


@contextmanager
def disk_of(program: Program, size: int = DISK_BYTES) -> Iterator[Disk]:
    """The disk for the data folder of a program that is not started yet."""
    program.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={size},mode=700"]
    mounted = subprocess.run(["mount", *options, "tmpfs", str(program.data)], capture_output=True).returncode == 0
    try:
        yield SmallDisk(program.data) if mounted else LimitedFiles(program)
    finally:
        program.kill()
        if mounted:
            subprocess.run(["umount", "--lazy", str(program.data)], check=True, capture_output=True)


async def fill_disk_repeatedly(folder: Path, plan: DiskPlan, on_fault: OnFault = go_on) -> DiskReport:
    """Carry out the plan. The report has no problems when nothing went wrong."""
    sink = Sink()
    await sink.start()
    program = prepare(folder, None)
    promises = Promises()
    audit = Audit(promises, folder / "effects", sink.requests)
    report = DiskReport(findings=audit.findings)
    ended = asyncio.Event()
    callers = TimedCallers(program, promises, pause_seconds=plan.pause_seconds)
    try:
        with disk_of(program) as disk:
            report.disk = disk.name
            await asyncio.to_thread(program.start)
            await asyncio.to_thread(add_integrations, program, f"{sink.url}/reply")
            calling = asyncio.create_task(callers.call_until(ended))
            for _ in range(plan.fills):
                await asyncio.sleep(plan.between_seconds)
                await _fill_once(disk, callers, plan, report)
                if not on_fault(report.faults, promises):
                    break
            await asyncio.sleep(plan.between_seconds)
            ended.set()
            await calling
            record = await wait_until_finished(url_of(program, None))
            await asyncio.to_thread(program.stop)
    finally:
        ended.set()
        program.kill()
        await sink.stop()
    audit.at_end(record, STEPS)
    audit.findings.repeated += repeated_without_cause(read_effects(folder / "effects"), sink.requests)
    report.wrong["without_advice"] = without_advice(program.log)
    report.count([promises], [callers.waits])
    return report


async def _fill_once(disk: Disk, callers: TimedCallers, plan: DiskPlan, report: DiskReport) -> None:
    answers = callers.waits.answers
    report.faults += 1
    refused = answers[503]
    full_until = time.monotonic() + plan.full_seconds
    while time.monotonic() < full_until or answers[503] == refused:
        await asyncio.to_thread(disk.fill)  # what the program gives back by itself is taken, too
        await asyncio.sleep(0.02)
        if time.monotonic() > full_until + REFUSED_WITHIN:
            report.note_wrong("never_refused", f"fill {report.faults}: nobody was told 503")
            break
    accepted = answers[202]
    await asyncio.to_thread(disk.make_room)
    freed = time.monotonic()
    while answers[202] == accepted:
        await asyncio.sleep(0.005)
        if time.monotonic() > freed + RECOVERED_WITHIN:
            report.note_wrong("not_recovered", f"fill {report.faults}: no call accepted {RECOVERED_WITHIN:g} s later")
            break
    report.note_recovery(time.monotonic() - freed)


def without_advice(log: str) -> list[str]:
    """What the log says of a full disk, where none of it says what to do."""
    lines = [line for line in log.splitlines() if "store.lost" in line]
    return [] if any(ADVICE in line for line in lines) else lines[:1] or ["the log does not mention it"]
