"""A limit in time for several evaluations together, where whoever asks sets one.

The engine's fuel counts instructions, and one that sorts a long list takes as long as thousands of others. So time is
looked at wherever Python is asked: at each expression, at each filter of ours, at each value that becomes text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from crossdock.model.expression import ExpressionError

_until: ContextVar[float | None] = ContextVar("until", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is evaluated inside raises ExpressionError when all of it takes longer than that, or than a limit around."""
    until, around = time.perf_counter() + seconds, _until.get()
    token = _until.set(until if around is None else min(until, around))
    try:
        yield
    finally:
        _until.reset(token)


def check_time(place: str = "") -> None:
    """ExpressionError when the time is over; it begins with the place where one is given."""
    until = _until.get()
    if until is not None and time.perf_counter() > until:
        raise ExpressionError(f"{place}{': ' if place else ''}this takes too long; make it simpler")
