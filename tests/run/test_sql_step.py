"""`sql` steps: what is refused when they are saved, and what a run makes of a database's answer."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.model.advance import Broken, Ended, Paused
from crossdock.model.errors import Invalid
from crossdock.outbound.connection import HttpConnection
from crossdock.run.compile import compile_workflow
from crossdock.run.steps.sql import SqlStep
from tests.support.foreign_databases import ForeignDatabase
from tests.support.outside import outside_of
from tests.support.postgres import free_port

INSERT = "INSERT INTO orders (number, note) VALUES (:number, :note)"


def sql(statement: str = "SELECT 1 AS one", *, step_id: str = "a", **extra: Any) -> dict[str, Any]:
    settings = {"connection": "Shop", "statement": statement}
    settings |= {name: extra.pop(name) for name in ("parameters", "exactly_once", "connection") if name in extra}
    return {"id": step_id, "sql": settings, **extra}


@pytest.fixture
def shop(foreign: ForeignDatabase) -> ForeignDatabase:
    foreign.look("CREATE TABLE orders (number INTEGER PRIMARY KEY, note VARCHAR(100))")
    return foreign


@pytest.fixture
def world(world_of, shop):
    """A world whose steps reach the database under the name Shop."""

    def find(integration_id: str, name: str) -> Any:
        if name == "Shop":
            return shop.connection()
        if name == "Web":
            return HttpConnection("con_2", 1, "Web", "https://erp.example")
        raise LookupError(f"there is no connection {name!r} in this workspace")

    made = world_of()
    made.outside = outside_of(made.functions, sql=shop.databases, find_connection=find)
    return made


async def test_rows_are_the_output(world, shop):
    shop.look("INSERT INTO orders VALUES (1, 'first'), (2, 'second')")
    steps = [
        sql(
            "SELECT number, note FROM orders WHERE number > :least ORDER BY number",
            parameters={"least": "{{ body.n }}"},
        ),
        {"id": "b", "transform": "{{ steps.a.rows[0].note }} of {{ steps.a.row_count }}"},
    ]

    end = await world.run(steps, {"n": 0})

    assert end.result.body == b'"first of 2"'
    assert world.record("a").input["parameters"] == {"least": 0}


async def test_a_value_with_quotes_stays_a_value(world, shop):
    note = "'); DROP TABLE orders; --"

    await world.run(
        [sql(INSERT, parameters={"number": "{{ body.n }}", "note": "{{ body.note }}"})], {"n": 7, "note": note}
    )

    assert list(shop.look("SELECT number, note FROM orders")) == [(7, note)]


async def test_a_write_whose_checkpoint_was_lost_is_not_done_again(world, shop):
    steps = [sql("INSERT INTO orders SELECT count(*), 'new' FROM orders"), {"id": "b", "transform": "{{ steps.a }}"}]

    first = await world.run(steps)
    world.journal.clear()  # as if the process had been killed between the commit and the checkpoint
    second = await world.run(steps)

    assert first.result.body == second.result.body == b'{"rows":[],"row_count":1}'
    assert shop.look("SELECT count(*) FROM orders")[0][0] == 1


async def test_a_write_that_gives_the_promise_up_is_done_again(world, shop):
    steps = [sql("INSERT INTO orders SELECT count(*), 'new' FROM orders", exactly_once=False)]

    await world.run(steps)
    world.journal.clear()
    await world.run(steps)

    assert shop.look("SELECT count(*) FROM orders")[0][0] == 2


async def test_a_broken_constraint_fails_for_good(world, shop):
    shop.look("INSERT INTO orders VALUES (1, 'first')")
    steps = [sql(INSERT, parameters={"number": 1, "note": "alice@customer.example"}, retry={"attempts": 3})]

    end = await world.run(steps)

    assert isinstance(end, Broken)
    assert (end.failure.kind, end.failure.permanent, end.failure.step) == ("sql_constraint", True, "a")
    assert world.record("a").attempts == 1
    assert "alice" not in end.failure.message


async def test_a_database_that_is_away_is_tried_again(world_of, shop):
    made = world_of()
    away = shop.connection(url=f"postgresql://shop@127.0.0.1:{free_port()}/shop")
    made.outside = outside_of(made.functions, sql=shop.databases, find_connection=lambda *_: away)

    end = await made.run([sql(retry={"attempts": 2, "delay": "PT1H"})])

    assert isinstance(end, Paused)
    assert made.record("a").error.kind == "sql_unavailable"


@pytest.mark.parametrize(("name", "words"), [("Web", "of the kind http"), ("Gone", "no connection 'Gone'")])
async def test_a_connection_that_does_not_fit_fails_the_run(world, name: str, words: str):
    end = await world.run([sql(connection=name)])

    assert isinstance(end, Broken)
    assert (end.failure.kind, end.failure.permanent) == ("connection_missing", True)
    assert words in end.failure.message


async def test_the_timeout_of_the_step_counts(world, shop):
    slow = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT max(i) AS i FROM n"
    )
    if shop.kind == "mariadb":
        slow = "SELECT sleep(30) AS i"

    end = await world.run([sql(slow, timeout="PT0.3S", retry={"attempts": 2, "delay": "PT1H"})])

    assert isinstance(end, Paused)
    assert world.record("a").error.kind == "sql_timeout"


async def test_a_failure_may_be_part_of_the_flow(world, shop):
    steps = [sql("SELECT * FROM nowhere", on_error="continue"), {"id": "b", "transform": "{{ steps.a.error.kind }}"}]

    end = await world.run(steps)

    assert isinstance(end, Ended)
    assert end.result.body == b'"sql_error"'


# --- what is refused at save ---------------------------------------------------------------------------------------

REFUSED = [
    ({"connection": "Shop"}, "sql.statement", "this field is needed"),
    ({"statement": "SELECT 1"}, "sql.connection", "this field is needed"),
    ({"connection": "Shop", "statement": "SELECT 1", "params": {}}, "sql.params", "not known here"),
    ({"connection": "Shop", "statement": 5}, "sql.statement", "as text"),
    ({"connection": "Shop", "statement": "  -- nothing"}, "sql.statement", "it is empty"),
    (
        {"connection": "Shop", "statement": "SELECT '{{ body.x }}'"},
        "sql.statement",
        "write :name where a value belongs",
    ),
    ({"connection": "Shop", "statement": "SELECT {% if 1 %}1{% endif %}"}, "sql.statement", "is fixed text"),
    ({"connection": "Shop", "statement": "SELECT 1; SELECT 2"}, "sql.statement", "more than one statement"),
    ({"connection": "Shop", "statement": "COMMIT"}, "sql.statement", "COMMIT can't be a step"),
    ({"connection": "Shop", "statement": "SELECT :a"}, "sql.parameters.a", "the statement has :a; a value is needed"),
    ({"connection": "Shop", "statement": "SELECT ':a'", "parameters": {"a": 1}}, "sql.parameters.a", "has no :a"),
    ({"connection": "Shop", "statement": "SELECT 1", "parameters": [1]}, "sql.parameters", "an object is needed"),
    (
        {"connection": "Shop", "statement": "SELECT 1", "parameters": {"a b": 1}},
        "sql.parameters.a b",
        "letters, digits",
    ),
    ({"connection": "Shop", "statement": "SELECT 1", "exactly_once": "no"}, "sql.exactly_once", "true or false"),
    ({"connection": "{{ body.c }}", "statement": "SELECT 1"}, "sql.connection", "as fixed text"),
    ({"connection": "Gone", "statement": "SELECT 1"}, "sql.connection", "there is no connection 'Gone'"),
    ({"connection": "Web", "statement": "SELECT 1"}, "sql.connection", "needs one of the kind sql"),
]


@pytest.mark.parametrize(("settings", "field", "words"), REFUSED)
def test_what_can_be_known_to_be_wrong_is_refused_at_save(settings: dict[str, Any], field: str, words: str):
    with pytest.raises(Invalid) as caught:
        compile_workflow({"steps": [{"id": "a", "sql": settings}]}, connections={"Shop": "sql", "Web": "http"})

    (error, *_) = caught.value.errors
    assert error.field == f"workflow.steps[0].{field}"
    assert words in error.message


@pytest.mark.parametrize(
    ("statement", "is_read"),
    [
        ("SELECT 1", True),
        ("WITH x AS (SELECT 1) SELECT * FROM x", True),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", False),
        ("SELECT * FROM t FOR UPDATE", False),
        ("CALL book()", False),
        ("EXPLAIN ANALYZE INSERT INTO t VALUES (1)", False),
        ("SHOW TABLES", True),
    ],
)
def test_a_step_tells_whether_it_only_reads(statement: str, is_read: bool):
    workflow = compile_workflow({"steps": [sql(statement)]})

    action = workflow.steps[0].action
    assert isinstance(action, SqlStep)
    assert action.is_read is is_read
