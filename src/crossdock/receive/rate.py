"""Rate limits: at most `requests` calls in any period of `per` seconds, wherever it begins.

No wall clock is asked, so that one that is set keeps nobody out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from crossdock.model.trigger import RateLimit
from crossdock.store import Store
from crossdock.store.permits import Permits


class Rates(Protocol):
    async def admit(self, integration_id: str, limit: RateLimit) -> float | None:
        """None when the call may come in; otherwise the seconds until the next one may."""


def open_rates(store: Store, monotonic: Callable[[], float]) -> Rates:
    """Where several nodes may share the database, they count together."""
    return OwnRates(monotonic) if store.permits is None else SharedRates(store.permits, monotonic)


class OwnRates:
    """Remembers when each integration's last calls were let in by this process, the only one."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._let_in: dict[str, deque[float]] = {}

    async def admit(self, integration_id: str, limit: RateLimit) -> float | None:
        now = self._monotonic()
        calls = self._let_in.setdefault(integration_id, deque())
        while calls and calls[0] + limit.per <= now:
            calls.popleft()
        if len(calls) >= limit.requests:
            return calls[-limit.requests] + limit.per - now
        calls.append(now)
        return None


class SharedRates:
    """Asks the database, which counts for all nodes.

    A refusal is remembered until the moment that it names, so that a flood of calls costs the database nothing.
    """

    def __init__(self, permits: Permits, monotonic: Callable[[], float]) -> None:
        self._permits = permits
        self._monotonic = monotonic
        self._refused: dict[str, tuple[RateLimit, float]] = {}

    async def admit(self, integration_id: str, limit: RateLimit) -> float | None:
        refused = self._refused.get(integration_id)
        if refused is not None:
            given, until = refused
            left = until - self._monotonic()
            if left > 0 and given == limit:
                return left
        permit = await self._permits.take(integration_id, limit)
        if permit.wait is not None:
            self._refused[integration_id] = limit, self._monotonic() + permit.wait
        return permit.wait
