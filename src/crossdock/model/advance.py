"""How a run advances through its steps: what its history already settles, and what the end of a step leads to.

history ──> Progress: steps that are finished, tries of the one that is not, the result if it is decided
Done ──> Go on          Stop ──> Give up (or go on, where the step says so)
Wait ──> Pause          Retry ──> Try again, now or after a pause; give up when its tries are used up
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from crossdock.model.outcome import Failure, Result
from crossdock.model.retry import NO_RETRY, RetryPolicy
from crossdock.model.run import JournalEntry, StepRecord, StepStatus
from crossdock.model.time import Instant
from crossdock.model.value import value
from crossdock.model.workflow import Step

LONGEST_WAIT_IN_PLACE = 5.0
"""Seconds: a step that waits longer for its next try gives the run's slot back meanwhile."""


@value
class Ended:
    """The workflow came to its end. `entry` is what is not durable yet."""

    entry: JournalEntry | None
    result: Result


@value
class Broken:
    """A step failed and the workflow does not go on. `result` is the answer that the workflow chose, if it did."""

    entry: JournalEntry | None
    failure: Failure
    result: Result | None


@value
class Paused:
    """Nothing to do before `until`."""

    entry: JournalEntry | None
    until: Instant


RunEnd: TypeAlias = Ended | Broken | Paused


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run's history says. `position` is the next entry's."""

    position: int = 0
    records: dict[str, StepRecord] = field(default_factory=dict)
    """The last record of each step, by its path."""
    result: Result | None = None


def progress_of(journal: Iterable[JournalEntry]) -> Progress:
    """Read a run's history. The first result counts."""
    entries = sorted(journal, key=lambda entry: entry.position)
    if not entries:
        return Progress()
    records = {record.id: record for entry in entries for record in entry.steps}
    results = (entry.result for entry in entries if entry.result is not None)
    return Progress(entries[-1].position + 1, records, next(results, None))


def is_finished(step: Step, record: StepRecord | None) -> bool:
    """Whether the step need not run any more, `record` being the last that is known of it."""
    if record is None or record.status is StepStatus.WAITING:
        return False
    if record.status is not StepStatus.FAILED:
        return True
    return step.continue_on_error and is_given_up(step, record)


def tries_made(step: Step, record: StepRecord | None) -> int:
    """Tries that count: those before a pause. A step that had failed for good starts afresh with its run."""
    if record is None or record.status is not StepStatus.FAILED or is_given_up(step, record):
        return 0
    return record.attempts


def is_given_up(step: Step, record: StepRecord) -> bool:
    """Whether the failed step has no try left."""
    is_permanent = record.error is not None and record.error.permanent
    return is_permanent or not retry_of(step).has_another(record.attempts)


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Seconds to wait first. `pauses`: too long to keep the run's slot."""

    wait: float

    @property
    def pauses(self) -> bool:
        return self.wait > LONGEST_WAIT_IN_PLACE


@dataclass(frozen=True, slots=True)
class GiveUp:
    pass


def after_failed_try(step: Step, failure: Failure, tries_made: int, fraction: float) -> TryAgain | GiveUp:
    """What follows from a try that failed in passing. `fraction` is a random number in [0, 1)."""
    policy = retry_of(step)
    if failure.permanent or not policy.has_another(tries_made):
        return GiveUp()
    return TryAgain(policy.delay_before_next(tries_made, fraction, failure.retry_after))


def retry_of(step: Step) -> RetryPolicy:
    """One try where the step says nothing: the run's own policy follows."""
    return step.retry or NO_RETRY
