"""Leads the walk of a trial, and answers the steps that are not performed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from crossdock.expressions.scope import Scope
from crossdock.model.advance import GiveUp, TryAgain, retry_of
from crossdock.model.expression import ExpressionError
from crossdock.model.history import blocks_around
from crossdock.model.outcome import Done, Failure, Json, Retry, StepOutcome, Stop, Wait
from crossdock.model.run import StepRecord, StepStatus
from crossdock.model.time import format_instant
from crossdock.model.trial import Answered, Told, TrialStep
from crossdock.outbound.connection import SqlConnection
from crossdock.outbound.request import SqlAnswer, SqlQuery
from crossdock.run.compile import CompiledWorkflow
from crossdock.run.outside import SqlCalls
from crossdock.run.steps.contract import Halt, StepContext, Steps, WorkflowStep
from crossdock.run.steps.sql import SqlStep
from crossdock.run.trials.recorded import Recorded
from crossdock.run.trials.turns import Turns
from crossdock.run.walk import perform

STEPS_AT_ONCE = 50
"""So many steps may go by before others of this process have their turn."""
_LONG_PAUSE = TryAgain(86_400.0)
_NO_RECORD = "the run did not perform it, so nobody knows what it would end in"
_MORE_TRIES = "it would be tried again, and nobody knows what would come of that"


class TrialGuide:
    """One trial's. `told` is what is known beforehand; subclasses say what becomes of steps nothing is known of."""

    def __init__(self, workflow: CompiledWorkflow, told: Told) -> None:
        self._by_id = dict(_by_id(workflow.steps))
        self.steps = [
            TrialStep(record, Answered.RECORDED)
            for entry in told.begun
            for record in entry.steps
            if record.id.rpartition(".")[2] in self._by_id
        ]
        self._outputs = told.outputs
        self._recorded = Recorded(told.records)
        self._starts = told.starts
        self._vars = workflow.vars
        self._names_of_starts: dict[int, dict[str, Json]] = {}
        self._answers: dict[str, tuple[Answered, Json]] = {}
        """How each step that was not really performed was answered, and what it would have done."""
        self._unknown: dict[str, str] = {}
        self._made_up: set[str] = set()
        """The ids of steps whose outputs are made up, those of the blocks around them included."""
        self._passed = 0

    @property
    def unused(self) -> tuple[str, ...]:
        """Outputs that no step has asked for."""
        used = {path for path, (answered, _) in self._answers.items() if answered is Answered.GIVEN}
        return tuple(path for path in self._outputs if path not in used)

    # --- what the walk asks ----------------------------------------------------------------------------------------

    async def may_begin(self, path: str, halt: Halt | None) -> bool:
        self._passed += 1
        if self._passed % STEPS_AT_ONCE == 0:
            await asyncio.sleep(0)
        return halt is None or not halt.is_set

    async def before_end(self, path: str, halt: Halt | None) -> None:
        """A block tells its end at once."""

    def names_at(self, path: str, names: Mapping[str, Json]) -> Mapping[str, Json]:
        """`event.attempt` is what it was when the step was recorded, and so are `vars`, which may depend on it."""
        start = self._recorded.start_of(path)
        if start is None or start == self._starts:
            return names
        if start not in self._names_of_starts:
            own: dict[str, Json] = {"event": {**names["event"], "attempt": start}}
            if self._vars is not None:
                with suppress(ExpressionError):  # those of a changed workflow: they stay what they are for the others
                    own["vars"] = self._vars.evaluate(Scope(names, own))
            self._names_of_starts[start] = own
        return Scope(names, self._names_of_starts[start])

    def after_failed_try(self, path: str, failure: Failure) -> TryAgain | GiveUp:
        """Nothing is tried again."""
        return GiveUp()

    def recorded(self, record: StepRecord) -> None:
        answered, would = self._answers.get(record.id, (Answered.PERFORMED, None))
        because_of = self._because_of(record) if record.status is StepStatus.FAILED else ()
        self.steps.append(TrialStep(record, answered, would, because_of, self._unknown.get(record.id, "")))

    async def perform(self, step: WorkflowStep, given: Json, context: StepContext) -> StepOutcome:
        """Answer the step with what is given or recorded; else let `answer` decide."""
        path, kind = context.path, step.step.kind
        if step.action.is_pure and kind != "delay":
            return await self.really(step, given, context)
        if path in self._outputs:
            return self._told(path, Answered.GIVEN, given, Done(self._outputs[path]))
        record = self._recorded.find(path, kind)
        if record is not None:
            return self._told(path, Answered.RECORDED, given, self.outcome_of(record, step))
        if kind == "delay":
            return await self._waited(step, given, context)
        return await self.answer(step, given, context)

    # --- what kinds of trials differ in ------------------------------------------------------------------------------

    async def really(self, step: WorkflowStep, given: Json, context: StepContext) -> StepOutcome:
        return await perform(step, given, context)

    async def answer(self, step: WorkflowStep, given: Json, context: StepContext) -> StepOutcome:
        """What a step that reaches out ends in that nothing is known of: null, made up. Reading a database changes
        nothing, and the database is asked to refuse anything else."""
        if isinstance(step.action, SqlStep) and step.action.is_read:
            outside = replace(context.outside, sql=_ReadOnly(context.outside.sql))
            return await perform(step, given, replace(context, outside=outside))
        if step.step.kind == "emit":  # it makes an event, which a trial drops, and finds out what can't be handed over
            outcome = await perform(step, given, context)
            return self._made(context.path, given) if isinstance(outcome, Done) else outcome
        return self._made(context.path, given)

    def outcome_of(self, record: StepRecord, step: WorkflowStep) -> StepOutcome:
        """What the step ended in."""
        if record.error is not None:
            return Stop(record.error)
        return Done(record.output)

    # --- answers -----------------------------------------------------------------------------------------------------

    def _told(self, path: str, answered: Answered, would: Json, outcome: StepOutcome) -> StepOutcome:
        self._answers[path] = (answered, would)
        return outcome

    def _made(self, path: str, would: Json) -> StepOutcome:
        self._made_up.update(part.rpartition(".")[2] for part in (path, *blocks_around(path)))
        return self._told(path, Answered.SIMULATED, would, Done(None))

    async def _waited(self, step: WorkflowStep, given: Json, context: StepContext) -> StepOutcome:
        """A delay as if its time were over."""
        outcome = await perform(step, given, context)
        if not isinstance(outcome, Wait):
            return outcome
        until = outcome.until
        would = {**given, "until": format_instant(until)}
        over = await perform(step, given, replace(context, due=until, now=lambda: until))
        return self._told(context.path, Answered.SIMULATED, would, over)

    def _because_of(self, record: StepRecord) -> tuple[str, ...]:
        """The made-up steps that the failed step's expressions refer to."""
        step = self._by_id.get(record.id.rpartition(".")[2])
        if step is None or not self._made_up:
            return ()
        references = step.action.steps | (step.when.steps if step.when is not None else frozenset())
        return tuple(sorted(references & self._made_up))


class _ReadOnly:
    """Reads, and nothing else."""

    def __init__(self, sql: SqlCalls) -> None:
        self._sql = sql

    async def execute(self, query: SqlQuery, connection: SqlConnection) -> SqlAnswer:
        return await self._sql.execute(replace(query, reads_only=True), connection)


class AlongRecord(TrialGuide):
    """Answers every step from what was recorded, in the order in which steps ended."""

    def __init__(self, workflow: CompiledWorkflow, told: Told) -> None:
        super().__init__(workflow, told)
        self._turns = Turns()

    def close(self) -> None:
        self._turns.close()

    async def may_begin(self, path: str, halt: Halt | None) -> bool:
        """A step that is known to have begun begins, although a neighbour has failed by now."""
        if not await super().may_begin(path, None):
            return False
        if halt is None or not self._recorded.has_order:
            return halt is None or not halt.is_set
        if not self._recorded.has_begun(path):
            return await self._turns.come_last(halt)
        if not self._recorded.has_steps(path):
            await self._take_turn(path)
        return True

    async def before_end(self, path: str, halt: Halt | None) -> None:
        if halt is not None and self._recorded.has_order and self._recorded.has_steps(path):
            await self._take_turn(path)

    async def _take_turn(self, path: str) -> None:
        position = self._recorded.position(path)
        if position is not None:
            await self._turns.take(position, patient=self._recorded.has_failed(path))

    def after_failed_try(self, path: str, failure: Failure) -> TryAgain | GiveUp:
        step = self._by_id[path.rpartition(".")[2]]
        record = self._recorded.find(path, step.step.kind)
        if record is None or record.status is not StepStatus.FAILED:
            return GiveUp()
        if record.until is not None:
            return _LONG_PAUSE
        self._judge_tries(record, step)
        return GiveUp()

    async def really(self, step: WorkflowStep, given: Json, context: StepContext) -> StepOutcome:
        if step.action.is_quick:
            return await perform(step, given, context)
        with self._turns.busy():
            return await perform(step, given, context)

    async def answer(self, step: WorkflowStep, given: Json, context: StepContext) -> StepOutcome:
        """Null, and the walk goes on: what does not depend on it can still be told."""
        self._unknown[context.path] = _NO_RECORD
        return self._made(context.path, given)

    def outcome_of(self, record: StepRecord, step: WorkflowStep) -> StepOutcome:
        if record.until is not None:
            return Wait(record.until) if record.error is None else Retry(record.error)
        if record.error is not None:
            self._judge_tries(record, step)
        return super().outcome_of(record, step)

    def _judge_tries(self, record: StepRecord, step: WorkflowStep) -> None:
        is_passing = record.error is not None and not record.error.permanent
        if is_passing and not step.action.is_pure and retry_of(step.step).has_another(record.attempts):
            self._unknown[record.id] = _MORE_TRIES


class Live(TrialGuide):
    """Really performs the steps with side effects, each once. What they emit is shown and dropped."""

    async def answer(self, step: WorkflowStep, given: Json, context: StepContext) -> StepOutcome:
        is_dropped = step.step.kind == "emit"  # its output names an event that there never is
        self._answers[context.path] = (Answered.SIMULATED, given) if is_dropped else (Answered.PERFORMED, None)
        return await perform(step, given, context)


def _by_id(steps: Steps) -> list[tuple[str, WorkflowStep]]:
    """Every step, those inside blocks included: ids are unique in a workflow."""
    found = []
    for step in steps:
        found.append((step.step.id, step))
        for branch in step.action.branches:
            found += _by_id(branch)
    return found
