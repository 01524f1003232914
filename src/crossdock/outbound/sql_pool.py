"""The threads and connections that one connection's statements share.

There are as many threads as there may be connections to the database, so that a database that hangs holds up nobody but
its own steps. A statement has until its limit, waiting for its turn included. The database is told the limit and ends
the statement itself; where that does not help, the conversation is cut.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError, InvalidRequestError
from sqlalchemy.pool import QueuePool

from crossdock.model.gate import OPEN, Gate
from crossdock.outbound.connection import SqlConnection
from crossdock.outbound.request import SqlAnswer, SqlFailed
from crossdock.outbound.sql_driver import Attempt, Driver, Kind, Link
from crossdock.outbound.sql_work import Order, Work

GRACE_SECONDS = 1.0
"""What the database gets on top of the limit to end a statement itself, before the conversation is cut."""
CLOSE_SECONDS = 5.0


class OutOfTime(Exception):
    """The limit is reached; the message tells with what."""


class Pool:
    """One connection's threads, and the database's connections that they share."""

    def __init__(self, connection: SqlConnection, driver: Driver, gate: Gate = OPEN) -> None:
        self.connection = connection
        self.dialect = driver.dialect
        self.used_at = time.monotonic()
        self._driver = driver
        self._work = Work(driver, self._take, gate)
        self._threads = ThreadPoolExecutor(connection.pool_size, thread_name_prefix="sql")
        self._free = asyncio.Semaphore(connection.pool_size)
        self._attempts: set[Attempt] = set()
        self._waiting = 0
        self._is_given_up = False
        self._closed = asyncio.Event()
        self._own = threading.local()
        self._links = QueuePool(
            cast("Callable[[], Any]", self._connect),
            pool_size=connection.pool_size,
            max_overflow=0,
            use_lifo=True,  # the others get old, and the servers may close them
            reset_on_return=None,  # transactions end where they begin
        )
        event.listen(self._links, "checkout", self._check)

    @property
    def is_at_work(self) -> bool:
        return bool(self._attempts) or self._waiting > 0

    # --- on the event loop -----------------------------------------------------------------------------------------

    async def carry_out(self, order: Order, attempt: Attempt) -> SqlAnswer:
        """The answer; Troubled, SqlFailed, OutOfTime."""
        try:
            await self._turn(attempt)
        except BaseException:
            self._leave()
            raise
        self._attempts.add(attempt)
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._in_thread, order, attempt)
        future.add_done_callback(lambda done: self._returned(attempt, done))
        try:
            await asyncio.wait((future,), timeout=attempt.seconds_left + GRACE_SECONDS)
        finally:
            if not future.done():
                attempt.cut()
        if not future.done():
            raise OutOfTime("the database did not answer")
        return future.result()

    async def _turn(self, attempt: Attempt) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(attempt.seconds_left):
                await self._free.acquire()
        except TimeoutError:
            size = self.connection.pool_size
            raise OutOfTime(f"none of the {size} connections (pool_size) became free") from None
        finally:
            self._waiting -= 1

    def _returned(self, attempt: Attempt, done: asyncio.Future[SqlAnswer]) -> None:
        """A thread came back, in time or not."""
        if not done.cancelled():
            done.exception()  # whoever still waits gets it, too
        self._attempts.discard(attempt)
        self._free.release()
        self.used_at = time.monotonic()
        self._leave()

    def give_up(self) -> None:
        """Close when nobody is at work any more."""
        self._is_given_up = True
        self._leave()

    def _leave(self) -> None:
        if self._is_given_up and not self.is_at_work:
            self._dispose()

    async def close(self) -> None:
        """Break off what runs, and wait until all is closed, or for `CLOSE_SECONDS`."""
        for attempt in list(self._attempts):
            attempt.cut()
        self.give_up()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._closed.wait()

    def _dispose(self) -> None:
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._threads, self._links.dispose).add_done_callback(lambda _: self._closed.set())
        self._threads.shutdown(wait=False)

    # --- in a thread -----------------------------------------------------------------------------------------------

    def _in_thread(self, order: Order, attempt: Attempt) -> SqlAnswer:
        self._own.attempt = attempt
        try:
            return self._work.carry_out(order, attempt)
        finally:
            attempt.hold(None)
            del self._own.attempt

    @contextmanager
    def _take(self, attempt: Attempt) -> Iterator[Link]:
        try:
            lent = self._links.connect()
        except InvalidRequestError as error:  # the pool's word for connections that die as soon as they are made
            raise SqlFailed(Kind.UNAVAILABLE, str(error), permanent=False) from None
        link = cast("Link", lent.dbapi_connection)
        try:
            yield link
        finally:
            attempt.hold(None)
            if link.is_broken or attempt.is_cut:
                lent.invalidate()
            lent.close()

    def _connect(self) -> Link:
        return self._driver.connect(self._own.attempt)

    def _check(self, lent: Any, record: Any, _proxy: object) -> None:
        """Look whether a connection that has rested is still good; the pool makes a new one where it is not."""
        link = cast("Link", lent)
        self._own.attempt.hold(link.interrupt)
        if record.info.setdefault("is_new", True):
            record.info["is_new"] = False
            return
        try:
            self._driver.check(link)
        except self._driver.errors:
            self._own.attempt.hold(None)
            raise DisconnectionError from None
