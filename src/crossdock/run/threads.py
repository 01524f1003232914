"""Threads for functions that block, some of which never come back.

A thread can't be stopped from outside. One whose call has run out of time is given up: it leaves the pool, another
takes its place, and it ends itself if its call ever returns. The number given up is bounded; from there on calls are
refused, because every such thread keeps its memory and its connections.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from crossdock.model.gate import OPEN, Gate
from crossdock.run.raised import catchable

T = TypeVar("T")


class TooManyHang(Exception):
    """So many calls hang that no more are made."""


class TimedOut(Exception):
    """The call did not return in time; the message goes on behind the function's name. It may still be going on."""


_Job: TypeAlias = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class _Held(Exception):
    """The call was not begun: the node may not act any more, or not now."""


class _Worker:
    """One thread. Everything but `_work` happens on the event loop."""

    def __init__(self, pool: Threads) -> None:
        self._pool = pool
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.is_given_up = False
        threading.Thread(target=self._work, name="crossdock-function", daemon=True).start()

    def take(self, job: _Job | None) -> None:
        """A call to make; None ends the thread."""
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, future = job
            value, error = None, None
            try:
                if future.cancelled() or not self._pool.gate.may_act():
                    raise _Held
                value = call()
            except BaseException as raised:  # sys.exit() in a function must not end this thread
                error = raised
            try:
                future.get_loop().call_soon_threadsafe(self._pool.returned, self, future, value, error)
            except RuntimeError:  # the loop has ended meanwhile, and nobody waits
                return
            del job, call, future, value, error


HANGING_PER_THREAD = 2


class Threads:
    """Up to `count` threads at work, and up to twice as many given up."""

    def __init__(self, count: int, gate: Gate = OPEN) -> None:
        self.gate = gate
        self._most_hanging = count * HANGING_PER_THREAD
        self._free = asyncio.Semaphore(count)
        self._idle: list[_Worker] = []
        self.hanging = 0
        """Calls that were given up and have not returned."""

    async def run(self, call: Callable[[], T], timeout: float) -> T:
        """What the call returns or raises, within `timeout` seconds of its start; TimedOut, TooManyHang."""
        async with self._free:
            while True:
                await self.gate.passage()
                try:
                    return await self._run(call, timeout)
                except _Held:
                    continue

    async def _run(self, call: Callable[[], T], timeout: float) -> T:
        if self.hanging >= self._most_hanging:
            raise TooManyHang(f"{self.hanging} calls of Python functions hang; restart the server to end them")
        worker = self._idle.pop() if self._idle else _Worker(self)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        worker.take((call, future))
        try:
            await asyncio.wait((future,), timeout=timeout)
        finally:
            if not future.done():
                future.cancel()
                worker.is_given_up = True
                self.hanging += 1
        if future.cancelled():
            raise TimedOut(f"did not return within {timeout:g} s")
        return future.result()

    def returned(self, worker: _Worker, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        """A call came back, in time or not."""
        if worker.is_given_up:
            self.hanging -= 1
            worker.take(None)
            return
        self._idle.append(worker)
        if error is not None:
            future.set_exception(catchable(error))
        else:
            future.set_result(value)

    def close(self) -> None:
        """End the idle threads. Others end with their calls, or with the process."""
        while self._idle:
            self._idle.pop().take(None)


async def run_on_loop(make: Callable[[], Any], timeout: float, gate: Gate = OPEN) -> Any:
    """What the coroutine returns or raises, within `timeout` seconds; TimedOut when it does not even end by being
    cancelled in time, so that one that swallows its cancellation holds nobody up."""
    task = asyncio.create_task(_contained(make, gate))
    try:
        await asyncio.wait((task,), timeout=timeout)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_forget)
    if not task.done():
        raise TimedOut(f"did not return within {timeout:g} s")
    return task.result()


async def _contained(make: Callable[[], Any], gate: Gate) -> Any:
    await gate.passage()
    try:
        return await make()
    except (SystemExit, KeyboardInterrupt) as error:  # a task would hand these on to the event loop, which ends
        raise catchable(error) from None
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise catchable(error) from None  # the function's own idea, not ours


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
