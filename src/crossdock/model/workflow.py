"""Workflows: immutable, numbered lists of steps. A run pins one version for its life."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossdock.model.outcome import Json
from crossdock.model.retry import RetryPolicy

MAX_STEPS = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One step as written. `settings` is what stands under its kind's name (`transform: {...}`)."""

    id: str
    kind: str
    settings: Json
    when: str | None = None
    retry: RetryPolicy | None = None
    timeout: float | None = None
    continue_on_error: bool = False
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Workflow:
    """`number` 0 with no steps stands for "no workflow": the event is recorded and succeeds with `null`."""

    number: int = 0
    steps: tuple[Step, ...] = ()
    document: Json = field(default_factory=lambda: {"steps": []})


NO_WORKFLOW = Workflow()
