"""Where steps stand in a workflow document, and changes of it at such a place. Pure; nothing is changed in place.

An address is the way through the document: `steps/1/switch/cases/0/steps/2`. Drafts are read too, so nothing on the way
is taken for granted.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from crossdock.manage.outline import branches, kind_of
from crossdock.model.errors import Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.ui.screens.workflow.kinds import KIND_NAMES

Address: TypeAlias = tuple[str | int, ...]

ROOT: Address = ("steps",)
"""The workflow's own list of steps."""
_UNNAMED = "step"
_TAKEN: Json = {"id": ""}
"""Stands where a step was taken from, until it stands somewhere else."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A list of steps, the workflow's own or one inside a block; `name` is empty where a block has only one."""

    name: str
    address: Address
    steps: tuple[PlacedStep, ...]


@dataclass(frozen=True, slots=True)
class PlacedStep:
    """A step as it is written, and where it stands."""

    address: Address
    path: str
    """Its id behind those of the blocks around it: `lines.book`, as runs and trials call it."""
    id: str
    kind: str
    written: Json
    branches: tuple[Branch, ...]

    @property
    def at(self) -> str:
        return write_address(self.address)

    @property
    def position(self) -> int:
        """In its list, from 0."""
        return int(self.address[-1])


# --- addresses -------------------------------------------------------------------------------------------------------


def write_address(address: Address) -> str:
    return "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in address)


def read_address(document: Json, text: str) -> Address:
    """The address that a text stands for; NotFound when nothing of the document is there."""
    address: list[str | int] = []
    value = document
    for raw in text[:2_000].split("/"):
        part = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and part.isascii() and part.isdigit() and int(part) < len(value):
            address.append(int(part))
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            address.append(part)
            value = value[part]
        else:
            raise NotFound("There is no such step in the workflow any more. Somebody may have moved or deleted it.")
    return tuple(address)


def field_of(address: Address) -> str:
    """The place as problems of a workflow name it: `workflow.steps[1].switch.cases[0].steps[2]`."""
    return "workflow" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in address)


def value_at(document: Json, address: Address) -> Any:
    value = document
    for part in address:
        value = value[part]
    return value


# --- the steps as a tree ---------------------------------------------------------------------------------------------


def place_steps(document: Json) -> Branch:
    """The workflow's steps with all that is inside them."""
    return _branch("", ROOT, document.get("steps") if isinstance(document, dict) else None, "")


def _branch(name: str, address: Address, steps: Json, path: str) -> Branch:
    placed = [_place(step, (*address, n), path) for n, step in enumerate(steps if isinstance(steps, list) else [])]
    return Branch(name, address, tuple(placed))


def _place(step: Json, address: Address, block: str) -> PlacedStep:
    if not isinstance(step, dict):
        return PlacedStep(address, block, "", "", step, ())
    kind = kind_of(step)
    step_id = step["id"] if isinstance(step.get("id"), str) else ""
    path = f"{block}.{step_id}" if block else step_id
    inner = branches(kind, step.get(kind))
    lists = tuple(_branch(name, (*address, kind, *_way(kind, name)), steps, path) for name, steps in inner.items())
    return PlacedStep(address, path, step_id, kind, step, lists)


def _way(kind: str, name: str) -> Address:
    """From a block's settings to the list of this name."""
    if kind == "parallel":
        return ("branches", name)
    case = re.fullmatch(r"cases\[(\d+)\]", name) if kind == "switch" else None
    if case:
        return ("cases", int(case[1]), "steps")
    return ("default",) if kind == "switch" else ("steps",)


def every_step(branch: Branch) -> Iterator[PlacedStep]:
    """All steps in the order in which they are written, a block before what is inside it."""
    for step in branch.steps:
        yield step
        for inner in step.branches:
            yield from every_step(inner)


def step_at(document: Json, text: str) -> PlacedStep:
    """The step at an address; NotFound when there is none."""
    address = read_address(document, text)
    found = next((step for step in every_step(place_steps(document)) if step.address == address), None)
    if found is None:
        raise NotFound("There is no such step in the workflow any more. Somebody may have moved or deleted it.")
    return found


def list_at(document: Json, text: str) -> Address:
    """The address of a list that steps can be put into; NotFound when there is none."""
    if text in ("", "steps"):
        return ROOT
    address = read_address(document, text)
    inner = (branch for step in every_step(place_steps(document)) for branch in step.branches)
    if not any(branch.address == address for branch in inner):
        raise NotFound("There is no such list of steps in the workflow any more.")
    return address


# --- changes ---------------------------------------------------------------------------------------------------------


def changed_at(document: Json, address: Address, change: Callable[[Any], Any]) -> Any:
    """A copy of the document in which `change` was applied to what stands at the address."""
    if not address:
        return change(document)
    first, rest = address[0], address[1:]
    if isinstance(document, list):
        assert isinstance(first, int)
        return [changed_at(value, rest, change) if n == first else value for n, value in enumerate(document)]
    inner = document.get(first, [])
    return {**document, first: changed_at(inner, rest, change)}


def insert_step(document: Json, into: Address, position: int, step: Json) -> Json:
    def insert(steps: Any) -> Any:
        steps = steps if isinstance(steps, list) else []
        place = min(max(position, 0), len(steps))
        return [*steps[:place], step, *steps[place:]]

    return changed_at(document, into, insert)


def replace_step(document: Json, address: Address, step: Json) -> Json:
    return changed_at(document, address, lambda _: step)


def remove_step(document: Json, address: Address) -> Json:
    return changed_at(document, address[:-1], lambda steps: [one for n, one in enumerate(steps) if n != address[-1]])


def move_step(document: Json, address: Address, by: int) -> tuple[Json, Address]:
    """The step some places further in its list, and where it stands then."""
    steps = value_at(document, address[:-1])
    position = int(address[-1])
    there = min(max(position + by, 0), len(steps) - 1)
    step = steps[position]
    without = remove_step(document, address)
    return insert_step(without, address[:-1], there, step), (*address[:-1], there)


def put_step(document: Json, address: Address, into: Address, position: int) -> tuple[Json, Address]:
    """The step at another place, in whatever list, and where it stands then. Invalid when that is inside itself."""
    if into[: len(address)] == address:
        raise Invalid("A step can't be put into itself.")
    step = value_at(document, address)
    marked = replace_step(document, address, _TAKEN)
    put = insert_step(marked, into, position, step)
    gap = next(each for each in every_step(place_steps(put)) if each.written is _TAKEN)
    document = remove_step(put, gap.address)
    return document, next(each.address for each in every_step(place_steps(document)) if each.written is step)


def duplicate_step(document: Json, address: Address) -> tuple[Json, Address]:
    """A copy right behind the step. It and the steps inside it get ids of their own, also where they refer to one
    another."""
    made = copy.deepcopy(value_at(document, address))
    taken = {step.id for step in every_step(place_steps(document))}
    inner = place_steps({"steps": [made]})
    for step in every_step(inner):
        if step.id:
            fresh = fresh_id(step.id, taken)
            taken.add(fresh)
            made = _renamed(made, step.id, fresh)
    there = (*address[:-1], int(address[-1]) + 1)
    return insert_step(document, address[:-1], int(address[-1]) + 1, made), there


def _renamed(value: Any, old: str, new: str) -> Any:
    """The tree with a step's id changed, and with the references to it in expressions."""
    reference = re.compile(rf"\bsteps\.{re.escape(old)}\b")

    def rename(one: Any) -> Any:
        if isinstance(one, dict):
            own = {"id": new} if one.get("id") == old and kind_of(one) in KIND_NAMES else {}
            return {name: rename(inner) for name, inner in one.items()} | own
        if isinstance(one, list):
            return [rename(inner) for inner in one]
        return reference.sub(lambda _: f"steps.{new}", one) if isinstance(one, str) else one

    return rename(value)


def fresh_id(wanted: str, taken: set[str]) -> str:
    """The id, with a number behind it where it is taken."""
    stem = re.sub(r"_\d+$", "", wanted)[:58] or _UNNAMED
    if wanted not in taken and wanted:
        return wanted
    return next(name for number in range(2, len(taken) + 3) if (name := f"{stem}_{number}") not in taken)


def ids_of(document: Json) -> set[str]:
    return {step.id for step in every_step(place_steps(document))}
