"""The steps of a workflow document, with those inside blocks, as they are written.

Drafts are read too, so nothing is taken for granted: an id may be missing or there twice, a kind unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crossdock.model.outcome import Json

COMMON_KEYS = frozenset({"id", "when", "retry", "timeout", "on_error", "notes"})
"""What a step may say besides its kind."""
UNKNOWN = "?"
"""The id of a step that has none."""


@dataclass(frozen=True, slots=True)
class OutlinedStep:
    """A step and where it stands."""

    id: str
    kind: str
    path: str
    """Its id behind those of the blocks around it: `lines.book`."""
    block: str
    """The path of the block around it; empty for the workflow itself."""
    branch: str
    """The list of the block that it stands in, such as `cases[0]`; empty where there is only one."""
    position: int
    """In that list, from 0."""
    written: Json
    """What the step says, without the steps inside it."""

    @property
    def continues(self) -> bool:
        """Whether the workflow goes on when it fails."""
        return bool(self.written.get("on_error") == "continue")


def outline(document: Json) -> list[OutlinedStep]:
    """All steps in the order in which they are written, a block before what is inside it."""
    return list(_through(document.get("steps"), "", "")) if isinstance(document, dict) else []


def top_steps(document: Json) -> list[OutlinedStep]:
    """The workflow's own steps, without those inside blocks."""
    return [step for step in outline(document) if not step.block]


def _through(steps: Json, block: str, branch: str) -> Iterator[OutlinedStep]:
    for position, step in enumerate(steps if isinstance(steps, list) else []):
        if not isinstance(step, dict):
            yield OutlinedStep(UNKNOWN, "", _below(block, UNKNOWN), block, branch, position, {"step": step})
            continue
        kind = kind_of(step)
        step_id = step["id"] if isinstance(step.get("id"), str) else UNKNOWN
        path = _below(block, step_id)
        inner = branches(kind, step.get(kind))
        written = {**step, kind: _without_steps(kind, step[kind])} if inner else step
        yield OutlinedStep(step_id, kind, path, block, branch, position, written)
        for name, steps_inside in inner.items():
            yield from _through(steps_inside, path, name)


def _below(block: str, step_id: str) -> str:
    return f"{block}.{step_id}" if block else step_id


def kind_of(step: dict[str, Json]) -> str:
    """The name of the step's kind; empty when it has none."""
    return next((key for key in step if key not in COMMON_KEYS), "")


def branches(kind: str, settings: Json) -> dict[str, Json]:
    """The lists of steps inside a block, by the place where they stand in its settings; empty for other steps."""
    if not isinstance(settings, dict):
        return {}
    found: dict[str, Json] = {}
    match kind:
        case "for_each":
            found = {"": settings.get("steps")}
        case "parallel":
            named = settings.get("branches")
            found = {str(name): steps for name, steps in named.items()} if isinstance(named, dict) else {}
        case "switch":
            cases = settings.get("cases")
            cases = cases if isinstance(cases, list) else []
            found = {f"cases[{n}]": case.get("steps") for n, case in enumerate(cases) if isinstance(case, dict)}
            found["default"] = settings.get("default")
    return {name: steps for name, steps in found.items() if isinstance(steps, list)}


def _without_steps(kind: str, settings: dict[str, Json]) -> Json:
    """The block's own settings, with `[]` in the place of each list of steps."""
    match kind:
        case "parallel":
            return {**settings, "branches": {name: _emptied(steps) for name, steps in settings["branches"].items()}}
        case "switch":
            emptied = {key: _emptied(value) if key == "default" else value for key, value in settings.items()}
            cases = settings.get("cases")
            if isinstance(cases, list):
                emptied["cases"] = [
                    {key: _emptied(value) if key == "steps" else value for key, value in case.items()}
                    if isinstance(case, dict)
                    else case
                    for case in cases
                ]
            return emptied
        case _:
            return {key: _emptied(value) if key == "steps" else value for key, value in settings.items()}


def _emptied(steps: Json) -> Json:
    return [] if isinstance(steps, list) else steps
