"""What a change made here wakes, in this process and at other nodes. The stages fit these without knowing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from crossdock.catalog import LiveIntegration
from crossdock.model.verdict import Outcome
from crossdock.store.accept import Accepted, Duplicate, Lease
from crossdock.store.signals import Signals, Topic


class Runs(Protocol):
    """The stage that works on runs."""

    def offer(self, live: LiveIntegration) -> Lease | None: ...
    def hand_over(self, accepted: Accepted) -> None: ...
    def withdraw(self, live: LiveIntegration, answer: Duplicate | Exception) -> None: ...
    def lane_changed(self, lane_id: str) -> None: ...
    def wake(self) -> None: ...


class Deliveries(Protocol):
    """The stage that sends deliveries."""

    def wake(self) -> None: ...


def _tell_nobody(outcome: Outcome) -> None:
    """For processes without callers."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of this process; None for one that only other nodes have: they find the rows by looking."""

    runs: Runs | None = None
    deliveries: Deliveries | None = None
    announce: Callable[[Outcome], None] = _tell_nobody
    """Answers callers who wait for an event, at any node."""
    signals: Signals = field(default_factory=Signals)

    def run_changed(self, lane_id: str | None) -> None:
        """A run became due, or left its lane."""
        if lane_id is None:
            self.signals.tell(Topic.RUNS)
        if self.runs is None:
            return
        if lane_id is not None:
            self.runs.lane_changed(lane_id)
        else:
            self.runs.wake()

    def cancel_requested(self, event_id: str) -> None:
        """A run is to be stopped by whatever node works on it."""
        self.signals.spread(Topic.CANCEL, event_id)

    def bulk_job_added(self) -> None:
        """A bulk job is to be worked on."""
        self.signals.spread(Topic.BULK)

    def delivery_added(self) -> None:
        if self.deliveries is not None:
            self.deliveries.wake()
