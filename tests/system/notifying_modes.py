"""The mode of `scripts/faults` that kills while integrations fail and recover, and counts what webhooks were told."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.support.postgres import OwnServer
from tests.system.fault_mode import Mode, OnFault, Report
from tests.system.killing import Plan
from tests.system.notifying import NotifyingPlan, kill_while_notifying
from tests.system.notifying_cluster import kill_nodes_while_notifying
from tests.system.strain_modes import on_database

REFUSED_SHARE = 0.003
"""So many messages are refused at first; each holds up what its webhook is told of that integration for seconds."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--damping", type=float, default=0.0, help="notifications: seconds of damping, 0 for none")


async def notify(folder: Path, options: argparse.Namespace, on_fault: OnFault) -> Report:
    kills = Plan(options.faults, options.shortest, options.longest, seed=options.seed)
    plan = NotifyingPlan(kills, options.damping, REFUSED_SHARE, with_digest=True)
    if options.nodes <= 1:
        return await on_database(
            options, lambda url: kill_while_notifying(folder, plan, database=url, on_kill=on_fault)
        )
    server = OwnServer(durable=True)
    try:
        return await kill_nodes_while_notifying(folder, server, plan, nodes=options.nodes, on_kill=on_fault)
    finally:
        server.remove()


MODES = (Mode("--notifications", "kill -9 while integrations fail and webhooks are told of it", notify, add_options),)
