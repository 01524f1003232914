"""One run goes through its workflow.

What is durably finished is not done again: its output is taken from the journal. What is finished since then is
gathered in one entry, and made durable before the next side effect, or with the run's end. Blocks (`switch`,
`parallel`, `for_each`) run their steps through the same walk, so each step inside them is recorded by its own path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from crossdock.clock import Clock, Fraction
from crossdock.expressions.names import event_names
from crossdock.expressions.scope import Scope
from crossdock.model.advance import (
    Broken,
    Ended,
    GiveUp,
    Paused,
    RunEnd,
    TryAgain,
    after_failed_try,
    is_finished,
    progress_of,
    tries_made,
)
from crossdock.model.emission import Emission
from crossdock.model.expression import ExpressionError
from crossdock.model.outcome import Done, Failure, Halted, Json, Result, Retry, StepOutcome, Stop, Wait
from crossdock.model.run import JournalEntry, LeasedRun, StepRecord, StepStatus
from crossdock.model.time import Instant, later
from crossdock.run.compile import CompiledWorkflow
from crossdock.run.outside import Outside
from crossdock.run.steps.contract import Finished, Halt, StepContext, Steps, StepsEnd, WorkflowStep
from crossdock.tracing import OpenSpan, RunTrace

RECORDED_INPUT_BYTES = 64 * 1024
RECORDS_AT_ONCE = 500
"""So many finished steps become durable even when no side effect asks for it: a long loop must not pile them up."""
STEPS_AT_ONCE = 64
"""Steps with side effects that one run performs side by side, however its blocks are nested."""
_JSON_HEADERS = (("content-type", "application/json"),)


class LeaseLost(Exception):
    """The run is somebody else's by now: nothing may be done for it any more."""


def _no_name(integration_id: str) -> str:
    return ""


async def perform(step: WorkflowStep, given: Json, context: StepContext) -> StepOutcome:
    """Really do it."""
    return await step.action.perform(given, context)


class Guide(Protocol):
    """Leads the walk of a trial: in the order, and with the tries, of a run that is over."""

    async def may_begin(self, path: str, halt: Halt | None) -> bool:
        """Wait until it is the step's turn; whether it begins, or stops because a neighbour failed."""

    async def before_end(self, path: str, halt: Halt | None) -> None:
        """Wait until it is the turn of a block to tell how its steps have ended."""

    def names_at(self, path: str, names: Mapping[str, Json]) -> Mapping[str, Json]:
        """What the step's expressions see."""

    def after_failed_try(self, path: str, failure: Failure) -> TryAgain | GiveUp:
        """What follows from a try that failed in passing."""

    def recorded(self, record: StepRecord) -> None:
        """What came of a step, as soon as it is known."""


@dataclass(frozen=True, slots=True)
class WalkPorts:
    """What a walk needs of the world."""

    now: Clock
    fraction: Fraction
    outside: Outside
    checkpoint: Callable[[LeasedRun, JournalEntry], Awaitable[bool]]
    """Makes an entry durable; False when the lease is lost."""
    answered: Callable[[LeasedRun, Result], None]
    """The result is decided and durable, and the run goes on."""
    name_of: Callable[[str], str] = _no_name
    """The name of an integration, by its id."""
    perform: Callable[[WorkflowStep, Json, StepContext], Awaitable[StepOutcome]] = perform
    """Performs a step that is no block; a trial answers from what was recorded instead."""
    guide: Guide | None = None
    """None for real runs."""
    trace: RunTrace | None = None
    """The start of the run as a part of a trace; None while no traces are told."""


async def walk(run: LeasedRun, workflow: CompiledWorkflow, ports: WalkPorts) -> RunEnd:
    """Take the run through the steps that it has not finished; LeaseLost, and whatever cancels the task."""
    return await _Walk(run, workflow, ports).go()


@dataclass(slots=True)
class _Place:
    """Where a list of steps stands, and what is known there."""

    prefix: str
    names: Mapping[str, Json]
    outputs: dict[str, Json]
    """What expressions see as `steps`: what came before, outside and inside."""
    effect_follows: bool
    """A side effect comes later, behind the end of this list."""
    halt: Halt | None
    last: Json = None
    own: dict[str, Json] | None = None
    """The outputs of the list's own steps, where a block asks for them."""
    span: OpenSpan | None = None
    """The block that the list is a part of, in a trace."""


class _Walk:
    def __init__(self, run: LeasedRun, workflow: CompiledWorkflow, ports: WalkPorts) -> None:
        self.run = run
        self._workflow = workflow
        self.ports = ports
        progress = progress_of(run.journal)
        self._position = progress.position
        self.known = progress.records
        self.result = progress.result
        self.new_result: Result | None = None
        self.records: list[StepRecord] = []
        self.emissions: list[Emission] = []
        self.free: asyncio.Semaphore | None = None

    async def go(self) -> RunEnd:
        names = event_names(self.run.event, self.ports.name_of(self.run.event.integration_id), self.run.attempts)
        if self._workflow.vars is not None:
            try:
                names["vars"] = self._workflow.vars.evaluate(names)
            except ExpressionError as error:
                return Broken(self._entry(), Failure("expression", str(error), permanent=True), self.result)
        place = _Place("", names, names["steps"], False, None)
        match await self.through(self._workflow.steps, place):
            case Stop(failure, result):
                return Broken(self._entry(), failure, self.result or result)
            case Wait(until):
                return Paused(self._entry(), until)
            case _:
                return self._ended(place.last)

    async def through(self, steps: Steps, place: _Place) -> Stop | Wait | Halted | None:
        """Take the run through a list of steps; None when it came to its end."""
        guide = self.ports.guide
        for step in steps:
            path = place.prefix + step.step.id
            if guide is not None:
                if not await guide.may_begin(path, place.halt):
                    return Halted()
            elif place.halt is not None and place.halt.is_set:
                return Halted()
            known = self.known.get(path)
            if known is not None and is_finished(step.step, known):
                _keep(known, step, place)
                continue
            if known is not None and place.prefix and known.until is not None and known.until > self.ports.now():
                return Wait(known.until)
            turn = _Turn(self, step, path, known, place)
            end = await (self._take(turn, step, path) if self.ports.trace is None else self._traced(turn, step, path))
            if end is not None:
                return end
        return None

    async def _traced(self, turn: _Turn, step: WorkflowStep, path: str) -> Stop | Wait | Halted | None:
        """Do one step, and tell of it. What raises leaves it open: it is told as broken off, with the run."""
        assert self.ports.trace is not None
        span = turn.span = self.ports.trace.begin_step(step.step.kind, path, turn.place.span)
        end = await self._take(turn, step, path)
        record = turn.last_record
        error = record.error.kind if record is not None and record.error is not None else None
        status = record.status.value if record is not None else "waiting" if isinstance(end, Wait) else "halted"
        attempts = record.attempts if record is not None else 0
        span.end(error, {"crossdock.step.status": status, "crossdock.step.attempts": attempts})
        return end

    async def _take(self, turn: _Turn, step: WorkflowStep, path: str) -> Stop | Wait | Halted | None:
        """Do one step; what keeps the list from going on, if something does."""
        names = turn.place.names
        if self.ports.guide is not None:
            names = self.ports.guide.names_at(path, names)
        try:
            if step.when is not None and not step.when.evaluate(names):
                turn.record(StepStatus.SKIPPED, attempts=0)
                return None
            turn.given = step.action.prepare(names)
        except ExpressionError as error:
            return await turn.failed(Failure("expression", str(error), permanent=True), None, tries=1)
        return await turn.go()

    # --- the journal -----------------------------------------------------------------------------------------------

    def _entry(self) -> JournalEntry | None:
        """What is not durable yet; None when everything is."""
        if not self.records and self.new_result is None:
            return None
        return JournalEntry(self._position, tuple(self.records), self.new_result, tuple(self.emissions))

    async def checkpoint(self) -> None:
        """Make durable what is finished. Steps side by side may do so at once: each entry has a position of its own."""
        entry = self._entry()
        if entry is None:
            return
        self._position += 1
        self.records = []
        self.emissions = []
        self.new_result = None
        if not await self.ports.checkpoint(self.run, entry):
            raise LeaseLost(self.run.event.id)
        if entry.result is not None:
            self.ports.answered(self.run, entry.result)

    def _ended(self, last: Json) -> Ended:
        if self.result is None:
            self.result = Result(200, _JSON_HEADERS, msgspec.json.encode(last))
            self.new_result = self.result if self._workflow.steps else None
        return Ended(self._entry(), self.result)


class _Turn:
    """One step of one walk, with its tries. It is also what a block runs its own steps through (`Inner`)."""

    __slots__ = ("_known", "_path", "_started_at", "_step", "_walk", "given", "last_record", "place", "span")

    def __init__(self, walk: _Walk, step: WorkflowStep, path: str, known: StepRecord | None, place: _Place) -> None:
        self._walk = walk
        self._step = step
        self._path = path
        self._known = known
        self.place = place
        self.span: OpenSpan | None = None
        self.last_record: StepRecord | None = None
        has_waited = known is not None and known.until is not None
        self._started_at = known.started_at if known is not None and has_waited else walk.ports.now()
        self.given: Json = None

    async def go(self) -> Stop | Wait | Halted | None:
        """Perform the step, again where that may help and does not take long."""
        step = self._step.step
        tries = tries_made(step, self._known)
        while True:
            tries += 1
            match await self._perform():
                case Done() as done:
                    await self._done(done, tries)
                    return None
                case Stop(failure, result):
                    return await self.failed(failure, result, tries)
                case Wait(until) as wait:
                    if not self._step.action.branches:
                        self.record(StepStatus.WAITING, attempts=tries, until=until)
                    return wait
                case Halted() as halted:
                    return halted
                case Retry(failure):
                    following = self._after_failed_try(failure, tries)
                    if not isinstance(following, TryAgain):
                        return await self.failed(failure, None, tries)
                    until = later(self._walk.ports.now(), following.wait)
                    if following.pauses or self._step.action.branches:
                        # a block may wait inside its next try: its tries so far must be known when the run goes on
                        self.record(StepStatus.FAILED, attempts=tries, error=failure, until=until)
                    if following.pauses:
                        return Wait(until)
                    await asyncio.sleep(following.wait)

    def _after_failed_try(self, failure: Failure, tries: int) -> TryAgain | GiveUp:
        ports = self._walk.ports
        if ports.guide is not None:
            return ports.guide.after_failed_try(self._path, failure)
        return after_failed_try(self._step.step, failure, tries, ports.fraction())

    async def _perform(self) -> StepOutcome:
        walk, action = self._walk, self._step.action
        known = self._known
        context = StepContext(
            event=walk.run.event,
            path=self._path,
            attempt=walk.run.attempts,
            timeout=self._step.step.timeout,
            outside=walk.ports.outside,
            now=walk.ports.now,
            due=known.until if known is not None and known.status is StepStatus.WAITING else None,
            inner=self if action.branches else None,
            span=self.span,
        )
        if action.branches:
            outcome = await action.perform(self.given, context)
            if walk.ports.guide is not None:
                await walk.ports.guide.before_end(self._path, self.place.halt)
            return outcome
        if action.is_pure:
            return await walk.ports.perform(self._step, self.given, context)
        if walk.free is None:
            walk.free = asyncio.Semaphore(STEPS_AT_ONCE)
        async with walk.free:
            return await walk.ports.perform(self._step, self.given, context)

    async def run(
        self, steps: Steps, *, part: str = "", names: Mapping[str, Json] | None = None, halt: Halt | None = None
    ) -> StepsEnd:
        outer = self.place
        outputs = dict(outer.outputs)
        place = _Place(
            prefix=f"{self._path}{part}.",
            names=Scope(outer.names, {**(names or {}), "steps": outputs}),
            outputs=outputs,
            effect_follows=outer.effect_follows or self._step.precedes_effect or not self._step.action.is_pure,
            halt=halt or outer.halt,
            own={},
            span=self.span,
        )
        end = await self._walk.through(steps, place)
        return Finished(place.own or {}, place.last) if end is None else end

    def halt(self) -> Halt:
        return Halt(self.place.halt)

    async def _done(self, done: Done, tries: int) -> None:
        walk = self._walk
        self.record(StepStatus.SUCCEEDED, attempts=tries, output=done.output)
        if done.emission is not None:
            walk.emissions.append(done.emission)
        is_answer = done.result is not None and walk.result is None
        if is_answer:
            walk.result = walk.new_result = done.result
        if is_answer or not self._step.action.is_pure:
            await self._before_effects()
        elif len(walk.records) >= RECORDS_AT_ONCE:
            await walk.checkpoint()

    async def failed(self, failure: Failure, result: Result | None, tries: int) -> Stop | None:
        """The step failed for good; the end of its list, unless the step says that it goes on."""
        if failure.step is None or not self._step.action.branches:
            failure = replace(failure, step=self._path)
        self.record(StepStatus.FAILED, attempts=tries, error=failure)
        if not self._step.step.continue_on_error:
            return Stop(failure, result)
        if not self._step.action.is_pure:
            await self._before_effects()
        return None

    async def _before_effects(self) -> None:
        """Make durable what a later side effect builds on."""
        if self._step.precedes_effect or self.place.effect_follows:
            await self._walk.checkpoint()

    def record(
        self,
        status: StepStatus,
        *,
        attempts: int,
        output: Json = None,
        error: Failure | None = None,
        until: Instant | None = None,
    ) -> None:
        record = StepRecord(
            id=self._path,
            kind=self._step.step.kind,
            status=status,
            started_at=self._started_at,
            finished_at=self._walk.ports.now(),
            attempts=attempts,
            input=_cut(self.given) if self._step.action.records_input else None,
            output=output,
            error=error,
            until=until,
            start=self._walk.run.attempts,
        )
        self.last_record = record
        self._walk.records.append(record)
        if self._walk.ports.guide is not None:
            self._walk.ports.guide.recorded(record)
        if self.place.prefix or until is not None:
            self._walk.known[self._path] = record
        _keep(record, self._step, self.place)


def _keep(record: StepRecord, step: WorkflowStep, place: _Place) -> None:
    """Let later steps see what came of this one. A step that failed shows its error."""
    output = record.output
    if record.error is not None:
        output = {"error": {"kind": record.error.kind, "message": record.error.message}}
    place.outputs[step.step.id] = output
    if place.own is not None:
        place.own[step.step.id] = output
    if record.status is not StepStatus.SKIPPED:
        place.last = output


def _cut(value: Json) -> Json:
    """The value as it is recorded: what is very large is told by its size."""
    if value is None or value == {}:
        return value
    size = len(msgspec.json.encode(value))
    return {"truncated": True, "size": size} if size > RECORDED_INPUT_BYTES else value
