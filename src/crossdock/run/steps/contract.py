"""What a kind of step has to offer, and what it may know of the workflow around it and of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from crossdock.clock import Clock
from crossdock.expressions import CompiledTree
from crossdock.model.event import Event
from crossdock.model.outcome import Halted, Json, StepOutcome, Stop, Wait
from crossdock.model.time import Instant
from crossdock.model.trace import TraceContext, caller_trace
from crossdock.model.value import value
from crossdock.model.workflow import Step
from crossdock.run.functions import Functions
from crossdock.run.outside import Outside
from crossdock.tracing import OpenSpan


@value
class Finished:
    """A list of steps came to its end. `outputs` are its steps' by id, `last` is that of the last one."""

    outputs: dict[str, Json]
    last: Json


StepsEnd: TypeAlias = Finished | Stop | Wait | Halted


class Halt:
    """Shared by lists of steps that run side by side: the first failure keeps the others from going on.

    What halts the lists around a block halts those inside it.
    """

    __slots__ = ("_is_set", "_outer")

    def __init__(self, outer: Halt | None = None) -> None:
        self._outer = outer
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    @property
    def is_set(self) -> bool:
        return self._is_set or (self._outer is not None and self._outer.is_set)


class Inner(Protocol):
    """What a block gets from the walk: a way to run its steps."""

    async def run(
        self, steps: Steps, *, part: str = "", names: Mapping[str, Json] | None = None, halt: Halt | None = None
    ) -> StepsEnd:
        """Take the run through a block's steps. `part`, such as `[3]`, tells repetitions apart; `names` are laid over
        those that the block's own expressions see."""

    def halt(self) -> Halt:
        """A halt for lists of this block that run side by side."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step may know of its run besides its own settings."""

    event: Event
    path: str
    """The step's id, behind those of the blocks around it: `lines[3].book`."""
    attempt: int
    """Starts of the run so far, this one included."""
    timeout: float | None
    outside: Outside
    now: Clock
    due: Instant | None = None
    """When the step wanted to go on, if it has waited."""
    inner: Inner | None = None
    """Set for steps with `branches`."""
    span: OpenSpan | None = None
    """The step as a part of a trace; None while no traces are told."""

    @property
    def trace(self) -> TraceContext | None:
        """The trace that what the step sends or makes is a part of: told here, or passed on from the caller."""
        return self.span.context if self.span is not None else caller_trace(self.event)

    @property
    def idempotency_key(self) -> str:
        """The same for every try of this step for this event, so that the other side can tell repeats."""
        return f"{self.event.id}:{self.path}"


class CompiledStep(Protocol):
    """A step's settings, compiled. First they are evaluated, then the step acts on what they gave."""

    @property
    def is_pure(self) -> bool:
        """Nothing outside the run notices whether it was performed."""

    @property
    def is_quick(self) -> bool:
        """It never keeps others waiting: any number may be performed at once, and none needs to be broken off."""

    @property
    def records_input(self) -> bool:
        """Whether what `prepare` gives tells an operator something that the output does not."""

    @property
    def steps(self) -> frozenset[str]:
        """Ids of the steps that its expressions refer to; those of its branches are not counted."""

    @property
    def branches(self) -> tuple[Steps, ...]:
        """The lists of steps inside it; empty for a step that is no block."""

    def prepare(self, names: Mapping[str, Json]) -> Json:
        """The settings, evaluated; ExpressionError when that fails."""

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        """Act on what `prepare` gave."""


@dataclass(frozen=True, slots=True)
class WorkflowStep:
    """One step, ready to be performed."""

    step: Step
    when: CompiledTree | None
    action: CompiledStep
    precedes_effect: bool = False
    """A step with side effects comes later in its list: what is known by then has to be durable first."""


Steps: TypeAlias = tuple[WorkflowStep, ...]


@dataclass(frozen=True, slots=True)
class Compiling:
    """What is known around a step while its settings are compiled."""

    names: frozenset[str]
    """What expressions may begin with here."""
    compile_steps: Callable[[Any, str, frozenset[str]], Steps]
    """Compiles the steps inside a block: their documents, their place, and what their expressions may begin with."""
    functions: Functions | None = None
    """None: whether a function is there is not asked."""
    connections: Mapping[str, str] | None = None
    """The kinds of the workspace's connections by name; None: whether one is there is not asked."""
