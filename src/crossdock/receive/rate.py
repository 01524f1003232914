"""Rate limits: at most `requests` calls in any window of `per` seconds, counted in this process."""

from __future__ import annotations

from collections import deque

from crossdock.model.time import Instant, later, seconds_between
from crossdock.model.trigger import RateLimit


class RateLimiter:
    """Remembers when each integration's last calls were let in: a sliding window, exact at every moment.

    Where the clock is stepped back, calls of a time to come are forgotten: they would keep all others out until then.
    """

    def __init__(self) -> None:
        self._let_in: dict[str, deque[Instant]] = {}

    def admit(self, integration_id: str, limit: RateLimit, now: Instant) -> float | None:
        """None when the call may come in; otherwise the seconds until the next one may."""
        calls = self._let_in.setdefault(integration_id, deque())
        while calls and not calls[0] <= now < later(calls[0], limit.per):
            calls.popleft()
        if len(calls) >= limit.requests:
            return seconds_between(now, later(calls[-limit.requests], limit.per))
        calls.append(now)
        return None
