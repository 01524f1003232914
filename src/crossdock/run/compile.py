"""From a workflow document to steps that can be performed. Everything that can be known to be wrong is refused here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from crossdock.expressions import CompiledTree
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.model.retry import RetryPolicy
from crossdock.model.time import parse_duration
from crossdock.model.workflow import MAX_STEPS, Step
from crossdock.run.functions import Functions
from crossdock.run.steps import KINDS, CompiledStep, Compiling, Steps, WorkflowStep
from crossdock.run.steps.fields import STEP_NAMES, condition_at, refuse, require_object, value_at

_Part = TypeVar("_Part")

STEP_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
COMMON_KEYS = ("id", "when", "retry", "timeout", "on_error", "notes")
MAX_BLOCK_DEPTH = 5
MAX_ATTEMPTS = 100
MAX_TIMEOUT_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class CompiledWorkflow:
    """A workflow version. `is_quick`: no step has side effects or keeps others waiting, so that a run may be worked
    out again at any time, and any number of them at once."""

    number: int
    steps: Steps
    is_quick: bool
    vars: CompiledTree | None = None
    """Values that are worked out once, at each start of a run, for all steps to use."""


def compile_workflow(
    document: Json,
    number: int = 0,
    functions: Functions | None = None,
    connections: Mapping[str, str] | None = None,
    field: str = "workflow",
) -> CompiledWorkflow:
    """Compile a document such as `{"steps": [...]}`; Invalid lists everything that is wrong, with its place.

    With `functions` and `connections` (their kinds by name), those that are not there are refused too.
    """
    if document is None:
        document = {"steps": []}
    written = require_object(document, field, allowed=("vars", "steps", "notes"), required=("steps",))
    vars_ = _vars(written["vars"], f"{field}.vars") if "vars" in written else None
    steps = _Compiler(functions, connections).compile(written["steps"], f"{field}.steps")
    return CompiledWorkflow(number, steps, all(step.action.is_quick for step in steps), vars_)


def _vars(written: Json, field: str) -> CompiledTree:
    if not isinstance(written, dict):
        refuse(field, "an object is needed: each name and its value")
    return value_at(written, field, STEP_NAMES - {"steps", "vars"})


class _Compiler:
    """Compiles the steps in their order, and gathers what is wrong with all of them."""

    def __init__(self, functions: Functions | None, connections: Mapping[str, str] | None) -> None:
        self._functions = functions
        self._connections = connections
        self._errors: list[FieldError] = []
        self._count = 0
        self._places: dict[str, str] = {}
        """Where each id stands; ids are unique in the whole workflow, so that a message can name a step."""
        self._blocks: list[str] = []
        """The ids of the blocks around what is being compiled."""
        self._inside: dict[str, str] = {}
        """The block that each step stands in, for steps inside one that has come to its end."""
        self._visible: list[str] = []
        """The steps whose output is known by now."""
        self._unknown: list[tuple[str, str, str]] = []
        """References to what is not known where they stand: field, id, and the ids that are known there."""

    def compile(self, documents: Json, field: str) -> Steps:
        steps = self._try(lambda: self._list(documents, field, STEP_NAMES)) or ()
        self._judge_references()
        if self._errors:
            first = self._errors[0]
            raise Invalid(f"{first.field}: {first.message}", tuple(self._errors))
        return steps

    def _list(self, documents: Json, field: str, names: frozenset[str]) -> Steps:
        """Compile a list of steps, the whole workflow's or a block's."""
        if not isinstance(documents, list):
            refuse(field, "a list of steps is needed")
        if len(self._blocks) > MAX_BLOCK_DEPTH:
            refuse(
                field,
                f"blocks may stand {MAX_BLOCK_DEPTH} deep in each other; move the inner ones to a workflow"
                " of their own, and emit to it",
            )
        self._count += len(documents)
        if self._count > MAX_STEPS:
            refuse(field, f"a workflow has {MAX_STEPS} steps at most, those in blocks included")
        visible = len(self._visible)
        steps = [self._step(document, f"{field}[{index}]", names) for index, document in enumerate(documents)]
        for step_id in self._visible[visible:]:
            self._inside[step_id] = self._blocks[-1] if self._blocks else ""
        del self._visible[visible:]
        return _marked([step for step in steps if step is not None])

    def _step(self, document: Json, field: str, names: frozenset[str]) -> WorkflowStep | None:
        written = self._try(lambda: require_object(document, field, allowed=(*COMMON_KEYS, *KINDS), required=("id",)))
        if written is None:
            return None
        step_id = written["id"]
        self._check_id(step_id, field)
        kinds = [kind for kind in KINDS if kind in written]
        if len(kinds) != 1:
            self._wrong(
                field, f"a step has exactly one of {', '.join(KINDS)}; this one has {', '.join(kinds) or 'none'}"
            )
            return None
        kind = kinds[0]
        step = self._try(lambda: _common(written, kind, field))
        when = self._try(lambda: condition_at(written["when"], f"{field}.when", names)) if "when" in written else None
        action = self._try(lambda: self._action(kind, written, field, names))
        self._visible.append(str(step_id))
        if action is None or step is None:
            return None
        references = action.steps | (when.steps if when is not None else frozenset())
        known = self._visible[:-1]
        self._unknown += [(field, reference, ", ".join(known)) for reference in sorted(references - set(known))]
        self._check_timeout(step, action, field)
        return WorkflowStep(step, when, action)

    def _action(self, kind: str, written: dict[str, Json], field: str, names: frozenset[str]) -> CompiledStep:
        def compile_steps(documents: Json, place: str, inner_names: frozenset[str]) -> Steps:
            self._blocks.append(str(written["id"]))
            try:
                return self._list(documents, place, inner_names)
            finally:
                self._blocks.pop()

        around = Compiling(names, compile_steps, self._functions, self._connections)
        return KINDS[kind](written[kind], f"{field}.{kind}", around)

    def _check_id(self, step_id: Json, field: str) -> None:
        if not isinstance(step_id, str) or not STEP_ID.fullmatch(step_id):
            self._wrong(
                f"{field}.id", "an id begins with a letter or _, and goes on with up to 63 letters, digits and _"
            )
        elif self._places.setdefault(step_id, field) != field:
            self._wrong(f"{field}.id", f"the id {step_id!r} is taken by {self._places[step_id]}")

    def _judge_references(self) -> None:
        """Tell what is wrong with each reference, now that all steps have been seen."""
        for field, reference, known in self._unknown:
            block = self._inside.get(reference)
            if block:
                place = f"steps.{block}.{reference}, or, for a for_each, an element of the list steps.{block}"
                self._wrong(field, f"step {reference!r} stands inside {block!r}; its output is {place}")
            elif reference in self._places:
                self._wrong(field, f"step {reference!r} comes later, so its output is not known here")
            else:
                self._wrong(field, f"there is no step {reference!r}; before this step there are: {known or 'none'}")

    def _check_timeout(self, step: Step, action: CompiledStep, field: str) -> None:
        if step.timeout is not None and action.branches:
            self._wrong(f"{field}.timeout", "a block has no timeout of its own; give one to the steps inside it")

    def _wrong(self, field: str, message: str) -> None:
        self._errors.append(FieldError(field, message))

    def _try(self, compile_part: Callable[[], _Part]) -> _Part | None:
        try:
            return compile_part()
        except Invalid as invalid:
            self._errors.extend(invalid.errors)
            return None


def _marked(steps: list[WorkflowStep]) -> Steps:
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
