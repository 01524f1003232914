"""Stage 2: a run goes through its workflow.

Runs come in three ways: leased and handed over in memory as their events are recorded (`offer`, `hand_over`), claimed
from the store when slots become free or times are due, and in the order of lanes that this node owns. Each start ends
in one guarded change; what follows from it (the answer, the reply) happens once that is durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from crossdock.catalog import LiveIntegration
from crossdock.clock import new_token
from crossdock.model.advance import Broken
from crossdock.model.epoch import Stance
from crossdock.model.errors import CrossdockError, StoreUnavailable, Unrecordable
from crossdock.model.leases import HeldLeases
from crossdock.model.outcome import Failure, Json, Result, StepOutcome
from crossdock.model.run import JournalEntry, LeasedRun
from crossdock.model.time import later, seconds_between
from crossdock.model.verdict import Outcome
from crossdock.observe import (
    LOOK_FAILED,
    RUN_CRASHED,
    STRAYS_RETURNED,
    WATCH_FAILED,
    emit,
)
from crossdock.run.compile import CompiledWorkflow
from crossdock.run.lanes import IDLE_SECONDS, LaneDriver
from crossdock.run.limits import Limits
from crossdock.run.outside import Outside
from crossdock.run.owned_lanes import ORPHAN_SECONDS, OwnedLanes
from crossdock.run.quarantine import Quarantine
from crossdock.run.settling import Ending
from crossdock.run.slots import Slots
from crossdock.run.steps import StepContext, WorkflowStep
from crossdock.run.surroundings import Surroundings
from crossdock.run.traced import perform_traced
from crossdock.run.walk import LeaseLost, WalkPorts, walk
from crossdock.run.workflows import Workflows
from crossdock.store.accept import Accepted, Duplicate, Lease, lane_id
from crossdock.store.claims import LOST, Claim, Rescued, end_delays, read_leases, return_runs
from crossdock.store.lookout import Lookout
from crossdock.store.patience import until_recorded
from crossdock.store.run_look import look_for_runs
from crossdock.store.settle import Checkpoint
from crossdock.store.signals import Topic

TOTAL_SLOTS = 1_024
CLAIM_BATCH = 32
HAND_BACK_SECONDS = 5.0


class RunStage:
    """Works on runs. Everything but the reads and writes it waits for happens on the event loop."""

    def __init__(self, node: Surroundings, *, lane_idle_seconds: float = IDLE_SECONDS) -> None:
        store, catalog, sources = node.store, node.catalog, node.sources
        self._store = store
        self._catalog = catalog
        self._tracer = node.tracer
        self._settling = node.settling
        self._signals = node.signals
        self._announce = node.announce
        self._observe = node.observe
        self._sources = sources
        self._workflows = Workflows(catalog.workflow)
        self._ports = self._walk_ports(node.outside)
        self._driver = LaneDriver(
            store,
            node.settling,
            self.perform,
            self._workflow_of,
            self._landed,
            sources=sources,
            idle_seconds=lane_idle_seconds,
        )
        self._limits = Limits(catalog, self._workflows, sources.epoch, self._track)
        self.lanes = OwnedLanes(
            store,
            self._driver,
            node.signals,
            node.observe,
            self._track,
            sources=sources,
            unreadable=lambda: catalog.snapshot.broken,
        )
        self._slots = Slots(TOTAL_SLOTS)
        self._quarantine = Quarantine(store, self._slots, self._limits, self._start, self.wake, sources=sources)
        self._backlog: OrderedDict[str, None] = OrderedDict()
        self._performing: dict[str, asyncio.Task[Any] | None] = {}
        self._tasks: set[asyncio.Future[Any]] = set()
        self._to_cancel: set[str] = set()
        self._held = HeldLeases()
        self._lookout = Lookout(sources.now, self._signals)
        self._is_pumping = False
        self._stopping = False
        self._handing_back = False

    def _walk_ports(self, outside: Outside) -> WalkPorts:
        return WalkPorts(
            now=self._sources.now,
            fraction=self._sources.fraction,
            outside=outside,
            checkpoint=self._checkpoint,
            answered=self._answered,
            name_of=self._name_of,
            perform=self._perform_step,
        )

    # --- from the receive stage ------------------------------------------------------------------------------------

    def offer(self, live: LiveIntegration) -> Lease | None:
        """A slot for a run that is about to be recorded (or this node's wish to own its lane); None when all are busy.

        What is offered has to come back by `hand_over` or `withdraw`.
        """
        integration = live.integration
        if self._stopping or not self._sources.epoch.may_act():
            return None
        if integration.trigger.ordered:
            return Lease(self._sources.node_id, new_token())
        limit = self._limits.of(integration.id)
        if integration.id in self._backlog and self._slots.free(integration.id, limit) * 2 < limit:
            return None  # what waits goes first
        if not self._slots.take(integration.id, limit):
            self._backlog[integration.id] = None
            return None
        return Lease(self._sources.node_id, new_token())

    def hand_over(self, accepted: Accepted) -> None:
        """A freshly recorded event: start its run, put it in its lane, or know that it waits."""
        integration_id = accepted.event.integration_id
        if accepted.lane is not None:
            if not self.lanes.add(accepted):
                self.seek_lanes()
        elif accepted.run is None:
            self._wait(integration_id)
        elif accepted.node_id == self._sources.node_id:
            self._start(accepted.run)
        else:  # recorded for a node that this process is not any more: whoever rescues that node's runs has it
            self._release(integration_id)

    def _wait(self, integration_id: str) -> None:
        """Runs of the integration wait in the store, for this node or another."""
        self._backlog[integration_id] = None
        self._pump_soon()
        self._signals.tell(Topic.RUNS, integration_id)

    def withdraw(self, live: LiveIntegration, answer: Duplicate | Exception) -> None:
        """Nothing was recorded after all (`answer` says why): the offered slot is free again."""
        if not live.integration.trigger.ordered:
            self._release(live.integration.id)

    # --- working on one run ----------------------------------------------------------------------------------------

    def _start(self, run: LeasedRun) -> asyncio.Task[None]:
        self._held.add(run.lease_token)
        task = asyncio.get_running_loop().create_task(self._work(run))
        self._track(task)
        return task

    async def _work(self, run: LeasedRun) -> None:
        try:
            ending = await self.perform(run)
            await self._settle(ending)
        except LeaseLost:
            self._observe.lease_lost("run")
        finally:
            self._held.discard(run.lease_token)
            self._release(run.event.integration_id)

    async def _settle(self, ending: Ending) -> None:
        try:
            landed = await until_recorded(lambda: self._store.submit(ending.settle), self._sources.fraction)
        except Unrecordable as error:
            ending = self._settling.unrecordable(ending, error)
            landed = await until_recorded(lambda: self._store.submit(ending.settle), self._sources.fraction)
        self._landed(ending, landed)

    def _landed(self, ending: Ending, has_landed: bool) -> None:
        self._settling.landed(ending, has_landed)
        entry = ending.settle.entry
        if has_landed and entry is not None:
            self._emitted(entry)
        if has_landed and ending.settle.due_at is not None:
            self._lookout.due(ending.settle.due_at)

    async def perform(self, run: LeasedRun) -> Ending:
        """Take a leased run through its workflow; how it ended. LeaseLost when it is somebody else's by now."""
        if run.attempts == 1 and not run.journal:
            self._observe.run_begun(seconds_between(run.event.received_at, self._sources.now()))
        if self._tracer is None:
            return await self._perform(run, self._ports)
        name = self._name_of(run.event.integration_id)
        return await perform_traced(self._tracer.begin_run(run, name), run, self._ports, self._perform)

    async def _perform(self, run: LeasedRun, ports: WalkPorts) -> Ending:
        try:
            if run.event.integration_id not in self._catalog.snapshot.by_id:  # another node has just made it
                await until_recorded(self._catalog.reload_if_changed, self._sources.fraction)
            if self._limits.is_unreadable(run.event.integration_id):
                return self._leave_to_others(run)
            workflow = self._workflows.known(run.event.integration_id, run.workflow_number)
            if workflow is None:
                workflow = await self._read_workflow(run)
        except (LookupError, CrossdockError) as error:
            failure = Failure("workflow_unusable", f"the run's workflow can't be used: {error}", permanent=True)
            return self._settling.end(run, Broken(None, failure, None))
        try:
            if workflow.is_quick:
                return self._settling.end(run, await walk(run, workflow, ports))
            return await self._perform_cancellable(run, workflow, ports)
        except LeaseLost:
            raise
        except Exception as error:
            emit(RUN_CRASHED, error=error, event=run.event.id)
            broken = Broken(None, Failure("internal", f"{type(error).__name__} inside Crossdock; see the log"), None)
            return self._settling.end(run, broken)

    def _leave_to_others(self, run: LeasedRun) -> Ending:
        """What becomes of a run is up to its integration's settings, which this node can't read."""
        self.lanes.leave_those_of(run.event.integration_id)
        return self._settling.hand_back(run)

    async def _perform_cancellable(self, run: LeasedRun, workflow: CompiledWorkflow, ports: WalkPorts) -> Ending:
        if self._handing_back:
            return self._settling.hand_back(run)
        self._performing[run.event.id] = asyncio.current_task()
        try:
            return self._settling.end(run, await walk(run, workflow, ports))
        except asyncio.CancelledError:
            if run.event.id in self._to_cancel:
                return self._settling.cancel(run)
            return self._settling.hand_back(run)
        finally:
            self._performing.pop(run.event.id, None)
            self._to_cancel.discard(run.event.id)

    async def _perform_step(self, step: WorkflowStep, given: Json, context: StepContext) -> StepOutcome:
        if step.action.is_pure:
            return await step.action.perform(given, context)
        if not self._sources.gate.may_act():
            await self._sources.gate.passage()
        started = time.monotonic()
        outcome = await step.action.perform(given, context)
        word = type(outcome).__name__.lower()
        self._observe.step_performed(step.step.kind, word, time.monotonic() - started)
        return outcome

    async def _checkpoint(self, run: LeasedRun, entry: JournalEntry) -> bool:
        change = Checkpoint(run.event.id, run.lease_token, entry)
        has_landed = bool(await until_recorded(lambda: self._store.submit(change), self._sources.fraction))
        if has_landed:
            self._emitted(entry)
        return has_landed

    def _emitted(self, entry: JournalEntry) -> None:
        """Find the runs of the events that steps have made: they wait in the store since this moment."""
        for emission in entry.emissions:
            if emission.lane_key is None:
                self._wait(emission.event.integration_id)
            else:
                self.lanes.seek()
                self.lane_changed(lane_id(emission.event.integration_id, emission.lane_key))

    def _answered(self, run: LeasedRun, result: Result) -> None:
        self._announce(Outcome(run.event.id, result), run.caller_node)

    def _name_of(self, integration_id: str) -> str:
        live = self._catalog.snapshot.by_id.get(integration_id)
        return live.integration.name if live else ""

    async def _workflow_of(self, run: LeasedRun) -> CompiledWorkflow | None:
        try:
            return await self._read_workflow(run)
        except (LookupError, CrossdockError):
            return None  # `perform` meets the same error and settles the run with it

    async def _read_workflow(self, run: LeasedRun) -> CompiledWorkflow:
        """However long the database is away: that is no fault of the run."""
        integration_id, number = run.event.integration_id, run.workflow_number
        return await until_recorded(lambda: self._workflows.get(integration_id, number), self._sources.fraction)

    # --- slots and the backlog -------------------------------------------------------------------------------------

    def _track(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _release(self, integration_id: str, count: int = 1) -> None:
        self._slots.release(integration_id, count)
        self._quarantine.room_came()
        if self._backlog:
            self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._is_pumping and not self._stopping:
            self._is_pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Claim for backlogged integrations in turn, so that a long backlog takes no more than its share."""
        self._is_pumping = False
        for integration_id in [] if self._stopping else list(self._backlog):
            limit = self._limits.of(integration_id)
            if not limit:
                del self._backlog[integration_id]  # others have all of it; a look finds it when that changes
            elif taken := self._slots.take(integration_id, limit, CLAIM_BATCH):
                self._backlog.move_to_end(integration_id)
                self._claim(integration_id, taken)

    def _claim(self, integration_id: str, count: int) -> None:
        tokens = tuple(new_token() for _ in range(count))
        node_id = self._sources.node_id

        def claimed(answer: list[LeasedRun] | Exception) -> None:
            runs = [] if isinstance(answer, Exception) or node_id != self._sources.node_id else answer
            for run in runs:
                self._start(run)
            if len(runs) < count:
                if not isinstance(answer, Exception):
                    self._backlog.pop(integration_id, None)
                self._slots.release(integration_id, count - len(runs))

        future = self._store.submit(Claim(integration_id, node_id, tokens, self._sources.now()), claimed)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # `claimed` has dealt with it
        self._track(future)

    def stance(self) -> Stance:
        """What other nodes have to know of the runs in work here, as a heartbeat begins."""
        return self._limits.stance(self._slots.by_integration, has_stopped=self._stopping)

    def heard_of_others(self) -> None:
        """A heartbeat has ended: this node's shares of what is limited may be other ones."""
        if self._limits.have_changed():
            self.wake()

    # --- lanes -----------------------------------------------------------------------------------------------------

    def lane_changed(self, lane_id: str) -> None:
        """Somebody changed the lane in the store."""
        if not self.lanes.changed(lane_id):
            self._signals.tell(Topic.LANE, lane_id)
            self._signals.tell(Topic.LANES)
            self.lanes.seek()  # it may have no owner
        self.wake()

    def seek_lanes(self) -> None:
        """There are lanes without an owner."""
        self.lanes.seek()
        self.wake()

    # --- what other nodes tell ---------------------------------------------------------------------------------------

    def runs_told(self, integration_ids: Sequence[str]) -> None:
        """Runs of these integrations wait; none named: of any."""
        for integration_id in integration_ids:
            self._backlog.setdefault(integration_id, None)
        if integration_ids:
            self._pump_soon()
        else:
            self.wake()

    def cancels_told(self, event_ids: Sequence[str]) -> None:
        """Somebody asked to stop runs; none named: any."""
        if not event_ids or any(event_id in self._performing for event_id in event_ids):
            self.wake()

    # --- looking for work ------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may have become due."""
        self._lookout.wake()

    async def look_forever(self) -> None:
        """Find what nobody handed over: backlogs, due retries, lanes without an owner, requests to cancel."""
        while not self._stopping:
            self._lookout.begin()  # before the look: what changes during it is looked for again
            try:
                await self._look()
            except StoreUnavailable as error:
                emit(LOOK_FAILED, reason=str(error))
            except Exception as error:
                emit(WATCH_FAILED, error=error, turn="looking for runs")
            await self._lookout.rest()

    async def _look(self) -> None:
        now = self._sources.now()
        found = await self._store.read(look_for_runs, self._sources.node_id, now)
        if found.has_ended_delays:
            for lane_id in await self._store.write(end_delays, now):
                self.lane_changed(lane_id)
            self.wake()  # what has waited is due now
        for integration_id in found.integrations:
            self._backlog.setdefault(integration_id, None)
        self._pump_soon()
        for event_id in found.cancel_requests:
            self.cancel(event_id)
        if found.has_quarantined:
            await self._quarantine.work()
        if found.next_at is not None:
            self._lookout.due(found.next_at)
        if self.lanes.are_wanted(found.has_orphan_lanes):
            await self.lanes.adopt()
        elif found.has_orphan_lanes:
            self._lookout.due(later(now, ORPHAN_SECONDS))

    async def return_strays(self) -> None:
        """Hand back runs that are leased to this node without its knowledge; called seconds apart."""
        strays = self._held.strays(await self._store.read(read_leases, self._sources.node_id))
        if strays:
            returned = await self._store.write(return_runs, strays, self._sources.now())
            emit(STRAYS_RETURNED, kind="run", count=returned)
            self._observe.runs_rescued(returned)
            self.wake()

    async def fail_lost(self, rescued: Rescued) -> None:
        """Settle the runs that were lost with their nodes too often, and look for what became free."""
        self.lanes.seek()
        self.wake()
        for run in rescued.lost:
            if self._limits.is_unreadable(run.event.integration_id):
                ending = self._leave_to_others(run)
            else:
                ending = self._settling.end(run, Broken(None, LOST, None))
            await self._settle(ending)

    # --- stopping --------------------------------------------------------------------------------------------------

    def cancel(self, event_id: str) -> bool:
        """Stop a run that is worked on here; whether it is."""
        task = self._performing.get(event_id)
        if task is None:
            return False
        self._to_cancel.add(event_id)
        task.cancel()
        return True

    async def abandon(self) -> None:
        """This node was taken for dead, and its work is others' now: drop what is worked on.

        What can't be dropped in the middle ends by itself; its late writes do not land.
        """
        self._held = HeldLeases()
        self.lanes.abandon()
        for task in list(self._performing.values()):
            if task is not None:
                task.cancel()

    async def stop(self, grace_seconds: float) -> None:
        """Let running work finish within the grace, then hand back what is left and give up the lanes."""
        self._stopping = self._driver.stopping = True
        self.wake()
        self.lanes.cancel_idle()
        await self._rest(grace_seconds)
        self._handing_back = True
        for task in self._performing.values():
            if task is not None:
                task.cancel()
        await self._rest(HAND_BACK_SECONDS)
        await self.lanes.release()

    async def _rest(self, seconds: float) -> None:
        """Wait until nothing is worked on, what begins meanwhile included, or the time is over."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)

    @property
    def in_work(self) -> int:
        return self._slots.in_use

    @property
    def leases(self) -> int:
        """Runs that this node holds, those in lanes apart."""
        return len(self._held)
