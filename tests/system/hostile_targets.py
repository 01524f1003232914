"""A fifth of all targets is hostile: how much of it do the other integrations notice?

Each hostile target does one of five things to whoever sends to it: it answers drop by drop, not at all, with a reset,
with a body without end, or with a redirect to itself. Both the `http` step and the reply of its integration go there.
First all targets are good, for a baseline under the same calls in the same run; then the fifth changes. What counts is
the 99th percentile of two times: until a call is acknowledged, and from there until the reply of a healthy integration
is delivered.

`python -m tests.system.hostile_targets PORT` is the hostile server alone.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Any

from sqlalchemy import bindparam, text

from bench.load import Answers, Calls, make_calls
from bench.measure import running_noop
from bench.scenarios import order
from crossdock.store.database import open_database
from tests.support.postgres import free_port
from tests.support.program import Program
from tests.support.waiting import wait_until

DRIP_SECONDS = 0.2
PIECE = b"10000\r\n" + bytes(65_536) + b"\r\n"
"""Of a chunked body: 64 KiB."""
MOST_TIMES = 2.0
"""The 99th percentile of a healthy integration may be so many times its baseline."""
SETTLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class HostilePlan:
    """`rate` is calls a second over all integrations together."""

    seconds: float = 30.0
    warm_seconds: float = 3.0
    rate: float = 150.0
    integrations: int = 25
    connections: int = 64


@dataclass(slots=True)
class Times:
    """Milliseconds. `lag`: from acceptance to the delivered reply, of healthy integrations."""

    answer_p50: float = 0.0
    answer_p99: float = 0.0
    lag_p50: float = 0.0
    lag_p99: float = 0.0
    calls: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    undelivered: int = 0


@dataclass(slots=True)
class HostileReport:
    hostile: int = 0
    healthy: int = 0
    baseline: Times = field(default_factory=Times)
    beset: Times = field(default_factory=Times)
    attempts_on_hostile: dict[str, int] = field(default_factory=dict)
    """Exchanges that each hostile behaviour has seen."""
    memory_highest: float = 0.0

    def document(self) -> dict[str, Any]:
        times = {
            f"{name} {part}": getattr(getattr(self, name), part)
            for name in ("baseline", "beset")
            for part in Times.__slots__
        }
        return {
            "fault": "hostile targets",
            "faults": self.hostile,
            "healthy": self.healthy,
            **times,
            "answer_p99_times_baseline": _share(self.beset.answer_p99, self.baseline.answer_p99),
            "lag_p99_times_baseline": _share(self.beset.lag_p99, self.baseline.lag_p99),
            "attempts_on_hostile": self.attempts_on_hostile,
            "memory_highest": self.memory_highest,
        }

    def problems(self) -> dict[str, list[str]]:
        """Everything but the times, which another load on the machine may spoil: `shortfalls` judges those."""
        wrong: dict[str, list[str]] = {}
        for name, times in (("baseline", self.baseline), ("beset", self.beset)):
            if times.undelivered:
                wrong.setdefault("undelivered", []).append(f"{times.undelivered} healthy replies of {name}")
            refused = {status: count for status, count in times.statuses.items() if status != "202"}
            if refused:
                wrong.setdefault("refused", []).append(f"{name}: {refused}")
        idle = [name for name in HOSTILE if not self.attempts_on_hostile.get(name)]
        if idle:
            wrong["not_met"] = [f"nobody has sent anything to: {', '.join(idle)}"]
        return wrong

    def shortfalls(self) -> dict[str, list[str]]:
        """Percentiles of healthy integrations that hostile targets have more than doubled."""
        pairs = {
            "answers_slowed": (self.beset.answer_p99, self.baseline.answer_p99),
            "replies_slowed": (self.beset.lag_p99, self.baseline.lag_p99),
        }
        return {
            name: [f"p99 {beset:.0f} ms beside {before:.0f} ms"]
            for name, (beset, before) in pairs.items()
            if beset > MOST_TIMES * before
        }


async def beset(folder: Path, plan: HostilePlan, *, database: str | None = None) -> HostileReport:
    """Carry out the plan on SQLite, or on a PostgreSQL database."""
    return await asyncio.to_thread(_beset, folder, plan, database)


def _beset(folder: Path, plan: HostilePlan, database: str | None) -> HostileReport:
    program = Program(folder, database=database, settings={"allowed_targets": "127.0.0.1"})
    url = database or f"sqlite:///{program.database_path}"
    with running_noop() as good, running_hostile() as hostile:
        try:
            program.start()
            made = [_add(program, f"shop-{number}", good) for number in range(plan.integrations)]
            turned = dict(zip(made[::5], itertools.cycle(HOSTILE), strict=False))
            healthy = [each for each in made if each not in turned]
            report = HostileReport(hostile=len(turned), healthy=len(healthy))
            make_calls(_calls(program, plan, plan.warm_seconds))
            report.baseline = _measure(program, plan, url, healthy)
            for integration, behaviour in turned.items():
                _turn(program, integration, f"http://127.0.0.1:{hostile}/{behaviour}")
            make_calls(_calls(program, plan, plan.warm_seconds))
            report.beset = _measure(program, plan, url, healthy)
            report.attempts_on_hostile = _seen_by(hostile)
            report.memory_highest = round(program.memory()[1], 1)
        finally:
            program.kill()
    return report


def _add(program: Program, name: str, good: int) -> str:
    trigger = {"methods": ["POST"], "authentication": {"mode": "none"}, "response_mode": "async"}
    target = f"http://127.0.0.1:{good}"
    document = {"name": name, "type": "webhook-trigger", "path": name, "trigger": trigger}
    return program.add_integration({**document, "workflow": _workflow(target), "reply": _reply(target)})


def _turn(program: Program, integration: str, target: str) -> None:
    """From now on the integration's step and its replies go to another target."""
    program.admin("PATCH", f"/integrations/{integration}", {"reply": _reply(target), "workflow": _workflow(target)})


def _workflow(target: str) -> dict[str, Any]:
    """The step may fail without failing the run, so that hostile targets are sent replies, too."""
    call = {"method": "POST", "url": f"{target}/steps", "json": {"number": "{{ body.number }}"}}
    return {"steps": [{"id": "called", "http": call, "timeout": "PT5S", "on_error": "continue"}]}


def _reply(target: str) -> dict[str, str]:
    return {"url": f"{target}/replies", "method": "POST"}


# --- measuring -------------------------------------------------------------------------------------------------------

_UNDELIVERED = text(
    "SELECT count(*) FROM run LEFT JOIN delivery ON delivery.event_id = run.event_id "
    "WHERE run.integration_id IN :healthy AND run.accepted_at >= :since "
    "AND (delivery.id IS NULL OR delivery.state <> 'delivered')"
).bindparams(bindparam("healthy", expanding=True))
_LAGS = text(
    "SELECT delivery.finished_at - run.accepted_at AS lag FROM run JOIN delivery ON delivery.event_id = run.event_id "
    "WHERE run.integration_id IN :healthy AND run.accepted_at >= :since AND delivery.state = 'delivered' ORDER BY lag"
).bindparams(bindparam("healthy", expanding=True))


def _measure(program: Program, plan: HostilePlan, url: str, healthy: list[str]) -> Times:
    named = {"healthy": healthy, "since": time_ns() // 1_000}
    answers = make_calls(_calls(program, plan, plan.seconds))
    database = open_database(url)
    deadline = monotonic() + SETTLE_SECONDS
    try:
        while True:
            with database.reading() as connection:
                undelivered = connection.execute(_UNDELIVERED, named).scalar_one()
                if not undelivered or monotonic() > deadline:
                    lags = list(connection.execute(_LAGS, named).scalars())
                    return _times(answers, lags, undelivered)
            sleep(0.2)
    finally:
        database.dispose()


def _times(answers: Answers, lags: list[int], undelivered: int) -> Times:
    p50, p99 = (lags[int(len(lags) * share)] / 1_000 if lags else 0.0 for share in (0.5, 0.99))
    return Times(
        answer_p50=round(answers.p50_ms, 1),
        answer_p99=round(answers.p99_ms, 1),
        lag_p50=round(p50, 1),
        lag_p99=round(p99, 1),
        calls=answers.answered,
        statuses=answers.statuses,
        undelivered=undelivered,
    )


def _calls(program: Program, plan: HostilePlan, seconds: float) -> Calls:
    paths = [f"/hooks/default/shop-{number}" for number in range(plan.integrations)]
    return Calls(
        port=program.port,
        path=paths[0],
        headers={"Content-Type": "application/json"},
        bodies=[order(0)],
        connections=plan.connections,
        seconds=seconds,
        rate=plan.rate,
        more_paths=tuple(paths[1:]),
    )


def _share(value: float, of: float) -> float:
    return round(value / of, 2) if of else 0.0


# --- the hostile server ----------------------------------------------------------------------------------------------

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One byte at a time, for hours."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(DRIP_SECONDS)


async def _hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """No answer, until the other side has had enough."""
    await reader.read()


async def _reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(PIECE)
        await writer.drain()


async def _loop(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /loop/again\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


HOSTILE: dict[str, Behaviour] = {"drip": _drip, "hang": _hang, "reset": _reset, "endless": _endless, "loop": _loop}


async def serve_hostility(port: int) -> None:
    """Each path begins with what is to be done; `/seen` tells how often each was done."""
    seen = dict.fromkeys(HOSTILE, 0)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            name = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode().split("/")[1]
            if name in HOSTILE:
                seen[name] += 1
                await HOSTILE[name](reader, writer)
            else:
                writer.write(f"HTTP/1.0 200 OK\r\n\r\n{' '.join(map(str, seen.values()))}".encode())
        except (OSError, asyncio.IncompleteReadError):
            return  # the other side has had enough
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", port)
    await server.serve_forever()


@contextmanager
def running_hostile() -> Iterator[int]:
    """The hostile server in a process of its own; its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.system.hostile_targets", str(port)])
    try:
        wait_until(lambda: _listens(port))
        yield port
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _seen_by(port: int) -> dict[str, int]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"GET /seen HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := connection.recv(4_096):
            answer += piece
    return dict(zip(HOSTILE, map(int, answer.rpartition(b"\r\n")[2].split()), strict=True))


if __name__ == "__main__":
    asyncio.run(serve_hostility(int(sys.argv[1])))
