"""How many runs of each integration this node may have in work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from crossdock.catalog import Catalog
from crossdock.model.epoch import Epoch, Stance
from crossdock.model.errors import CrossdockError
from crossdock.model.shares import Shares
from crossdock.observe import WORKFLOW_UNUSABLE, emit
from crossdock.run.workflows import Workflows

PURE_CONCURRENCY = 512
"""A workflow without side effects occupies nobody but this process: its integration's limit does not apply."""


class Limits:
    """Asked before each start. `track` keeps the tasks that compile workflows until they end."""

    def __init__(
        self, catalog: Catalog, workflows: Workflows, epoch: Epoch, track: Callable[[asyncio.Future[Any]], None]
    ) -> None:
        self._catalog = catalog
        self._workflows = workflows
        self._epoch = epoch
        self._shares = Shares(epoch)
        self._was_barred = False
        """Something was not begun because this node could not act."""
        self._track = track
        self._learning: set[tuple[str, int]] = set()
        self._changes_seen = 0

    def of(self, integration_id: str) -> int:
        """This node's share of the integration's limit; 0 when others have all of it, or this node can't read it."""
        if self.is_unreadable(integration_id):
            return 0
        if not self._epoch.may_act():
            self._was_barred = True
        limit = self._shared(integration_id)
        return PURE_CONCURRENCY if limit is None else self._shares.share(integration_id, limit)

    def is_unreadable(self, integration_id: str) -> bool:
        """Whether the integration is there, but not as this node could use it: its runs are left to others."""
        return integration_id in self._catalog.snapshot.broken

    def stance(self, in_work: Mapping[str, int], *, has_stopped: bool) -> Stance:
        """What other nodes have to know of what is in work here, as a heartbeat begins."""
        return self._shares.stance(in_work, self._shared, has_stopped)

    def have_changed(self) -> bool:
        """Whether shares may be other ones than when this was last asked."""
        self._shares.look()
        before, self._changes_seen = self._changes_seen, self._shares.changes
        may_act_again = self._was_barred and self._epoch.may_act()
        self._was_barred = self._was_barred and not may_act_again
        return may_act_again or before != self._changes_seen

    def _shared(self, integration_id: str) -> int | None:
        """The limit that all nodes have in common; None where each has its own."""
        live = self._catalog.snapshot.by_id.get(integration_id)
        if live is None:
            return None
        workflow = self._workflows.known(integration_id, live.integration.workflow_number)
        if workflow is None:
            self._learn(integration_id, live.integration.workflow_number)
        return None if workflow and workflow.is_quick else live.integration.trigger.concurrency

    def _learn(self, integration_id: str, number: int) -> None:
        """Compile a published workflow before its first run asks for it: whether it is pure decides its limit."""
        if (integration_id, number) not in self._learning:
            self._learning.add((integration_id, number))
            self._track(asyncio.get_running_loop().create_task(self._compile(integration_id, number)))

    async def _compile(self, integration_id: str, number: int) -> None:
        try:
            await self._workflows.get(integration_id, number)
        except (LookupError, CrossdockError) as error:
            emit(WORKFLOW_UNUSABLE, integration=integration_id, number=number, reason=str(error))
