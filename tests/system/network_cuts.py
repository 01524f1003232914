"""The network between a node and its database fails, in all the ways that networks do.

Each node reaches the database through a proxy of its own. A node that is cut off can't know whether the database has
gone or itself is alone: it refuses calls, starts nothing any more before its leases end, and comes back by itself.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, TypeAlias
from urllib.parse import urlsplit

import aiohttp

from tests.support.moments import moment
from tests.support.postgres import ForeignServer, OwnServer
from tests.system.cluster import Cluster, Place
from tests.system.cluster_faults import TakeOver, first_call_accepted, first_work_of_next_epoch
from tests.system.cluster_ledger import Accounts
from tests.system.cluster_modes import play_rounds
from tests.system.cluster_report import Statistics
from tests.system.cluster_rounds import Field, RoundPlan
from tests.system.fault_mode import Mode, OnFault
from tests.system.proxy import GOOD, Conditions, Flow, Proxy

LONGEST_WAIT = 15.0
"""Seconds after which a caller of a node that is cut off has to have an answer."""
PATIENCE = aiohttp.ClientTimeout(total=60)
PROBES = 2
PROBE_PAUSE = 0.2
BAD_SECONDS = 3.0
SLOW = Conditions(latency_seconds=0.03, jitter_seconds=0.05)
LOSSY = Conditions(loss=0.05, resend_seconds=0.2)


def through(proxies: Sequence[Proxy], number: int, url: str) -> str:
    """The way to the database that leads through the proxy of a node."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}@127.0.0.1:{proxies[number].port}").geturl()


@asynccontextmanager
async def proxies_to(server: ForeignServer, count: int) -> AsyncIterator[list[Proxy]]:
    """So many ways to the server."""
    parts = urlsplit(server.url("postgres"))
    proxies = [Proxy(parts.hostname or "127.0.0.1", parts.port or 5432, seed=number) for number in range(count)]
    for proxy in proxies:
        await proxy.start()
    try:
        yield proxies
    finally:
        for proxy in proxies:
            await proxy.stop()


@dataclass(slots=True)
class NetworkCuts:
    """The ways to fail take turns, and so do the nodes."""

    name: ClassVar[str] = "network cut"
    settings: ClassVar[Mapping[str, str]] = {}
    proxies: Sequence[Proxy]
    kinds: Sequence[str] = ()
    """Names of KINDS; none stands for all."""
    take_over: TakeOver = field(default_factory=TakeOver)
    _healed: list[tuple[str, int]] = field(default_factory=list)

    async def strike(self, there: Field, number: int) -> None:
        kinds = self.kinds or list(KINDS)
        kind = kinds[(number - 1) % len(kinds)]
        place = (number + (number - 1) // len(kinds)) % len(there.cluster.places)
        await asyncio.sleep(there.chance.uniform(0.1, 1.0))
        there.counts[kind] += 1
        try:
            await KINDS[kind](self, there, place)
        finally:
            for proxy in self.proxies:
                await proxy.heal()

    def measure_later(self, there: Field, accounts: Accounts) -> None:
        self.take_over.measure_later(there, accounts)
        for place, healed in self._healed:
            first = first_work_of_next_epoch(place, healed, accounts.history)
            if first is not None:
                there.measure("back at work", (first - healed) / 1e6)

    async def isolate(self, there: Field, number: int, flow: Flow) -> None:
        """Cut one node off until others have its work, and a little longer."""
        place = there.cluster.places[number]
        node = (await there.cluster.nodes_at(place))[-1]
        async with asking(there, place):
            await self.proxies[number].set(Conditions(flow))
            await self.take_over.lost(there, node)
            await asyncio.sleep(there.chance.uniform(0.0, 6.0))
            await self.proxies[number].heal()
            healed = moment()  # not later: whoever still asks is waited for
        self._healed.append((place.name, healed))
        await first_call_accepted(there, place.name, healed)

    async def isolate_all(self, there: Field, _number: int) -> None:
        """Cut all nodes off for a moment: nobody may take what is another's for it."""
        for proxy in self.proxies:
            await proxy.set(Conditions(Flow.CUT_OFF))
        await asyncio.sleep(there.chance.uniform(1.0, 8.0))
        for proxy in self.proxies:
            await proxy.heal()
        healed = moment()
        removed = len(await _removed(there.cluster))
        for place in there.cluster.places:
            await first_call_accepted(there, place.name, healed)
        there.counts["buried after all were cut off"] += len(await _removed(there.cluster)) - removed

    async def swallow_answers(self, there: Field, number: int) -> None:
        """Commits land, and the node does not hear of it."""
        proxy, place = self.proxies[number], there.cluster.places[number]
        before, count = proxy.commits_cut, there.chance.randint(1, 3)
        proxy.cut_commits(count)
        async with asyncio.timeout(20):
            while proxy.commits_cut < before + count:  # noqa: ASYNC110 - another program makes them
                await asyncio.sleep(0.01)
        there.counts["commits without an answer"] += count
        await first_call_accepted(there, place.name, moment())

    async def worsen(self, there: Field, number: int, conditions: Conditions) -> None:
        """A bad network for a while: slower, and nothing else."""
        place = there.cluster.places[number]
        async with asking(there, place):
            await self.proxies[number].set(conditions)
            await asyncio.sleep(BAD_SECONDS)
            await self.proxies[number].set(GOOD)
        await first_call_accepted(there, place.name, moment())


async def _removed(cluster: Cluster) -> list[tuple[object, ...]]:
    return await cluster.look("SELECT key FROM witness.change WHERE \"table\" = 'node' AND state = 'removed'")


# --- callers that wait ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def asking(there: Field, place: Place) -> AsyncIterator[None]:
    """Callers of one node that wait for their answers however long it takes, and measure that."""
    ended = asyncio.Event()
    async with aiohttp.ClientSession(timeout=PATIENCE) as session, asyncio.TaskGroup() as tasks:
        for number in range(PROBES):
            tasks.create_task(_ask(there, session, place, ended, number))
        try:
            yield
        finally:
            ended.set()


async def _ask(there: Field, session: aiohttp.ClientSession, place: Place, ended: asyncio.Event, caller: int) -> None:
    number = 0
    while not ended.is_set():
        number += 1
        asked = moment()
        status = 0
        try:
            body = {"lane": f"probe-{place.name}-{caller}", "number": number}
            async with session.post(f"{place.url}/hooks/default/free", json=body) as answer:
                status = answer.status
                if status == 202:
                    there.promises.accept((await answer.json())["id"])
                elif status == 503 and "Retry-After" not in answer.headers:
                    there.promises.hasty.append(f"probe of {place.name}")
        except (aiohttp.ClientError, TimeoutError):
            there.promises.unclear += 1
        note_wait(there, place.name, status, (moment() - asked) / 1e6)
        await asyncio.sleep(PROBE_PAUSE)


def note_wait(there: Field, place: str, status: int, seconds: float) -> None:
    """Keep how long a caller waited; too long is a failure whatever the answer was."""
    told = {202: "wait until accepted", 503: "wait until refused", 0: "wait without an answer"}
    there.measure(told.get(status, f"wait until {status}"), seconds)
    if seconds > LONGEST_WAIT:
        there.not_recovered.append(f"a caller of {place} waited {seconds:.1f} s for {status or 'nothing'}")


Kind: TypeAlias = Callable[[NetworkCuts, Field, int], Awaitable[None]]

KINDS: dict[str, Kind] = {
    "cut off": lambda cuts, there, number: cuts.isolate(there, number, Flow.CUT_OFF),
    "refused": lambda cuts, there, number: cuts.isolate(there, number, Flow.REFUSING),
    "answers lost after commit": lambda cuts, there, number: cuts.swallow_answers(there, number),
    "no way back": lambda cuts, there, number: cuts.isolate(there, number, Flow.NO_WAY_BACK),
    "slow": lambda cuts, there, number: cuts.worsen(there, number, SLOW),
    "no way there": lambda cuts, there, number: cuts.isolate(there, number, Flow.NO_WAY_THERE),
    "lossy": lambda cuts, there, number: cuts.worsen(there, number, LOSSY),
    "all cut off": lambda cuts, there, number: cuts.isolate_all(there, number),
}


async def measure(folder: Path, options: argparse.Namespace, on_fault: OnFault) -> Statistics:
    """The long form: rounds of cuts on a server of its own."""
    server = OwnServer(durable=True)
    try:
        async with proxies_to(server, max(3, options.nodes)) as proxies:

            def shape(plan: RoundPlan) -> RoundPlan:
                return replace(plan, route=lambda number, url: through(proxies, number, url))

            return await play_rounds(folder, options, on_fault, server, lambda _server: NetworkCuts(proxies), shape)
    finally:
        server.remove()


MODES = (Mode("--network-cuts", "cut nodes off from their database, in all the ways that networks fail", measure),)
