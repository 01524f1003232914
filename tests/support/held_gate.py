"""A gate that a test opens and closes."""

from __future__ import annotations

import asyncio
import threading


class HeldGate:
    """Closed from `closes_after` questions on, until `open`."""

    def __init__(self, closes_after: int = 0) -> None:
        self._open_for = closes_after
        self._opened = threading.Event()
        self.waiting = 0
        """How many wait for passage, or were told that they may not act."""

    def may_act(self) -> bool:
        if self._opened.is_set():
            return True
        self._open_for -= 1
        if self._open_for >= 0:
            return True
        self.waiting += 1
        return False

    async def passage(self) -> None:
        while not self.may_act():  # noqa: ASYNC110 - it is opened from anywhere
            await asyncio.sleep(0.005)

    async def asked(self) -> None:
        """Return when somebody waits for passage; TimeoutError when nobody does soon."""
        async with asyncio.timeout(20):
            while not self.waiting:  # noqa: ASYNC110 - threads ask, too
                await asyncio.sleep(0.005)

    def open(self) -> None:
        self._opened.set()
