"""Two ways of one event through a workflow, compared: the one that was recorded, and the one of a trial.

Values are compared as JSON: the order of an object's members does not count, 1 and 1.0 and true are different. What
differs is named by its JSON path (RFC 9535), at most `MAX_DIFFERENCES` for an event, long values cut.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Final

from crossdock.model.outcome import Failure, Json, Result
from crossdock.model.run import StepRecord
from crossdock.model.trial import Answered, Trial, TrialStatus, TrialStep
from crossdock.model.value import value

MAX_DIFFERENCES = 50
SHOWN_CHARACTERS = 300


class Verdict(StrEnum):
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    NEW_FAILURE = "new_failure"
    FIXED_FAILURE = "fixed_failure"
    UNKNOWN = "unknown"
    """It can't be told; the comparison's reason says why."""


class _Missing:
    """Not there, which is not the same as null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@value
class Difference:
    """`before` and `after` are MISSING where there is nothing."""

    path: str
    before: Json
    after: Json

    def document(self) -> Json:
        sides = {"before": self.before, "after": self.after}
        return {"path": self.path, **{name: _shown(side) for name, side in sides.items() if side is not MISSING}}


@value
class StepChange:
    """A step that is not what it was. `change` is added, removed or changed."""

    path: str
    kind: str
    change: str
    input_changed: bool = False
    """It would be asked something else, and was answered with what the old input had led to."""
    unknown: str = ""
    """Why nobody can say what it would end in."""

    def document(self) -> Json:
        return {
            "id": self.path,
            "type": self.kind,
            "change": self.change,
            "input_changed": self.input_changed,
            "unknown": self.unknown or None,
        }


@dataclass(frozen=True, slots=True)
class Passage:
    """A finished run as it was recorded. `records` are what its steps ended in, by their paths."""

    succeeded: bool
    records: Mapping[str, StepRecord]
    result: Result | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`status` and `failure` are before and after; `status` is None where nothing was compared."""

    verdict: Verdict
    reason: str = ""
    status: tuple[str, str] | None = None
    failure: tuple[Failure | None, Failure | None] = (None, None)
    differences: tuple[Difference, ...] = ()
    """Of the result (`$.result...`) and of steps that are there before and after (`$.steps.<id>...`)."""
    steps: tuple[StepChange, ...] = ()

    def document(self) -> Json:
        before, after = self.status or (None, None)
        return {
            "verdict": self.verdict.value,
            "reason": self.reason or None,
            "status": {"before": before, "after": after},
            "error": {"before": _failure(self.failure[0]), "after": _failure(self.failure[1])},
            "differences": [difference.document() for difference in self.differences],
            "steps": [step.document() for step in self.steps],
        }


def compare(before: Passage, after: Trial) -> Comparison:
    """What would be different. A trial that met a step of which nobody knows the outcome gives `unknown`."""
    found = list(islice(_result_differences(before.result, after.result), MAX_DIFFERENCES))
    steps = tuple(islice(_step_changes(before.records, after.steps, found), MAX_DIFFERENCES))
    verdict, reason = _verdict(before, after, has_differences=bool(found or steps)), ""
    unknown = next((step for step in after.steps if step.unknown), None)
    if unknown is not None:
        verdict, reason = Verdict.UNKNOWN, f"step {unknown.record.id!r}: {unknown.unknown}"
    elif after.status is TrialStatus.STOPPED:
        verdict, reason = Verdict.UNKNOWN, after.failure.message if after.failure else ""
    status = ("succeeded" if before.succeeded else "failed", after.status.value)
    return Comparison(verdict, reason, status, (before.failure, after.failure), tuple(found), steps)


def _verdict(before: Passage, after: Trial, *, has_differences: bool) -> Verdict:
    if before.succeeded and after.status is TrialStatus.FAILED:
        return Verdict.NEW_FAILURE
    if not before.succeeded and after.status is TrialStatus.SUCCEEDED:
        return Verdict.FIXED_FAILURE
    is_same = after.status is not TrialStatus.WAITING and _failure(before.failure) == _failure(after.failure)
    return Verdict.UNCHANGED if is_same and not has_differences else Verdict.CHANGED


def _failure(failure: Failure | None) -> Json:
    if failure is None:
        return None
    return {"kind": failure.kind, "message": failure.message, "step": failure.step}


# --- steps and results -----------------------------------------------------------------------------------------------


def _step_changes(
    before: Mapping[str, StepRecord], after: Sequence[TrialStep], found: list[Difference]
) -> Iterator[StepChange]:
    """In the order of the trial, what is gone at the end. What differs in them goes to `found`, as far as it fits."""
    last = {step.record.id: step for step in after}
    for path, step in last.items():
        record = before.get(path)
        if record is None:
            yield StepChange(path, step.record.kind, "added", unknown=step.unknown)
            continue
        unequal = _step_differences(record, step.record)
        first = next(unequal, None)
        if first is None and not step.unknown:
            continue
        is_asked_else = first is not None and not _is_alike(record.input, step.record.input)
        if first is not None:
            found += islice(chain((first,), unequal), max(MAX_DIFFERENCES - len(found), 0))
        is_stale = is_asked_else and step.answered is Answered.RECORDED
        yield StepChange(path, step.record.kind, "changed", is_stale, step.unknown)
    for path, record in before.items():
        if path not in last:
            yield StepChange(path, record.kind, "removed")


def _step_differences(old: StepRecord, new: StepRecord) -> Iterator[Difference]:
    place = f"$.steps{_step_into(old.id)}"
    yield from differences(old.kind, new.kind, f"{place}.type")
    yield from differences(old.status.value, new.status.value, f"{place}.status")
    yield from differences(old.input, new.input, f"{place}.input")
    yield from differences(old.output, new.output, f"{place}.output")
    yield from differences(_failure(old.error), _failure(new.error), f"{place}.error")


def _result_differences(old: Result | None, new: Result | None) -> Iterator[Difference]:
    return iter(()) if old == new else differences(_result(old), _result(new), "$.result")


def _result(result: Result | None) -> Json:
    if result is None:
        return None
    headers: dict[str, list[str]] = {}
    for name, text in result.headers:
        headers.setdefault(name.lower(), []).append(text)
    return {"status": result.status, "headers": headers, "body": _body(result.body)}


def _body(body: bytes) -> Json:
    """JSON as JSON, other text as text, anything else by its bytes in hexadecimal."""
    if b"\\ud" in body.lower():  # perhaps half of a surrogate pair, which no JSON answer could tell
        return _text(body)
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return _text(body)


def _refuse_constant(word: str) -> Json:
    raise ValueError(f"{word} is no JSON")  # Python would take it for a number that is not even equal to itself


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.hex()


# --- trees -----------------------------------------------------------------------------------------------------------


def differences(before: Json, after: Json, path: str = "$") -> Iterator[Difference]:
    """Where two JSON trees differ, from the top down, in the order of the first one."""
    waiting: list[tuple[Json, Json, str]] = [(before, after, path)]  # a tree may be deeper than Python's stack
    while waiting:
        old, new, place = waiting.pop()
        if isinstance(old, dict) and isinstance(new, dict):
            names = [*old, *(name for name in new if name not in old)]
            pairs = [(old.get(n, MISSING), new.get(n, MISSING), f"{place}{_step_into(n)}") for n in names]
            waiting += reversed(pairs)
        elif isinstance(old, list) and isinstance(new, list):
            longest = max(len(old), len(new))
            waiting += [(_at(old, n), _at(new, n), f"{place}[{n}]") for n in reversed(range(longest))]
        elif not _same(old, new):
            yield Difference(place, old, new)


def _is_alike(old: Json, new: Json) -> bool:
    return next(differences(old, new), None) is None


def _at(items: list[Json], index: int) -> Json:
    return items[index] if index < len(items) else MISSING


def _same(old: Json, new: Json) -> bool:
    """Of two values that are not both objects or both lists."""
    return type(old) is type(new) and bool(old == new)


def _step_into(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{json.dumps(name, ensure_ascii=False)}]"


def _shown(side: Json) -> Json:
    """The value, or how it begins."""
    if isinstance(side, str):
        return side if len(side) <= SHOWN_CHARACTERS else f"{side[:SHOWN_CHARACTERS]}… ({len(side)} characters)"
    if not isinstance(side, dict | list):
        return side
    try:
        text = json.dumps(side, ensure_ascii=False)
    except RecursionError:
        return "… (nested very deep)"
    return side if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"
