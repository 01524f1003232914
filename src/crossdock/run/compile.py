"""From a workflow document to steps that can be performed. Everything that can be known to be wrong is refused here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from crossdock.expressions import CompiledTree
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.model.retry import RetryPolicy
from crossdock.model.time import parse_duration
from crossdock.model.workflow import MAX_STEPS, Step
from crossdock.run.functions import Functions
from crossdock.run.steps import KINDS, CompiledStep
from crossdock.run.steps.fields import condition_at, refuse, require_object
from crossdock.run.steps.python import PythonCall

_Part = TypeVar("_Part")

STEP_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
COMMON_KEYS = ("id", "when", "retry", "timeout", "on_error", "notes")
MAX_ATTEMPTS = 100
MAX_TIMEOUT_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class WorkflowStep:
    """One step, ready to be performed."""

    step: Step
    when: CompiledTree | None
    action: CompiledStep
    precedes_effect: bool = False
    """A step with side effects comes later: what is known by then has to be durable first."""


@dataclass(frozen=True, slots=True)
class CompiledWorkflow:
    """A workflow version. `is_pure`: no step has side effects, so a run may be worked out again at any time."""

    number: int
    steps: tuple[WorkflowStep, ...]
    is_pure: bool


def compile_workflow(
    document: Json, number: int = 0, functions: Functions | None = None, field: str = "workflow"
) -> CompiledWorkflow:
    """Compile a document such as `{"steps": [...]}`; Invalid lists everything that is wrong, with its place.

    With `functions`, functions that are not there are refused too.
    """
    if document is None:
        document = {"steps": []}
    written = require_object(document, field, allowed=("steps", "notes"), required=("steps",))
    documents = written["steps"]
    if not isinstance(documents, list):
        refuse(f"{field}.steps", "a list of steps is needed")
    if len(documents) > MAX_STEPS:
        refuse(f"{field}.steps", f"a workflow has {MAX_STEPS} steps at most; these are {len(documents)}")
    compiler = _Compiler(documents, functions, f"{field}.steps")
    steps = compiler.compile()
    return CompiledWorkflow(number, steps, all(step.action.is_pure for step in steps))


class _Compiler:
    """Compiles the steps in their order, and gathers what is wrong with all of them."""

    def __init__(self, documents: list[Json], functions: Functions | None, field: str) -> None:
        self._documents = documents
        self._functions = functions
        self._field = field
        self._errors: list[FieldError] = []
        ids = [document.get("id") if isinstance(document, dict) else None for document in documents]
        self._order = {step_id: index for index, step_id in reversed(list(enumerate(ids))) if isinstance(step_id, str)}

    def compile(self) -> tuple[WorkflowStep, ...]:
        steps = [self._step(index, document) for index, document in enumerate(self._documents)]
        if self._errors:
            first = self._errors[0]
            raise Invalid(f"{first.field}: {first.message}", tuple(self._errors))
        return _marked([step for step in steps if step is not None])

    def _step(self, index: int, document: Json) -> WorkflowStep | None:
        field = f"{self._field}[{index}]"
        written = self._try(lambda: require_object(document, field, allowed=(*COMMON_KEYS, *KINDS), required=("id",)))
        if written is None:
            return None
        self._check_id(index, written["id"], f"{field}.id")
        kinds = [kind for kind in KINDS if kind in written]
        if len(kinds) != 1:
            self._wrong(
                field, f"a step has exactly one of {', '.join(KINDS)}; this one has {', '.join(kinds) or 'none'}"
            )
            return None
        kind = kinds[0]
        step = self._try(lambda: _common(written, kind, field))
        when = self._try(lambda: condition_at(written["when"], f"{field}.when")) if "when" in written else None
        action = self._try(lambda: KINDS[kind](written[kind], f"{field}.{kind}"))
        if action is None or step is None:
            return None
        references = action.steps | (when.steps if when is not None else frozenset())
        self._check_references(index, references, field)
        self._check_function(action, f"{field}.{kind}.function")
        return WorkflowStep(step, when, action)

    def _check_id(self, index: int, step_id: Json, field: str) -> None:
        if not isinstance(step_id, str) or not STEP_ID.fullmatch(step_id):
            self._wrong(field, "an id begins with a letter or _, and goes on with up to 63 letters, digits and _")
        elif self._order[step_id] != index:
            self._wrong(field, f"the id {step_id!r} is taken by step {self._order[step_id] + 1}")

    def _check_references(self, index: int, references: frozenset[str], field: str) -> None:
        for reference in sorted(references):
            place = self._order.get(reference)
            if place is None:
                there = ", ".join(step_id for step_id, at in self._order.items() if at < index) or "none"
                self._wrong(field, f"there is no step {reference!r}; before this step there are: {there}")
            elif place >= index:
                self._wrong(field, f"step {reference!r} comes later, so its output is not known here")

    def _check_function(self, action: CompiledStep, field: str) -> None:
        if self._functions is not None and isinstance(action, PythonCall):
            problem = self._functions.problem(action.function)
            if problem is not None:
                self._wrong(field, problem)

    def _wrong(self, field: str, message: str) -> None:
        self._errors.append(FieldError(field, message))

    def _try(self, compile_part: Callable[[], _Part]) -> _Part | None:
        try:
            return compile_part()
        except Invalid as invalid:
            self._errors.extend(invalid.errors)
            return None


def _marked(steps: list[WorkflowStep]) -> tuple[WorkflowStep, ...]:
    """The steps, each knowing whether one with side effects follows."""
    marked: list[WorkflowStep] = []
    has_effect = False
    for step in reversed(steps):
        marked.append(replace(step, precedes_effect=has_effect))
        has_effect = has_effect or not step.action.is_pure
    return tuple(reversed(marked))


def _common(written: dict[str, Json], kind: str, field: str) -> Step:
    """What every step may say."""
    on_error = written.get("on_error", "fail")
    if on_error not in ("fail", "continue"):
        refuse(f"{field}.on_error", "fail or continue is needed")
    notes = written.get("notes", "")
    if not isinstance(notes, str):
        refuse(f"{field}.notes", "text is needed")
    timeout = None
    if "timeout" in written:
        timeout = _duration(written["timeout"], f"{field}.timeout", MAX_TIMEOUT_SECONDS)
        if timeout <= 0:
            refuse(f"{field}.timeout", "a timeout is longer than nothing")
    return Step(
        id=str(written["id"]),
        kind=kind,
        settings=written[kind],
        retry=_retry(written["retry"], f"{field}.retry") if "retry" in written else None,
        timeout=timeout,
        continue_on_error=on_error == "continue",
        notes=notes,
    )


def _retry(settings: Json, field: str) -> RetryPolicy:
    written = require_object(settings, field, allowed=("attempts", "delay", "factor", "max_delay"))
    default = RetryPolicy()
    attempts, factor = written.get("attempts", default.attempts), written.get("factor", default.factor)
    if not isinstance(attempts, int) or isinstance(attempts, bool) or not 1 <= attempts <= MAX_ATTEMPTS:
        refuse(f"{field}.attempts", f"a number from 1 to {MAX_ATTEMPTS} is needed; it counts the first try too")
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not 1 <= factor <= 10:
        refuse(f"{field}.factor", "a number from 1 to 10 is needed")
    longest = 86_400.0
    delay = _duration(written["delay"], f"{field}.delay", longest) if "delay" in written else default.delay
    max_delay = (
        _duration(written["max_delay"], f"{field}.max_delay", longest) if "max_delay" in written else default.max_delay
    )
    return RetryPolicy(attempts, delay, float(factor), max_delay)


def _duration(text: Json, field: str, longest: float) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        refuse(field, str(error))
    if seconds > longest:
        refuse(field, f"{longest:g} seconds are the most here")
    return seconds
