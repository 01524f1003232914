"""What users would pick instead, under the same calls, where it is installed.

The peers are no dependencies of Crossdock: put them into a virtual environment of their own and name its Python in
`BENCH_PEERS_PYTHON`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.load import Answers, Calls, make_calls
from bench.measure import Load, wait_for
from bench.scenarios import order
from tests.support.postgres import free_port

ROOT = Path(__file__).resolve().parents[1]
HOW = (
    "python3 -m venv peers && peers/bin/pip install fastapi uvicorn uvloop httptools dbos celery redis packaging, "
    "apt-get install redis-server, then BENCH_PEERS_PYTHON=peers/bin/python scripts/bench --peers"
)


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    module: str
    needs: str


DBOS = Peer("FastAPI + DBOS on SQLite", "bench.peer_apps.with_dbos", "dbos")
CELERY = Peer("FastAPI + Celery + Redis", "bench.peer_apps.with_celery", "celery, redis, packaging")


def measure_peers(load: Load, noop: Answers, console: Console) -> None:
    """Measure each peer in request-response mode and say how it compares, or how to install it."""
    python = os.environ.get("BENCH_PEERS_PYTHON", sys.executable)
    for peer in (DBOS, CELERY):
        if not _is_installed(python, peer):
            console.print(f"{peer.name}: not installed. {HOW}")
            continue
        answers = _measure(python, peer, load)
        ratio = answers.per_second / noop.per_second
        console.print(
            f"{peer.name}: {answers.per_second:,.0f} answers/s ({ratio:.1%} of the no-op), "
            f"p50 {answers.p50_ms:.1f} ms, p99 {answers.p99_ms:.1f} ms, {answers.refused + answers.broken} refused"
        )


def _is_installed(python: str, peer: Peer) -> bool:
    found = subprocess.run([python, "-c", f"import fastapi, uvicorn, {peer.needs}"], capture_output=True)
    return found.returncode == 0 and (peer is not CELERY or shutil.which("redis-server") is not None)


def _measure(python: str, peer: Peer, load: Load) -> Answers:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="crossdock-bench-"))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PEER_DATABASE": f"sqlite:///{folder}/peer.db"}
        if peer is CELERY:
            redis = free_port()
            environment["PEER_REDIS"] = f"redis://127.0.0.1:{redis}/0"
            command = ["redis-server", "--bind", "127.0.0.1", "--port", str(redis), "--dir", folder]
            stack.enter_context(_running([*command, "--appendonly", "yes"], environment))
            worker = [python, "-m", "celery", "-A", f"{peer.module}:tasks", "worker", "-c", "2", "-l", "ERROR"]
            stack.enter_context(_running(worker, environment))
        port = free_port()
        server = [python, "-m", "uvicorn", f"{peer.module}:application", "--port", str(port), "--log-level", "error"]
        process = stack.enter_context(_running(server, environment))
        wait_for(f"http://127.0.0.1:{port}/readyz", process)
        calls = Calls(port, "/hook", {"Content-Type": "application/json"}, [order(0)], load.connections, load.seconds)
        make_calls(calls)
        return make_calls(calls)


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
