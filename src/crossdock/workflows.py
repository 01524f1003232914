"""What Python functions of workflows may import: the two ways to say how they failed.

    from crossdock.workflows import Retry, Stop

    def book(order):
        if order["lines"] == []:
            raise Stop("the order has no lines")

Any other exception counts as passing, and the step or its run is tried again.
"""

from __future__ import annotations


class Retry(Exception):
    """Failed in passing. `after_seconds` asks for a wait of at least so long before the next try."""

    def __init__(self, message: str, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Stop(Exception):
    """Failed for good: trying again can't help. `kind` is a short word for programs."""

    def __init__(self, message: str, kind: str = "stopped") -> None:
        super().__init__(message)
        self.kind = kind
