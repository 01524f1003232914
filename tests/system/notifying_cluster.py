"""Kill one of several nodes after the other while integrations fail and recover, and audit what webhooks were told."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from tests.outbound.system import running
from tests.support.moments import moment
from tests.support.postgres import ForeignServer
from tests.system.cluster import SHORT_LEASE, Cluster, a_cluster
from tests.system.cluster_calling import ClusterPromises
from tests.system.cluster_faults import Kills
from tests.system.cluster_rounds import Field
from tests.system.fault_mode import OnFault, go_on
from tests.system.notifying import NotifyingPlan, NotifyingReport, conclude, set_up, wait_until_told
from tests.system.notifying_calling import FlappingCallers
from tests.system.notifying_ledger import NotifyingAudit
from tests.system.notifying_record import read_notifying_record
from tests.system.notifying_targets import Targets

WARM_SECONDS = 1.0


async def kill_nodes_while_notifying(
    folder: Path, server: ForeignServer, plan: NotifyingPlan, *, nodes: int = 3, on_kill: OnFault = go_on
) -> NotifyingReport:
    """Carry out the kills of the plan on a cluster. The report's findings are empty when nothing went wrong."""
    settings = {**SHORT_LEASE, "notification_damping": f"PT{plan.damping:g}S"}
    async with a_cluster(folder, server, nodes=nodes, settings=settings) as cluster, running() as tokens:
        targets = Targets(cluster.sink, tokens, plan.refused_share, plan.kills.seed)
        targets.begin()
        await cluster.start()
        setting = await asyncio.to_thread(set_up, cluster.places[0].program, targets, plan)
        audit = NotifyingAudit(setting, targets.messages)
        promises, ended = ClusterPromises(stamp=moment), asyncio.Event()
        calling = asyncio.create_task(_call(cluster, promises, plan.kills.seed, ended))
        try:
            await asyncio.sleep(WARM_SECONDS)
            there = Field(cluster, promises, random.Random(plan.kills.seed))
            kills = await _strike(there, plan, audit, targets, on_kill)
        finally:
            ended.set()
            await calling
        record = await wait_until_told(cluster.url)
        await cluster.stop()
    return conclude(kills, [promises], record, audit, setting, targets)


async def _call(cluster: Cluster, promises: ClusterPromises, seed: int, ended: asyncio.Event) -> None:
    """Each node has callers of all integrations; the lanes tell in which order their calls were taken."""
    async with asyncio.TaskGroup() as tasks:
        for number, place in enumerate(cluster.places):
            callers = FlappingCallers(place.program, promises, chance=random.Random(seed + number), pause_seconds=0.1)
            tasks.create_task(callers.call_until(ended))


async def _strike(there: Field, plan: NotifyingPlan, audit: NotifyingAudit, targets: Targets, on_kill: OnFault) -> int:
    """The kills, with a look at the record after each, while the other nodes go on; how many there were."""
    kills = Kills()
    for number in range(1, plan.kills.kills + 1):
        await kills.strike(there, number)
        accepted = set(there.promises.accepted)
        record = await asyncio.to_thread(read_notifying_record, there.cluster.url)
        audit.after_kill(accepted, len(targets.messages), record)  # counted after: what is delivered had arrived
        targets.authorization.revoke_all()
        if not on_kill(number, there.promises):
            return number
    return plan.kills.kills
