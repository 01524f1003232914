"""Which worker process makes which call, and when processes begin and end.

None is there before a call needs one. A process makes one call at a time and keeps what it has imported; it ends when
a call in it ran out of time or was broken off, when the functions have changed, and when nobody has needed it for a
minute. The time that a call waits for a process to be free is nobody's timeout, but it is bounded.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from crossdock import observe, workflows
from crossdock.model.gate import OPEN, Gate
from crossdock.model.outcome import Json
from crossdock.run.modules import Source
from crossdock.run.plain import NotJson
from crossdock.run.processes.frames import EXIT_OUT_OF_MEMORY, Answer, Ask
from crossdock.run.processes.worker import Ended, Plan, Worker
from crossdock.run.threads import TimedOut

IDLE_SECONDS = 60.0
START_SECONDS = 30.0
"""For a process to begin and to import a function's module."""
WAIT_SECONDS = 60.0
"""For a process to be free."""
REAP_SECONDS = 2.0


class AllBusy(Exception):
    """There is no process for a call, none that is free and no new one."""


class ProcessDied(Exception):
    """The process ended before the function returned; the message says how, in words."""


class OutOfMemory(Exception):
    """The function needed more memory than its process may have."""


class NotThere(Exception):
    """The process can't find the function."""


class Raised(Exception):
    """What the function raised, in one line, with its place in the user's code."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the pool does at a moment."""

    busy: int = 0
    idle: int = 0
    waiting: int = 0
    """Calls that wait for a process to be free."""

    @property
    def states(self) -> dict[str, int]:
        return {"busy": self.busy, "idle": self.idle}


class Processes:
    """Up to `count` processes at once, begun as `plan` says. Use it on one event loop."""

    def __init__(
        self,
        count: int,
        plan: Plan,
        *,
        idle_seconds: float = IDLE_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
        gate: Gate = OPEN,
    ) -> None:
        self._gate = gate
        self._count = count
        self._plan = plan
        self._idle_seconds = idle_seconds
        self._wait_seconds = wait_seconds
        self._free = asyncio.Semaphore(count)
        self._waiting = 0
        self._busy: dict[Worker, asyncio.Task[Json] | None] = {}
        self._idle: dict[Worker, asyncio.TimerHandle] = {}
        self._ended: set[Worker] = set()
        """Not reaped yet."""

    def renew(self, sources: Mapping[str, Source]) -> None:
        """From now on calls are made with these modules. May be called from any thread."""
        plan = self._plan
        self._plan = Plan(plan.memory, plan.environment, plan.folder, sources)

    @property
    def counts(self) -> Counts:
        return Counts(len(self._busy), len(self._idle), self._waiting)

    async def call(self, name: str, arguments: Mapping[str, Json], timeout: float) -> Json:
        """What the function `module:name` returns, within `timeout` seconds of its start.

        It raises `workflows.Retry` and `workflows.Stop` as the function does, Raised for anything else that it raises,
        NotJson, NotThere, TimedOut, OutOfMemory, ProcessDied and AllBusy.
        """
        content = msgspec.json.encode([name, math.ceil(timeout), arguments])
        await self._wait()
        worker: Worker | None = None
        try:
            worker = self._idle_worker() or self._begin()
            self._busy[worker] = asyncio.current_task()
            await self._load(worker, name)
            await self._gate.passage()
            return await self._call(worker, name, content, timeout)
        finally:
            if worker is not None:
                self._leave(worker, name)
            self._free.release()

    def close(self) -> None:
        """End all processes, and wait until nothing is left of them."""
        for timer in self._idle.values():
            timer.cancel()
        workers = [*self._busy, *self._idle, *self._ended]
        for worker in workers:
            worker.end()
        for task in self._busy.values():
            if task is not None:
                task.cancel()
        for worker in workers:
            worker.reap(REAP_SECONDS)
        self._idle.clear()

    # --- a process for a call --------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise AllBusy(
                f"none of the {self._count} worker processes became free within {self._wait_seconds:g} s; "
                "the setting `processes` allows more of them"
            ) from None
        finally:
            self._waiting -= 1

    def _idle_worker(self) -> Worker | None:
        """A process that waits for work, the one used last; those that can't be used are ended."""
        while self._idle:
            worker, timer = self._idle.popitem()
            timer.cancel()
            if worker.plan is self._plan and worker.is_there:
                return worker
            self._end(worker)
        return None

    def _begin(self) -> Worker:
        try:
            return Worker(self._plan)
        except OSError as error:
            raise AllBusy(f"the system begins no more processes for now: {error}") from None

    async def _load(self, worker: Worker, name: str) -> None:
        """Have the process find the function, unless it has."""
        if name in worker.loaded:
            return
        try:
            async with asyncio.timeout(START_SECONDS):
                answer, content = await worker.ask(Ask.LOAD, json.dumps(name).encode())
        except TimeoutError:
            place = await worker.where()
            raise TimedOut(f"its module was not imported within {START_SECONDS:g} s{_at(place)}") from None
        except Ended as ended:
            raise _died(ended, worker) from None
        match answer:
            case Answer.READY:
                worker.loaded.add(name)
            case Answer.OUT_OF_MEMORY:
                raise OutOfMemory(_out_of_memory(worker, json.loads(content)))
            case _:
                raise NotThere(json.loads(content))

    async def _call(self, worker: Worker, name: str, content: bytes, timeout: float) -> Json:
        try:
            async with asyncio.timeout(timeout):
                answer, returned = await worker.ask(Ask.CALL, content)
        except TimeoutError:
            place = await worker.where()
            raise TimedOut(f"did not return within {timeout:g} s{_at(place)}") from None
        except Ended as ended:
            if ended.code == -signal.SIGXCPU:
                raise TimedOut(f"used more than {timeout:g} s of CPU time: {ended}") from None
            raise _died(ended, worker) from None
        return _judged(answer, returned, worker)

    def _leave(self, worker: Worker, name: str) -> None:
        """A call is over: keep its process for the next one, or end it."""
        del self._busy[worker]
        if worker.is_usable and worker.plan is self._plan:
            loop = asyncio.get_running_loop()
            self._idle[worker] = loop.call_later(self._idle_seconds, self._retire, worker)
        else:
            self._end(worker)
        printed = worker.take_printed()
        if printed:
            observe.emit(observe.FUNCTION_PRINTED, function=name, printed=printed)

    def _retire(self, worker: Worker) -> None:
        del self._idle[worker]
        self._end(worker)

    def _end(self, worker: Worker) -> None:
        """End the process now; it is reaped in a moment."""
        worker.end()
        self._ended.add(worker)
        reaped = asyncio.get_running_loop().run_in_executor(None, worker.reap, REAP_SECONDS)
        reaped.add_done_callback(lambda _: self._ended.discard(worker))


def _judged(answer: Answer, content: bytes, worker: Worker) -> Json:
    """What the function returned or raised, as its process tells it."""
    try:
        told = msgspec.json.decode(content) if answer is Answer.RETURNED else json.loads(content)
    except ValueError:
        raise ProcessDied("its process answered what can't be read") from None
    match answer:
        case Answer.RETURNED:
            return told
        case Answer.NOT_JSON:
            raise NotJson(told)
        case Answer.RETRY:
            raise workflows.Retry(*told)
        case Answer.STOP:
            raise workflows.Stop(*told)
        case Answer.OUT_OF_MEMORY:
            raise OutOfMemory(_out_of_memory(worker, told))
        case _:
            raise Raised(told)


def _died(ended: Ended, worker: Worker) -> Exception:
    if ended.code == EXIT_OUT_OF_MEMORY:
        return OutOfMemory(_out_of_memory(worker, "it could not even say where"))
    return ProcessDied(f"its process did not live to answer: {ended}")


def _out_of_memory(worker: Worker, where: str) -> str:
    return f"needed more than the {worker.plan.memory // 1024**2} MiB that its process may have: {where}"


def _at(place: str | None) -> str:
    return f" ({place})" if place else ""
