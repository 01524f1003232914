"""Callers who wait for the outcome of an event in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from crossdock.model.verdict import Outcome


class Answers:
    """Futures by event id; several callers may wait for one event (duplicates of it)."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[Outcome | None]]] = {}

    @contextmanager
    def expect(self, event_id: str, timeout_seconds: float) -> Iterator[asyncio.Future[Outcome | None]]:
        """A future of the outcome, None at the timeout. Expected before the event is recorded, nothing is missed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome | None] = loop.create_future()
        self._waiting.setdefault(event_id, []).append(future)
        timer = loop.call_later(timeout_seconds, _give_up, future)
        try:
            yield future
        finally:
            timer.cancel()
            waiting = self._waiting[event_id]
            waiting.remove(future)
            if not waiting:
                del self._waiting[event_id]

    @property
    def awaited(self) -> list[str]:
        """The ids of the events that somebody waits for."""
        return list(self._waiting)

    def announce(self, outcome: Outcome) -> None:
        """Tell everybody who waits for the event; the first outcome counts."""
        for future in self._waiting.get(outcome.event_id, ()):
            if not future.done():
                future.set_result(outcome)


def _give_up(future: asyncio.Future[Outcome | None]) -> None:
    if not future.done():
        future.set_result(None)
