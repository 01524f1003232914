"""Writes with a key: done once, however often they are tried; and what is said where that can't be promised."""

from __future__ import annotations

import asyncio

import pytest

from crossdock.outbound.connection import SqlConnection
from crossdock.outbound.request import SqlFailed, SqlQuery
from tests.support.foreign_databases import ForeignDatabase, databases_in
from tests.support.held_gate import HeldGate

SERVERS = pytest.mark.parametrize("foreign", ["postgresql", "mariadb"], indirect=True)
"""Not for SQLite, which has neither users nor functions that write."""

ADD = "INSERT INTO orders (note) VALUES (:note)"
COLUMNS = {
    "sqlite": "number INTEGER PRIMARY KEY AUTOINCREMENT, note VARCHAR(100)",
    "postgresql": "number SERIAL PRIMARY KEY, note VARCHAR(100)",
    "mariadb": "number INTEGER PRIMARY KEY AUTO_INCREMENT, note VARCHAR(100)",
}


@pytest.fixture
def shop(foreign: ForeignDatabase) -> ForeignDatabase:
    foreign.look(f"CREATE TABLE orders ({COLUMNS[foreign.kind]})")
    return foreign


def count(shop: ForeignDatabase, table: str = "orders") -> int:
    return int(shop.look(f"SELECT count(*) FROM {table}")[0][0])


async def test_the_same_key_writes_once(shop):
    first = await shop.run(ADD, {"note": "a"}, key="evt_1:book")
    second = await shop.run(ADD, {"note": "a"}, key="evt_1:book")

    assert (first.is_repeat, second.is_repeat) == (False, True)
    assert first.row_count == second.row_count == 1
    assert count(shop) == 1


async def test_a_repeat_gives_the_rows_of_the_first_time(shop):
    returning = f"{ADD} RETURNING number, note"

    first = await shop.run(returning, {"note": "ä"}, key="evt_1:book")
    shop.look("UPDATE orders SET note = 'changed'")
    second = await shop.run(returning, {"note": "ä"}, key="evt_1:book")

    assert first.rows == second.rows == [{"number": 1, "note": "ä"}]


async def test_keys_differ_by_every_letter(shop):
    for key in (
        "evt_1:book",
        "evt_1:Book",
        "evt_1:book[10].x",
        "evt_1:book[1].x",
        f"evt_1:{'b' * 300}",
        f"evt_1:{'b' * 301}",
    ):
        assert not (await shop.run(ADD, {"note": key[:50]}, key=key)).is_repeat

    assert count(shop) == 6


async def test_a_write_that_fails_leaves_no_key(shop):
    with pytest.raises(SqlFailed):
        await shop.run("INSERT INTO orders (number, nothing) VALUES (1, 2)", key="evt_1:book")

    assert not (await shop.run(ADD, {"note": "a"}, key="evt_1:book")).is_repeat
    assert count(shop) == 1


async def test_two_at_once_write_once(shop):
    answers = await asyncio.gather(*(shop.run(ADD, {"note": "a"}, key="evt_1:book") for _ in range(4)))

    assert sorted(answer.is_repeat for answer in answers) == [False, True, True, True]
    assert count(shop) == 1


async def test_the_table_is_made_once_by_many_at_once(shop):
    answers = await asyncio.gather(*(shop.run(ADD, {"note": "a"}, key=f"evt_{n}:book") for n in range(5)))

    assert not any(answer.is_repeat for answer in answers)
    assert count(shop) == count(shop, "crossdock_done") == 5


async def test_what_only_reads_leaves_no_row(shop):
    await shop.run("SELECT * FROM orders", key="evt_1:look")

    with pytest.raises(Exception, match="crossdock_done"):
        count(shop, "crossdock_done")


async def test_rows_of_a_month_are_deleted(shop):
    await shop.run(ADD, {"note": "a"}, key="evt_1:old")
    shop.look("UPDATE crossdock_done SET done_at = '2001-01-01 00:00:00'")
    await shop.databases.close()  # the next write begins a new pool, and looks after the table

    await shop.run(ADD, {"note": "b"}, key="evt_2:new")

    keys = "SELECT `key` FROM crossdock_done" if shop.kind == "mariadb" else "SELECT key FROM crossdock_done"
    assert [row[0] for row in shop.look(keys)] == ["evt_2:new"]


async def test_a_write_without_a_known_end_is_not_done_again(shop):
    await shop.run(ADD, {"note": "a"}, key="evt_1:book")
    shop.look("UPDATE crossdock_done SET answer = NULL")

    with pytest.raises(SqlFailed, match=r"not known whether.*delete the row 'evt_1:book'") as caught:
        await shop.run(ADD, {"note": "a"}, key="evt_1:book")

    assert (caught.value.kind, caught.value.permanent) == ("sql_unknown_end", True)


async def test_definitions_are_written_once_where_they_can_be_undone(shop):
    create = "CREATE TABLE parts (number INTEGER)"
    if shop.kind == "mariadb":
        with pytest.raises(SqlFailed, match="CREATE commits by itself on MySQL and MariaDB.*exactly_once: false"):
            await shop.run(create, key="evt_1:create")
        await shop.run(create)
    else:
        await shop.run(create, key="evt_1:create")
        assert (await shop.run(create, key="evt_1:create")).is_repeat

    assert count(shop, "parts") == 0


@SERVERS
async def test_a_function_that_writes_is_found_out(shop):
    body = "BEGIN INSERT INTO orders (note) VALUES ('f'); RETURN 7; END"
    if shop.kind == "postgresql":
        shop.look(f"CREATE FUNCTION book() RETURNS integer LANGUAGE plpgsql AS $$ {body} $$")
    else:
        shop.look(f"CREATE FUNCTION book() RETURNS INTEGER DETERMINISTIC {body}")

    answers = [await shop.run("SELECT book() AS made", key="evt_1:book") for _ in range(2)]

    assert [answer.rows for answer in answers] == [[{"made": 7}], [{"made": 7}]]
    assert count(shop) == 1
    with pytest.raises(SqlFailed) as caught:
        await shop.run("SELECT book() AS made", reads_only=True)
    assert caught.value.kind == "sql_read_only"


# --- users without rights ------------------------------------------------------------------------------------------


def guest_of(shop: ForeignDatabase, *rights: str) -> SqlConnection:
    """A connection of a user that may use `orders` and nothing else, but for `rights`."""
    name = f"guest_{shop.url[-12:]}"
    if shop.kind == "postgresql":
        grants = [
            "GRANT USAGE ON SCHEMA public TO {}",
            "GRANT ALL ON orders TO {}",
            "GRANT ALL ON SEQUENCE orders_number_seq TO {}",
            *rights,
        ]
        shop.look(f"CREATE ROLE {name} LOGIN PASSWORD 'open-sesame'", *(grant.format(name) for grant in grants))
        return shop.connection(url=shop.url.replace("postgres@", f"{name}:open-sesame@"))
    account = f"'{name}'@'%'"
    shop.look(f"CREATE USER {account} IDENTIFIED BY 'open-sesame'")
    shop.look(*(grant.format(account) for grant in ("GRANT ALL ON orders TO {}", *rights)))
    assert shop.server is not None
    return shop.connection(url=shop.server.url(shop.url.rpartition("/")[2], user=name, password="open-sesame"))


@pytest.fixture
def guarded(shop):
    yield shop
    name = f"guest_{shop.url[-12:]}"
    if shop.kind == "postgresql":
        shop.look(f"DROP OWNED BY {name}", f"DROP ROLE {name}")
    else:
        shop.look(f"DROP USER '{name}'@'%'")


@SERVERS
async def test_without_the_right_to_a_table_the_promise_is_refused_in_words(guarded):
    connection = guest_of(guarded)
    query = SqlQuery(ADD, {"note": "a"}, key="evt_1:book")

    with pytest.raises(SqlFailed, match=r"CREATE TABLE IF NOT EXISTS crossdock_done.*exactly_once: false") as caught:
        await guarded.databases.execute(query, connection)

    assert (caught.value.kind, caught.value.permanent) == ("sql_exactly_once", True)
    assert "sesame" not in str(caught.value)
    assert count(guarded) == 0


@SERVERS
async def test_without_the_right_to_a_table_a_step_may_give_the_promise_up(guarded):
    query = SqlQuery(ADD, {"note": "a"}, key="evt_1:book", exactly_once=False)

    await guarded.databases.execute(query, guest_of(guarded))

    assert count(guarded) == 1


@SERVERS
async def test_a_table_that_an_administrator_made_is_enough(guarded):
    await guarded.run(ADD, {"note": "first"}, key="evt_1:book")
    connection = guest_of(guarded, "GRANT SELECT, INSERT, UPDATE, DELETE ON crossdock_done TO {}")

    answer = await guarded.databases.execute(SqlQuery(ADD, {"note": "a"}, key="evt_2:book"), connection)

    assert not answer.is_repeat
    assert count(guarded) == 2


@SERVERS
async def test_what_a_user_may_not_do_fails_for_good(guarded):
    guarded.look("CREATE TABLE secrets (a INTEGER)")
    query = SqlQuery("SELECT * FROM secrets", {}, key="-")

    with pytest.raises(SqlFailed) as caught:
        await guarded.databases.execute(query, guest_of(guarded))

    assert (caught.value.kind, caught.value.permanent) == ("sql_denied", True)


@pytest.mark.parametrize("foreign", ["mariadb"], indirect=True)  # the PostgreSQL of the tests trusts everybody
async def test_a_wrong_password_fails_for_good_and_is_not_told(guarded):
    wrong = guarded.connection(url=guest_of(guarded).url.replace("sesame", "barley"))

    with pytest.raises(SqlFailed) as caught:
        await guarded.databases.execute(SqlQuery("SELECT 1", {}, "-"), wrong)

    assert (caught.value.kind, caught.value.permanent) == ("sql_denied", True)
    assert "barley" not in str(caught.value)


# --- a node that may not act -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("foreign", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("closes_after", [0, 1], ids=["before the statement", "before the commit"])
async def test_nothing_is_written_while_the_node_may_not_act(shop, tmp_path, closes_after):
    gate = HeldGate(closes_after)
    shop.databases = databases_in(tmp_path, gate=gate)

    writing = asyncio.create_task(shop.run(ADD, {"note": "a"}))
    await gate.asked()
    before = count(shop)
    gate.open()
    await writing

    assert (before, count(shop)) == (0, 1)
    await shop.databases.close()


@pytest.mark.parametrize("foreign", ["sqlite", "postgresql"], indirect=True)
async def test_what_was_taken_over_meanwhile_is_never_written(shop, tmp_path):
    gate = HeldGate(1)
    shop.databases = databases_in(tmp_path, gate=gate)
    writing = asyncio.create_task(shop.run(ADD, {"note": "a"}))
    await gate.asked()

    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await shop.databases.close()
    gate.open()

    assert count(shop) == 0
