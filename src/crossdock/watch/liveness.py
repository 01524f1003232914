"""This node's heartbeat, the epochs it goes through, and taking over what dead nodes held."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from crossdock import __version__, observe
from crossdock.clock import Sources, new_id, new_token
from crossdock.model.epoch import Member, Witness
from crossdock.model.errors import Misconfigured, StoreUnavailable
from crossdock.model.node_state import judge_node
from crossdock.model.time import SECOND, Instant, seconds_between
from crossdock.observe import Observe
from crossdock.store import Store
from crossdock.store.bulk_jobs import free_jobs
from crossdock.store.claims import Rescued, free_lanes_of, held_lanes, held_runs, rescue_run, rescue_runs
from crossdock.store.deliveries import held_deliveries, rescue_deliveries
from crossdock.store.nodes import (
    Condition,
    NodeRow,
    announce_leaving,
    beat,
    bury,
    list_nodes,
    read_stance,
    register_node,
    remove_node,
    unregistered_holders,
)

SWEEP_SECONDS = 10.0
"""How often to look for leases of nodes that nobody knows any more: a rescue that was interrupted leaves such."""


class Followers(Protocol):
    """Who has to hear of deaths: of others', whose work is free now, and of this node's own."""

    async def rescued(self, rescued: Rescued) -> None:
        """Runs were taken back from dead nodes."""

    async def abandon(self) -> None:
        """This node was taken for dead: drop everything that is worked on, others do it now."""


class Liveness:
    """One row in `node`, kept alive. `monotonic` counts seconds, those of a suspended machine too."""

    def __init__(
        self,
        store: Store,
        observe_metrics: Observe,
        followers: Followers,
        *,
        sources: Sources,
        monotonic: Callable[[], float],
        ttl_seconds: float,
        heartbeat_seconds: float,
        roles: str = "",
        address: str = "",
        condition: Callable[[], Condition] = Condition,
    ) -> None:
        """`condition` says what is to be told of this node with the heartbeat that begins."""
        self._store = store
        self._observe = observe_metrics
        self._followers = followers
        self._sources = sources
        self._epoch = sources.epoch
        self._monotonic = monotonic
        self._ttl = ttl_seconds
        self._witness = Witness(ttl_seconds, heartbeat_seconds)
        self._roles = roles
        self._address = address
        self._condition = condition
        self._dead: dict[str, Instant] = {}
        """Nodes whose heartbeat stands still, with that heartbeat."""
        self._sweep_at = float("-inf")

    async def register(self) -> None:
        """Make this node known."""
        started, now = self._monotonic(), self._sources.now()
        row = NodeRow(
            id=self._epoch.node_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            started_at=now,
            heartbeat_at=now,
            roles=self._roles,
            address=self._address,
            lease_seconds=self._ttl,
        )
        await self._store.write(register_node, row)
        self._epoch.confirm(started, self._ttl)
        # Read after the commit: of two nodes that come at the same time, the later one sees the other.
        self._epoch.members = tuple(_member(row) for row in await self._store.read(list_nodes))

    async def check_keys(self, key_ids: Collection[str]) -> None:
        """Misconfigured when a living node has none of these master keys: neither could read what the other seals."""
        rows = await self._store.read(list_nodes)
        now = next(row.heartbeat_at for row in rows if row.id == self._epoch.node_id)  # by the database's clock
        for row in rows:
            theirs = set(filter(None, row.key_ids.split(",")))
            is_living = seconds_between(row.heartbeat_at, now) < max(row.lease_seconds, self._ttl)
            if is_living and theirs and theirs.isdisjoint(key_ids):
                raise Misconfigured(
                    f"the node at {row.address or row.host} has another master key than this one "
                    f"({', '.join(sorted(theirs))} there, {', '.join(sorted(key_ids))} here): "
                    "give every node the same, by CROSSDOCK_MASTER_KEY_FILE or as master.key in its data folder"
                )

    async def beat(self) -> None:
        """Say that this node lives, and look who else does."""
        started, condition = self._monotonic(), self._condition()
        try:
            pulse = await self._store.write_apart(beat, self._epoch.node_id, self._sources.now(), condition)
        except StoreUnavailable as error:
            self._observe.heartbeat_failed()
            seconds_left = self._epoch.seconds_left
            observe.emit(observe.HEARTBEAT_FAILED, reason=str(error), seconds_left=seconds_left)
            return
        self._observe.heartbeat(self._monotonic() - started)
        if not pulse.is_known:
            await self._begin_anew()
            return
        self._epoch.confirm(started, self._ttl)
        self._epoch.members = tuple(_member(row) for row in pulse.nodes)
        heartbeats = {row.id: row.heartbeat_at for row in pulse.nodes if row.id != self._epoch.node_id}
        leases = {row.id: row.lease_seconds for row in pulse.nodes}
        for node_id in self._witness.look(heartbeats, self._monotonic(), leases):
            self._dead[node_id] = heartbeats[node_id]
        self._count_nodes(pulse.nodes)

    def _count_nodes(self, nodes: Sequence[NodeRow]) -> None:
        """Ages are those of the database's clock, which this heartbeat has just told."""
        own = next(row for row in nodes if row.id == self._epoch.node_id)
        states: Counter[tuple[str, str]] = Counter()
        for row in nodes:
            age = seconds_between(row.heartbeat_at, own.heartbeat_at)
            state = judge_node(age, self._ttl, is_leaving=row.is_leaving)
            states.update((role, state.value) for role in _roles(row))
        self._observe.set_nodes(states, own.clock_skew / SECOND)

    async def _begin_anew(self) -> None:
        """Others have taken this node for dead, and what it held with it: a new epoch begins, with empty hands."""
        observe.emit(observe.NODE_FENCED, node=self._epoch.node_id)
        self._observe.fenced()
        await self._followers.abandon()
        self._epoch.renew(new_id("node"))
        await self.register()

    # --- others' ---------------------------------------------------------------------------------------------------

    async def rescue(self) -> None:
        """Take back what dead nodes held. What an interrupted rescue left behind is found again by its holder."""
        dead: set[str] = set()
        if self._dead or self._store.dialect == "sqlite":
            silent, self._dead = self._dead, {}
            dead.update(await self._store.write(bury, self._epoch.node_id, silent))
            self._observe.nodes_buried(len(dead))
        if dead or self._monotonic() >= self._sweep_at:
            self._sweep_at = self._monotonic() + SWEEP_SECONDS
            dead.update(await self._store.read(unregistered_holders))
        if dead:
            await self._take_back(sorted(dead))

    async def _take_back(self, dead: list[str]) -> None:
        now, node_id = self._sources.now(), self._epoch.node_id
        rescued = await self._take_back_runs(dead, node_id, now)
        deliveries = await self._together("delivery", dead, rescue_deliveries, held_deliveries, now)
        await self._store.write(free_jobs, dead)
        if rescued.queued or rescued.lost or deliveries:
            self._observe.runs_rescued(rescued.queued + len(rescued.lost))
            self._observe.deliveries_rescued(deliveries)
            observe.emit(
                observe.RUNS_TAKEN_OVER,
                nodes=dead,
                runs=rescued.queued,
                lost_too_often=len(rescued.lost),
                deliveries=deliveries,
            )
        await self._followers.rescued(rescued)

    async def _take_back_runs(self, dead: list[str], node_id: str, now: Instant) -> Rescued:
        """All runs and lanes in one change; where the database refuses that, each by itself."""
        try:
            return await self._store.write(rescue_runs, dead, node_id, now, new_token())
        except StoreUnavailable:
            raise
        except Exception as error:
            observe.emit(observe.RESCUE_STUMBLED, error=error, nodes=dead)
        await self._together("lane", dead, free_lanes_of, held_lanes)
        rescued: list[Rescued] = []

        async def take(event_id: str) -> None:
            rescued.append(await self._store.write(rescue_run, event_id, dead, node_id, now, new_token()))

        for event_id in await self._store.read(held_runs, dead):
            await self._alone("run", event_id, take)
        return Rescued(sum(one.queued for one in rescued), tuple(run for one in rescued for run in one.lost))

    async def _together(
        self,
        kind: str,
        dead: list[str],
        take: Callable[..., int],
        held: Callable[..., list[str]],
        *arguments: Instant,
    ) -> int:
        """Take everything of a kind back at once, or one by one: a bad row must not hold up the others. How many."""
        try:
            return await self._store.write(take, dead, *arguments)
        except StoreUnavailable:
            raise
        except Exception as error:
            observe.emit(observe.RESCUE_STUMBLED, error=error, nodes=dead)
        taken = 0

        async def take_one(name: str) -> None:
            nonlocal taken
            taken += await self._store.write(take, dead, *arguments, only=name)

        for name in await self._store.read(held, dead):
            await self._alone(kind, name, take_one)
        return taken

    async def _alone(self, kind: str, name: str, take: Callable[[str], Awaitable[None]]) -> None:
        try:
            await take(name)
        except StoreUnavailable:
            raise
        except Exception as error:
            observe.emit(observe.RESCUE_REFUSED, error=error, kind=kind, id=name)

    # --- the end ---------------------------------------------------------------------------------------------------

    async def announce_leaving(self) -> None:
        """This node takes nothing more: the others need not count on it."""
        await self._store.write_apart(announce_leaving, self._epoch.node_id)

    async def leave(self) -> None:
        """This node stops in order: it holds nothing any more."""
        await self._store.write(remove_node, self._epoch.node_id)


def _member(row: NodeRow) -> Member:
    return Member(row.id, _roles(row), row.is_leaving, read_stance(row.stance))


def _roles(row: NodeRow) -> frozenset[str]:
    return frozenset(filter(None, row.roles.split(",")))
