"""Health: what came of runs and replies is taken in soon after they ended, and time is looked at every few seconds.

A node that ends runs or replies wakes itself in memory, and all that end within a moment cost one look together. What
others left behind, because they died or had other things to do, is found by looking from time to time. Who looks first
takes it in: the store sees to it that nothing counts twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import TypeVar

from crossdock import observe
from crossdock.catalog import Catalog, Snapshot
from crossdock.clock import Clock, new_id
from crossdock.model.errors import StoreUnavailable
from crossdock.model.health import Facts, HealthChange, Watched, watched
from crossdock.model.notification import TROUBLE
from crossdock.observe import Observe
from crossdock.store import Store
from crossdock.store.health import Evaluated, Means, evaluate
from crossdock.store.health_look import changed_by_time, health_in_numbers
from crossdock.store.outcomes import integrations_with_outcomes
from crossdock.store.telling import release_held

T = TypeVar("T")

TOGETHER_SECONDS = 0.1
"""What ends within this time is looked at together."""
RESTING_SHARE = 4
"""How many times as long as it took is rested after a look: the writer is there for the runs."""
LONGEST_REST_SECONDS = 1.0
EVALUATED_AT_ONCE = 50
"""Integrations that are judged in one transaction."""
LOOKED_AT_ONCE = 250
"""Integrations that time is looked at for in one read."""
RELEASED_AT_ONCE = 200


class HealthWatch:
    """`wake_senders` is called when notifications wait to be sent. Everything is for the event loop."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        metrics: Observe,
        wake_senders: Callable[[], None],
        *,
        clock: Clock,
        damping_seconds: float,
        poll_seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`poll_seconds` says how often to ask for what others left behind, when nothing has ended here."""
        self._store = store
        self._catalog = catalog
        self._metrics = metrics
        self._wake_senders = wake_senders
        self._clock = clock
        self._means = Means(new_id, damping_seconds)
        self.bell = asyncio.Event()
        """An alarm that is set when a run or a reply has ended here."""
        self._poll_seconds = poll_seconds
        self._has_ended = False
        self._look_at = float("-inf")
        self._snapshot: Snapshot | None = None
        self._watched: Mapping[str, Watched] = {}
        self._changed: set[str] = set()
        """Integrations whose settings have changed since they were judged."""
        self._refused: set[str] = set()
        """Integrations that can't be judged."""

    def something_ended(self) -> None:
        """A run or a reply has ended here."""
        self._has_ended = True
        self.bell.set()

    # --- what ended ------------------------------------------------------------------------------------------------

    async def take_in(self) -> None:
        """Judge the integrations for which something waits to be taken in, or whose settings have changed."""
        await asyncio.sleep(TOGETHER_SECONDS)
        began = monotonic()
        self._read_settings()
        if not (self._has_ended or self._changed or began >= self._look_at):
            return
        self._has_ended, self._look_at = False, began + self._poll_seconds()
        waiting = await self._store.read(integrations_with_outcomes)
        changed = set(self._changed)
        some = [self._watched[name] for name in sorted({*waiting, *changed}) if name in self._watched]
        passed_over = await self._judge(some, {})
        self._changed -= changed - passed_over
        if some:
            await asyncio.sleep(min(LONGEST_REST_SECONDS, RESTING_SHARE * (monotonic() - began)))

    def _read_settings(self) -> None:
        """Notice integrations that were switched on or off, and rules that were changed."""
        snapshot = self._catalog.snapshot
        if snapshot is self._snapshot:
            return
        before, self._watched = self._watched, {i: watched(live.integration) for i, live in snapshot.by_id.items()}
        if self._snapshot is not None:
            self._changed |= {name for name, one in self._watched.items() if before.get(name) != one}
        self._snapshot = snapshot

    # --- what time does --------------------------------------------------------------------------------------------

    async def look_at_time(self) -> None:
        """Judge the integrations for which time has changed something."""
        self._read_settings()
        for some in _slices(list(self._watched.values()), LOOKED_AT_ONCE):
            began = monotonic()
            changed = await self._store.read(changed_by_time, some, self._clock())
            await self._judge([one for one in some if one.integration_id in changed], changed)
            await asyncio.sleep(monotonic() - began)

    async def release(self) -> None:
        """Tell what was held until now."""
        damping, most = self._means.damping, RELEASED_AT_ONCE
        while True:
            deliveries = await self._store.write(
                release_held, self._clock(), damping=damping, new_id=new_id, limit=most
            )
            if deliveries:
                self._wake_senders()
            if deliveries < most:
                return

    # --- judging ---------------------------------------------------------------------------------------------------

    async def _judge(self, integrations: Sequence[Watched], facts: Mapping[str, Facts]) -> set[str]:
        """Judge integrations, some in each transaction; those that have to be judged later."""
        passed_over: set[str] = set()
        for some in _slices(integrations, EVALUATED_AT_ONCE):
            has_more = True
            while has_more:
                done = await self._judge_some(some, facts)
                passed_over |= done.passed_over
                has_more = done.has_more
        return passed_over

    async def _judge_some(self, some: Sequence[Watched], facts: Mapping[str, Facts]) -> Evaluated:
        """All in one transaction; where that is refused, each by itself: one must not hold up the others."""
        try:
            done = await self._store.write(evaluate, some, facts, self._clock(), self._means)
        except StoreUnavailable:
            raise
        except Exception as error:
            if len(some) == 1:
                self._refuse(some[0].integration_id, error)
                return Evaluated()
        else:
            self._recorded(done)
            self._refused.difference_update(one.integration_id for one in some)
            return done
        each = [await self._judge_some([one], facts) for one in some]
        return Evaluated(
            passed_over=frozenset().union(*(one.passed_over for one in each)),
            has_more=any(one.has_more for one in each),
        )

    def _refuse(self, integration_id: str, error: Exception) -> None:
        """It is tried again with every look, and told once."""
        if integration_id not in self._refused:
            self._refused.add(integration_id)
            observe.emit(observe.HEALTH_REFUSED, error=error, integration=integration_id)

    def _recorded(self, done: Evaluated) -> None:
        for change in done.changes:
            self._tell(change)
        if done.deliveries:
            self._wake_senders()

    def _tell(self, change: HealthChange) -> None:
        self._metrics.health_changed(change.integration_id, change.status.value)
        event = observe.HEALTH_TROUBLED if change.status in TROUBLE else observe.HEALTH_CHANGED
        observe.emit(
            event,
            integration=change.integration_id,
            state=change.status.value,
            before=change.previous_status.value,
            issues=[issue.message for issue in change.issues],
        )

    # --- for metrics -----------------------------------------------------------------------------------------------

    async def measure(self) -> None:
        """Look at the states of all integrations."""
        states, issues = await self._store.read(health_in_numbers)
        self._metrics.set_health({name: status.value for name, status in states.items()}, issues)


def _slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
