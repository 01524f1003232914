"""`scripts/bench`: run scenarios, show them beside the no-op handler, write them down."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table

from bench.load import Answers, has_wrk, install_wrk
from bench.measure import Load, Measurement, measure, measure_noop, measure_sync
from bench.nodes import measure_nodes, show_points
from bench.pages import measure_pages
from bench.peers import measure_peers
from bench.profiler import Profiler
from bench.scenarios import SCENARIOS, Scenario
from bench.steps import PURE_STEP, PYTHON_STEP, Items, Waiting, measure_items, measure_waiting
from crossdock import __version__
from tests.support.postgres import OwnServer

RESULTS = Path(__file__).parent / "results"
STEP_SCENARIOS = ("delay", "for_each")
COLUMNS = (
    "scenario", "accepted/s", "completed/s", "of no-op", "p50 ms", "p99 ms", "lag p50", "lag p99", "refused", "lost",
    "idle MB", "peak MB",
)  # fmt: skip


def main() -> int:
    options = _read_options()
    console = Console(width=None if sys.stdout.isatty() else 132)
    if options.pages:
        return measure_pages(options.database, options.pages, console, options.json)
    install_wrk()
    load = Load(options.seconds, options.connections, options.rate)
    tool = "wrk" if has_wrk() and options.rate is None else "bench.generator"
    sync_ms = measure_sync(Path(tempfile.gettempdir()))
    console.print(
        f"Crossdock {__version__} on {options.database}, {options.connections} connections, load by {tool}; "
        f"the disk confirms a write in {sync_ms:.2f} ms"
    )
    if options.nodes:
        return _measure_nodes(load, options, console, sync_ms)
    with console.status("no-op handler") as status:
        noop = measure_noop(load)
        measurements = [_measure(scenario, load, options, status) for scenario in _chosen(options.scenario)]
        waiting = _measure_waiting(options, status) if _is_chosen("delay", options) else None
        items = _measure_items(options, noop, status) if _is_chosen("for_each", options) else []
    if measurements:
        _show_table(console, noop, measurements)
    path = _write(options, noop, measurements, sync_ms, waiting, items)
    console.print(f"written to {path}")
    if options.peers:
        measure_peers(load, noop, console)
    return 1 if any(measurement.lost for measurement in measurements) else 0


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql (a server of its own), or an URL")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each load")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, help="calls per second; default: as many as get answered")
    parser.add_argument(
        "--scenario",
        action="append",
        choices=[*(scenario.name for scenario in SCENARIOS), *STEP_SCENARIOS],
        help="repeatable; default: all",
    )
    parser.add_argument(
        "--pages", type=_positive, nargs="?", const=1_000_000, metavar="EVENTS",
        help="measure what is behind the pages with so many events stored; default: 1,000,000",
    )  # fmt: skip
    parser.add_argument("--nodes", type=_positive, help="compare 1 to so many nodes on one PostgreSQL")
    parser.add_argument("--json", type=Path, help="where to write the figures; default: bench/results/")
    parser.add_argument("--profile", action="store_true", help="also show where the time goes (slows the program)")
    parser.add_argument("--peers", action="store_true", help="also measure what others would use, where installed")
    options = parser.parse_args()
    if options.nodes is not None:
        options.database = "postgresql"
    return options


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1 on is needed")
    return int(text)


def _chosen(names: list[str] | None) -> list[Scenario]:
    return [scenario for scenario in SCENARIOS if not names or scenario.name in names]


def _is_chosen(name: str, options: argparse.Namespace) -> bool:
    return not options.scenario or name in options.scenario


def _measure(scenario: Scenario, load: Load, options: argparse.Namespace, status: Status) -> Measurement:
    def progress(text: str) -> None:
        status.update(f"{scenario.name} ({scenario.about}): {text}")

    profiler = Profiler(RESULTS, scenario.name) if options.profile else None
    with _database(options.database) as database:
        measurement = measure(scenario, load, database=database, profiler=profiler, progress=progress)
    answers, recorded = measurement.answers, measurement.recorded
    status.console.print(
        f"{scenario.name:>10}: {answers.per_second:,.0f} accepted/s, {recorded.per_second:,.0f} completed/s, "
        f"{measurement.lost} lost"
    )
    if profiler is not None:
        status.console.print(profiler.report())
    return measurement


def _measure_nodes(load: Load, options: argparse.Namespace, console: Console, sync_ms: float) -> int:
    with console.status("nodes") as status:
        points = [
            measure_nodes(scenario, load, count, status.update)
            for scenario in _chosen(options.scenario or ["accept", "handle", "answer"])
            for count in range(1, options.nodes + 1)
        ]
    show_points(console, points)
    document = {**_circumstances(options, sync_ms), "nodes": [asdict(point) for point in points]}
    console.print(f"written to {_write_document(options, document)}")
    return 1 if any(point.lost for point in points) else 0


def _measure_waiting(options: argparse.Namespace, status: Status) -> Waiting:
    with _database(options.database) as database:
        seen = measure_waiting(database=database, progress=lambda text: status.update(f"delay: {text}"))
    status.console.print(
        f"{'delay':>10}: {seen.runs:,} runs wait under {seen.leases} leases, "
        f"{seen.memory_after - seen.memory_before:+.1f} MB; a call beside them took {seen.other_ms:.0f} ms"
    )
    return seen


def _measure_items(options: argparse.Namespace, noop: Answers, status: Status) -> list[Items]:
    found = []
    for step, concurrency in ((PURE_STEP, 1), (PYTHON_STEP, 1), (PYTHON_STEP, 16)):
        with _database(options.database) as database:
            seen = measure_items(
                step, concurrency, database=database, progress=lambda text: status.update(f"for_each: {text}")
            )
        status.console.print(
            f"{'for_each':>10}: {seen.items:,} items through {seen.step}, {seen.concurrency} at a time: "
            f"{seen.per_second:,.0f}/s ({seen.per_second / noop.per_second:.1%} of no-op), "
            f"{seen.peak_memory - seen.memory_before:+.1f} MB at most"
        )
        found.append(seen)
    return found


@contextmanager
def _database(choice: str) -> Iterator[str | None]:
    if choice == "postgresql":
        server = OwnServer(durable=True)
        try:
            yield server.url(server.create_database())
        finally:
            server.remove()
    else:
        yield None if choice == "sqlite" else choice


def _show_table(console: Console, noop: Answers, measurements: list[Measurement]) -> None:
    table = Table(COLUMNS[0])
    for name in COLUMNS[1:]:
        table.add_column(name, justify="right")
    table.add_row("no-op", f"{noop.per_second:,.0f}", "", "100 %", f"{noop.p50_ms:.1f}", f"{noop.p99_ms:.1f}")
    for measurement in measurements:
        table.add_row(*_cells(measurement, noop))
    console.print(table)


def _cells(measurement: Measurement, noop: Answers) -> list[str]:
    answers, recorded = measurement.answers, measurement.recorded
    return [
        measurement.scenario,
        f"{answers.per_second:,.0f}",
        f"{recorded.per_second:,.0f}",
        f"{_ratio(measurement, noop):.0%}",
        f"{answers.p50_ms:.1f}",
        f"{answers.p99_ms:.1f}",
        f"{recorded.lag_p50_ms:.1f}",
        f"{recorded.lag_p99_ms:.1f}",
        str(answers.refused + answers.broken),
        str(measurement.lost),
        f"{measurement.idle_memory:.0f}",
        f"{measurement.peak_memory:.0f}",
    ]


def _ratio(measurement: Measurement, noop: Answers) -> float:
    """What was carried to its end, as a share of what the web server alone answers."""
    return min(measurement.answers.per_second, measurement.recorded.per_second) / noop.per_second


def _write(
    options: argparse.Namespace,
    noop: Answers,
    measurements: list[Measurement],
    sync_ms: float,
    waiting: Waiting | None,
    items: list[Items],
) -> Path:
    document: dict[str, Any] = {
        **_circumstances(options, sync_ms),
        "noop": {**asdict(noop), "per_second": noop.per_second},
        "scenarios": [_as_document(measurement, noop) for measurement in measurements],
        "delay": None if waiting is None else asdict(waiting),
        "for_each": [
            {**asdict(each), "per_second": each.per_second, "ratio_to_noop": each.per_second / noop.per_second}
            for each in items
        ],
    }
    return _write_document(options, document)


def _circumstances(options: argparse.Namespace, sync_ms: float) -> dict[str, Any]:
    return {
        "version": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "python": platform.python_version()},
        "database": options.database.partition(":")[0],
        "seconds": options.seconds,
        "connections": options.connections,
        "rate": options.rate,
        "disk_sync_ms": sync_ms,
    }


def _write_document(options: argparse.Namespace, document: dict[str, Any]) -> Path:
    path: Path = options.json or RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def _as_document(measurement: Measurement, noop: Answers) -> dict[str, Any]:
    return {
        **asdict(measurement),
        "accepted_per_second": measurement.answers.per_second,
        "completed_per_second": measurement.recorded.per_second,
        "ratio_to_noop": _ratio(measurement, noop),
        "lost": measurement.lost,
    }


if __name__ == "__main__":
    raise SystemExit(main())
