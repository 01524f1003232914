"""`scripts/faults`: the long forms of the fault tests, with figures.

    scripts/faults --kills 200                        one process on SQLite
    scripts/faults --kills 100 --database postgresql
    scripts/faults --kills 50 --steps                 runs with steps of every kind
    scripts/faults --power-losses 200                 SQLite, without what the disk had not confirmed
    scripts/faults --nodes 3 --kills 300              one of three nodes on one PostgreSQL, in turns
    scripts/faults --zombies 200                      a node is frozen, and goes on after others have taken over
    scripts/faults --database-stops 200               PostgreSQL stopped in immediate mode; nodes stay
    scripts/faults --backends 200                     connections of nodes ended by PostgreSQL, the listener's included
    scripts/faults --network-cuts 200                 nodes cut off from PostgreSQL, in all the ways that networks fail
    scripts/faults --node-clock-steps 40              the wall clock of one node of three stepped
    scripts/faults --clock-steps 10                   the wall clock stepped by an hour and by minutes, there and back
    scripts/faults --disk-full 20                     SQLite on a disk that is full again and again
    scripts/faults --hostile 60                       a fifth of all targets is hostile, for so many seconds
    scripts/faults --notifications 50                 while integrations fail and webhooks are told; --nodes 3, too
    scripts/faults --overload 30                      three times the capacity, for so many seconds
    scripts/faults --soak 60                          a steady load, for so many minutes

Exit code 1 when anything was lost, repeated after it was recorded, out of order or left unfinished. Ctrl-C stops after
the fault under way and reports what there is. With `--keep FILE` the next start goes on from there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.system import cluster_clocks, cluster_modes, network_cuts, notifying_modes, single_modes, strain_modes
from tests.system.fault_mode import Mode, Report
from tests.system.ledger import Promises

MODES: tuple[Mode, ...] = (
    *single_modes.MODES,
    *cluster_modes.MODES,
    *network_cuts.MODES,
    *cluster_clocks.MODES,
    *strain_modes.MODES,
    *notifying_modes.MODES,
)
USUAL = 50
"""So often the first mode is carried out where none is named."""


def main(arguments: Sequence[str]) -> int:
    options, mode = read_options(arguments)
    console = Console()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crossdock-faults-") as folder:
        report = asyncio.run(_measure(mode, Path(folder), options, console))
    seconds = round(time.monotonic() - started, 1)
    document = {"mode": mode.name, "seed": options.seed, "seconds": seconds, **report.document()}
    problems = report.problems()
    if options.json:
        options.json.write_text(json.dumps({**document, "problems": problems}, indent=2) + "\n", encoding="utf-8")
    _show(console, document, problems)
    return 1 if problems else 0


def read_options(arguments: Sequence[str]) -> tuple[argparse.Namespace, Mode]:
    """What to do how often; one mode, the first one where none is named."""
    parser = argparse.ArgumentParser(
        prog="scripts/faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice = parser.add_mutually_exclusive_group()
    for mode in MODES:
        choice.add_argument(mode.option, dest=mode.name, type=int, metavar="N", help=mode.help)
    for add_options in dict.fromkeys(mode.add_options for mode in MODES if mode.add_options):
        add_options(parser)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(arguments)
    mode = next((mode for mode in MODES if getattr(options, mode.name) is not None), MODES[0])
    options.faults = USUAL if getattr(options, mode.name) is None else getattr(options, mode.name)
    if options.faults < 1:
        parser.error(f"{mode.option} takes the number of faults, at least 1")
    return options, mode


async def _measure(mode: Mode, folder: Path, options: argparse.Namespace, console: Console) -> Report:
    stop_asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop_asked.set)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(mode.name, total=options.faults)

        def on_fault(number: int, promises: Promises) -> bool:
            told = len(promises.accepted) + len(promises.answered)
            progress.update(task, completed=number, description=f"{mode.name}, {told:,} promises")
            return not stop_asked.is_set()

        return await mode.measure(folder, options, on_fault)


def _show(console: Console, document: dict[str, Any], problems: dict[str, list[str]]) -> None:
    for name, value in document.items():
        if isinstance(value, dict) and name not in ("findings", "wrong"):
            _show_figures(console, value)
        elif not isinstance(value, dict | list):
            console.print(
                f"{name.replace('_', ' '):>28}  {value:,}" if isinstance(value, int) else f"{name:>28}  {value}"
            )
    for name, examples in problems.items():
        console.print(f"[red]{name}[/red]: {', '.join(examples)}", highlight=False)
    console.print("[red]FAILED[/red]" if problems else "nothing lost, nothing repeated, order kept")


def _show_figures(console: Console, figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        shown = (
            ", ".join(f"{key} {number}" for key, number in value.items()) if isinstance(value, dict) else f"{value:,}"
        )
        console.print(f"{name:>28}  {shown}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
