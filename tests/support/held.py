"""Time and chance that stand still until a test moves them."""

from __future__ import annotations

from crossdock.clock import Sources
from crossdock.model.epoch import Epoch
from crossdock.model.time import Instant, later

START: Instant = 1_790_000_000_000_000
"""2026-09-21T13:33:20Z"""


class HeldClock:
    """A clock for whoever wants a `Clock`: calling it tells the time, `advance` moves it."""

    def __init__(self, start: Instant = START) -> None:
        self.now = start
        self._passed = 0.0

    def __call__(self) -> Instant:
        return self.now

    def advance(self, seconds: float) -> Instant:
        self._passed += max(0.0, seconds)
        self.now = later(self.now, seconds)
        return self.now

    def monotonic(self) -> float:
        """The seconds that have passed, whatever `now` was set to."""
        return self._passed


def held_sources(clock: HeldClock, node_id: str) -> Sources:
    """What the stages of a node are given, with the least of all chances."""
    return Sources(clock, lambda: 0.0, Epoch(node_id, lambda: 0.0, is_alone=True))
