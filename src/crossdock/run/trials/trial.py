"""An event goes through a workflow on trial: dry, live, or along what was recorded of it."""

from __future__ import annotations

import asyncio

from crossdock.catalog import Catalog
from crossdock.clock import Clock
from crossdock.model.advance import Broken, Ended, RunEnd
from crossdock.model.event import Event
from crossdock.model.outcome import Failure, Result
from crossdock.model.run import JournalEntry, LeasedRun
from crossdock.model.trial import Told, Trial, TrialMode, TrialStatus
from crossdock.run.compile import CompiledWorkflow
from crossdock.run.outside import Outside
from crossdock.run.trials.guide import AlongRecord, Live, TrialGuide
from crossdock.run.walk import WalkPorts, walk

TRIAL_SECONDS = 60.0
ALONG_SECONDS = 10.0
"""Along a record nothing waits for anybody: what takes longer is too much work for one event among many."""


class TrialRunner:
    """Takes events through compiled workflows."""

    def __init__(self, outside: Outside, catalog: Catalog, clock: Clock) -> None:
        self._outside = outside
        self._catalog = catalog
        self._clock = clock

    async def attempt(
        self, event: Event, workflow: CompiledWorkflow, told: Told, mode: TrialMode, *, seconds: float = TRIAL_SECONDS
    ) -> Trial:
        """Try it, without or with side effects, for `seconds` at most; cancelling ends it."""
        guide = Live(workflow, told) if mode is TrialMode.LIVE else TrialGuide(workflow, told)
        return await self._walk(event, workflow, told, guide, seconds)

    async def along(self, event: Event, workflow: CompiledWorkflow, told: Told) -> Trial:
        """Go the way of a run that is over; a step without a record is told as unknown, and taken for null."""
        guide = AlongRecord(workflow, told)
        try:
            return await self._walk(event, workflow, told, guide, ALONG_SECONDS)
        finally:
            guide.close()

    async def _walk(
        self, event: Event, workflow: CompiledWorkflow, told: Told, guide: TrialGuide, seconds: float
    ) -> Trial:
        run = LeasedRun(event, workflow.number, told.starts, 0, "", None, told.begun)
        try:
            async with asyncio.timeout(seconds):
                end = await walk(run, workflow, self._ports(guide))
        except TimeoutError:
            words = f"it took longer than {seconds:g} seconds; the steps that came to their end are told"
            return Trial(TrialStatus.STOPPED, tuple(guide.steps), None, Failure("trial_timeout", words), guide.unused)
        status, result, failure = _read(end)
        return Trial(status, tuple(guide.steps), result, failure, guide.unused)

    def _name_of(self, integration_id: str) -> str:
        live = self._catalog.snapshot.by_id.get(integration_id)
        return live.integration.name if live else ""

    def _ports(self, guide: TrialGuide) -> WalkPorts:
        return WalkPorts(
            now=self._clock,
            fraction=lambda: 0.0,
            outside=self._outside,
            checkpoint=_keep_nothing,
            answered=_tell_nobody,
            name_of=self._name_of,
            perform=guide.perform,
            guide=guide,
        )


def _read(end: RunEnd) -> tuple[TrialStatus, Result | None, Failure | None]:
    match end:
        case Ended(_, result):
            return TrialStatus.SUCCEEDED, result, None
        case Broken(_, failure, result):
            return TrialStatus.FAILED, result, failure
        case _:
            return TrialStatus.WAITING, None, None


async def _keep_nothing(run: LeasedRun, entry: JournalEntry) -> bool:
    return True


def _tell_nobody(run: LeasedRun, result: Result) -> None:
    pass
