"""What may happen to nodes and to their database, once each: what is done, and how the way back is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from tests.support.moments import moment
from tests.support.postgres import OwnServer
from tests.system.cluster import Place, until
from tests.system.cluster_ledger import Accounts, Freeze
from tests.system.cluster_rounds import Field
from tests.system.history import History

TAKE_OVER_LIMIT = 40.0
"""Seconds after which a fault counts as not recovered from; goals are stricter, and judged by the figures."""
RETURN_LIMIT = 60.0


@dataclass(frozen=True, slots=True)
class Loss:
    """At `at` a node was lost; others have to take over what it held."""

    node: str
    at: int


class TakeOver:
    """How long it takes until others go on with the work of a lost node."""

    def __init__(self) -> None:
        self._losses: list[Loss] = []

    async def lost(self, there: Field, node: str) -> None:
        """Note the loss and wait until the node holds nothing any more."""
        self._losses.append(Loss(node, moment()))
        there.expected_ends += 1

        async def is_free() -> bool:
            return await there.cluster.work_of(node) == 0

        await until(is_free, TAKE_OVER_LIMIT, f"others take over from {node}")

    def measure_later(self, there: Field, accounts: Accounts) -> None:
        for loss in self._losses:
            continued = continued_after(loss, accounts.history)
            if continued:
                there.measure("take-over", (min(continued) - loss.at) / 1e6)
                there.measure("take-over, last run", (max(continued) - loss.at) / 1e6)


def continued_after(loss: Loss, history: History) -> list[int]:
    """When others went on with each run and lane that the node held when it was lost; lanes with work only."""
    moments = []
    for holds in [*history.holds.values(), *history.lane_holds.values()]:
        held = [
            place for place, hold in enumerate(holds) if hold.node == loss.node and hold.start <= loss.at < hold.end
        ]
        later = [hold.start for hold in holds[held[0] + 1 :] if hold.node != loss.node] if held else []
        moments += later[:1]
    return moments


# --- nodes -----------------------------------------------------------------------------------------------------------


class Kills:
    """kill -9 one node after the other; it is started again once others have its work, or now and then at once."""

    name: ClassVar[str] = "kill"
    settings: ClassVar[Mapping[str, str]] = {}
    HASTY = 0.2
    """Share of kills after which the node is started again without waiting for the take-over."""

    def __init__(self) -> None:
        self._take_over = TakeOver()

    async def strike(self, there: Field, number: int) -> None:
        places = there.cluster.places
        place = places[number % len(places)]
        await asyncio.sleep(there.chance.uniform(0.1, 1.0))
        node = (await there.cluster.nodes_at(place))[-1]
        await asyncio.to_thread(place.kill)
        if there.chance.random() < self.HASTY:
            started = asyncio.create_task(asyncio.to_thread(place.start))
            await self._take_over.lost(there, node)
            await started
        else:
            await self._take_over.lost(there, node)
            await asyncio.to_thread(place.start)

    def measure_later(self, there: Field, accounts: Accounts) -> None:
        self._take_over.measure_later(there, accounts)


class Zombies:
    """Freeze a node until others have its work, then let it go on as if nothing had been."""

    name: ClassVar[str] = "zombie"
    settings: ClassVar[Mapping[str, str]] = {"threads": "1"}
    """Steps queue for the thread, so that a node is frozen with some that are decided on and not begun."""

    def __init__(self) -> None:
        self._take_over = TakeOver()
        self._thawed: list[tuple[str, int]] = []

    async def strike(self, there: Field, number: int) -> None:
        places = there.cluster.places
        place = places[number % len(places)]
        await asyncio.sleep(there.chance.uniform(0.1, 1.0))
        node = (await there.cluster.nodes_at(place))[-1]
        start = moment()
        place.freeze()
        try:
            await self._take_over.lost(there, node)
            await self._is_taken_for_dead(there, place, node)
            await asyncio.sleep(there.chance.uniform(0, 0.5))
        finally:
            there.freezes.append(Freeze(place.name, start, moment()))
            place.thaw()
        self._thawed.append((place.name, there.freezes[-1].end))
        await self._comes_back(there, place, node)

    async def _is_taken_for_dead(self, there: Field, place: Place, node: str) -> None:
        """One that held nothing when it was frozen has nothing to lose, and must be given up all the same."""

        async def is_gone() -> bool:
            return node not in await there.cluster.nodes_at(place)

        await until(is_gone, TAKE_OVER_LIMIT, f"others take {node} for dead")

    async def _comes_back(self, there: Field, place: Place, old: str) -> None:
        """It is to work again, under a new id: to take calls, and runs."""
        thawed = moment()

        async def works() -> bool:
            nodes = await there.cluster.nodes_at(place)
            if not nodes or nodes[-1] == old or there.promises.first_after(thawed, place.name) is None:
                return False
            query = """SELECT 1 FROM witness.change WHERE node = %s AND "table" = 'run' LIMIT 1"""
            return bool(await there.cluster.look(query, nodes[-1]))

        await until(works, RETURN_LIMIT, f"{place.name} works again after it was frozen")

    def measure_later(self, there: Field, accounts: Accounts) -> None:
        self._take_over.measure_later(there, accounts)
        for place, thawed in self._thawed:
            first = first_work_of_next_epoch(place, thawed, accounts.history)
            if first is None:
                there.not_recovered.append(f"{place} took no work after it had been frozen")
            else:
                there.measure("back at work", (first - thawed) / 1e6)


def first_work_of_next_epoch(place: str, at: int, history: History) -> int | None:
    """When a node that was registered at a place after `at` first held a run."""
    new = {epoch.node for epoch in history.epochs.values() if epoch.place == place and epoch.start >= at}
    starts = (hold.start for holds in history.holds.values() for hold in holds if hold.node in new)
    return min(starts, default=None)


# --- the database ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class DatabaseStops:
    """Stop PostgreSQL in immediate mode, as a lost machine would, and start it again; no node is started again."""

    name: ClassVar[str] = "database stop"
    settings: ClassVar[Mapping[str, str]] = {}
    server: OwnServer
    warm_seconds: float = 4.0
    window_seconds: float = 5.0
    settle_seconds: float = 10.0
    measure_every: int = 4
    """After every so many stops, wait and look how the throughput is, compared with that before the first stop."""
    _baseline: int = 0
    _windows: list[int] = field(default_factory=list)

    async def strike(self, there: Field, number: int) -> None:
        if not self._baseline:
            await asyncio.sleep(self.warm_seconds)
            self._baseline = await self._window()
        await asyncio.sleep(there.chance.uniform(0.2, 1.0))
        stopped = moment()
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(there.chance.uniform(0.2, 3.0))
        await asyncio.to_thread(self.server.start)
        back = moment()
        there.measure("database away", (back - stopped) / 1e6)
        for place in there.cluster.places:
            await first_call_accepted(there, place.name, back)
        if number % self.measure_every == 0:
            await asyncio.sleep(max(0.0, self.settle_seconds - (moment() - back) / 1e6))
            self._windows.append(await self._window())

    async def _window(self) -> int:
        """Leave the cluster alone for a while; when that began."""
        start = moment()
        await asyncio.sleep(self.window_seconds)
        return start

    def measure_later(self, there: Field, accounts: Accounts) -> None:
        accepted = [heard.at for heard in accounts.promises.acknowledged()]
        finished = [at for event, at in accounts.history.finished.items() if event in accounts.record.runs]
        for name, moments in (("accepted", accepted), ("finished", finished)):
            before = self._count(moments, self._baseline)
            there.measure(f"{name} a second before", before / self.window_seconds)
            for start in self._windows:
                there.measure(f"{name}, share of before", self._count(moments, start) / max(1, before))

    def _count(self, moments: list[int], start: int) -> int:
        return sum(1 for at in moments if start <= at < start + self.window_seconds * 1e6)


class Backends:
    """Have PostgreSQL end connections of nodes: some of one kind at a time, and now and then all of all kinds."""

    name: ClassVar[str] = "backend"
    settings: ClassVar[Mapping[str, str]] = {}
    ALL = 0.15

    async def strike(self, there: Field, number: int) -> None:
        await asyncio.sleep(there.chance.uniform(0.1, 0.6))
        kinds = await there.cluster.look(
            "SELECT usename, application_name, array_agg(pid) FROM pg_stat_activity "
            "WHERE usename LIKE 'node%%' AND datname = current_database() GROUP BY 1, 2 ORDER BY 1, 2"
        )
        everything = there.chance.random() < self.ALL
        hit = kinds if everything else [there.chance.choice(kinds)]
        struck = moment()
        for _, application, pids in hit:
            some = pids if everything else there.chance.sample(pids, there.chance.randint(1, len(pids)))
            await there.cluster.look("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", some)
            there.counts[f"ended {application}"] += len(some)
        for place in sorted({name for name, _, _ in hit}):
            await first_call_accepted(there, place, struck)

    def measure_later(self, there: Field, accounts: Accounts) -> None:
        """All figures were taken at once."""


async def first_call_accepted(there: Field, place: str, since: int) -> None:
    """Wait until a node acknowledges a call that was made after a moment, and measure how long that took."""

    async def does() -> bool:
        return there.promises.first_after(since, place) is not None

    await until(does, RETURN_LIMIT, f"{place} accepts calls again")
    first = there.promises.first_after(since, place)
    there.measure("first call accepted", ((first or since) - since) / 1e6)
