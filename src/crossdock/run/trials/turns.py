"""The order of steps that stand side by side.

Which of several lists fails first, which answers first, and how far the others have come by then is a matter of time
in a real run. Along a record nothing takes time, so steps wait for their turn: they go in the order in which they
ended then. A workflow that has changed may never come to a step that others wait for. So whenever nothing moves any
more, the first of those who wait goes on.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from contextlib import contextmanager

from crossdock.run.steps.contract import Halt

TURNS_UNTIL_STILL = 60
"""So many turns of the event loop without a step mean that all lists wait: from one step to the next a list needs four
of them for each block around it, and blocks stand five deep at most."""


class Turns:
    def __init__(self) -> None:
        self._next = 0
        self._ordered: list[tuple[int, int, bool, asyncio.Future[None]]] = []
        self._others: dict[asyncio.Future[None], Halt] = {}
        self._count = 0
        self._moves = 0
        self._busy = 0
        self._looking: asyncio.Task[None] | None = None

    async def take(self, position: int, *, patient: bool) -> None:
        """Wait for the turn of the step that ended as number `position`.

        `patient`: until nothing else moves, even when it is its turn. A failure has to be, because it stops others.
        """
        if position > self._next or patient:
            waiting = self._future()
            self._count += 1
            heapq.heappush(self._ordered, (position, self._count, patient, waiting))
            await waiting
        self._moves += 1
        self._next = max(self._next, position + 1)
        if self._ordered and self._ordered[0][0] <= self._next and not self._ordered[0][2]:
            self._let_next_go()

    async def come_last(self, halt: Halt) -> bool:
        """Wait until no step that has a turn moves any more, or `halt` is set; whether it is not."""
        waiting = self._future()
        self._others[waiting] = halt
        await waiting
        self._moves += 1
        return not halt.is_set

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While a step does something that may take time, nothing counts as still."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._moves += 1

    def close(self) -> None:
        """Nobody waits any more."""
        if self._looking is not None:
            self._looking.cancel()

    def _future(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        if self._looking is None:
            self._looking = loop.create_task(self._look())
        return loop.create_future()

    async def _look(self) -> None:
        """Let somebody go whenever nothing moves: who is to stop, else the first in order, else anybody."""
        while self._ordered or self._others:
            if not await self._is_still():
                continue
            halted = [waiting for waiting, halt in self._others.items() if halt.is_set]
            if halted:
                for waiting in halted:
                    self._let_go(waiting)
            elif self._ordered:
                self._let_next_go()
            elif self._others:
                self._let_go(next(iter(self._others)))
        self._looking = None

    async def _is_still(self) -> bool:
        moves = self._moves
        for _ in range(TURNS_UNTIL_STILL):
            await asyncio.sleep(0.001 if self._busy else 0)
            if self._busy or self._moves != moves:
                return False
        return True

    def _let_next_go(self) -> None:
        *_, waiting = heapq.heappop(self._ordered)
        self._let_go(waiting)

    def _let_go(self, waiting: asyncio.Future[None]) -> None:
        self._others.pop(waiting, None)
        if not waiting.done():
            waiting.set_result(None)
