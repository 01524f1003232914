"""Statements on databases of other systems: values in and out, one transaction each, nothing but what was asked for."""

from __future__ import annotations

import random
from typing import Any

import pytest

from crossdock.outbound.request import SqlFailed

CUSTOMERS = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(100), town VARCHAR(100))"
HOSTILE = (
    "'; DROP TABLE customers; --",
    '" OR 1=1 --',
    "\\' OR 1=1 -- ",
    "\\",
    "%s %(v0)s %% :name",
    "/* */ ; \n\r\t\x1a",
    "Zoë 🦊 \u2028",
    "1' UNION SELECT 'x",
)


AWKWARD = "'\"\\%$:;-#/*`()[]{}?@ab1\n\t\r\x1a\u2028éß🦊"


@pytest.fixture
def shop(foreign):
    foreign.look(CUSTOMERS, "INSERT INTO customers VALUES (1, 'Ada', 'London'), (2, 'Grace', 'New York')")
    return foreign


async def test_rows_come_as_objects(shop):
    answer = await shop.run("SELECT id, name FROM customers WHERE id = :id", {"id": 2})

    assert answer.rows == [{"id": 2, "name": "Grace"}]
    assert answer.row_count == 1


async def test_a_write_tells_how_many_rows_it_found(shop):
    answer = await shop.run("UPDATE customers SET town = :town", {"town": "London"})

    assert (answer.rows, answer.row_count) == ([], 2)
    assert shop.look("SELECT count(*) FROM customers WHERE town = 'London'")[0][0] == 2


async def test_a_value_never_becomes_sql(shop):
    for number, value in enumerate(HOSTILE, 3):
        await shop.run("INSERT INTO customers VALUES (:id, :name, :name)", {"id": number, "name": value})
        answer = await shop.run("SELECT name, town FROM customers WHERE name = :name", {"name": value})

        assert answer.rows == [{"name": value, "town": value}]
        assert shop.look("SELECT count(*) FROM customers")[0][0] == number


async def test_any_text_comes_back_as_it_went_in(shop):
    chance = random.Random(7)
    texts = ["".join(chance.choices(AWKWARD, k=chance.randrange(1, 12))) for _ in range(200)]
    cast = "::text" if shop.kind == "postgresql" else ""
    columns = ", ".join(f":v{number}{cast} AS c{number}" for number in range(len(texts)))

    (row,) = (await shop.run(f"SELECT {columns}", {f"v{number}": text for number, text in enumerate(texts)})).rows

    assert list(row.values()) == texts


@pytest.mark.parametrize("key", [None, "evt_1:step"])
@pytest.mark.parametrize("tail", ["; DELETE FROM customers", ";SELECT 1", "; -- x\n DROP TABLE customers;"])
async def test_only_one_statement_is_taken(shop, tail: str, key: str | None):
    with pytest.raises(SqlFailed, match="more than one statement") as caught:
        await shop.run("SELECT 1" + tail, key=key)

    assert caught.value.permanent
    assert shop.look("SELECT count(*) FROM customers")[0][0] == 2


async def test_a_list_is_spread_in_an_in(shop):
    some = await shop.run("SELECT id FROM customers WHERE id IN (:ids) AND id IN (:ids)", {"ids": [1, 5]})
    others = await shop.run("SELECT id FROM customers WHERE id NOT IN (:ids)", {"ids": [1, 5]})
    names = await shop.run("SELECT id FROM customers WHERE name IN (:names)", {"names": ["Grace", "x'"]})

    assert [row["id"] for answer in (some, others, names) for row in answer.rows] == [1, 2, 2]


async def test_an_empty_list_finds_nothing_and_excludes_nothing(shop):
    none = await shop.run("SELECT id FROM customers WHERE id IN (:ids)", {"ids": []})
    every = await shop.run("SELECT id FROM customers WHERE name NOT IN (:ids)", {"ids": []})

    assert (none.row_count, every.row_count) == (0, 2)


async def test_marks_in_strings_and_comments_are_no_parameters(shop):
    answer = await shop.run(
        "SELECT ':a; 100%' AS text -- :b; %s\n, id /* :c; */ FROM customers WHERE id = :id;", {"id": 1}
    )

    assert answer.rows == [{"text": ":a; 100%", "id": 1}]


async def test_objects_and_lists_go_in_as_json(shop):
    await shop.run("UPDATE customers SET name = :name, town = :town", {"name": {"a": [1, "ß"]}, "town": [1, None]})

    assert shop.look("SELECT name, town FROM customers")[0] == ('{"a":[1,"ß"]}', "[1,null]")


async def test_null_and_numbers_and_truth_stay_what_they_are(shop):
    values = {"none": None, "int": 2**40, "half": 0.5, "yes": True}
    casts = {"postgresql": ("::bigint", "::float8", "::bool")}.get(shop.kind, ("", "", ""))
    statement = "SELECT :none AS none, :int{} AS whole, :half{} AS half, :yes{} AS yes".format(*casts)

    (row,) = (await shop.run(statement, values)).rows

    assert row["none"] is None
    assert (row["whole"], float(row["half"]), bool(row["yes"])) == (2**40, 0.5, True)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({}, "gives no value"), ({"id": 1, "more": 2}, "no :more"), ({"id": float("inf")}, "no finite number")],
)
async def test_parameters_have_to_fit(shop, parameters: dict[str, Any], words: str):
    with pytest.raises(SqlFailed, match=words) as caught:
        await shop.run("SELECT :id AS id", parameters)

    assert (caught.value.kind, caught.value.permanent) == ("sql_parameters", True)


async def test_half_a_surrogate_pair_is_refused(shop):
    for value in ("\ud800", {"a": "\ud800"}):
        with pytest.raises(SqlFailed, match="surrogate"):
            await shop.run("UPDATE customers SET name = :name", {"name": value})


async def test_columns_of_the_same_name_are_refused(shop):
    with pytest.raises(SqlFailed, match="two columns of the result are called id; give one another name"):
        await shop.run("SELECT a.id, b.id FROM customers a, customers b")

    assert (await shop.run("SELECT 1 AS one")).rows == [{"one": 1}]


async def test_too_many_rows_are_refused_and_the_connection_goes_on(shop):
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) "
    with pytest.raises(SqlFailed, match="more than 10000 rows.*LIMIT") as caught:
        await shop.run(numbers + "SELECT a.i FROM n a CROSS JOIN n b")

    assert (caught.value.kind, caught.value.permanent) == ("sql_too_large", True)
    assert (await shop.run("SELECT 1 AS one")).rows == [{"one": 1}]


async def test_too_many_bytes_are_refused(shop):
    shop.look("UPDATE customers SET name = 'x'")
    long = {"postgresql": "repeat(name, 5000000)", "mariadb": "repeat(name, 5000000)"}.get(
        shop.kind, "printf('%.5000000c', name)"
    )
    with pytest.raises(SqlFailed, match="more than 8 MiB"):
        await shop.run(f"SELECT id, {long} AS content FROM customers")


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELEC 1", "sql_error"),
        ("SELECT * FROM nowhere", "sql_error"),
        ("SELECT nothing FROM customers", "sql_error"),
        ("INSERT INTO customers VALUES (1, 'again', '')", "sql_constraint"),
    ],
)
async def test_a_wrong_statement_fails_for_good_in_the_databases_words(shop, statement: str, kind: str):
    with pytest.raises(SqlFailed, match=r"^Shop: ") as caught:
        await shop.run(statement)

    assert (caught.value.kind, caught.value.permanent) == (kind, True)
    assert (await shop.run("SELECT 1 AS one")).rows == [{"one": 1}]


@pytest.mark.parametrize("key", [None, "evt_1:step"])
async def test_messages_name_parameters_and_not_their_values(shop, key: str | None):
    secret = "alice@customer.example"
    for statement, value in (
        ("INSERT INTO customers SELECT id, :name, town FROM customers", secret),
        ("INSERT INTO customers (id, name) VALUES (1, :name)", secret),
        ("SELECT :name FRM customers", secret),
        ("UPDATE customers SET id = :name", secret + "x" * 300),
    ):
        with pytest.raises(SqlFailed) as caught:
            await shop.run(statement, {"name": value}, key=key)

        assert "alice" not in str(caught.value)


async def test_what_would_reach_beyond_the_step_is_refused(shop):
    for statement in ("BEGIN", "COMMIT", "ROLLBACK", "SET x = 1", "USE other", "LOCK TABLE customers"):
        with pytest.raises(SqlFailed, match="can't be a step"):
            await shop.run(statement)
