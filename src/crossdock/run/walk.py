"""One run goes through its workflow.

What is durably finished is not done again: its output is taken from the journal. What is finished since then is
gathered in one entry, and made durable before the next side effect, or with the run's end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import msgspec

from crossdock.clock import Clock, Fraction
from crossdock.expressions.names import EventNames, event_names
from crossdock.model.advance import Broken, Ended, Paused, RunEnd, TryAgain, after_failed_try, progress_of
from crossdock.model.expression import ExpressionError
from crossdock.model.outcome import Done, Failure, Json, Result, Retry, StepOutcome, Stop, Wait
from crossdock.model.run import JournalEntry, LeasedRun, StepRecord, StepStatus
from crossdock.model.time import Instant, later
from crossdock.run.compile import CompiledWorkflow, WorkflowStep
from crossdock.run.functions import Functions
from crossdock.run.steps import StepContext

RECORDED_INPUT_BYTES = 64 * 1024
_JSON_HEADERS = (("content-type", "application/json"),)


class LeaseLost(Exception):
    """The run is somebody else's by now: nothing may be done for it any more."""


def _no_name(integration_id: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class WalkPorts:
    """What a walk needs of the world."""

    now: Clock
    fraction: Fraction
    functions: Functions
    checkpoint: Callable[[LeasedRun, JournalEntry], Awaitable[bool]]
    """Makes an entry durable; False when the lease is lost."""
    answered: Callable[[LeasedRun, Result], None]
    """The result is decided and durable, and the run goes on."""
    name_of: Callable[[str], str] = _no_name
    """The name of an integration, by its id."""


async def walk(run: LeasedRun, workflow: CompiledWorkflow, ports: WalkPorts) -> RunEnd:
    """Take the run through the steps that it has not finished; LeaseLost, and whatever cancels the task."""
    return await _Walk(run, workflow, ports).go()


class _Walk:
    def __init__(self, run: LeasedRun, workflow: CompiledWorkflow, ports: WalkPorts) -> None:
        self._run = run
        self._workflow = workflow
        self._ports = ports
        self._progress = progress_of(run.journal)
        self._position = self._progress.position
        self._names: EventNames = event_names(run.event, ports.name_of(run.event.integration_id), run.attempts)
        self._outputs: dict[str, Json] = self._names["steps"]
        self._last_output: Json = None
        self._records: list[StepRecord] = []
        self._result = self._progress.result
        self._new_result: Result | None = None

    async def go(self) -> RunEnd:
        for step in self._workflow.steps:
            finished = self._progress.finished(step.step)
            if finished is not None:
                self._keep(finished)
                continue
            end = await self._take(step)
            if end is not None:
                return end
        return self._ended()

    async def _take(self, step: WorkflowStep) -> RunEnd | None:
        """Do one step; the run's end, if this is it."""
        started_at = self._ports.now()
        try:
            if step.when is not None and not step.when.evaluate(self._names):
                self._record(step, StepStatus.SKIPPED, started_at, attempts=0)
                return None
            given = step.action.prepare(self._names)
        except ExpressionError as error:
            failure = Failure("expression", str(error), permanent=True)
            return await self._failed(step, failure, started_at, given=None, tries=1)
        return await self._try(step, given, started_at)

    async def _try(self, step: WorkflowStep, given: Json, started_at: Instant) -> RunEnd | None:
        """Perform the step, again where that may help and does not take long."""
        tries = self._progress.tries_made(step.step)
        while True:
            tries += 1
            outcome = await self._perform(step, given)
            match outcome:
                case Done(output, result):
                    await self._done(step, output, result, started_at, given=given, tries=tries)
                    return None
                case Stop(failure, result):
                    return await self._failed(step, failure, started_at, given=given, tries=tries, result=result)
                case Wait(until):
                    return Paused(self._entry(), until)
                case Retry(failure):
                    following = after_failed_try(step.step, failure, tries, self._ports.fraction())
                    if not isinstance(following, TryAgain):
                        return await self._failed(step, failure, started_at, given=given, tries=tries)
                    if following.pauses:
                        self._record(step, StepStatus.FAILED, started_at, attempts=tries, given=given, error=failure)
                        return Paused(self._entry(), later(self._ports.now(), following.wait))
                    await asyncio.sleep(following.wait)

    async def _perform(self, step: WorkflowStep, given: Json) -> StepOutcome:
        context = StepContext(
            self._run.event.id, step.step.id, self._run.attempts, step.step.timeout, self._ports.functions
        )
        return await step.action.perform(given, context)

    async def _done(
        self, step: WorkflowStep, output: Json, result: Result | None, started_at: Instant, *, given: Json, tries: int
    ) -> None:
        self._record(step, StepStatus.SUCCEEDED, started_at, attempts=tries, given=given, output=output)
        is_answer = result is not None and self._result is None
        if is_answer:
            self._result = self._new_result = result
        if step.precedes_effect and (is_answer or not step.action.is_pure):
            await self._checkpoint()

    async def _failed(
        self,
        step: WorkflowStep,
        failure: Failure,
        started_at: Instant,
        *,
        given: Json,
        tries: int,
        result: Result | None = None,
    ) -> RunEnd | None:
        """The step failed for good; the run's end, unless the step says that it goes on."""
        failure = replace(failure, step=step.step.id)
        self._record(step, StepStatus.FAILED, started_at, attempts=tries, given=given, error=failure)
        if not step.step.continue_on_error:
            return Broken(self._entry(), failure, self._result or result)
        if step.precedes_effect and not step.action.is_pure:
            await self._checkpoint()
        return None

    # --- the journal -----------------------------------------------------------------------------------------------

    def _record(
        self,
        step: WorkflowStep,
        status: StepStatus,
        started_at: Instant,
        *,
        attempts: int,
        given: Json = None,
        output: Json = None,
        error: Failure | None = None,
    ) -> None:
        record = StepRecord(
            id=step.step.id,
            kind=step.step.kind,
            status=status,
            started_at=started_at,
            finished_at=self._ports.now(),
            attempts=attempts,
            input=_cut(given) if step.action.records_input else None,
            output=output,
            error=error,
        )
        self._records.append(record)
        self._keep(record)

    def _keep(self, record: StepRecord) -> None:
        """Let later steps see what came of this one. A step that failed shows its error."""
        output = record.output
        if record.error is not None:
            output = {"error": {"kind": record.error.kind, "message": record.error.message}}
        self._outputs[record.id] = output
        if record.status is not StepStatus.SKIPPED:
            self._last_output = output

    def _entry(self) -> JournalEntry | None:
        """What is not durable yet; None when everything is."""
        if not self._records and self._new_result is None:
            return None
        return JournalEntry(self._position, tuple(self._records), self._new_result)

    async def _checkpoint(self) -> None:
        entry = self._entry()
        if entry is None:
            return
        if not await self._ports.checkpoint(self._run, entry):
            raise LeaseLost(self._run.event.id)
        self._position += 1
        self._records = []
        self._new_result = None
        if entry.result is not None:
            self._ports.answered(self._run, entry.result)

    def _ended(self) -> Ended:
        if self._result is None:
            self._result = Result(200, _JSON_HEADERS, msgspec.json.encode(self._last_output))
            self._new_result = self._result if self._workflow.steps else None
        return Ended(self._entry(), self._result)


def _cut(value: Json) -> Json:
    """The value as it is recorded: what is very large is told by its size."""
    if value is None or value == {}:
        return value
    size = len(msgspec.json.encode(value))
    return {"truncated": True, "size": size} if size > RECORDED_INPUT_BYTES else value
