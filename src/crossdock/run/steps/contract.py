"""What a kind of step has to offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from crossdock.model.outcome import Json, StepOutcome
from crossdock.run.functions import Functions


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step may know of its run besides its own settings."""

    event_id: str
    step_id: str
    attempt: int
    """Starts of the run so far, this one included."""
    timeout: float | None
    functions: Functions

    @property
    def idempotency_key(self) -> str:
        """The same for every try of this step for this event, so that the other side can tell repeats."""
        return f"{self.event_id}:{self.step_id}"


class CompiledStep(Protocol):
    """A step's settings, compiled. First they are evaluated, then the step acts on what they gave."""

    @property
    def is_pure(self) -> bool:
        """Nothing outside the run notices whether it was performed."""

    @property
    def records_input(self) -> bool:
        """Whether what `prepare` gives tells an operator something that the output does not."""

    @property
    def steps(self) -> frozenset[str]:
        """Ids of the steps that its expressions refer to."""

    def prepare(self, names: Mapping[str, Json]) -> Json:
        """The settings, evaluated; ExpressionError when that fails."""

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        """Act on what `prepare` gave."""
