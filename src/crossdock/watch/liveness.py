"""This node's heartbeat, and taking over what dead nodes held."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable

from crossdock import __version__, observe
from crossdock.clock import Sources, new_token
from crossdock.model.errors import StoreUnavailable
from crossdock.observe import Observe
from crossdock.store import Store
from crossdock.store.bulk_jobs import free_jobs
from crossdock.store.claims import Rescued, rescue_runs
from crossdock.store.deliveries import rescue_deliveries
from crossdock.store.nodes import NodeRow, beat, bury_dead, register_node, remove_node, unregistered_holders


class Liveness:
    """One row in `node`, kept alive. `rescued` is told what was taken back."""

    def __init__(
        self,
        store: Store,
        observe_metrics: Observe,
        rescued: Callable[[Rescued], Awaitable[None]],
        *,
        sources: Sources,
        ttl_seconds: float,
    ) -> None:
        self._store = store
        self._observe = observe_metrics
        self._rescued = rescued
        self._sources = sources
        self._ttl = ttl_seconds
        self._alive_until = 0.0

    async def register(self) -> None:
        """Make this node known."""
        now = self._sources.now()
        row = NodeRow(self._sources.node_id, socket.gethostname(), os.getpid(), __version__, now, now)
        await self._store.write(register_node, row)
        self._alive_until = time.monotonic() + self._ttl

    def may_act(self) -> bool:
        """Whether this node's leases are certainly its own. Without a heartbeat it stops before they end."""
        return time.monotonic() < self._alive_until - self._ttl * 0.2

    async def beat(self) -> None:
        started = time.monotonic()
        try:
            known = await self._store.write(beat, self._sources.node_id, self._sources.now())
        except StoreUnavailable as error:
            observe.emit(observe.HEARTBEAT_FAILED, reason=str(error), seconds_left=self._alive_until - started)
            return
        if known:
            self._alive_until = started + self._ttl
        else:
            observe.emit(observe.NODE_FENCED, node=self._sources.node_id)
            await self.register()

    async def rescue(self) -> None:
        """Take back what dead nodes held. What an interrupted rescue left behind is found again by its holder."""
        now = self._sources.now()
        dead = await self._store.write(bury_dead, self._sources.node_id, now, self._ttl)
        dead = sorted({*dead, *await self._store.read(unregistered_holders)})
        if not dead:
            return
        rescued = await self._store.write(rescue_runs, dead, self._sources.node_id, now, new_token())
        deliveries = await self._store.write(rescue_deliveries, dead, now)
        await self._store.write(free_jobs, dead)
        if rescued.queued or rescued.lost or deliveries:
            self._observe.runs_rescued(rescued.queued + len(rescued.lost))
            observe.emit(
                observe.RUNS_TAKEN_OVER,
                nodes=dead,
                runs=rescued.queued,
                lost_too_often=len(rescued.lost),
                deliveries=deliveries,
            )
        await self._rescued(rescued)

    async def leave(self) -> None:
        """This node stops in order: it holds nothing any more."""
        await self._store.write(remove_node, self._sources.node_id)
