"""Lists of steps that run side by side, as branches or as the items of a list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from crossdock.model.outcome import Halted, Wait
from crossdock.run.steps.contract import Finished, Halt, StepsEnd


async def side_by_side(
    count: int, at_once: int, run: Callable[[int], Awaitable[StepsEnd]], halt: Halt
) -> list[Finished] | StepsEnd:
    """Run the lists 0 to `count` - 1, `at_once` of them at a time; their ends, or what keeps one from its end.

    A failure counts more than a wait. After one, the others stop before their next step; what they are doing is
    finished and recorded. A list that waits keeps its place: no other begins instead of it.
    """
    rows = _Rows(count, run, halt)
    lines = min(at_once, count)
    if lines <= 1:
        await rows.work()
        return rows.end()
    tasks = [asyncio.create_task(rows.work()) for _ in range(lines)]
    try:
        await asyncio.gather(*tasks)
    finally:  # a lost lease, or a run that is stopped, ends them all
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return rows.end()


class _Rows:
    """What has come of each list."""

    def __init__(self, count: int, run: Callable[[int], Awaitable[StepsEnd]], halt: Halt) -> None:
        self._left: Iterator[int] = iter(range(count))
        self._run = run
        self._halt = halt
        self._finished: list[Finished | None] = [None] * count
        self._held: list[StepsEnd] = []

    async def work(self) -> None:
        """Run one list after the other, as long as there are some that nobody has begun."""
        for number in self._left:
            if self._halt.is_set:
                self._held.append(Halted())
                return
            end = await self._run(number)
            if isinstance(end, Finished):
                self._finished[number] = end
                continue
            if not isinstance(end, Wait):
                self._halt.set()
            self._held.append(end)
            return

    def end(self) -> list[Finished] | StepsEnd:
        if not self._held:
            return [finished for finished in self._finished if finished is not None]
        return min(self._held, key=_weight)


def _weight(end: StepsEnd) -> tuple[int, int]:
    """A failure before a halt from outside before the earliest wait."""
    if isinstance(end, Wait):
        return 2, end.until
    return (1, 0) if isinstance(end, Halted) else (0, 0)
