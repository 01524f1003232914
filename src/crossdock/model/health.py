"""An integration's health: its state, the reasons for it, and what follows from each run and reply that ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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
