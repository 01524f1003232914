"""What the kinds of bulk jobs do to events: replaying, canceling, comparing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from crossdock import observe
from crossdock.catalog import Catalog
from crossdock.clock import Clock, new_id
from crossdock.event_keys import find_keys
from crossdock.manage.ports import Stages
from crossdock.model.bulk import BATCH_SECONDS, COMPARED, BulkItem, BulkOutcome, in_lane_order
from crossdock.model.errors import CrossdockError, Invalid, NotFound, StoreUnavailable
from crossdock.model.event import Event
from crossdock.model.outcome import Json
from crossdock.model.states import FINAL_RUN_STATES, RunState
from crossdock.model.verdict import CANCELED, Outcome
from crossdock.store import Store
from crossdock.store.accept import Accept
from crossdock.store.backlog import count_backlog
from crossdock.store.bulk_jobs import Batch, BulkJobRow, record_cancels, record_items, record_replays
from crossdock.store.event_bites import FoundEvent, read_events
from crossdock.watch.bulk import Reached

BACKLOG = 1_000
"""Runs of an integration that may wait; a bulk replay waits for them then."""
BATCH_BYTES = 4 * 1024 * 1024
"""Bodies that are held in memory at a time."""
COMPARISON_BYTES = 64 * 1024
"""Of a comparison, as JSON; of a larger one the verdict is kept."""

Compare: TypeAlias = Callable[[str, str, Json], Awaitable[Json]]
"""(workspace id, event id, {"integration_id", "document"}) -> {"verdict", "differences", ...}."""


class Replaying:
    """Hands events in again, each as a new one, never ahead of what is worked on."""

    def __init__(self, store: Store, catalog: Catalog, stages: Stages, *, clock: Clock, backlog_limit: int) -> None:
        self._store = store
        self._catalog = catalog
        self._stages = stages
        self._clock = clock
        self._backlog_limit = backlog_limit

    async def why_wait(self, found: Sequence[FoundEvent]) -> str | None:
        """Whether too many runs of an integration wait already."""
        ids = {event.integration_id for event in found}
        waiting = await self._store.read(count_backlog, ids, self._backlog_limit)
        full = [integration_id for integration_id, (count, _) in waiting.items() if count >= self._backlog_limit]
        if not full:
            return None
        live = self._catalog.snapshot.by_id.get(full[0])
        name = live.integration.name if live is not None else full[0]
        return f"{self._backlog_limit} runs or more of {name} wait; the job goes on when there are fewer"

    async def carry_out(self, job: BulkJobRow, found: Sequence[FoundEvent]) -> Reached:
        found = _up_to_bytes(found)
        events = await self._store.read(read_events, [event.id for event in found])
        replays: list[Accept] = []
        others: list[BulkItem] = []
        for event_id in in_lane_order([(e.id, e.lane_id, e.lane_sequence or 0) for e in found]):
            made = self._replay(job, event_id, events.get(event_id))
            replays.append(made) if isinstance(made, Accept) else others.append(made)
        answers = await self._store.write(record_replays, _batch(job, found), replays, others)
        if answers is None:
            return Reached(0, goes_on=False)
        self._wake(answer.lane.id if answer.lane else None for answer in answers)
        return Reached(len(found), goes_on=True)

    def _replay(self, job: BulkJobRow, event_id: str, old: Event | None) -> Accept | BulkItem:
        """The new event, or why there is none."""
        if old is None:
            return BulkItem(
                event_id, BulkOutcome.SKIPPED, {"reason": "its retention is over; it is not there any more"}
            )
        live = self._catalog.snapshot.by_id.get(old.integration_id)
        if live is None:
            reason = "its integration can't be used at the moment; see its health"
            return BulkItem(event_id, BulkOutcome.FAILED, {"reason": reason})
        if not live.integration.enabled:
            reason = f"the integration {live.integration.name} is disabled"
            return BulkItem(event_id, BulkOutcome.FAILED, {"reason": reason})
        # Never before the job itself, whose set of events ends there: a node's clock may be behind.
        now = max(self._clock(), job.created_at)
        event = Event(new_id("evt"), old.integration_id, now, old.request, replay_of=old.id, depth=old.depth)
        try:
            _, lane_key = find_keys(live, event)
        except Invalid as error:
            return BulkItem(event_id, BulkOutcome.FAILED, {"reason": str(error)})
        version = job.request["options"].get("workflow_version")
        return Accept(event, version or live.integration.workflow_number, lane_key=lane_key)

    def _wake(self, lanes: Iterable[str | None]) -> None:
        for lane_id in dict.fromkeys(lanes):
            self._stages.run_changed(lane_id)


class Canceling:
    """Stops the runs of events."""

    def __init__(self, store: Store, stages: Stages, *, clock: Clock) -> None:
        self._store = store
        self._stages = stages
        self._clock = clock

    async def why_wait(self, found: Sequence[FoundEvent]) -> str | None:
        return None

    async def carry_out(self, job: BulkJobRow, found: Sequence[FoundEvent]) -> Reached:
        stopped = await self._store.write(record_cancels, _batch(job, found), found, self._clock())
        if stopped is None:
            return Reached(0, goes_on=False)
        for event in stopped.ended:
            self._stages.announce(Outcome(event.id, None, CANCELED))
        for event in stopped.asked:
            self._stages.cancel_requested(event.id)
        for lane_id in dict.fromkeys(event.lane_id for event in (*stopped.ended, *stopped.asked)):
            self._stages.run_changed(lane_id)
        return Reached(len(found), goes_on=True)


class Comparing:
    """Tries events with another workflow. Nothing comes of it but what is told."""

    def __init__(self, store: Store, compare: Compare) -> None:
        self._store = store
        self._compare = compare

    async def why_wait(self, found: Sequence[FoundEvent]) -> str | None:
        return None

    async def carry_out(self, job: BulkJobRow, found: Sequence[FoundEvent]) -> Reached:
        """As many as a batch has time for: one that takes long must not hold back what the others came to."""
        until = asyncio.get_running_loop().time() + BATCH_SECONDS
        items: list[BulkItem] = []
        for event in found:
            items.append(await self._item(job, event))
            if asyncio.get_running_loop().time() > until:
                break
        batch = _batch(job, found[: len(items)])
        return Reached(len(items), goes_on=await self._store.write(record_items, batch, items))

    async def _item(self, job: BulkJobRow, event: FoundEvent) -> BulkItem:
        if event.state not in (RunState.SUCCEEDED, RunState.FAILED):
            words = f"it was {event.state.value}" if event.state in FINAL_RUN_STATES else "it has not ended yet"
            reason = f"{words}: there is no outcome to compare with"
            return BulkItem(event.id, BulkOutcome.SKIPPED, {"reason": reason})
        try:
            comparison = await self._compare(job.workspace_id, event.id, job.request["target"])
        except StoreUnavailable:
            raise
        except NotFound as error:  # removed since it was found
            return BulkItem(event.id, BulkOutcome.SKIPPED, {"reason": str(error)})
        except CrossdockError as error:
            return BulkItem(event.id, BulkOutcome.FAILED, {"reason": str(error)})
        except Exception as error:  # the top of a trial, as of a run: the other events are compared all the same
            observe.emit(observe.COMPARISON_CRASHED, error=error, job=job.id, event=event.id)
            reason = f"{type(error).__name__} inside Crossdock; the log tells more"
            return BulkItem(event.id, BulkOutcome.FAILED, {"reason": reason})
        return BulkItem(event.id, _VERDICTS[comparison["verdict"]], {"comparison": _bounded(comparison)})


_VERDICTS = {outcome.value: outcome for outcome in COMPARED}


def _bounded(comparison: Json) -> Json:
    if len(msgspec.json.encode(comparison)) <= COMPARISON_BYTES:
        return comparison
    return {"verdict": comparison["verdict"], "differences": [], "omitted": f"over {COMPARISON_BYTES} bytes"}


def _up_to_bytes(found: Sequence[FoundEvent]) -> Sequence[FoundEvent]:
    size = 0
    for position, event in enumerate(found):
        size += event.size
        if size > BATCH_BYTES and position > 0:
            return found[:position]
    return found


def _batch(job: BulkJobRow, found: Sequence[FoundEvent]) -> Batch:
    return Batch(job.id, job.lease_token or "", job.cursor, found[-1].id)
