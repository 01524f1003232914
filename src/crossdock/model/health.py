"""An integration's health: its state, the reasons for it, and what is known to judge it by.

`model.health_judging` says what follows from each run and reply that ends, and from time that passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from crossdock.model.integration import HealthRules, Integration
from crossdock.model.time import Instant


class HealthStatus(StrEnum):
    INITIALIZING = "initializing"
    """No run has finished yet."""
    ACTIVE = "active"
    """Nothing is wrong."""
    WARNING = "warning"
    """Something is wrong that somebody should look at."""
    ERROR = "error"
    """So much is wrong that the integration can't be relied on."""
    DISABLED = "disabled"
    """It is switched off, and takes no calls."""


@dataclass(frozen=True, slots=True)
class ToldIssue:
    """A reason for a state, as it was when the state changed."""

    status: HealthStatus
    message: str


@dataclass(frozen=True, slots=True)
class HealthChange:
    """An integration went from one state to another. Never changes: what is told of it is made from it."""

    id: str
    integration_id: str
    at: Instant
    status: HealthStatus
    previous_status: HealthStatus
    issues: tuple[ToldIssue, ...] = ()


# --- what came of runs and replies -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunsSucceeded:
    """So many runs went well, one after the other."""

    count: int
    at: Instant


@dataclass(frozen=True, slots=True)
class RunFailed:
    """A run failed for good, or stands at the head of a blocked lane. `kind`, `step` and `message` are its error's."""

    event_id: str
    kind: str
    step: str | None
    message: str
    at: Instant


@dataclass(frozen=True, slots=True)
class ReplyDelivered:
    at: Instant


@dataclass(frozen=True, slots=True)
class ReplyLost:
    """A reply failed for good, or its time ran out."""

    event_id: str
    has_expired: bool
    message: str
    at: Instant


Outcome: TypeAlias = RunsSucceeded | RunFailed | ReplyDelivered | ReplyLost

# --- the reasons -----------------------------------------------------------------------------------------------------

REPLY, SILENCE, BACKLOG, REJECTED, BLOCKED = "reply", "silence", "backlog", "rejected", "blocked"
"""Keys of issues; those of failed runs are made of error kind and step."""
RUN_KEY_CHARACTERS = 200


def run_key(kind: str, step: str | None) -> str:
    """The key of the issue that a failed run belongs to."""
    return f"run:{kind}:{step or ''}"[:RUN_KEY_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Issue:
    """A reason for a state. It is open until what it tells of is over, or somebody resolves it.

    `count` is how often it was met; for what goes on in time it is how many there are of what it tells of. A snoozed
    issue does not count for the state until its time is over.
    """

    id: str
    key: str
    status: HealthStatus
    message: str
    first_seen: Instant
    last_seen: Instant
    count: int
    sample_event_id: str | None = None
    resolved_at: Instant | None = None
    resolved_by: str | None = None
    """None while it is open, and when it was over by itself."""
    resolve_note: str | None = None
    acknowledged_at: Instant | None = None
    acknowledged_by: str | None = None
    note: str | None = None
    snoozed_at: Instant | None = None
    snoozed_by: str | None = None
    snoozed_until: Instant | None = None
    snooze_note: str | None = None

    def is_snoozed(self, now: Instant) -> bool:
        return self.snoozed_until is not None and now < self.snoozed_until


# --- what is known ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A failure within the window."""

    key: str
    at: Instant


@dataclass(frozen=True, slots=True)
class Cause:
    """What the last failure of a key was."""

    kind: str
    step: str | None
    message: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Refusals:
    """How many calls had been refused, by reason, at a moment."""

    at: Instant
    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Marks:
    """What the rules of time remember."""

    enabled_since: Instant | None = None
    """None while the integration is switched off."""
    last_event_at: Instant | None = None
    forgiven_at: Instant | None = None
    """Somebody resolved a silence: it is counted from here."""
    refusals: tuple[Refusals, ...] = ()
    """The oldest first; the first one is what the others are counted from."""


@dataclass(frozen=True, slots=True)
class Health:
    """All that is known of an integration's health. `window` has the last finished runs, the oldest first: a number is
    so many that went well one after the other.
    """

    status: HealthStatus
    since: Instant
    window: tuple[int | FailedRun, ...] = ()
    causes: Mapping[str, Cause] = field(default_factory=dict)
    """By the keys that are in the window."""
    marks: Marks = Marks()
    issues: tuple[Issue, ...] = ()
    """The open ones, by key."""

    def issue(self, issue_id: str) -> Issue | None:
        return next((issue for issue in self.issues if issue.id == issue_id), None)


def new_health(now: Instant) -> Health:
    """Of an integration of which nothing is known yet."""
    return Health(HealthStatus.INITIALIZING, now)


@dataclass(frozen=True, slots=True)
class Watched:
    """What an integration's settings say about its health."""

    integration_id: str
    rules: HealthRules
    enabled: bool = True
    has_reply: bool = True
    has_workflow: bool = True
    """Without one, calls are recorded and that is all."""
    revision: int = 1
    """Of the settings that say so."""


def watched(integration: Integration) -> Watched:
    """What an integration's settings say about its health."""
    return Watched(
        integration.id,
        integration.health,
        integration.enabled,
        has_reply=integration.reply is not None,
        has_workflow=integration.workflow_number > 0,
        revision=integration.revision,
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules of time are judged by, as it is at one moment."""

    last_event_at: Instant | None = None
    waiting: tuple[int, Instant] | None = None
    """How many runs wait, and since when the oldest of them does."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Calls refused so far, by reason."""
    blocked: tuple[int, str] | None = None
    """How many lanes wait for an operator, and the event at the head of the first one."""
