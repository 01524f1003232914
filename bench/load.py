"""Makes the calls: wrk where it is, else the generator of this folder; always from another process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Calls:
    """What to send, and how hard. `rate` None: as fast as the connections get their answers."""

    port: int
    path: str
    headers: dict[str, str]
    bodies: list[bytes]
    connections: int = 64
    seconds: float = 5.0
    rate: float | None = None
    more_paths: tuple[str, ...] = ()
    """Called in turn with `path`, for loads of a fixed rate."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the callers saw. `good` answers were 2xx; `broken` calls got none.

    The last three are known for loads of a fixed rate only: calls by status, calls for which no connection was free,
    and refusals for the moment without Retry-After.
    """

    seconds: float
    answered: int
    good: int
    broken: int
    p50_ms: float
    p99_ms: float
    statuses: dict[str, int] = field(default_factory=dict)
    unsent: int = 0
    without_advice: int = 0

    @property
    def per_second(self) -> float:
        return self.good / self.seconds

    @property
    def refused(self) -> int:
        return self.answered - self.good


def make_calls(calls: Calls) -> Answers:
    """Send, and sum up. wrk can't keep a rate, so a rate is always kept by our own generator."""
    with tempfile.TemporaryDirectory(prefix="crossdock-bench-") as folder:
        orders = Path(folder) / "orders"
        if calls.rate is None and has_wrk():
            output = _run_wrk(calls, orders)
        else:
            output = _run_generator(calls, orders)
    return Answers(**json.loads(output.strip().splitlines()[-1]))


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def install_wrk() -> None:
    """Take wrk from the distribution where we may; the measurement goes on without it where not."""
    if has_wrk() or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "wrk"]
    if subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL).returncode != 0:
        subprocess.run(["apt-get", "update", "-qq"], env=environment, capture_output=True, stdin=subprocess.DEVNULL)
        subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL)


def _run_wrk(calls: Calls, orders: Path) -> str:
    headers = [item for pair in calls.headers.items() for item in pair]
    lines = [calls.path, str(len(calls.headers)), *headers, *(body.decode() for body in calls.bodies)]
    orders.write_text("\n".join(lines) + "\n")
    command = ["wrk", "-t1", f"-c{calls.connections}", f"-d{ceil(calls.seconds)}s", "--timeout", "10s", "--latency"]
    command += ["-s", str(HERE / "wrk.lua"), f"http://127.0.0.1:{calls.port}"]
    return _output_of(command, {**os.environ, "BENCH_ORDERS": str(orders)})


def _run_generator(calls: Calls, orders: Path) -> str:
    document = {
        "port": calls.port,
        "path": calls.path,
        "headers": calls.headers,
        "bodies": [body.decode() for body in calls.bodies],
        "connections": calls.connections,
        "seconds": calls.seconds,
        "rate": calls.rate,
        "more_paths": calls.more_paths,
    }
    orders.write_text(json.dumps(document))
    return _output_of([sys.executable, "-m", "bench.generator", str(orders)], dict(os.environ))


def _output_of(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout
