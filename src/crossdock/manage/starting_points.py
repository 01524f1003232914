"""From which steps a run can be started anew, and what it takes over then. Pure.

The steps before the one that it starts from are not performed again: their outcomes are taken over from the run of
the original event. So they have to be the same steps, and to have come to their end there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from crossdock.manage.outline import OutlinedStep, outline, top_steps
from crossdock.manage.refusals import invalid
from crossdock.model.errors import Conflict, FieldError, Invalid
from crossdock.model.outcome import Json, Result
from crossdock.model.run import JournalEntry, StepRecord, StepStatus

_FIRST_PART = re.compile(r"[^.\[]+")


@dataclass(frozen=True, slots=True)
class NumberedWorkflow:
    """A workflow version and its number; 0 stands for none."""

    number: int
    document: Json

    @property
    def name(self) -> str:
        return f"version {self.number}" if self.number else "no workflow"


def taken_over(
    from_step: str, journal: Sequence[JournalEntry], original: NumberedWorkflow, wanted: NumberedWorkflow
) -> JournalEntry | None:
    """What a run of `wanted` that starts from `from_step` begins with; None where that is its first step.

    `journal` is the history of the original run, which went through `original`. Invalid when it is no step to start
    from, or when a step before it is another one than it was; Conflict when the original did not finish one of them.
    """
    steps, were = top_steps(wanted.document), top_steps(original.document)
    place = next((n for n, step in enumerate(steps) if step.id == from_step), None)
    if place is None:
        raise _no_such_step(from_step, wanted)
    records = {record.id: record for entry in _in_order(journal) for record in entry.steps}
    kept: list[StepRecord] = []
    for n, step in enumerate(steps[:place]):
        was = were[n] if n < len(were) else None
        possible = ", ".join(one.id for one in steps[: n + 1])
        if was is None or (was.id, was.kind) != (step.id, step.kind):
            raise _differs(step, was, original, wanted, possible)
        record = _usable(records.get(step.id), was, step)
        if record is None:
            raise Conflict(
                f"the step {step.id!r} before {from_step!r} has no outcome in the original run that could be taken"
                f" over; start from one of: {possible}"
            )
        kept.append(replace(record, reused=True))
    if not kept:
        return None
    decided = _decided_before(journal, {step.id for step in steps[:place]})
    if decided is not None and decided[0].id not in {record.id for record in kept}:
        kept.append(replace(decided[0], reused=True))
    return JournalEntry(0, tuple(kept), None if decided is None else decided[1])


def _in_order(journal: Sequence[JournalEntry]) -> list[JournalEntry]:
    return sorted(journal, key=lambda entry: entry.position)


def _usable(record: StepRecord | None, was: OutlinedStep, step: OutlinedStep) -> StepRecord | None:
    """The record as the new run may keep it; None when the step has not come to its end, or would stop the new run."""
    if record is None or record.status is StepStatus.WAITING or record.until is not None:
        return None
    if record.status is not StepStatus.FAILED:
        return record
    if record.error is None or not (was.continues and step.continues):
        return None
    # Whatever the new version says of tries: the step is not tried again.
    return replace(record, error=replace(record.error, permanent=True))


def _decided_before(journal: Sequence[JournalEntry], before: set[str]) -> tuple[StepRecord, Result] | None:
    """The step that decided the result, and the result, if that step is one of those before, or inside one of them."""
    result = next((entry.result for entry in _in_order(journal) if entry.result is not None), None)
    answers = (
        record
        for entry in _in_order(journal)
        for record in entry.steps
        if record.kind == "respond" and record.status is StepStatus.SUCCEEDED
    )
    first = next(answers, None)
    if result is None or first is None or _top_of(first.id) not in before:
        return None
    return first, result


def _top_of(path: str) -> str:
    """The id of the top-level step that a path begins with."""
    found = _FIRST_PART.match(path)
    return found[0] if found else path


# --- refusals --------------------------------------------------------------------------------------------------------


def _no_such_step(from_step: str, wanted: NumberedWorkflow) -> Invalid:
    top = [step.id for step in top_steps(wanted.document)]
    name = re.sub(r"\[[^\]]*\]", "", from_step).rpartition(".")[2]
    inner = next((step for step in outline(wanted.document) if step.block and step.id == name), None)
    if inner is not None:
        block = _top_of(inner.path)
        message = f"stands inside {block!r}; a run starts from a step of the workflow itself, such as {block!r}"
    elif top:
        message = f"is no step of {wanted.name}; its steps are {', '.join(top)}"
    else:
        message = f"is no step: {wanted.name} has none"
    return invalid("the replay", (FieldError("from_step", message),))


def _differs(
    step: OutlinedStep, was: OutlinedStep | None, original: NumberedWorkflow, wanted: NumberedWorkflow, possible: str
) -> Invalid:
    there = "there is none" if was is None else f"it is {was.id!r} ({was.kind})"
    message = (
        f"needs the same steps before it as in {original.name}, which the event went through: {step.id!r} ({step.kind})"
        f" is the first that differs, in its place {there} there; start from one of: {possible}"
    )
    return invalid("the replay", (FieldError("from_step", message),))
