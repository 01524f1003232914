"""What the audit log keeps of a change. Pure: a change in, the entry out.

Of what is made or deleted the whole document is kept, of what is changed only the fields that differ, by their paths,
the same ones on both sides: that is what people look for. Documents are those that people see, in which secrets are
`[set]`; nothing else may come here. Documents are bounded (`cut`), and say where something was left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from crossdock.clock import new_id
from crossdock.manage.actor import Actor
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.store.audit import ID_PREFIX, AuditEntry

CHANGED = "[changed]"
"""Stands for a secret that is another one now."""
LARGEST_DOCUMENT = 64 * 1024
"""About how many characters of JSON each side of an entry has at most."""
NOTE_LENGTH = 2_000
_SMALLEST_SHARE = 100
_DEEPEST_CUT = 8


@dataclass(frozen=True, slots=True)
class Subject:
    """What a change is about: its id, and what it is called at that moment."""

    id: str
    name: str


class FieldDifference(Protocol):
    """A field before and after, without secrets; `saving.Difference` is one."""

    @property
    def field(self) -> str: ...
    @property
    def before(self) -> Json: ...
    @property
    def after(self) -> Json: ...


def entry_of(
    actor: Actor,
    action: str,
    subject: Subject,
    *,
    now: Instant,
    before: Json = None,
    after: Json = None,
    note: str = "",
    workspace_id: str | None = None,
) -> AuditEntry:
    """The entry of something that `actor` does. `action` is a noun, a dot and what was done: `integration.changed`.

    It is kept in the actor's workspace, unless another one is named.
    """
    return AuditEntry(
        id=new_id(ID_PREFIX),
        workspace_id=actor.workspace_id if workspace_id is None else workspace_id,
        at=now,
        actor_id=actor.id,
        actor_name=_storable(actor.name),
        action=action,
        subject_id=_storable(subject.id),
        subject_name=_storable(subject.name),
        before=cut(before),
        after=cut(after),
        note=_storable(note[:NOTE_LENGTH]) or None,
    )


def save_entry(
    actor: Actor,
    noun: str,
    subject: Subject,
    *,
    now: Instant,
    made: Json = None,
    differences: Iterable[FieldDifference] = (),
    note: str = "",
) -> AuditEntry:
    """The entry of a save: `made` is the document of what is new, `differences` are those of what was there."""
    if made is not None:
        return entry_of(actor, f"{noun}.created", subject, now=now, after=made, note=note)
    before, after = changed_fields(differences)
    return entry_of(actor, f"{noun}.changed", subject, now=now, before=before, after=after, note=note)


def _storable(text: str) -> str:
    """The text without what a database refuses: NUL characters and halves of surrogate pairs."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


# --- what differs ----------------------------------------------------------------------------------------------------


def changed_fields(differences: Iterable[FieldDifference]) -> tuple[Json, Json]:
    """Both sides of a change: `{"reply.url": ...}` before and after. Of lists of steps, only the steps that differ."""
    before: dict[str, Json] = {}
    after: dict[str, Json] = {}
    for one in differences:
        # what looks the same on both sides and is told all the same is a secret
        before[one.field], after[one.field] = one.before, CHANGED if one.before == one.after else one.after
        was, became = _ids(one.before), _ids(one.after)
        if was is None or became is None:
            continue
        before[one.field] = [step for step in one.before if step not in one.after]
        after[one.field] = [step for step in one.after if step not in one.before]
        if [one_id for one_id in was if one_id in became] != [one_id for one_id in became if one_id in was]:
            before[f"{one.field} (order)"], after[f"{one.field} (order)"] = was, became
    return before, after


def _ids(value: Json) -> list[str] | None:
    """The ids of what a list holds; None where it is no list of things that have ids of their own."""
    if not isinstance(value, list) or not all(
        isinstance(one, dict) and isinstance(one.get("id"), str) for one in value
    ):
        return None
    ids = [one["id"] for one in value]
    return ids if len(set(ids)) == len(ids) else None


# --- keeping documents small -----------------------------------------------------------------------------------------


def cut(document: Json, budget: int = LARGEST_DOCUMENT) -> Json:
    """The document with about `budget` characters of JSON at most. Small parts stay whole, large ones are cut."""
    return None if document is None else _cut(document, budget, 0)


def _cut(value: Json, budget: int, depth: int) -> Json:
    text = json.dumps(value)
    if len(text) <= budget:
        return value
    if isinstance(value, str):
        return f"{value[: budget // 2]}… (cut: {len(value)} characters in all)"
    if depth >= _DEEPEST_CUT or not isinstance(value, (dict, list)):
        return f"{text[: budget // 2]}… (cut: {len(text)} characters of JSON in all)"
    names: Sequence[Json] = list(value) if isinstance(value, dict) else range(len(value))
    kept = _kept({name: value[name] for name in names}, budget, depth)
    missing = len(names) - len(kept)
    if isinstance(value, list):
        return [kept[name] for name in names if name in kept] + ([f"… ({missing} more were cut)"] if missing else [])
    return {name: kept[name] for name in names if name in kept} | ({"…": f"{missing} more were cut"} if missing else {})


def _kept(parts: dict[Json, Json], budget: int, depth: int) -> dict[Json, Json]:
    """The parts that there is room for, each cut to its share of what the smaller ones leave."""
    around = {name: len(json.dumps(name)) + 4 for name in parts}
    sizes = {name: len(json.dumps(part)) + around[name] for name, part in parts.items()}
    kept: dict[Json, Json] = {}
    for left, name in zip(range(len(parts), 0, -1), sorted(parts, key=lambda name: sizes[name]), strict=True):
        share = budget // left
        if sizes[name] > share >= _SMALLEST_SHARE + around[name]:
            kept[name] = _cut(parts[name], share - around[name], depth + 1)
            budget -= share
        elif sizes[name] <= max(share, budget - _SMALLEST_SHARE):  # of very many parts the first ones, whole
            kept[name] = parts[name]
            budget -= sizes[name]
    return kept
