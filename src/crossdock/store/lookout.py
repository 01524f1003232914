"""When a stage looks for work: from time to time, when something becomes due, and as soon as there is a reason."""

from __future__ import annotations

import asyncio
import contextlib

from crossdock.clock import Clock
from crossdock.model.time import Instant, seconds_between
from crossdock.store.signals import Signals

LEAST_SECONDS = 0.01
"""Between two looks: reasons that come in crowds cost one look together."""
DUE_TOGETHER_SECONDS = 0.05
"""What becomes due so soon waits for what becomes due with it."""


class Lookout:
    """`signals` say how often to look without a reason. For the event loop."""

    def __init__(self, now: Clock, signals: Signals) -> None:
        self._now = now
        self._signals = signals
        self._reason = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """There may be something to do."""
        self._reason.set()

    def due(self, at: Instant) -> None:
        """Something becomes due then: look at that moment, if not before."""
        seconds = max(DUE_TOGETHER_SECONDS, seconds_between(self._now(), at))
        loop = asyncio.get_running_loop()
        if seconds >= self._signals.poll_seconds or (self._timer and self._timer.when() <= loop.time() + seconds):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._reason.set()

    def begin(self) -> None:
        """A look begins: what comes from now on is a reason for the next one."""
        self._reason.clear()

    async def rest(self) -> None:
        """Wait until there is a reason to look again, or it is time to."""
        await asyncio.sleep(LEAST_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reason.wait(), self._signals.poll_seconds)
