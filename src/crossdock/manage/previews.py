"""What expressions give for an event, and what they may begin with: for people who are writing them. Pure.

The outputs of the steps before come from the record of the event's run, or from steps that reach nothing outside. What
nobody knows, an expression says is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from crossdock.expressions import CompiledTree, Uncompilable, compile_condition, compile_value
from crossdock.expressions.names import event_names
from crossdock.expressions.patience import within
from crossdock.expressions.scope import Scope
from crossdock.manage.outline import OutlinedStep, outline
from crossdock.model.event import Event
from crossdock.model.expression import NAMES, ExpressionError
from crossdock.model.outcome import Json
from crossdock.model.run import StepRecord, StepStatus

MOST_VALUES = 60
"""Values and conditions that are asked for at once."""
SECONDS = 3.0
"""What all of them together may take."""
SHOWN_BYTES = 64 * 1024
"""Of a value; a larger one is told by its size."""
MOST_NAMES = 1_000
_DEEPEST_NAME = 8
_FIELDS_OF_ONE = 200
_SAMPLE = 60


class NewPreview(BaseModel):
    """What to evaluate, and for which event. The workflow is the draft, or the published one where there is none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    event_id: str = Field(max_length=64, description="A past event of the integration.")
    values: dict[str, Any] = Field(
        default={}, max_length=MOST_VALUES, description="Texts and trees with expressions, by names of your own."
    )
    conditions: dict[str, Any] = Field(default={}, max_length=MOST_VALUES, description="The same for conditions.")
    at: str = Field(
        default="",
        max_length=1_000,
        description="The path of the step that they stand in, such as `lines.priced`; by default behind the last one.",
    )
    workflow: dict[str, Any] | None = Field(default=None, description="Instead of the draft.")


@dataclass(frozen=True, slots=True)
class Passed:
    """An event, the workflow, and what came of its steps by their paths."""

    event: Event
    integration: str
    document: Json
    outputs: Mapping[str, Json]


def output_of(record: StepRecord) -> Json:
    """What later steps see of a step."""
    if record.error is not None:
        return {"error": {"kind": record.error.kind, "message": record.error.message}}
    return record.output


def seen_outputs(records: Mapping[str, StepRecord]) -> dict[str, Json]:
    return {path: output_of(record) for path, record in records.items() if record.status is not StepStatus.WAITING}


async def preview(wanted: NewPreview, passed: Passed) -> Json:
    """`{"values", "conditions", "names"}`; a `{"value"}` or an `{"error"}` for each name that was asked for."""
    return await asyncio.to_thread(_preview, wanted, passed)  # it may take its seconds


def _preview(wanted: NewPreview, passed: Passed) -> Json:
    with within(SECONDS):
        names = _names_at(wanted.at, passed)
        known = frozenset(NAMES) - {"item"} | names.keys()
        values = {
            name: _shown(lambda tree=tree: compile_value(tree, names=known, has_each=True), names)
            for name, tree in wanted.values.items()
        }
        conditions = {
            name: _shown(lambda text=text: compile_condition(text, names=known), names)
            for name, text in wanted.conditions.items()
        }
    return {"values": values, "conditions": conditions, "names": names_in(names)}


def _shown(compiled: Any, names: Mapping[str, Json]) -> Json:
    try:
        tree: CompiledTree = compiled()
        value = tree.evaluate(names)
        size = len(msgspec.json.encode(value))
    except Uncompilable as error:
        return {"error": f"{error.field}: {error}" if error.field else str(error)}
    except ExpressionError as error:
        return {"error": str(error)}
    except UnicodeEncodeError:  # half a surrogate pair, which no JSON can tell
        return {"error": "the value is no readable text"}
    return {"value": value} if size <= SHOWN_BYTES else {"truncated": True, "size": size}


# --- what is seen where a step stands --------------------------------------------------------------------------------


def _names_at(path: str, passed: Passed) -> dict[str, Json]:
    """The names that expressions of the step see: the steps before it in its list, and in those around it.

    In a loop it is the first item's.
    """
    of_event = event_names(passed.event, passed.integration)
    names = {root: of_event[root] for root in ("body", "query", "headers", "event")}
    names["vars"] = _vars(passed.document, names)
    steps = outline(passed.document)
    by_path = {step.path: step for step in steps}
    parts = path.split(".") if path else []
    lists = [".".join(parts[:depth]) for depth in range(len(parts))] or [""]
    outputs: dict[str, Json] = {}
    names["steps"] = outputs
    prefix = ""
    for depth, block in enumerate(lists):
        if block:
            prefix += parts[depth - 1]
            prefix += _enter(by_path.get(block), names) + "."
        stops_at = by_path.get(".".join(parts[: depth + 1])) if parts else None
        for step in _before(steps, block, stops_at):
            if prefix + step.id in passed.outputs:
                outputs[step.id] = passed.outputs[prefix + step.id]
    return names


def _before(steps: list[OutlinedStep], block: str, end: OutlinedStep | None) -> Iterator[OutlinedStep]:
    """The steps of a list in front of one of them; all of them where that one is not there."""
    for step in steps:
        if step.block != block or (end is not None and step.branch != end.branch):
            continue
        if end is not None and step.position >= end.position:
            return
        yield step


def _enter(block: OutlinedStep | None, names: dict[str, Json]) -> str:
    """What stands behind a block's id in the paths of its steps; a loop adds its item to the names."""
    settings = block.written.get("for_each") if block is not None else None
    if not isinstance(settings, dict):
        return ""
    name = settings.get("as", "item")
    try:
        items = compile_value(settings.get("over"), names=frozenset(names), has_each=True).evaluate(names)
    except ExpressionError:
        items = None
    if isinstance(name, str) and isinstance(items, list) and items:
        names[name] = items[0]
    return "[0]"


def _vars(document: Json, names: Mapping[str, Json]) -> Json:
    written = document.get("vars") if isinstance(document, dict) else None
    if not isinstance(written, dict):
        return {}
    try:
        return compile_value(written, names=frozenset(names) - {"steps", "vars"}).evaluate(Scope(names, {}))
    except ExpressionError:
        return {}


# --- names to choose from --------------------------------------------------------------------------------------------


def names_in(names: Mapping[str, Json]) -> list[Json]:
    """Paths that expressions may use, each with what stands there, the nearer ones first; 1,000 at most."""
    found: list[Json] = []
    waiting = [(name, value, 0) for name, value in names.items()]
    while waiting and len(found) < MOST_NAMES:
        path, value, depth = waiting.pop(0)
        found.append({"path": path, "kind": _kind(value), "sample": _sample(value)})
        if depth < _DEEPEST_NAME:
            waiting += [(inner, each, depth + 1) for inner, each in _inside(path, value)]
    return found


def _inside(path: str, value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        for name in list(value)[:_FIELDS_OF_ONE]:
            yield _reference(path, name), value[name]
    elif isinstance(value, list) and value:
        yield f"{path}[0]", value[0]


def _reference(path: str, name: str) -> str:
    if name.isidentifier() and name.isascii():
        return f"{path}.{name}"
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{quoted}']"


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case _:
            return "object"


def _sample(value: Json) -> str:
    """The beginning of the value, of which no more is written than is shown."""
    if isinstance(value, list):
        return f"{len(value)} elements" if len(value) != 1 else "1 element"
    if isinstance(value, dict):
        text = ", ".join(str(name)[:_SAMPLE] for name in list(value)[:8])
    elif isinstance(value, str):
        text = value[: _SAMPLE * 2]
    else:
        text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SAMPLE else text[: _SAMPLE - 1] + "…"
