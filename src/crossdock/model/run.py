"""A run: the processing of one event by one workflow version."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crossdock.model.emission import Emission
from crossdock.model.event import Event
from crossdock.model.outcome import Failure, Json, Result
from crossdock.model.time import Instant
from crossdock.model.value import value

MAX_LOSSES = 3
"""How often a run may be lost with its node before it is taken for the cause and fails."""


@value
class Lane:
    """The strict order that a run belongs to. `id` names integration and ordering key."""

    id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class LeasedRun:
    """A run that this process holds, with all that it needs to work on it without another read."""

    event: Event
    workflow_number: int
    attempts: int
    """Starts so far, this one included."""
    losses: int
    lease_token: str
    lane: Lane | None
    journal: tuple[JournalEntry, ...] = ()
    """What earlier attempts have durably finished."""
    caller_node: str | None = None
    """Where somebody waits for the answer."""


class StepStatus(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    WAITING = "waiting"
    """It goes on at its `until`."""


@value
class StepRecord:
    """What came of one step: what went in, what came out. A step that waits or is tried again has several records."""

    id: str
    """The step's path: its id, behind those of the blocks around it, such as `lines[3].book`."""
    kind: str
    status: StepStatus
    started_at: Instant
    finished_at: Instant
    attempts: int
    input: Json = None
    output: Json = None
    error: Failure | None = None
    until: Instant | None = None
    """It is not performed again before this moment."""
    start: int = 1
    """The start of the run that recorded it: what its expressions saw as `event.attempt`."""
    reused: bool = False
    """It was taken over from the run of the event that this one replays."""


@value
class JournalEntry:
    """What one commit added to a run's history: finished steps, and the result once it is decided."""

    position: int
    steps: tuple[StepRecord, ...]
    result: Result | None = None
    """Set at most once in a run's life: the first one counts."""
    emissions: tuple[Emission, ...] = ()
