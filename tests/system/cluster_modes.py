"""The modes of `scripts/faults` that hurt a cluster's nodes and its database."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.support.postgres import OwnServer
from tests.system.cluster import SHORT_LEASE
from tests.system.cluster_calling import Load
from tests.system.cluster_faults import Backends, DatabaseStops, Kills, Zombies
from tests.system.cluster_report import Statistics
from tests.system.cluster_rounds import Fault, RoundPlan, play_round
from tests.system.fault_mode import Measure, Mode, OnFault
from tests.system.ledger import Promises

DEFAULT_ROUNDS = 5
"""With `--lease mixed`, every so many-th round has the lease that Crossdock has by default."""
DEFAULT_LEASE: dict[str, str] = {}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=1, help="nodes of the cluster (default: 3 where there is one)")
    parser.add_argument(
        "--round", type=int, default=20, help="faults until the cluster is made anew and all is audited"
    )
    parser.add_argument(
        "--lease",
        choices=("short", "default", "mixed"),
        default="mixed",
        help="lease_ttl and heartbeat: PT3S and PT0.5S, or those that Crossdock has by default; "
        f"mixed: the defaults in every {DEFAULT_ROUNDS}th round",
    )
    parser.add_argument(
        "--full-load", action="store_true", help="callers that call again as soon as they have their answer"
    )
    parser.add_argument("--keep", type=Path, help="where the figures are kept; there already: go on with them")


def in_rounds(make: Callable[[OwnServer], Fault]) -> Measure:
    """A measurement of so many faults, with a server of its own and a fresh database for each round."""

    async def measure(folder: Path, options: argparse.Namespace, on_fault: OnFault) -> Statistics:
        server = OwnServer(durable=True)
        try:
            shape = at_full_load if options.full_load else unchanged
            return await play_rounds(folder, options, on_fault, server, make, shape)
        finally:
            server.remove()

    return measure


def unchanged(plan: RoundPlan) -> RoundPlan:
    return plan


def at_full_load(plan: RoundPlan) -> RoundPlan:
    """Callers that wait for their answers and call again at once: as many calls as the cluster can carry."""
    return replace(plan, load=Load(free=0, asking=48, pause_seconds=0.0))


async def play_rounds(
    folder: Path,
    options: argparse.Namespace,
    on_fault: OnFault,
    server: OwnServer,
    make: Callable[[OwnServer], Fault],
    shape: Callable[[RoundPlan], RoundPlan] = unchanged,
) -> Statistics:
    """Rounds until there were enough faults; `shape` gives each plan what this kind of fault needs."""
    name = make(server).name
    kept = Statistics.load(options.keep) if options.keep and options.keep.exists() else Statistics(name)
    while (done := kept.sums["faults"]) < options.faults:
        has_default = options.lease == "default" or (options.lease == "mixed" and kept.rounds % DEFAULT_ROUNDS == 0)
        plan = RoundPlan(
            faults=min(options.round, options.faults - done),
            seed=options.seed + kept.rounds,
            nodes=max(3, options.nodes),
            settings=DEFAULT_LEASE if has_default else SHORT_LEASE,
        )
        goes_on = True

        def struck(number: int, promises: Promises, before: int = done) -> bool:
            nonlocal goes_on
            goes_on = on_fault(before + number, promises)
            return goes_on

        report = await play_round(folder / f"round-{kept.rounds}", server, make(server), shape(plan), struck)
        kept.add(report, "PT10S" if has_default else "PT3S")
        if options.keep:
            kept.save(options.keep)
        if not goes_on:
            break
    return kept


kill_nodes = in_rounds(lambda _server: Kills())

MODES = (
    Mode(
        "--zombies",
        "freeze a node until others have its work, then let it go on",
        in_rounds(lambda _server: Zombies()),
        add_options,
    ),
    Mode("--database-stops", "stop PostgreSQL in immediate mode", in_rounds(DatabaseStops)),
    Mode("--backends", "have PostgreSQL end connections of nodes", in_rounds(lambda _server: Backends())),
)
