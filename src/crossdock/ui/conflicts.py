"""Two people editing the same thing: what one typed beside what the other has saved in the meantime.

Whoever comes second sees the fields that differ, and decides: save theirs over it, or take what is there. Nothing is
merged behind anybody's back.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from crossdock.model.outcome import Json

NEW_SECRET = "a new value"
KEPT_SECRET = "the value that is saved"
NOTHING = "nothing"
_YES_AND_NO = {True: "yes", False: "no"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that two documents have differently, in words for people."""

    path: str
    label: str
    mine: str
    theirs: str


def differences(
    mine: Json, theirs: Json, labels: Mapping[str, str], *, secrets: Collection[str] = ()
) -> list[Difference]:
    """The fields in which what somebody typed (`mine`) differs from what is saved now (`theirs`).

    `labels` are the names of fields on the page by their paths in the document; a path that has none is told by the
    label of what it lies in. Values at the paths in `secrets` are never shown.
    """
    found = []
    for path, typed, saved in _leaves(mine, theirs):
        if path in secrets:
            if typed is not None:
                found.append(Difference(path, label_of(path, labels), NEW_SECRET, KEPT_SECRET))
        elif not (_is_nothing(typed) and _is_nothing(saved)):
            found.append(Difference(path, label_of(path, labels), in_words(typed), in_words(saved)))
    return found


def _leaves(mine: Json, theirs: Json, path: str = "") -> Iterator[tuple[str, Json, Json]]:
    """Where two trees differ. A part that only one has is taken apart too: a secret may lie in it."""
    if isinstance(mine or theirs, dict) and isinstance(mine or {}, dict) and isinstance(theirs or {}, dict):
        mine, theirs = mine or {}, theirs or {}
        for key in dict.fromkeys((*mine, *theirs)):
            yield from _leaves(mine.get(key), theirs.get(key), f"{path}.{key}" if path else key)
    elif mine != theirs:
        yield path, mine, theirs


def label_of(path: str, labels: Mapping[str, str]) -> str:
    """The label of the field, or of what it lies in with the rest of its path; the path where neither has one."""
    outer, rest = path, ""
    while outer:
        if outer in labels:
            return f"{labels[outer]}: {rest}" if rest else labels[outer]
        outer, _, last = outer.rpartition(".")
        rest = f"{last}.{rest}" if rest else last
    return path


def in_words(value: Json) -> str:
    """A value of a document as text: lists of words in a line, trees as JSON."""
    if _is_nothing(value):
        return NOTHING
    if isinstance(value, bool):
        return _YES_AND_NO[value]
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, dict | list) else None)


def _is_nothing(value: Json) -> bool:
    return value is None or value == "" or value == [] or value == {}
