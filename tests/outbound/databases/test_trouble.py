"""Databases that hang, die, refuse or answer nonsense: what a step is told, and that nobody else is held up."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from crossdock.outbound.connection import SqlConnection
from crossdock.outbound.databases import MAX_POOLS
from crossdock.outbound.request import SqlFailed, SqlQuery
from tests.support.foreign_databases import ForeignDatabase, Speaking, databases_in
from tests.support.mariadb import MariadbServer
from tests.support.postgres import free_port
from tests.support.waiting import wait_until

SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e10) SELECT max(i) FROM n",
    "postgresql": "SELECT 1 AS one FROM pg_sleep(30)",
    "mariadb": "SELECT sleep(30) AS one",
}
SLOW_WRITES = {
    "sqlite": f"INSERT INTO orders {SLOW['sqlite']}",
    "postgresql": "INSERT INTO orders SELECT 1 FROM pg_sleep(30)",
    "mariadb": "INSERT INTO orders SELECT sleep(30)",
}
SERVERS = pytest.mark.parametrize("foreign", ["postgresql", "mariadb"], indirect=True)
LIMIT_SECONDS = 20.0


@pytest.fixture
def shop(foreign: ForeignDatabase) -> ForeignDatabase:
    foreign.look("CREATE TABLE orders (number INTEGER)")
    return foreign


async def failure_of(call) -> SqlFailed:
    with pytest.raises(SqlFailed) as caught:
        await asyncio.wait_for(call, LIMIT_SECONDS)
    return caught.value


# --- time ----------------------------------------------------------------------------------------------------------


async def test_the_database_ends_what_takes_too_long(shop):
    failure = await failure_of(shop.run(SLOW[shop.kind], timeout=0.3))

    assert (failure.kind, failure.permanent) == ("sql_timeout", False)
    assert "time" in str(failure)
    assert (await shop.run("SELECT 1 AS one")).rows == [{"one": 1}]


async def test_a_write_that_takes_too_long_leaves_nothing(shop):
    failure = await failure_of(shop.run(SLOW_WRITES[shop.kind], key="evt_1:book", timeout=0.5))

    assert failure.kind == "sql_timeout"
    assert shop.look("SELECT count(*) FROM orders")[0][0] == 0
    assert not (await shop.run("INSERT INTO orders VALUES (1)", key="evt_1:book")).is_repeat


async def test_the_limit_of_the_connection_counts_where_the_step_has_none(shop):
    shop.options["statement_timeout"] = 0.3

    failure = await failure_of(shop.run(SLOW[shop.kind]))

    assert failure.kind == "sql_timeout"


async def test_waiting_for_a_free_connection_is_part_of_the_limit(shop):
    shop.options["pool_size"] = 1
    running = asyncio.create_task(shop.run(SLOW[shop.kind]))
    await asyncio.sleep(0)

    failure = await failure_of(shop.run("SELECT 1", timeout=0.2))

    assert failure.kind == "sql_timeout"
    assert "none of the 1 connections (pool_size) became free within 0.2 s" in str(failure)
    running.cancel()


async def test_a_statement_that_is_given_up_is_broken_off(shop):
    shop.options["pool_size"] = 1
    running = asyncio.create_task(shop.run(SLOW[shop.kind]))
    await asyncio.sleep(0.1)
    running.cancel()

    answer = await asyncio.wait_for(shop.run("SELECT 1 AS one"), LIMIT_SECONDS)

    assert answer.rows == [{"one": 1}]


@pytest.mark.parametrize("foreign", ["postgresql"], indirect=True)
async def test_the_server_ends_a_statement_that_was_given_up(shop):
    running = asyncio.create_task(shop.run("INSERT INTO orders SELECT 1 FROM pg_sleep(100)", timeout=100.0))
    _, find = _killing(shop)
    await asyncio.to_thread(wait_until, lambda: bool(shop.look(find)))

    running.cancel()

    await asyncio.to_thread(wait_until, lambda: not shop.look(find))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
async def test_a_server_that_says_nothing_holds_up_nobody_else(shop, scheme: str):
    async with Speaking() as silent:
        mute = SqlConnection("con_2", 1, "Mute", f"{scheme}://shop:x@127.0.0.1:{silent.port}/shop", pool_size=1)
        waiting = asyncio.create_task(shop.databases.execute(SqlQuery("SELECT 1", {}, "-", timeout=0.4), mute))
        await asyncio.wait_for(silent.has_called.wait(), LIMIT_SECONDS)

        started = time.monotonic()
        assert (await shop.run("SELECT 1 AS one")).rows == [{"one": 1}]
        failure = await failure_of(waiting)

    assert failure.kind in ("sql_timeout", "sql_unavailable")
    assert not failure.permanent
    assert time.monotonic() - started < 10
    assert str(failure).startswith("Mute: ")


# --- the other side ------------------------------------------------------------------------------------------------


@SERVERS
@pytest.mark.parametrize("key", [None, "evt_1:book"])
async def test_a_connection_that_is_cut_in_mid_statement_passes(shop, key):
    running = asyncio.create_task(shop.run(SLOW_WRITES[shop.kind], key=key))
    kill, find = _killing(shop)
    await asyncio.to_thread(wait_until, lambda: bool(shop.look(find)))
    shop.look(kill.format(shop.look(find)[0][0]))

    failure = await failure_of(running)

    assert (failure.kind, failure.permanent) == ("sql_unavailable", False)
    assert shop.look("SELECT count(*) FROM orders")[0][0] == 0
    assert not (await shop.run("INSERT INTO orders VALUES (1)", key=key)).is_repeat


def _killing(shop: ForeignDatabase) -> tuple[str, str]:
    if shop.kind == "postgresql":
        find = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'INSERT INTO orders%'"
        return "SELECT pg_terminate_backend({})", find
    find = "SELECT id FROM information_schema.processlist WHERE db = database() AND state = 'User sleep'"
    return "KILL CONNECTION {}", find


async def test_a_postgresql_that_was_restarted_needs_nothing_from_us(own_postgres, tmp_path):
    shop = ForeignDatabase("postgresql", own_postgres.url("postgres"), databases_in(tmp_path))
    await asyncio.gather(*(shop.run("SELECT 1") for _ in range(3)))
    await asyncio.to_thread(own_postgres.kill)

    away = await failure_of(shop.run("SELECT 1 AS one"))
    await asyncio.to_thread(own_postgres.start)
    answers = await asyncio.gather(*(shop.run("SELECT 1 AS one") for _ in range(5)))

    assert (away.kind, away.permanent) == ("sql_unavailable", False)
    assert [answer.rows for answer in answers] == [[{"one": 1}]] * 5
    await shop.databases.close()


async def test_a_mariadb_that_was_restarted_needs_nothing_from_us(mariadb, tmp_path):
    server = await asyncio.to_thread(MariadbServer)
    try:
        shop = ForeignDatabase("mariadb", server.url(server.create_database()), databases_in(tmp_path), server)
        await asyncio.gather(*(shop.run("SELECT 1") for _ in range(3)))
        await asyncio.to_thread(server.stop)
        away = await failure_of(shop.run("SELECT 1 AS one"))
        await asyncio.to_thread(server.start)
        answers = await asyncio.gather(*(shop.run("SELECT 1 AS one") for _ in range(5)))
        await shop.databases.close()
    finally:
        await asyncio.to_thread(server.remove)

    assert (away.kind, away.permanent) == ("sql_unavailable", False)
    assert [answer.rows for answer in answers] == [[{"one": 1}]] * 5


@SERVERS
async def test_a_deadlock_passes(shop):
    shop.look("CREATE TABLE stock (id INTEGER PRIMARY KEY, amount INTEGER)", "INSERT INTO stock VALUES (1, 0), (2, 0)")
    pause = "pg_sleep(0.3)" if shop.kind == "postgresql" else "sleep(0.3)"
    if shop.kind == "postgresql":
        body = "CREATE FUNCTION swap(a int, b int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN {} RETURN 1; END $$"
        steps = f"UPDATE stock SET amount = 1 WHERE id = a; PERFORM {pause}; UPDATE stock SET amount = 1 WHERE id = b;"
    else:
        body = "CREATE FUNCTION swap(a int, b int) RETURNS int DETERMINISTIC BEGIN {} RETURN 1; END"
        steps = f"UPDATE stock SET amount = 1 WHERE id = a; DO {pause}; UPDATE stock SET amount = 1 WHERE id = b;"
    shop.look(body.format(steps))

    ends = await asyncio.gather(
        *(shop.run("SELECT swap(:a, :b) AS s", {"a": a, "b": b}) for a, b in ((1, 2), (2, 1))), return_exceptions=True
    )

    (failure,) = [end for end in ends if isinstance(end, SqlFailed)]
    assert (failure.kind, failure.permanent) == ("sql_conflict", False)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
async def test_nobody_there_passes(tmp_path, scheme: str):
    databases = databases_in(tmp_path)
    connection = SqlConnection("con_1", 1, "Shop", f"{scheme}://shop:geheim@127.0.0.1:{free_port()}/shop")

    failure = await failure_of(databases.execute(SqlQuery("SELECT 1", {}, "-"), connection))

    assert (failure.kind, failure.permanent) == ("sql_unavailable", False)
    assert "refused" in str(failure)
    assert "geheim" not in str(failure)
    await databases.close()


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20, b"\x00" * 300, b"\x4a\x00\x00\x00\x0a1\x00" + b"\xff" * 90]
)
async def test_a_server_of_another_kind_passes(tmp_path, scheme: str, words: bytes):
    databases = databases_in(tmp_path)
    async with Speaking(words) as server:
        connection = SqlConnection("con_1", 1, "Shop", f"{scheme}://shop:x@127.0.0.1:{server.port}/shop")
        failure = await failure_of(databases.execute(SqlQuery("SELECT 1", {}, "-", timeout=1.0), connection))

    assert failure.kind in ("sql_unavailable", "sql_timeout")
    await databases.close()


# --- read-only -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement", ["INSERT INTO orders VALUES (1)", "DELETE FROM orders", "CREATE TABLE x (a INTEGER)"]
)
@pytest.mark.parametrize("key", [None, "evt_1:book"])
async def test_a_read_only_connection_writes_nothing(shop, statement: str, key: str | None):
    shop.options["read_only"] = True

    failure = await failure_of(shop.run(statement, key=key))

    assert (failure.kind, failure.permanent) == ("sql_read_only", True)
    assert (await shop.run("SELECT count(*) AS n FROM orders")).rows == [{"n": 0}]


async def test_a_query_may_be_read_only_by_itself(shop):
    failure = await failure_of(shop.run("INSERT INTO orders VALUES (1)", reads_only=True))

    assert failure.kind == "sql_read_only"


# --- pools ---------------------------------------------------------------------------------------------------------


async def test_a_changed_connection_takes_effect_at_once(shop, tmp_path):
    await shop.run("INSERT INTO orders VALUES (1)")
    (tmp_path / "other.db").touch()
    other = shop.connection(revision=2, url=f"sqlite:///{tmp_path / 'other.db'}")

    with pytest.raises(SqlFailed, match="no such table"):
        await shop.databases.execute(SqlQuery("SELECT * FROM orders", {}, "-"), other)

    assert (await shop.run("SELECT number FROM orders")).rows == [{"number": 1}]


async def test_a_changed_connection_leaves_nothing_of_the_old_one(foreign_postgres: str, tmp_path):
    shop = ForeignDatabase("postgresql", foreign_postgres, databases_in(tmp_path), options={"pool_size": 1})
    slow = asyncio.create_task(shop.run("SELECT 1 AS one FROM pg_sleep(1)"))
    late = asyncio.create_task(shop.run("SELECT 1", timeout=0.2))
    await asyncio.sleep(0)

    shop.options["pool_size"] = 2
    await shop.run("SELECT 1 AS one")

    assert (await failure_of(late)).kind == "sql_timeout"
    assert (await slow).rows == [{"one": 1}]
    await shop.databases.close()
    ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'crossdock' AND datname = current_database()"
    await asyncio.to_thread(wait_until, lambda: shop.look(ours) == [])


async def test_no_more_connections_are_opened_than_allowed(shop):
    shop.options["pool_size"] = 2

    answers = await asyncio.gather(*(shop.run("SELECT 1 AS one") for _ in range(30)))

    assert len(answers) == 30
    if shop.kind == "postgresql":
        ours = "datname = current_database() AND application_name = 'crossdock'"
        assert shop.look(f"SELECT count(*) FROM pg_stat_activity WHERE {ours}")[0][0] <= 2


async def test_closing_breaks_off_what_runs(shop):
    running = asyncio.create_task(shop.run(SLOW[shop.kind]))
    await asyncio.sleep(0.2)

    await asyncio.wait_for(shop.databases.close(), LIMIT_SECONDS)

    failure = await failure_of(running)
    assert not failure.permanent


async def test_nothing_of_one_step_reaches_the_next(shop):
    if shop.kind == "postgresql":
        await shop.run("SELECT set_config('search_path', 'nowhere', false) AS path")
        await shop.run("SELECT set_config('statement_timeout', '1', false) AS limit_")

    shop.options["pool_size"] = 1
    assert (await shop.run("SELECT count(*) AS n FROM orders")).rows == [{"n": 0}]


async def test_connections_that_nobody_uses_are_closed(foreign_postgres: str, tmp_path):
    shop = ForeignDatabase("postgresql", foreign_postgres, databases_in(tmp_path, idle_seconds=0.2))
    ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'crossdock' AND datname = current_database()"
    await asyncio.gather(*(shop.run("SELECT 1") for _ in range(3)))

    await asyncio.to_thread(wait_until, lambda: shop.look(ours) == [])

    assert (await shop.run("SELECT 1 AS one")).rows == [{"one": 1}]
    await shop.databases.close()


@pytest.mark.parametrize("foreign", ["sqlite"], indirect=True)
async def test_a_bounded_number_of_connections_has_a_pool(shop):
    path = shop.url.removeprefix("sqlite:///")
    for number in range(MAX_POOLS + 10):
        connection = shop.connection(id=f"con_{number}")
        await shop.databases.execute(SqlQuery("SELECT number FROM orders", {}, "-"), connection)

    await asyncio.to_thread(wait_until, lambda: 0 < _open_files(path) <= MAX_POOLS)


def _open_files(path: str) -> int:
    return sum(os.path.realpath(f"/proc/self/fd/{number}") == path for number in os.listdir("/proc/self/fd"))
