"""Workflows: immutable, numbered lists of steps. A run pins one version for its life."""

from __future__ import annotations

from collections.abc import Iterator
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

CALLING_KINDS = ("http", "sql")
"""Kinds of steps that name a connection."""
_BLOCKS = ("switch", "parallel", "for_each")


def connections_named(document: Json) -> frozenset[str]:
    """The names of the connections that a workflow document uses, in whatever block the steps stand.

    What only looks like a step, inside of somebody's own tree (`transform`), is not looked at.
    """
    found = (step[kind].get("connection") for step in _steps(document) for kind in _calls(step))
    return frozenset(name for name in found if isinstance(name, str))


def lenient_steps(document: Json) -> frozenset[str]:
    """The ids of the steps whose failure lets the steps behind them go on."""
    return frozenset(step["id"] for step in _steps(document) if step.get("on_error") == "continue")


def _calls(step: dict[str, Json]) -> list[str]:
    return [kind for kind in CALLING_KINDS if isinstance(step.get(kind), dict)]


def _steps(document: Json) -> Iterator[dict[str, Json]]:
    """All steps. A branch may be called `id` or `http`: what holds a list of steps is no step itself."""
    waiting: list[Json] = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict) and isinstance(node.get("id"), str):
            yield node
            waiting += [node[block] for block in _BLOCKS if block in node]
        elif isinstance(node, dict):
            waiting += node.values()
