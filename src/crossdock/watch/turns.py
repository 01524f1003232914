"""Things that are done again and again, each on its own; a turn that fails is told and tried again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from crossdock import observe
from crossdock.model.errors import StoreUnavailable


@dataclass(frozen=True, slots=True)
class Turn:
    """`work` is done every `seconds`, counted from the end of the last time, and as soon as `alarm` is set."""

    name: str
    seconds: float | Callable[[], float]
    work: Callable[[], Awaitable[None]]
    alarm: asyncio.Event | None = None

    async def rest(self) -> None:
        seconds = self.seconds if isinstance(self.seconds, int | float) else self.seconds()
        if self.alarm is None:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.alarm.wait(), seconds)


class Watch:
    """Takes all turns until it is stopped."""

    def __init__(self, turns: list[Turn]) -> None:
        self._turns = turns
        self._put_off: set[str] = set()
        """Turns that found the database away. That is told loudly once, not by each of them every second."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._repeat(turn), name=f"watch {turn.name}") for turn in self._turns]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, turn: Turn) -> None:
        while True:
            if turn.alarm is not None:
                turn.alarm.clear()  # before the work: what it is set for meanwhile is done once more
            try:
                await turn.work()
            except StoreUnavailable as error:
                event = observe.WATCH_PUT_OFF if self._put_off else observe.STORE_LOST
                self._put_off.add(turn.name)
                observe.emit(event, during=turn.name, reason=str(error))
            except Exception as error:
                observe.emit(observe.WATCH_FAILED, error=error, turn=turn.name)
            else:
                if turn.name in self._put_off:  # one that never asks the database says nothing about it
                    self._put_off.clear()
            await turn.rest()
