"""Several nodes on one PostgreSQL, each with its share of the callers: how throughput grows with their number."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.load import Answers, Calls, make_calls
from bench.measure import DRAIN_SECONDS, HEADERS, SETTINGS, WARM_UP_SECONDS, Load, running_noop
from bench.record import Recorded, read_record
from bench.scenarios import KEY, Scenario
from tests.support.postgres import OwnServer
from tests.support.program import Program

MASTER_KEY = base64.b64encode(b"of nodes that are only measured.").decode()
SPREAD_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Point:
    """What so many nodes carried together; the slowest of them gives the percentiles."""

    scenario: str
    nodes: int
    accepted_per_second: float
    completed_per_second: float
    p50_ms: float
    p99_ms: float
    refused: int
    lost: int

    @property
    def carried(self) -> float:
        return min(self.accepted_per_second, self.completed_per_second)


def measure_nodes(scenario: Scenario, load: Load, nodes: int, progress: Callable[[str], None]) -> Point:
    """Drive one scenario on so many nodes at once, with the connections of `load` shared out between them."""
    server = OwnServer(durable=True)
    try:
        url = server.url(server.create_database())
        with running_noop() as sink, running_nodes(url, nodes) as programs:
            first = programs[0]
            names = [f"{scenario.name}-{part}-{first.port}" for part in ("warm-up", "measured")]
            warming, measured = (
                first.add_integration(scenario.document(name, f"http://127.0.0.1:{sink}"), KEY) for name in names
            )
            for name in names:
                _wait_until_known(programs, name, scenario.bodies()[0])
            progress(f"{nodes} nodes: warming up")
            _call_all(programs, names[0], scenario, replace(load, seconds=min(WARM_UP_SECONDS, load.seconds)))
            read_record(url, warming, wait_seconds=DRAIN_SECONDS)
            before = read_record(url, measured, wait_seconds=DRAIN_SECONDS)
            progress(f"{nodes} nodes: under load")
            answers = _call_all(programs, names[1], scenario, load)
            recorded = read_record(url, measured, wait_seconds=DRAIN_SECONDS)
        return _point(scenario, nodes, answers, recorded, before.events)
    finally:
        server.remove()


@contextmanager
def running_nodes(url: str, count: int) -> Iterator[list[Program]]:
    with ExitStack() as stack:
        programs = []
        for _ in range(count):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="crossdock-bench-"))
            program = Program(Path(folder), database=url, settings={**SETTINGS, "master_key": MASTER_KEY})
            program.start()
            stack.callback(program.stop, within=120)
            programs.append(program)
        yield programs


def _wait_until_known(programs: list[Program], name: str, body: bytes) -> None:
    """Call the integration at each node until that has heard of it."""
    for program in programs:
        calls = Calls(program.port, f"/hooks/default/{name}", HEADERS, [body], connections=1, seconds=1, rate=1)
        deadline = time.monotonic() + SPREAD_SECONDS
        while make_calls(calls).good == 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"node {program.port} has not heard of {name} within {SPREAD_SECONDS:g} s")


def _call_all(programs: list[Program], name: str, scenario: Scenario, load: Load) -> list[Answers]:
    """What the callers of each node saw, all at the same time."""
    share = max(1, load.connections // len(programs))
    rate = None if load.rate is None else load.rate / len(programs)

    def call(program: Program) -> Answers:
        path = f"/hooks/default/{name}"
        return make_calls(Calls(program.port, path, HEADERS, scenario.bodies(), share, load.seconds, rate))

    with ThreadPoolExecutor(len(programs)) as threads:
        return list(threads.map(call, programs))


def _point(scenario: Scenario, nodes: int, answers: list[Answers], recorded: Recorded, before: int) -> Point:
    good = sum(one.good for one in answers)
    return Point(
        scenario=scenario.name,
        nodes=nodes,
        accepted_per_second=sum(one.per_second for one in answers),
        completed_per_second=recorded.per_second,
        p50_ms=max(one.p50_ms for one in answers),
        p99_ms=max(one.p99_ms for one in answers),
        refused=sum(one.refused + one.broken for one in answers),
        lost=max(0, good + before - min(recorded.events, recorded.runs)) + recorded.unfinished,
    )


def show_points(console: Console, points: list[Point]) -> None:
    """The curve: each number of nodes beside one node in the same run."""
    table = Table("scenario", "nodes")
    for name in ("accepted/s", "completed/s", "of one node", "p50 ms", "p99 ms", "refused", "lost"):
        table.add_column(name, justify="right")
    alone = {point.scenario: point.carried for point in points if point.nodes == 1}
    for point in points:
        table.add_row(
            point.scenario,
            str(point.nodes),
            f"{point.accepted_per_second:,.0f}",
            f"{point.completed_per_second:,.0f}",
            f"{point.carried / alone[point.scenario]:.0%}",
            f"{point.p50_ms:.1f}",
            f"{point.p99_ms:.1f}",
            str(point.refused),
            str(point.lost),
        )
    console.print(table)
