"""The modes of `scripts/faults` that hurt one process: kill -9, and lost power."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.postgres import OwnServer
from tests.system import killing, powerloss, step_killing
from tests.system.cluster_modes import kill_nodes
from tests.system.fault_mode import Mode, OnFault, Report

Figures = killing.Report | step_killing.StepReport | powerloss.PowerReport


@dataclass(frozen=True, slots=True)
class Single:
    """The report of a mode that is one round."""

    report: Figures

    def document(self) -> dict[str, Any]:
        return asdict(self.report)

    def problems(self) -> dict[str, list[str]]:
        return self.report.problems()


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", action="store_true", help="kills: under a load of runs with steps of every kind")
    parser.add_argument("--database", default="sqlite", help="kills: sqlite, postgresql (its own server), or an URL")
    parser.add_argument("--shortest", type=float, default=0.6, help="kills: least seconds between two")
    parser.add_argument("--longest", type=float, default=2.0, help="kills: most seconds between two")


async def kill(folder: Path, options: argparse.Namespace, on_fault: OnFault) -> Report:
    if options.nodes > 1:
        return await kill_nodes(folder, options, on_fault)
    plan = killing.Plan(options.faults, options.shortest, options.longest, seed=options.seed)
    server = OwnServer(durable=True) if options.database == "postgresql" else None
    url = server.url(server.create_database()) if server else None if options.database == "sqlite" else options.database
    carry_out = step_killing.kill_steps_repeatedly if options.steps else killing.kill_repeatedly
    try:
        return Single(await carry_out(folder, plan, database=url, on_kill=on_fault))
    finally:
        if server is not None:
            server.remove()


async def lose_power(folder: Path, options: argparse.Namespace, _on_fault: OnFault) -> Single:
    return Single(await powerloss.lose_power_repeatedly(folder, options.faults, seed=options.seed))


MODES = (
    Mode("--kills", "kill -9 one process, or one of --nodes, and start it again", kill, add_options),
    Mode("--power-losses", "SQLite without what the disk had not confirmed", lose_power),
)
