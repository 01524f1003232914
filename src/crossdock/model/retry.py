"""When to try again.

Exponential backoff with jitter: the wait before attempt n+1 is drawn from the upper half of
`min(max_delay, delay * factor ** (n - 1))`, so that waits grow and callers do not meet again at the same moment.
Source: "equal jitter" in M. Brooker, Exponential Backoff And Jitter (2015).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` counts the first try too: 1 means no retry. Delays are in seconds."""

    attempts: int = 5
    delay: float = 2.0
    factor: float = 2.0
    max_delay: float = 300.0

    def has_another(self, attempts_made: int) -> bool:
        return attempts_made < self.attempts

    def delay_before_next(self, attempts_made: int, fraction: float, retry_after: float | None = None) -> float:
        """Seconds to wait after `attempts_made` tries.

        `fraction` is a random number in [0, 1). `retry_after` is what the other side asked for, in seconds; it is
        honoured up to `max_delay`.
        """
        exponent = min(max(attempts_made - 1, 0), 64)
        try:
            ceiling = min(self.max_delay, self.delay * float(self.factor) ** exponent)
        except OverflowError:
            ceiling = self.max_delay
        backoff = ceiling * (0.5 + 0.5 * fraction)
        if retry_after is None:
            return backoff
        return min(max(backoff, retry_after), max(self.max_delay, ceiling))


NO_RETRY = RetryPolicy(attempts=1)

REPLY_RETRY = RetryPolicy(attempts=8, delay=5.0, factor=3.0, max_delay=1_800.0)
"""For replies without limits of their own: eight tries over about an hour."""
