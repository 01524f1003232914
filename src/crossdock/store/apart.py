"""One connection beside the recorder's queue, for statements that must not wait behind the changes of callers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from crossdock.model.errors import StoreUnavailable
from crossdock.store.database import Database, is_unavailable, unavailable

CLOSE_SECONDS = 2.0

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Apart:
    """A thread with a connection of its own, made when it is first needed and anew when it was lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="apart")
        self._connection: Connection | None = None
        self._is_closed = False

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Carry out `work`, each of its statements a transaction; StoreUnavailable when the database is away."""
        if self._is_closed:
            raise StoreUnavailable("this process is stopping and writes nothing any more")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    async def close(self) -> None:
        """Let the connection go; one that hangs is left to the end of the process."""
        if self._is_closed:
            return
        self._is_closed = True
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)
        await asyncio.wait((closing,), timeout=CLOSE_SECONDS)

    def _run(self, work: Callable[[Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._database.writer.connect()
            return work(self._connection)
        except DBAPIError as error:
            self._disconnect()
            if is_unavailable(error):
                raise unavailable(error) from error
            raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except DBAPIError as error:
            logger.debug("closing the connection failed: %s", error)
