"""What one node hears from another, what it finds without hearing, and what both cost when nothing happens."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.postgres import ForeignServer, OwnServer
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.system.proxy import Conditions, Flow, Proxy
from tests.system.waking import MASTER_KEY, WAYS, a_pair, hears

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(240)]

TIMES = 7
BY_SIGNAL_SECONDS = 1.0
"""Far more than a signal needs, and less than half of them would take who looks every five seconds."""
BY_LOOKING_SECONDS = 10.0
"""Looks are one second apart, and some things need several: a lane without an owner is left alone for two."""
IDLE_SECONDS = 10.0
STATEMENTS_EACH_SECOND = 5.0


@pytest.fixture
def url(postgres: ForeignServer) -> Iterator[str]:
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


async def test_a_node_is_woken_by_what_the_other_one_tells(url: str, tmp_path: Path) -> None:
    async with a_pair(tmp_path, url) as pair:
        await asyncio.to_thread(pair.start)
        await asyncio.to_thread(pair.wait_until_hearing)

        for title, way in WAYS.items():
            took = [await asyncio.to_thread(way, pair, number) for number in range(1, TIMES + 1)]
            assert statistics.median(took) < BY_SIGNAL_SECONDS, (title, took)


async def test_what_nobody_tells_is_found_by_looking(url: str, tmp_path: Path) -> None:
    there = urlsplit(url)
    proxy = Proxy(str(there.hostname), int(there.port or 0))
    await proxy.start()
    direct = there._replace(netloc=f"postgres@127.0.0.1:{proxy.port}").geturl()
    async with a_pair(tmp_path, url, database_direct=direct) as pair:
        await asyncio.to_thread(pair.start)
        await proxy.set(Conditions(Flow.REFUSING))
        await asyncio.to_thread(pair.wait_until_hearing, False)

        for title, way in WAYS.items():
            took = await asyncio.to_thread(way, pair, 1)
            assert took < BY_LOOKING_SECONDS, title

        await proxy.heal()
        await asyncio.to_thread(pair.wait_until_hearing)
    await proxy.stop()


# --- what an idle cluster costs --------------------------------------------------------------------------------------


def test_idle_nodes_ask_the_database_little(own_postgres: OwnServer, tmp_path: Path) -> None:
    name = own_postgres.create_database()
    with psycopg.connect(own_postgres.url("postgres"), autocommit=True) as connection:
        for setting in ("log_statement = 'all'", "log_min_messages = 'log'"):
            connection.execute(f"ALTER DATABASE {name} SET {setting}")
    settings = {"master_key": MASTER_KEY}
    programs = [Program(tmp_path / str(n), database=own_postgres.url(name), settings=settings) for n in range(3)]
    with ExitStack() as stack:
        for program in programs:
            stack.callback(program.kill)
            program.start()
        wait_until(lambda: all(hears(program) for program in programs))

        counted = _statements_of(own_postgres)

    rate = counted.total() / IDLE_SECONDS / len(programs)
    assert 0.5 < rate < STATEMENTS_EACH_SECOND, (rate, counted.most_common())


def _statements_of(server: OwnServer) -> Counter[str]:
    """Every statement that the server was sent within IDLE_SECONDS, those that begin and end transactions too."""
    log = server.folder / "log"
    before = log.stat().st_size
    time.sleep(IDLE_SECONDS)  # nothing is waited for: what happens by itself is counted
    with log.open("rb") as file:
        file.seek(before)
        lines = file.read().decode(errors="replace").splitlines()
    return Counter(match[1] for line in lines if (match := _STATEMENT.search(line)))


_STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*): (.*)")
