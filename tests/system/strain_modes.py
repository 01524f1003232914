"""The modes of `scripts/faults` that put the program under strain: clocks, disks, targets, overload, a long time."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.postgres import OwnServer
from tests.system import clock_steps, disk_full, hostile_targets, overload, soak
from tests.system.fault_mode import Mode, OnFault, Report

OnDatabase: TypeAlias = Callable[[str | None], Awaitable[Report]]


@dataclass(frozen=True, slots=True)
class Judged:
    """A report whose rates and times count as problems, too: in the suite they don't, beside other tests."""

    report: overload.OverloadReport | hostile_targets.HostileReport

    def document(self) -> dict[str, Any]:
        return self.report.document()

    def problems(self) -> dict[str, list[str]]:
        return {**self.report.problems(), **self.report.shortfalls()}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=150.0, help="hostile: calls a second")
    parser.add_argument(
        "--bound", choices=("work", "machine"), default="work", help="overload: what the capacity is bound by"
    )
    parser.add_argument("--every", type=float, default=60.0, help="soak: seconds between two samples")


async def on_database(options: argparse.Namespace, measure: OnDatabase) -> Report:
    """Measure on the database that was asked for; with `postgresql` on a server that is gone afterwards."""
    if options.database != "postgresql":
        return await measure(None if options.database == "sqlite" else options.database)
    server = OwnServer(durable=True)
    try:
        return await measure(server.url(server.create_database()))
    finally:
        server.remove()


async def fill_disk(folder: Path, options: argparse.Namespace, on_fault: OnFault) -> Report:
    return await disk_full.fill_disk_repeatedly(folder, disk_full.DiskPlan(options.faults), on_fault)


async def step_clock(folder: Path, options: argparse.Namespace, on_fault: OnFault) -> Report:
    return await clock_steps.step_clock_repeatedly(folder, clock_steps.ClockPlan(times=options.faults), on_fault)


async def meet_hostile_targets(folder: Path, options: argparse.Namespace, _on_fault: OnFault) -> Report:
    plan = hostile_targets.HostilePlan(seconds=float(options.faults), rate=options.rate)

    async def measure(url: str | None) -> Report:
        return Judged(await hostile_targets.beset(folder, plan, database=url))

    return await on_database(options, measure)


async def overload_it(folder: Path, options: argparse.Namespace, _on_fault: OnFault) -> Report:
    plan = overload.OverloadPlan(seconds=float(options.faults), bound=options.bound)

    async def measure(url: str | None) -> Report:
        return Judged(await overload.overload(folder, plan, database=url))

    return await on_database(options, measure)


async def soak_it(folder: Path, options: argparse.Namespace, on_fault: OnFault) -> Report:
    plan = soak.SoakPlan(seconds=options.faults * 60.0, every_seconds=options.every)
    return await on_database(options, lambda url: soak.soak(folder, plan, on_fault, database=url))


MODES = (
    Mode("--disk-full", "fill the disk of SQLite so many times", fill_disk, add_options),
    Mode("--clock-steps", "step the clock by an hour and by minutes, there and back, so many times", step_clock),
    Mode("--hostile", "a fifth of all targets is hostile for so many seconds", meet_hostile_targets),
    Mode("--overload", "three times the capacity for so many seconds", overload_it),
    Mode("--soak", "a steady load for so many minutes", soak_it),
)
