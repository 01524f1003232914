"""What differs between two versions of a workflow: step by step for programs, line by line for people. Pure.

A step is known by its id, which is unique in a workflow. So one that was taken into a block, or out of it, has moved.
"""

from __future__ import annotations

import bisect
import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from crossdock.manage.outline import OutlinedStep, outline
from crossdock.manage.yaml_text import yaml_text
from crossdock.model.outcome import Json

MAX_YAML_BYTES = 128 * 1024
"""Larger documents are compared as indented JSON: writing YAML takes a second for each few hundred KiB."""
MAX_LINES = 2_000
"""Of what is left on either side between the lines that are alike at the beginning and the end: comparing takes time
that grows with the square."""

_Key: TypeAlias = tuple[str, int]
"""An id, and which of the steps with it: in a draft it may be there twice."""
_MISSING = object()


def version_differences(before: Json, after: Json, names: tuple[str, str]) -> Json:
    """The differences between two workflow documents; `names` are those of the two sides in the text."""
    same = _is_same(before, after)
    return {
        "same": same,
        "steps": list(_step_differences(_by_key(before), _by_key(after))),
        "fields": list(_field_differences(_around(before), _around(after), "")),
        "text": "" if same else text_difference(before, after, names),
    }


# --- steps -----------------------------------------------------------------------------------------------------------


def _step_differences(before: Mapping[_Key, OutlinedStep], after: Mapping[_Key, OutlinedStep]) -> Iterator[Json]:
    """In the order of the newer version; what was removed comes last."""
    moved = _moved(before, after)
    for key, step in after.items():
        old = before.get(key)
        if old is None:
            yield _difference("added", None, step, [])
            continue
        fields = list(_field_differences(old.written, step.written, ""))
        if key in moved:
            yield _difference("moved", old, step, fields)
        elif fields:
            yield _difference("changed", old, step, fields)
    for key, step in before.items():
        if key not in after:
            yield _difference("removed", step, None, [])


def _difference(change: str, old: OutlinedStep | None, new: OutlinedStep | None, fields: list[Json]) -> Json:
    step = new or old
    assert step is not None
    return {
        "change": change,
        "path": step.path,
        "id": step.id,
        "type": step.kind,
        "before": _place(old),
        "after": _place(new),
        "fields": fields,
    }


def _place(step: OutlinedStep | None) -> Json:
    if step is None:
        return None
    return {"path": step.path, "branch": step.branch, "position": step.position}


def _by_key(document: Json) -> dict[_Key, OutlinedStep]:
    seen: Counter[str] = Counter()
    found: dict[_Key, OutlinedStep] = {}
    for step in outline(document):
        seen[step.id] += 1
        found[step.id, seen[step.id]] = step
    return found


def _moved(before: Mapping[_Key, OutlinedStep], after: Mapping[_Key, OutlinedStep]) -> set[_Key]:
    """The steps that stand in another list, or at another place among those that have stayed in theirs.

    Among the steps of one list as few as possible are said to have moved.
    """
    branch_now = _aligned_branches(before, after)
    lists: dict[tuple[str, str], list[_Key]] = {}
    moved: set[_Key] = set()
    for key, old in before.items():
        new = after.get(key)
        if new is None:
            continue
        stands_at = (new.block.rpartition(".")[2], new.branch)
        stood_at = (old.block.rpartition(".")[2], branch_now.get((old.block, old.branch), old.branch))
        if stands_at == stood_at:
            lists.setdefault(stands_at, []).append(key)
        else:
            moved.add(key)
    for keys in lists.values():
        stayed = _longest_rise([after[key].position for key in keys])
        moved |= {key for n, key in enumerate(keys) if n not in stayed}
    return moved


def _aligned_branches(
    before: Mapping[_Key, OutlinedStep], after: Mapping[_Key, OutlinedStep]
) -> dict[tuple[str, str], str]:
    """Where the cases of each switch stand now: the one with the same condition, else those left over in order."""
    found: dict[tuple[str, str], str] = {}
    for key, old in before.items():
        new = after.get(key)
        if old.kind != "switch" or new is None or new.kind != "switch":
            continue
        were, are = (_conditions(step) for step in (old, new))
        left = list(range(len(are)))
        waiting = []
        for n, condition in enumerate(were):
            same = next((m for m in left if _is_same(are[m], condition)), None)
            if same is None:
                waiting.append(n)
            else:
                left.remove(same)
                found[old.path, f"cases[{n}]"] = f"cases[{same}]"
        found |= {(old.path, f"cases[{n}]"): f"cases[{m}]" for n, m in zip(waiting, left, strict=False)}
    return found


def _conditions(step: OutlinedStep) -> list[Json]:
    settings = step.written.get("switch")
    cases = settings.get("cases") if isinstance(settings, dict) else None
    return [case.get("when") if isinstance(case, dict) else case for case in cases] if isinstance(cases, list) else []


def _longest_rise(positions: Sequence[int]) -> set[int]:
    """Indexes of a longest subsequence that rises (patience sorting)."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for index, position in enumerate(positions):
        place = bisect.bisect_left(tails, position)
        before.append(ends[place - 1] if place else -1)
        if place == len(tails):
            tails.append(position)
            ends.append(index)
        else:
            tails[place], ends[place] = position, index
    found: set[int] = set()
    index = ends[-1] if ends else -1
    while index >= 0:
        found.add(index)
        index = before[index]
    return found


# --- fields ----------------------------------------------------------------------------------------------------------


def _around(document: Json) -> Json:
    """What a document says besides its steps."""
    return {key: [] if key == "steps" and isinstance(value, list) else value for key, value in document.items()}


def _field_differences(before: Any, after: Any, field: str) -> Iterator[Json]:
    """Each field that differs. `before` or `after` is left out where the field is not there: null is a value here."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            inner = f"{field}.{key}" if field else str(key)
            yield from _field_differences(before.get(key, _MISSING), after.get(key, _MISSING), inner)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for n, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _field_differences(old, new, f"{field}[{n}]")
    elif not _is_same(before, after):
        told = {"field": field}
        told |= {"before": before} if before is not _MISSING else {}
        yield told | ({"after": after} if after is not _MISSING else {})


def _is_same(one: Any, other: Any) -> bool:
    """Whether two trees are the same JSON: true is not 1, and 1 is not 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)


# --- text ------------------------------------------------------------------------------------------------------------


def text_difference(before: Json, after: Json, names: tuple[str, str]) -> str | None:
    """A unified difference of the two documents as YAML; None when there is too much to compare."""
    is_large = any(len(json.dumps(one)) > MAX_YAML_BYTES for one in (before, after))
    old, new = ((_indented(one) if is_large else yaml_text(one)).splitlines(keepends=True) for one in (before, after))
    alike = _alike(old, new) + _alike(old[::-1], new[::-1])
    if max(len(old), len(new)) - alike > MAX_LINES:
        return None
    return "".join(difflib.unified_diff(old, new, *names))


def _indented(document: Json) -> str:
    return json.dumps(document, indent=2) + "\n"


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines are the same from the beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
