"""Lost power, simulated: what the disk had not confirmed may be there or not, in any mixture.

`powerloss.c` logs what the program writes to its SQLite files and what it syncs. Cutting that log at a moment and
dropping a random part of the writes that were not synced by then gives a disk as the next start may find it. Every
promise made before that moment must be on it.
"""

from __future__ import annotations

import asyncio
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from crossdock.store.database import open_database
from tests.support.program import Program
from tests.support.sink import Sink
from tests.system.calling import Callers, add_integrations
from tests.system.killing import FUNCTIONS
from tests.system.ledger import Promises, read_record

HERE = Path(__file__).parent
HEADER = struct.Struct("=BB6xqq")
WRITE, SYNC, TRUNCATE = 1, 2, 3
DATABASE, LOG = 1, 2
SECTOR = 512

Synchronous = Literal["FULL", "NORMAL"]


@dataclass(slots=True)
class PowerReport:
    """`checked` counts promises over all losses of power; `lost` and `damaged` have to stay empty."""

    losses: int = 0
    promises: int = 0
    checked: int = 0
    writes: int = 0
    syncs: int = 0
    checkpoints: int = 0
    """Syncs of the database file itself; all others are of its log."""
    dropped: int = 0
    lost: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def problems(self) -> dict[str, list[str]]:
        return {name: found[:5] for name, found in (("lost", self.lost), ("damaged", self.damaged)) if found}


@dataclass(frozen=True, slots=True)
class Operation:
    kind: int
    file: int
    offset: int
    data: bytes
    end: int
    """Where its record ends in the log."""


class Disk:
    """Two files, each with what is confirmed and what is still on its way."""

    def __init__(self) -> None:
        self._confirmed = {DATABASE: bytearray(), LOG: bytearray()}
        self._pending: dict[int, list[Operation]] = {DATABASE: [], LOG: []}

    def take(self, operation: Operation) -> None:
        pending = self._pending[operation.file]
        if operation.kind != SYNC:
            pending.append(operation)
            return
        for earlier in pending:
            _apply(self._confirmed[operation.file], earlier, len(earlier.data))
        pending.clear()

    def lose_power(self, chance: random.Random) -> tuple[dict[int, bytearray], int]:
        """The files as they may be found, and how many writes are missing."""
        found = {file: bytearray(content) for file, content in self._confirmed.items()}
        luck = chance.choice((0.0, 0.5, 0.9))
        dropped = 0
        for file, pending in self._pending.items():
            for operation in pending:
                if chance.random() >= luck:
                    dropped += 1
                    continue
                sectors = len(operation.data) // SECTOR
                torn = chance.random() < 0.2 and sectors > 1
                _apply(found[file], operation, chance.randrange(sectors) * SECTOR if torn else len(operation.data))
        return found, dropped


def _apply(content: bytearray, operation: Operation, length: int) -> None:
    if operation.kind == TRUNCATE:
        del content[operation.offset :]
        content.extend(bytes(operation.offset - len(content)))
        return
    if len(content) < operation.offset:
        content.extend(bytes(operation.offset - len(content)))
    content[operation.offset : operation.offset + length] = operation.data[:length]


def read_log(path: Path) -> Iterator[Operation]:
    with path.open("rb") as log:
        while header := log.read(HEADER.size):
            kind, file, offset, length = HEADER.unpack(header)
            data = log.read(length) if kind == WRITE else b""
            yield Operation(kind, file, offset, data, log.tell())


def compile_library(source: Path, folder: Path) -> Path:
    """The library to preload, made of one C file."""
    library = folder / f"{source.stem}.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-o", str(library), str(source), "-ldl", "-lpthread"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise AssertionError(
            "this test compiles a small library: install a C compiler (apt-get install gcc libc6-dev)"
        ) from None
    except subprocess.CalledProcessError as error:
        raise AssertionError(f"{source.name} does not compile: {error.stderr}") from error
    return library


async def lose_power_repeatedly(
    folder: Path, losses: int, *, synchronous: Synchronous = "FULL", seconds: float = 8.0, seed: int = 1
) -> PowerReport:
    """Load the program for a while, then cut its log of writes at `losses` random moments and look what is left."""
    library = await asyncio.to_thread(compile_library, HERE / "powerloss.c", folder)
    log = folder / "writes"
    program = _watched_program(folder, library, log, synchronous)
    promises = await _make_promises(program, folder, log, seconds)
    return await asyncio.to_thread(_look_after_losses, folder, log, promises, losses, random.Random(seed))


def _watched_program(folder: Path, library: Path, log: Path, synchronous: Synchronous) -> Program:
    launcher = [sys.executable, "-m", "crossdock"]
    if synchronous == "NORMAL":
        launcher = [sys.executable, str(HERE / "relaxed.py")]
    program = Program(
        folder, settings={"allowed_targets": "127.0.0.1"}, arguments=["--workflows", str(FUNCTIONS)], launcher=launcher
    )
    program.environment |= {
        "EFFECT_LEDGER": str(folder / "effects"),
        "LD_PRELOAD": str(library),
        "POWERLOSS_LOG": str(log),
        "POWERLOSS_FILE": program.database_path.name,
    }
    return program


async def _make_promises(program: Program, folder: Path, log: Path, seconds: float) -> Promises:
    """Promises, each with the size that the log had when it was heard: what it rests on was written before."""
    sink = Sink()
    await sink.start()
    promises = Promises(stamp=lambda: log.stat().st_size)
    ended = asyncio.Event()
    try:
        await asyncio.to_thread(program.start)
        await asyncio.to_thread(add_integrations, program, f"{sink.url}/reply")
        asyncio.get_running_loop().call_later(seconds, ended.set)
        await Callers(program, promises).call_until(ended)
    finally:
        program.kill()
        await sink.stop()
    assert not promises.unexpected, promises.unexpected[:3]
    return promises


def _look_after_losses(folder: Path, log: Path, promises: Promises, losses: int, chance: random.Random) -> PowerReport:
    told = {**promises.accepted, **promises.answered}
    report = PowerReport(losses=losses, promises=len(told))
    moments = sorted(chance.randint(min(told.values()), log.stat().st_size) for _ in range(losses))
    disk = Disk()
    for operation in read_log(log):
        while moments and operation.end > moments[0]:
            moment = moments.pop(0)
            files, dropped = disk.lose_power(chance)
            report.dropped += dropped
            _look(folder, files, {event for event, heard in told.items() if heard <= moment}, report)
        disk.take(operation)
        report.writes += operation.kind == WRITE
        report.syncs += operation.kind == SYNC
        report.checkpoints += operation.kind == SYNC and operation.file == DATABASE
    return report


def _look(folder: Path, files: dict[int, bytearray], told: set[str], report: PowerReport) -> None:
    """Start from what the disk holds: it must be sound, and every promise must be there."""
    path = folder / "after.db"
    for suffix, file in (("", DATABASE), ("-wal", LOG)):
        Path(f"{path}{suffix}").write_bytes(files[file])
    Path(f"{path}-shm").unlink(missing_ok=True)
    database = open_database(f"sqlite:///{path}")
    try:
        with database.reading() as connection:
            verdict = connection.exec_driver_sql("PRAGMA integrity_check").scalar_one()
    finally:
        database.dispose()
    if verdict != "ok":
        report.damaged.append(str(verdict))
    record = read_record(f"sqlite:///{path}")
    report.checked += len(told)
    report.lost += sorted(told - record.runs.keys())
