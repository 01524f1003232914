"""A trial: an event taken through a workflow for somebody to look at. Nothing of it is recorded as an event."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from crossdock.model.history import ends_of_steps
from crossdock.model.outcome import Failure, Json, Result
from crossdock.model.run import JournalEntry, StepRecord
from crossdock.model.value import value


class TrialMode(StrEnum):
    DRY_RUN = "dry_run"
    """Nothing outside is called."""
    LIVE = "live"
    """Steps with side effects are performed, once."""


class TrialStatus(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    WAITING = "waiting"
    """Only along a record: a step waited when its run ended."""
    STOPPED = "stopped"
    """It took too long."""


class Answered(StrEnum):
    """Where a step's outcome comes from."""

    PERFORMED = "performed"
    RECORDED = "recorded"
    """From what the event's run recorded."""
    GIVEN = "given"
    """Whoever asked for the trial said what it is."""
    SIMULATED = "simulated"
    """Made up: null, or for a delay the time at which it would go on."""


@value
class TrialStep:
    """What came of one step, and how real that is."""

    record: StepRecord
    answered: Answered = Answered.PERFORMED
    would: Json = None
    """What would have been called, or done, in reality."""
    because_of: tuple[str, ...] = ()
    """The made-up steps that a failed step builds on."""
    unknown: str = ""
    """Why nobody can say what the step would have ended in; empty where it is known."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a trial ended. Steps stand in the order in which they ended; one that ended several times does so often."""

    status: TrialStatus
    steps: tuple[TrialStep, ...]
    result: Result | None = None
    failure: Failure | None = None
    unused: tuple[str, ...] = ()
    """Outputs that were given for steps that did not ask for them."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is known beforehand of steps that are not performed."""

    outputs: Mapping[str, Json] = field(default_factory=dict)
    """By path, as somebody gave them."""
    records: Mapping[str, StepRecord] = field(default_factory=dict)
    """What the steps of the event's run ended in, by path, in the order of their ends."""
    begun: tuple[JournalEntry, ...] = ()
    """What the run began with: steps that it took over from another one."""
    starts: int = 1
    """How often that run was started."""

    @classmethod
    def by(cls, journal: Sequence[JournalEntry], lenient: Collection[str], starts: int) -> Told:
        """All that a finished run has recorded. `lenient` are the ids of steps whose failure lets their list go on."""
        begun: list[JournalEntry] = []
        own: list[StepRecord] = []
        for entry in journal:
            if any(record.reused for record in entry.steps):
                begun.append(entry)
            else:
                own += entry.steps
        return cls(records=ends_of_steps(own, lenient, starts), begun=tuple(begun), starts=starts)
