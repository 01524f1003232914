"""Group commit: one thread writes everything that waits as multi-row statements in one transaction.

There is no timer: the batch that forms while the last commit runs is the only delay. A failed commit fails every
waiter of its batch; a poisoned change is found by halving and fails alone, and so does one whose row somebody else
keeps locked. Changes of one kind keep their order, and kinds are recorded in the order of their `rank`, so that several
processes take row locks in the same order; where they meet all the same, the batch is recorded once more.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from crossdock import observe
from crossdock.model.errors import CrossdockError, Misconfigured, StoreUnavailable, Unrecordable
from crossdock.store.database import Database
from crossdock.store.outages import advice, contention, is_lost, is_unavailable, unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BATCH = 256
JUST_SECONDS = 5.0
"""How long after an outage its traces are looked for more often."""
MAX_BATCH_BYTES = 16 * 1024 * 1024

TRIES = 4
"""How often that is recorded which met another transaction: one that waits for us, or that held a lock too long."""
TRYING_SECONDS = 7.0
"""No further try after this: longer than a silent transaction may keep its locks."""
FIRST_PAUSE_SECONDS = 0.02
HASTY_LOCK_SECONDS = 0.25
"""How long the parts of a batch wait for a lock that the batch did not get."""


class HotChange(Protocol):
    """A change that shares its commit with others. `record` writes many at once and answers for each, in order."""

    rank: ClassVar[int]

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[Any]: ...


class CommitObserver(Protocol):
    def __call__(self, changes: int, seconds: float, /) -> None: ...


class DatabaseObserver(Protocol):
    """Who is told what the database costs and how it fares. It is called on the threads that ask it, and is quick."""

    def answered(self, kind: Literal["commit", "change", "read"], seconds: float, /) -> None:
        """A shared commit, a change in a transaction of its own, or a read was carried out."""

    def waited(self, seconds: float, /) -> None:
        """A read waited so long for one of the connections to be free."""

    def sent(self, /) -> None:
        """A statement goes to PostgreSQL."""

    def contended(self, reason: str, /) -> None:
        """A transaction met another one and is tried again: `deadlock`, `serialization` or `lock`."""

    def connected(self, /) -> None:
        """The recorder has a new connection: the first one, or one after a loss."""

    def lost(self, /) -> None:
        """The recorder's connection is of no use any more."""


class Unobserved:
    """Nobody is told."""

    def answered(self, kind: Literal["commit", "change", "read"], seconds: float, /) -> None: ...

    def waited(self, seconds: float, /) -> None: ...

    def sent(self, /) -> None: ...

    def contended(self, reason: str, /) -> None: ...

    def connected(self, /) -> None: ...

    def lost(self, /) -> None: ...


@dataclass(slots=True)
class _Waiting:
    future: asyncio.Future[Any]
    change: Any
    after: Callable[[Any], None] | None = None
    weight: int = 0


@dataclass(slots=True)
class _Call:
    """A change in a transaction of its own: configuration, claims by watch, retention."""

    future: asyncio.Future[Any]
    work: Callable[[Connection], Any]


_STOP = object()


class Recorder:
    """The only writer of this process. Futures are resolved on the loop that called `start`."""

    def __init__(
        self,
        database: Database,
        observe_commit: CommitObserver | None = None,
        observer: DatabaseObserver | None = None,
    ) -> None:
        self._database = database
        self._observe_commit = observe_commit
        self._observer = observer or Unobserved()
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._gathered: list[Any] = []
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._connection: Connection | None = None
        self._is_lost = False
        self._has_stopped = False
        self._busy_since: float | None = None
        self._recovered_at = float("-inf")
        self.recovered: list[Callable[[], None]] = []
        """Are called on the loop when the database is back after it was lost: answers to commits may have been."""

    def start(self) -> None:
        """Connect and begin to record; what connecting raises is raised here."""
        self._loop = asyncio.get_running_loop()
        self._connection = self._connect()
        self._thread.start()

    async def stop(self) -> None:
        """Record what waits, then close the connection. What comes later is refused."""
        self._has_stopped = True
        self._pass_on()
        self._queue.put(_STOP)
        await asyncio.to_thread(self._thread.join)

    def submit(
        self, change: HotChange, after: Callable[[Any], None] | None = None, *, weight: int = 0
    ) -> asyncio.Future[Any]:
        """Queue a change. `after` is called on the loop with its answer, even if nobody waits for the future any more:
        what was recorded once it is durable, or the error that kept it from being recorded. `weight` is about how many
        bytes the change carries.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        waiting = _Waiting(future, change, after, weight)
        if self._has_stopped:
            self._loop.call_soon(_settle_batch, [waiting], [_stopped()])
        else:
            self._gather(waiting)
        return future

    @property
    def waiting(self) -> int:
        """Changes that wait for a commit."""
        return self._queue.qsize() + len(self._gathered)

    @property
    def has_just_recovered(self) -> bool:
        return time.monotonic() - self._recovered_at < JUST_SECONDS

    @property
    def stalled_seconds(self) -> float:
        """How long the transaction under way has been without an answer; 0 when there is none."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Carry out `work` in a transaction of its own; what it raises is raised here and nothing is kept."""
        if self._has_stopped:
            raise _stopped()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._gather(_Call(future, work))
        return await future  # type: ignore[no-any-return]

    def _gather(self, item: _Waiting | _Call) -> None:
        """Keep what one turn of the loop brings together: it goes to the recorder at once, not one by one.

        A recorder that is woken by the first of many changes would commit that one alone, and take the interpreter
        away from the loop that makes the others.
        """
        if not self._gathered:
            self._loop.call_soon(self._pass_on)
        self._gathered.append(item)

    def _pass_on(self) -> None:
        gathered, self._gathered = self._gathered, []
        for item in gathered:
            self._queue.put(item)

    # --- on the recorder's thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            items = self._take()
            ending = items[-1] is _STOP
            if ending:
                items.pop()
            hot = [item for item in items if isinstance(item, _Waiting)]
            if hot:
                self._commit(hot)
            for item in items:
                if isinstance(item, _Call):
                    self._call(item)
            if ending:
                self._disconnect()
                return

    def _take(self) -> list[Any]:
        items = [self._queue.get()]
        weight = 0
        while len(items) < MAX_BATCH and items[-1] is not _STOP:
            if isinstance(items[-1], _Waiting):
                weight += items[-1].weight
                if weight > MAX_BATCH_BYTES:
                    break
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return items

    def _commit(self, batch: list[_Waiting], *, is_part: bool = False) -> None:
        started = time.perf_counter()
        try:
            answers = self._transact(
                lambda connection: _record(connection, [waiting.change for waiting in batch]), is_hasty=is_part
            )
        except StoreUnavailable as error:
            if len(batch) > 1 and error.__cause__ is not None and contention(error.__cause__):
                self._commit_halves(batch)  # one locked row must not stop those that have nothing to do with it
            else:
                self._resolve(batch, [error] * len(batch))
        except Exception as error:  # a poisoned change: it must not fail its neighbours
            if len(batch) > 1:
                self._commit_halves(batch)
            else:
                observe.emit(observe.CHANGE_REFUSED, error=error)
                self._resolve(batch, [_unrecordable(error)])
        else:
            seconds = time.perf_counter() - started
            self._observer.answered("commit", seconds)
            if self._observe_commit is not None:
                self._observe_commit(len(batch), seconds)
            self._resolve(batch, answers)

    def _commit_halves(self, batch: list[_Waiting]) -> None:
        half = len(batch) // 2
        self._commit(batch[:half], is_part=True)
        self._commit(batch[half:], is_part=True)

    def _call(self, call: _Call) -> None:
        answer: Any
        started = time.perf_counter()
        try:
            answer = self._transact(call.work)
        except Exception as error:
            answer = error
        else:
            self._observer.answered("change", time.perf_counter() - started)
        self._post(_settle_future, call.future, answer)

    def _transact(self, work: Callable[[Connection], T], *, is_hasty: bool = False) -> T:
        """Carry out `work` and commit; once more when it met another transaction, a few times.

        StoreUnavailable when the database can't do it now; what else `work` raises is raised here.
        """
        started = self._busy_since = time.monotonic()
        try:
            return self._try_again(work, started, is_hasty=is_hasty)
        finally:
            self._busy_since = None

    def _try_again(self, work: Callable[[Connection], T], started: float, *, is_hasty: bool) -> T:
        pause = FIRST_PAUSE_SECONDS
        for tries_left in reversed(range(TRIES)):
            try:
                return self._try(work, HASTY_LOCK_SECONDS if is_hasty else None)
            except Exception as error:
                reason = contention(error)
                is_over = tries_left == 0 or time.monotonic() - started > TRYING_SECONDS
                if reason is None or is_over or (is_hasty and reason == "lock"):
                    if is_unavailable(error):
                        raise unavailable(error) from error
                    raise
                self._observer.contended(reason)
            time.sleep(pause * (0.5 + random.random() / 2))
            pause *= 2
        raise AssertionError("the last try ends here")

    def _try(self, work: Callable[[Connection], T], lock_seconds: float | None) -> T:
        connection = self._connected()
        try:
            self._database.begin(connection, lock_seconds=lock_seconds)
            answer = work(connection)
            connection.exec_driver_sql("COMMIT")
        except Exception as error:
            self._roll_back(connection, error)
            raise
        self._say_recovered()
        return answer

    def _roll_back(self, connection: Connection, error: Exception) -> None:
        try:
            if not connection.invalidated:
                connection.exec_driver_sql("ROLLBACK")
        except DBAPIError as failure:
            logger.debug("rolling back failed: %s", failure)  # SQLite has rolled back by itself, or the link is gone
        if is_unavailable(error) and contention(error) is None:
            self._say_lost(error)
        if self._database.dialect == "postgresql" and (is_lost(error) or connection.invalidated):
            self._observer.lost()
            self._disconnect()

    def _say_lost(self, error: Exception) -> None:
        if not self._is_lost:
            self._is_lost = True
            reason = str(getattr(error, "orig", None) or error)
            observe.emit(observe.STORE_LOST, reason=reason, advice=advice(error, self._database.url))

    def _say_recovered(self) -> None:
        if self._is_lost:
            self._is_lost = False
            self._recovered_at = time.monotonic()
            observe.emit(observe.STORE_RECOVERED)
            for listener in self.recovered:
                self._post(listener)

    def _connected(self) -> Connection:
        """The connection; a lost one is made anew, no more often than `outages.Attempts` allows."""
        if self._connection is None:
            try:
                self._connection = self._connect()
            except (DBAPIError, Misconfigured) as error:
                self._say_lost(error)
                raise unavailable(error) from error
        return self._connection

    def _connect(self) -> Connection:
        connection = self._database.writer.connect()
        self._observer.connected()
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.invalidate() if self._database.dialect == "postgresql" else None
            connection.close()
        except DBAPIError as error:
            logger.debug("closing the connection failed: %s", error)

    def _resolve(self, batch: list[_Waiting], answers: Sequence[Any]) -> None:
        self._post(_settle_batch, batch, answers)

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed: the process ends, nobody waits any more
            logger.debug("an answer came after the loop had closed")


def _record(connection: Connection, changes: list[Any]) -> list[Any]:
    """Write the changes kind by kind; the answers in the order of the changes."""
    kinds: dict[type[HotChange], list[int]] = {}
    for position, change in enumerate(changes):
        kinds.setdefault(type(change), []).append(position)
    answers: list[Any] = [None] * len(changes)
    for kind in sorted(kinds, key=lambda kind: kind.rank):
        positions = kinds[kind]
        given = kind.record(connection, [changes[position] for position in positions])
        for position, answer in zip(positions, given, strict=True):
            answers[position] = answer
    return answers


def _unrecordable(cause: Exception) -> Unrecordable:
    error = Unrecordable(f"the database refuses it ({type(cause).__name__})")
    error.__cause__ = cause
    return error


def _stopped() -> StoreUnavailable:
    return StoreUnavailable("this process is stopping and records nothing any more")


def _settle_batch(batch: list[_Waiting], answers: Sequence[Any]) -> None:
    for waiting, answer in zip(batch, answers, strict=True):
        _settle_future(waiting.future, answer)
        if waiting.after is None:
            continue
        try:
            waiting.after(answer)
        except Exception as error:  # it must not keep the answers from the others of its batch
            observe.emit(observe.FOLLOW_UP_FAILED, error=error)


def _settle_future(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():  # whoever waited has gone; the change itself is recorded
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


__all__ = ["MAX_BATCH", "CrossdockError", "DatabaseObserver", "HotChange", "Recorder"]
