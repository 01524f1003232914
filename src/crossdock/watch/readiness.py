"""Whether this node can do its work now, and if not, why: for load balancers and for people."""

from __future__ import annotations

import asyncio

from crossdock.clock import Sources
from crossdock.model.errors import CrossdockError
from crossdock.server.app import Readiness
from crossdock.store import Store
from crossdock.store.nodes import list_nodes

ANSWER_SECONDS = 2.0
"""Whoever asks waits for less than the database may take."""

OK = "ok"


class ReadinessCheck:
    """Looks at the database, at this node's lease and at whether it stops."""

    def __init__(self, store: Store, sources: Sources) -> None:
        self._store = store
        self._epoch = sources.epoch
        self.is_leaving = False

    async def look(self) -> Readiness:
        checks = {"database": await self._database(), "lease": self._lease(), "process": self._process()}
        return Readiness(all(words == OK for words in checks.values()), checks)

    async def _database(self) -> str:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._store.read(list_nodes)
        except TimeoutError:
            return f"the database did not answer within {ANSWER_SECONDS:g} s"
        except CrossdockError as error:
            return str(error)
        return OK

    def _lease(self) -> str:
        if self._epoch.may_act():
            return OK
        return "no heartbeat has landed lately: nothing is begun before one does, because others may have taken over"

    def _process(self) -> str:
        return "it stops: it finishes what it has, and takes nothing more" if self.is_leaving else OK
