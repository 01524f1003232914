"""Telling other nodes that there is something to do, so that they need not wait for their next look.

A signal carries no truth: what it is about stands in the database, and whoever misses it finds it by looking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeAlias


class Topic(StrEnum):
    """What there is to look at; the words that go with it."""

    RUNS = "runs"
    """Runs wait for a free node. Words: their integrations."""
    LANE = "lane"
    """A lane has changed: its owner reads it again. Words: lane ids."""
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
    """For one process that is all there is: nobody needs to be told."""

    def tell(self, topic: Topic, word: str = "", *, node: str | None = None) -> None:
        """Tell the other nodes, or one of them. Costs nothing here and now: what is told goes out gathered."""

    def on(self, topic: Topic, listener: Listener) -> None:
        """Call `listener` for what other nodes tell."""
