"""Telling other nodes that there is something to do, so that they need not wait for their next look.

A signal carries no truth: what it is about stands in the database, and whoever misses it finds it by looking. `Signals`
is what the parts of a node know of it; `store.notices` has the signals between the nodes of one PostgreSQL.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeAlias

from crossdock import observe

POLL_SECONDS = 1.0
"""How often to look where nobody tells."""


class Topic(StrEnum):
    """What there is to look at; the words that go with it."""

    RUNS = "runs"
    """Runs wait for a free node. Words: their integrations."""
    LANE = "lane"
    """A lane has changed: its owner reads it again. Words: lane ids."""
    LANE_GROWN = "lane_grown"
    """Events have come to a lane: its owner reads on behind what it knows. Words: lane ids."""
    LANES = "lanes"
    """Lanes with work have no owner. No words."""
    DELIVERIES = "deliveries"
    """Deliveries wait for a free node. No words."""
    ANSWER = "answer"
    """Somebody waits at the node for what these events came to. Words: event ids."""
    CANCEL = "cancel"
    """Runs are to be stopped, wherever they are worked on. Words: event ids."""
    CONFIGURATION = "configuration"
    """Somebody changed what people set up. No words."""
    BULK = "bulk"
    """A bulk job is to be worked on. No words."""


Listener: TypeAlias = Callable[[Sequence[str]], None]
"""Is called on the event loop with the words of the signals that came together; none: look at everything."""


class Signals:
    """For one process that is all there is: no other node needs to be told. All methods are for the event loop."""

    def __init__(self) -> None:
        self._listeners: dict[Topic, list[Listener]] = defaultdict(list)

    async def start(self) -> None:
        """Begin to hear the others."""

    async def stop(self) -> None:
        """Send what was told, and hear nothing more."""

    @property
    def is_healthy(self) -> bool:
        """Whether this process certainly hears what the others tell."""
        return True

    @property
    def poll_seconds(self) -> float:
        """How often to look for what signals tell of."""
        return POLL_SECONDS

    def tell(self, topic: Topic, word: str = "", *, node: str | None = None) -> None:
        """Tell the other nodes, or one of them. Costs nothing here and now: what is told goes out gathered."""

    def spread(self, topic: Topic, word: str = "") -> None:
        """Tell all nodes, this one too."""
        self.tell(topic, word)
        self._pass_on(topic, [word] if word else [])

    def on(self, topic: Topic, listener: Listener) -> None:
        """Call `listener` for what other nodes tell, and for what is spread."""
        self._listeners[topic].append(listener)

    def _pass_on(self, topic: Topic, words: Sequence[str]) -> None:
        for listener in self._listeners.get(topic, ()):
            try:
                listener(words)
            except Exception as error:  # it must not keep the others, or the next signals, from being heard
                observe.emit(observe.WATCH_FAILED, error=error, turn=f"signals of {topic}")
