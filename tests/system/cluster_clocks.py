"""The wall clocks of nodes on one PostgreSQL jump: leases are judged by the database's clock and may not notice."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from tests.support.moments import moment
from tests.support.postgres import OwnServer
from tests.system.clock_steps import ALL_STEPS, HOLD_SECONDS, WallClock, add_probes
from tests.system.cluster import Cluster, Place, until
from tests.system.cluster_faults import first_call_accepted
from tests.system.cluster_ledger import Accounts
from tests.system.cluster_modes import play_rounds
from tests.system.cluster_report import Statistics
from tests.system.cluster_rounds import Field, RoundPlan
from tests.system.fault_mode import Mode, OnFault
from tests.system.history import ALWAYS

REST_LIMIT = 30.0


@dataclass(slots=True)
class ClockSteps:
    """One node's clock is stepped, by all steps in turn, and a while later back to the right time."""

    name: ClassVar[str] = "clock step"
    settings: ClassVar[Mapping[str, str]] = {}
    clocks: dict[str, WallClock] = field(default_factory=dict)
    _is_ready: bool = False

    def prepare(self, cluster: Cluster) -> None:
        """Give each node a clock of its own; called before they start."""
        for place in cluster.places:
            self.clocks[place.name] = WallClock(cluster.folder / f"clock-{place.name}")
            place.program.environment |= self.clocks[place.name].environment

    async def strike(self, there: Field, number: int) -> None:
        places = there.cluster.places
        if not self._is_ready:
            await _add_probes(places)
            self._is_ready = True
        place, step = places[number % len(places)], ALL_STEPS[(number - 1) % len(ALL_STEPS)]
        before = asyncio.create_task(_rest(place))
        await asyncio.sleep(there.chance.uniform(0.1, 0.5))
        await self._set_off(there, place, step)
        there.measure(f"wait begun after {step:+g} s", await _rest(place))
        await asyncio.sleep(HOLD_SECONDS)
        await self._set_off(there, place, 0.0)
        there.measure("wait begun after the step back to the right time", await _rest(place))
        there.measure(f"wait begun before {step:+g} s", await before)

    def measure_later(self, there: Field, accounts: Accounts) -> None:
        """No node may have been taken for dead."""
        removed = [epoch.node for epoch in accounts.history.epochs.values() if epoch.end < ALWAYS]
        there.not_recovered.extend(f"{node} was taken for dead" for node in removed)

    async def _set_off(self, there: Field, place: Place, seconds: float) -> None:
        await asyncio.to_thread(self.clocks[place.name].set_off, seconds)
        await first_call_accepted(there, place.name, moment())
        limited = await asyncio.to_thread(place.program.call, "limited", {})
        if limited.status == 429:  # calls of a moment ago may fill the limit; an hour's refusal does not pass so soon
            await asyncio.sleep(HOLD_SECONDS)
            limited = await asyncio.to_thread(place.program.call, "limited", {})
        if limited.status != 202:
            there.not_recovered.append(f"a call far below the limit was answered {limited.status}, {seconds:+g} s off")


async def _add_probes(places: list[Place]) -> None:
    await asyncio.to_thread(add_probes, places[0].program)
    for place in places:

        async def knows(place: Place = place) -> bool:
            return (await asyncio.to_thread(place.program.call, "limited", {})).status != 404

        await until(knows, 20.0, f"{place.name} knows the probes")


async def _rest(place: Place) -> float:
    """How long a rest of a second lasts that is begun at a node, whoever ends it."""
    accepted = await asyncio.to_thread(place.program.call, "resting", {})
    began = time.monotonic()
    path = f"/status/{accepted.document['id']}"

    async def is_over() -> bool:
        status = await asyncio.to_thread(place.program.ask, "GET", path)
        return bool(status.document["status"] == "succeeded")

    await until(is_over, REST_LIMIT, f"a rest of a second at {place.name} ends")
    return time.monotonic() - began


async def measure(folder: Path, options: argparse.Namespace, on_fault: OnFault) -> Statistics:
    """The long form: rounds of steps on a server of its own."""
    server = OwnServer(durable=True)
    faults: list[ClockSteps] = []

    def make(_server: OwnServer) -> ClockSteps:
        faults.append(ClockSteps())
        return faults[-1]

    def shape(plan: RoundPlan) -> RoundPlan:
        return replace(plan, prepare=faults[-1].prepare)

    try:
        return await play_rounds(folder, options, on_fault, server, make, shape)
    finally:
        server.remove()


MODES = (Mode("--node-clock-steps", "step the wall clock of one node after the other, there and back", measure),)
