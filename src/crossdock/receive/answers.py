"""Callers who wait for the outcome of an event: in this process, or at another node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, KeysView, Sequence
from contextlib import contextmanager

from crossdock.model.epoch import Epoch
from crossdock.model.verdict import Outcome
from crossdock.store.signals import Signals, Topic


class Answers:
    """Futures by event id; several callers may wait for one event (duplicates of it)."""

    def __init__(self, signals: Signals | None = None, epoch: Epoch | None = None) -> None:
        """Without them, all callers are here."""
        self._signals = signals or Signals()
        self._epoch = epoch
        self._waiting: dict[str, list[asyncio.Future[Outcome | None]]] = {}
        self._told: set[str] = set()

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
    def awaited(self) -> KeysView[str]:
        """The ids of the events that somebody waits for."""
        return self._waiting.keys()

    def are_told(self, event_ids: Sequence[str]) -> bool:
        """Another node knows what these events came to (none named: any); whether somebody here waits for it."""
        self._told.update(self._waiting.keys() & event_ids if event_ids else self._waiting)
        return bool(self._told)

    def take_awaited(self) -> list[str]:
        """The events that somebody waits for: those that were told of since the last time, if there are any."""
        told, self._told = self._told, set()
        return [event_id for event_id in told or self._waiting if event_id in self._waiting]

    def announce(self, outcome: Outcome, caller_node: str | None = None) -> None:
        """Tell everybody who waits for the event; the first outcome counts. `caller_node` is where its call came in."""
        if caller_node is not None and self._tells(caller_node):
            self._signals.tell(Topic.ANSWER, outcome.event_id, node=caller_node)
        for future in self._waiting.get(outcome.event_id, ()):
            if not future.done():
                future.set_result(outcome)

    def announce_to_all(self, outcome: Outcome) -> None:
        """As `announce`, for who does not know where the call came in."""
        self._signals.tell(Topic.ANSWER, outcome.event_id)
        self.announce(outcome)

    def _tells(self, caller_node: str) -> bool:
        return self._epoch is not None and caller_node != self._epoch.node_id


def _give_up(future: asyncio.Future[Outcome | None]) -> None:
    if not future.done():
        future.set_result(None)
