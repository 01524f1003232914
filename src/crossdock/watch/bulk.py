"""Working on bulk jobs: leasing them, going through their events at their speed, ending them.

Each leased job has a task. It reads the job's row before each batch: who pauses or cancels the job, or takes it over
from a node that was silent too long, ends the task by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from crossdock import observe
from crossdock.clock import Sources, new_token
from crossdock.manage.bulk_jobs import filter_of
from crossdock.model.bulk import BULK_MOVES, BulkKind, BulkMove, batch_size, next_batch_due
from crossdock.model.errors import StoreUnavailable
from crossdock.model.time import later
from crossdock.store import Store
from crossdock.store.bulk_jobs import (
    Batch,
    BulkJobRow,
    end_job,
    forget_jobs,
    free_jobs,
    has_free_job,
    lease_jobs,
    leased_job,
    record_items,
    set_total,
    set_waiting,
)
from crossdock.store.event_bites import FoundEvent, bite_of_events, count_bite

JOBS_AT_ONCE = 32
"""Jobs that one node works on side by side."""
LOOK_AGAIN_SECONDS = 0.5
"""How soon a job that had to wait is looked at again."""
KEPT_SECONDS = 30 * 86_400.0
"""How long ended jobs are kept."""
SLICE = 500
"""Rows deleted in one transaction."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How many events a batch dealt with. `goes_on` is False when the job is at its end, or another's by now."""

    count: int
    goes_on: bool


class Deed(Protocol):
    """What a kind of job does to events."""

    async def why_wait(self, found: Sequence[FoundEvent]) -> str | None:
        """In words, why nothing should be done to these events now; None when nothing stands against it."""
        ...

    async def carry_out(self, job: BulkJobRow, found: Sequence[FoundEvent]) -> Reached:
        """Do it to the first of these events, or to all, and record it."""
        ...


class BulkWork:
    """This node's share of the bulk jobs."""

    def __init__(
        self,
        store: Store,
        deeds: Mapping[BulkKind, Deed],
        *,
        sources: Sources,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._deeds = deeds
        self._sleep = sleep
        self._sources = sources
        self._clock = sources.now
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By the token of their lease."""

    async def look(self) -> None:
        """Take up jobs that nobody works on."""
        held = list(self._tasks)
        free = JOBS_AT_ONCE - len(held)
        if free <= 0 or not await self._store.read(has_free_job, self._sources.node_id, held):
            return
        tokens = [new_token() for _ in range(free)]
        for job_id, token in await self._store.write(lease_jobs, self._sources.node_id, held, tokens, self._clock()):
            task = asyncio.create_task(self._work(job_id, token), name=f"bulk job {job_id}")
            self._tasks[token] = task
            task.add_done_callback(partial(self._ended, token))

    def _ended(self, token: str, _: asyncio.Task[None]) -> None:
        del self._tasks[token]

    @property
    def leases(self) -> int:
        """Jobs that this node works on."""
        return len(self._tasks)

    async def settle(self) -> None:
        """Wait until no job is being worked on here."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values())

    async def abandon(self) -> None:
        """This node was taken for dead: its jobs are others' now."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Leave the jobs where they are, for the next node to go on with. StoreUnavailable when that can't be said."""
        await self.abandon()
        await self._store.write(free_jobs, [self._sources.node_id])

    async def forget(self) -> None:
        """Delete what ended long ago, slice by slice."""
        while await self._store.write(forget_jobs, later(self._clock(), -KEPT_SECONDS), SLICE):
            continue

    # --- one job ---------------------------------------------------------------------------------------------------

    async def _work(self, job_id: str, token: str) -> None:
        fault = ""
        while True:
            try:
                if fault:
                    return await self._end(job_id, token, BulkMove.FAIL, fault)
                return await self._go_through(job_id, token)
            except StoreUnavailable as error:
                observe.emit(observe.STORE_LOST, during=f"bulk job {job_id}", reason=str(error))
            except Exception as error:
                observe.emit(observe.BULK_JOB_CRASHED, error=error, job=job_id)
                fault = f"{type(error).__name__} inside Crossdock; the log tells more under its id"
            await self._sleep(LOOK_AGAIN_SECONDS)

    async def _go_through(self, job_id: str, token: str) -> None:
        due = _monotonic()
        while True:
            job = await self._store.read(leased_job, job_id, token)
            if job is None:
                return
            if job.total is None:
                await self._count(job, token)
                continue
            reached = await self._take_batch(job, token)
            if not reached.goes_on:
                return
            if reached.count:
                due = next_batch_due(due, _monotonic(), reached.count, float(job.request["rate"]))
                await self._sleep(max(0.0, due - _monotonic()))

    async def _count(self, job: BulkJobRow, token: str) -> None:
        """Find out how many events there are, window by window; one that is paused meanwhile counts again later."""
        total, after, wanted = 0, job.cursor, filter_of(job)
        while await self._store.read(leased_job, job.id, token) is not None:
            count, after = await self._store.read_at_once(count_bite, job.workspace_id, wanted, after=after)
            total += count
            if after is None:
                await self._store.write(set_total, job.id, token, total)
                return

    async def _take_batch(self, job: BulkJobRow, token: str) -> Reached:
        """Deal with the next events, end the job where there are none, or wait a little where they have to."""
        deed = self._deeds[job.kind]
        bite = await self._store.read_at_once(
            bite_of_events,
            job.workspace_id,
            filter_of(job),
            limit=batch_size(float(job.request["rate"])),
            after=job.cursor,
        )
        if not bite.found:
            if bite.after is None:
                await self._end(job.id, token, BulkMove.FINISH)
                return Reached(0, goes_on=False)
            batch = Batch(job.id, token, job.cursor, bite.after)  # no match in this window: go on behind it
            return Reached(0, goes_on=await self._store.write(record_items, batch, []))
        reason = await deed.why_wait(bite.found)
        if reason is not None:
            if reason != job.waiting_because:
                await self._store.write(set_waiting, job.id, token, reason)
            await self._sleep(LOOK_AGAIN_SECONDS)
            return Reached(0, goes_on=True)
        return await deed.carry_out(job, bite.found)

    async def _end(self, job_id: str, token: str, move: BulkMove, error: str | None = None) -> None:
        if await self._store.write(end_job, job_id, token, move, self._clock(), error):
            observe.emit(observe.BULK_JOB_ENDED, job=job_id, state=BULK_MOVES[move][1].value)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
