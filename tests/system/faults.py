"""`scripts/faults`: the long form of the kill tests, with figures.

    scripts/faults --kills 200                     SQLite
    scripts/faults --kills 100 --database postgresql
    scripts/faults --steps --kills 50              runs with steps of every kind
    scripts/faults --power-losses 200              SQLite, without what the disk had not confirmed

Exit code 1 when anything was lost, repeated after it was recorded, out of order or left unfinished. Ctrl-C stops after
the kill under way and reports what there is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.support.postgres import OwnServer
from tests.system.killing import Plan, Report, kill_repeatedly
from tests.system.ledger import Promises
from tests.system.powerloss import PowerReport, lose_power_repeatedly
from tests.system.step_killing import StepReport, kill_steps_repeatedly


def main() -> int:
    options = _read_options()
    console = Console()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crossdock-faults-") as folder:
        if options.power_losses:
            report: Report | StepReport | PowerReport = asyncio.run(
                lose_power_repeatedly(Path(folder), options.power_losses)
            )
        else:
            report = _kill(Path(folder), options, console)
    document = {"seconds": round(time.monotonic() - started, 1), "database": options.database, **asdict(report)}
    problems = report.problems()
    _show(console, document, problems)
    if options.json:
        options.json.write_text(json.dumps({**document, "problems": problems}, indent=2) + "\n", encoding="utf-8")
    return 1 if problems else 0


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", action="store_true", help="under a load of runs with steps of every kind")
    parser.add_argument("--power-losses", type=int, default=0, help="simulate this many losses of power instead")
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql (a server of its own), or an URL")
    parser.add_argument("--shortest", type=float, default=0.6, help="least seconds between two kills")
    parser.add_argument("--longest", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def _kill(folder: Path, options: argparse.Namespace, console: Console) -> Report | StepReport:
    plan = Plan(options.kills, options.shortest, options.longest, seed=options.seed)
    server = OwnServer(durable=True) if options.database == "postgresql" else None
    url = server.url(server.create_database()) if server else None if options.database == "sqlite" else options.database
    stop_asked = asyncio.Event()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("kills", total=plan.kills)

            def on_kill(number: int, promises: Promises) -> bool:
                told = len(promises.accepted) + len(promises.answered)
                progress.update(task, completed=number, description=f"kills, {told:,} promises")
                return not stop_asked.is_set()

            async def carry_out() -> Report | StepReport:
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop_asked.set)
                kill = kill_steps_repeatedly if options.steps else kill_repeatedly
                return await kill(folder, plan, database=url, on_kill=on_kill)

            return asyncio.run(carry_out())
    finally:
        if server is not None:
            server.remove()


def _show(console: Console, document: dict[str, Any], problems: dict[str, list[str]]) -> None:
    for name, value in document.items():
        if not isinstance(value, dict | list):
            console.print(
                f"{name.replace('_', ' '):>20}  {value:,}" if isinstance(value, int) else f"{name:>20}  {value}"
            )
    for name, count in document.get("interrupted", {}).items():
        console.print(f"{name:>20}  {count:,}")
    for name, examples in problems.items():
        console.print(f"[red]{name}[/red]: {', '.join(examples)}")
    console.print("[red]FAILED[/red]" if problems else "nothing lost, nothing repeated, order kept")


if __name__ == "__main__":
    sys.exit(main())
