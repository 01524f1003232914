"""A store that stops while something is read."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import Connection

from crossdock.store import open_store


@pytest.mark.filterwarnings("error")
async def test_a_read_that_nobody_waits_for_any_more_gives_its_connection_back(database_url: str) -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        begun.set()
        may_end.wait(20)
        connection.exec_driver_sql("SELECT 1")
        ended.set()

    async with open_store(database_url) as store:
        reading = asyncio.create_task(store.read(slow))
        await asyncio.to_thread(begun.wait, 20)
        reading.cancel()
        asyncio.get_running_loop().call_later(0.05, may_end.set)

    assert ended.is_set()
    assert store.database.reader.pool.checkedout() == 0  # type: ignore[attr-defined]
