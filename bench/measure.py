"""One scenario from start to end: a fresh program, a warm-up, the load, the drain, the count."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import Answers, Calls, make_calls
from bench.profiler import Profiler
from bench.record import Recorded, read_record
from bench.scenarios import KEY, Scenario, order
from tests.support.postgres import free_port
from tests.support.program import Program

WARM_UP_SECONDS = 2.0
DRAIN_SECONDS = 240.0
HEADERS = {"Content-Type": "application/json", "X-API-Key": KEY}

SETTINGS = {"queue_limit": "10000000", "allowed_targets": "127.0.0.1"}

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Load:
    """How hard to drive: calls per second, or None for as many as `connections` get answered."""

    seconds: float
    connections: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one scenario gave. Memory in MB."""

    scenario: str
    about: str
    answers: Answers
    recorded: Recorded
    idle_memory: float
    end_memory: float
    peak_memory: float

    @property
    def lost(self) -> int:
        """Calls that were answered 2xx and are not in the record, or have not come to an end."""
        recorded = self.recorded
        return max(0, self.answers.good - min(recorded.events, recorded.runs)) + recorded.unfinished


def measure_noop(load: Load) -> Answers:
    """What the web server alone can do, under the same calls."""
    with running_noop() as port:
        calls = _calls(port, "noop", [order(0)], load)
        make_calls(_warm_up(calls))
        return make_calls(calls)


def measure(
    scenario: Scenario, load: Load, *, database: str | None, profiler: Profiler | None, progress: Progress
) -> Measurement:
    """Drive one scenario; `database` None is SQLite in the data folder."""
    with running_noop() as sink, running_program(database, profiler) as program:
        idle = program.memory()[0]
        names = (f"{scenario.name}-warm-up-{program.port}", f"{scenario.name}-{program.port}")
        warming, measured = (
            program.add_integration(scenario.document(name, f"http://127.0.0.1:{sink}"), KEY) for name in names
        )
        url = database or f"sqlite:///{program.database_path}"
        progress("warming up")
        make_calls(_warm_up(_calls(program.port, names[0], scenario.bodies(), load)))
        read_record(url, warming, wait_seconds=DRAIN_SECONDS)
        progress("under load")
        with profiler.watching(program, load.seconds) if profiler else _nothing():
            answers = make_calls(_calls(program.port, names[1], scenario.bodies(), load))
        progress("draining")
        recorded = read_record(url, measured, wait_seconds=DRAIN_SECONDS)
        end, peak = program.memory()
    return Measurement(scenario.name, scenario.about, answers, recorded, idle, end, peak)


def measure_sync(folder: Path) -> float:
    """Median milliseconds for the disk to confirm a small write: the floor of every commit on it."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(100):
            file.write(bytes(8_192))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2] * 1_000


@contextmanager
def running_program(
    database: str | None, profiler: Profiler | None = None, arguments: Sequence[str] = ()
) -> Iterator[Program]:
    """A started program in a folder of its own; `database` None is SQLite in its data folder."""
    with tempfile.TemporaryDirectory(prefix="crossdock-bench-") as folder:
        launcher = profiler.launcher() if profiler else (sys.executable, "-m", "crossdock")
        program = Program(Path(folder), database=database, settings=SETTINGS, arguments=arguments, launcher=launcher)
        program.start()
        try:
            yield program
        finally:
            program.stop(within=120)


@contextmanager
def running_noop() -> Iterator[int]:
    """The handler that does nothing, on a port; it also takes the replies, and the calls of `http` steps."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.noop", str(port)], stdin=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", process)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _calls(port: int, path: str, bodies: list[bytes], load: Load) -> Calls:
    return Calls(port, f"/hooks/default/{path}", HEADERS, bodies, load.connections, load.seconds, load.rate)


def _warm_up(calls: Calls) -> Calls:
    seconds = min(WARM_UP_SECONDS, calls.seconds)
    return Calls(calls.port, calls.path, calls.headers, calls.bodies, calls.connections, seconds, calls.rate)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.URLError:
            time.sleep(0.05)
    raise RuntimeError(f"{url} did not answer")
