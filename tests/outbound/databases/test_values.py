"""What comes out of a database, as JSON: nothing is lost on the way, and nothing is made up."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.outbound.request import SqlFailed
from crossdock.outbound.sql_values import to_json
from tests.support.foreign_databases import ForeignDatabase

POSTGRESQL = [
    ("42::smallint", 42),
    ("9223372036854775807::bigint", 9223372036854775807),
    ("99999999999999999999::numeric", 99999999999999999999),
    ("12.50::numeric", 12.5),
    ("100.00::numeric", 100),
    ("0.1::numeric", 0.1),
    ("12345678901234567.89::numeric", "12345678901234567.89"),
    ("'NaN'::numeric", "NaN"),
    ("'-Infinity'::float8", "-Infinity"),
    ("0.1::float8", 0.1),
    ("true", True),
    ("'text'::varchar", "text"),
    ("E'\\\\x00ff'::bytea", {"base64": "AP8="}),
    ("date '2024-02-29'", "2024-02-29"),
    ("'infinity'::date", "infinity"),
    ("date '0044-03-15 BC'", "0044-03-15 BC"),
    ("time '08:30:00.5'", "08:30:00.5"),
    ("timestamp '2024-02-29 08:30:00.123456'", "2024-02-29T08:30:00.123456"),
    ("timestamptz '2024-02-29 08:30:00+02'", "2024-02-29T06:30:00Z"),
    ("'infinity'::timestamptz", "infinity"),
    ("interval '1 month 2 days 03:04:05'", "P1M2DT3H4M5S"),
    ("'0e37df36-f698-11e6-8dd4-cb9ced3df976'::uuid", "0e37df36-f698-11e6-8dd4-cb9ced3df976"),
    ('\'{"a": [1, null, "ä"]}\'::jsonb', {"a": [1, None, "ä"]}),
    ("'[1, 2.5]'::json", [1, 2.5]),
    ("'null'::json", None),
    ("ARRAY[1, NULL, 3]", [1, None, 3]),
    ("ARRAY[date '2024-02-29', NULL]", ["2024-02-29", None]),
    ("ARRAY['a', 'b']::text[]", ["a", "b"]),
    ("'[1,5)'::int4range", "[1,5)"),
    ("'10.0.0.1'::inet", "10.0.0.1"),
    ("'(1,2)'::point", "(1,2)"),
    ("'red'::text COLLATE \"C\"", "red"),
    ("12.5::money", "$12.50"),
    ("B'101'", "101"),
]
MARIADB = [
    ("CAST(42 AS SIGNED)", 42),
    ("18446744073709551615", 18446744073709551615),
    ("CAST(12.50 AS DECIMAL(10, 2))", 12.5),
    ("CAST(100 AS DECIMAL(10, 2))", 100),
    ("CAST('12345678901234567.89' AS DECIMAL(30, 2))", "12345678901234567.89"),
    ("0.1e0", 0.1),
    ("TRUE", 1),
    ("'text'", "text"),
    ("CAST(X'00FF' AS BINARY)", {"base64": "AP8="}),
    ("DATE '2024-02-29'", "2024-02-29"),
    ("CAST('08:30:00.5' AS TIME(1))", "08:30:00.5"),
    ("CAST('-120:00:00' AS TIME)", "-120:00:00"),
    ("TIMESTAMP '2024-02-29 08:30:00.123456'", "2024-02-29T08:30:00.123456"),
    ("CAST(0 AS DATE)", "0000-00-00"),
    ("JSON_OBJECT('a', 1)", '{"a": 1}'),
    ("B'101'", {"base64": "BQ=="}),
    ("_latin1 X'E4'", "ä"),
    ("NULL", None),
]
SQLITE = [
    ("42", 42),
    ("9223372036854775807", 9223372036854775807),
    ("0.1", 0.1),
    ("9e999", "Infinity"),
    ("'text'", "text"),
    ("X'00FF'", {"base64": "AP8="}),
    ("CAST(X'FF' AS TEXT)", {"base64": "/w=="}),
    ("json_object('a', 1)", '{"a":1}'),
    ("NULL", None),
]
EVERY = [
    (kind, *row)
    for kind, rows in {"postgresql": POSTGRESQL, "mariadb": MARIADB, "sqlite": SQLITE}.items()
    for row in rows
]


@pytest.mark.parametrize("foreign", ["postgresql", "mariadb", "sqlite"], indirect=True)
async def test_a_value_of_each_type_becomes_json(foreign: ForeignDatabase):
    wrong = []
    for kind, expression, expected in EVERY:
        if kind == foreign.kind:
            found = (await foreign.run(f"SELECT {expression} AS value")).rows[0]["value"]
            if (found, type(found)) != (expected, type(expected)):
                wrong.append((expression, found))

    assert wrong == []


@pytest.mark.parametrize("foreign", ["mariadb"], indirect=True)
async def test_moments_of_mariadb_are_utc(foreign: ForeignDatabase):
    foreign.look(
        "CREATE TABLE moments (at TIMESTAMP, of DATETIME)",
        "SET time_zone = '+02:00'",
        "INSERT INTO moments VALUES ('2024-02-29 08:30:00', '2024-02-29 08:30:00')",
    )

    rows = (await foreign.run("SELECT * FROM moments")).rows

    assert rows == [{"at": "2024-02-29T06:30:00Z", "of": "2024-02-29T08:30:00"}]


@pytest.mark.parametrize("foreign", ["mariadb"], indirect=True)
async def test_a_server_without_backslash_escapes_is_no_way_in(foreign: ForeignDatabase):
    assert foreign.server is not None
    before = foreign.look("SELECT @@global.sql_mode")[0][0]
    foreign.look("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'")
    try:
        answer = await foreign.run("SELECT :value AS value, '\\'' AS quote", {"value": "\\' OR 1=1 -- \\"})
    finally:
        foreign.look(f"SET GLOBAL sql_mode = '{before}'")

    assert answer.rows == [{"value": "\\' OR 1=1 -- \\", "quote": "'"}]


@pytest.mark.parametrize("foreign", ["postgresql"], indirect=True)
async def test_parameters_take_the_types_of_their_places(foreign: ForeignDatabase):
    foreign.look("CREATE TABLE things (id uuid, at timestamptz, doc jsonb, amount numeric, tags text[])")
    values = {
        "id": "0e37df36-f698-11e6-8dd4-cb9ced3df976",
        "at": "2024-02-29T08:30:00Z",
        "doc": {"a": [1]},
        "amount": 12.5,
    }

    await foreign.run("INSERT INTO things VALUES (:id, :at, :doc, :amount, ARRAY[:tag])", {**values, "tag": "new"})
    rows = (
        await foreign.run("SELECT * FROM things WHERE id IN (:ids) AND doc->>'a' = '[1]'", {"ids": [values["id"]]})
    ).rows

    assert rows == [{**values, "tags": ["new"]}]


@pytest.mark.parametrize("foreign", ["postgresql"], indirect=True)
async def test_strange_but_valid_postgresql_works(foreign: ForeignDatabase):
    statement = (
        "SELECT :a::int + 1 AS b, $$ :c ; $$ AS d, (ARRAY[1,2,3])[1:2] AS e, '{\"k\": 1}'::jsonb ? 'k' AS f, 7 % 4 AS g"
    )

    rows = (await foreign.run(statement, {"a": 1})).rows

    assert rows == [{"b": 2, "d": " :c ; ", "e": [1, 2], "f": True, "g": 3}]


@pytest.mark.parametrize("foreign", ["postgresql"], indirect=True)
async def test_a_zero_byte_is_refused_where_texts_have_none(foreign: ForeignDatabase):
    with pytest.raises(SqlFailed, match="zero byte"):
        await foreign.run("SELECT :a::text AS a", {"a": "a\0b"})


@pytest.mark.parametrize("foreign", ["sqlite"], indirect=True)
async def test_an_integer_that_does_not_fit_is_refused(foreign: ForeignDatabase):
    with pytest.raises(SqlFailed, match="64 bits"):
        await foreign.run("SELECT :a AS a", {"a": 2**63})


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_exact_or_text(number: Decimal):
    value: Any = to_json(number)

    assert Decimal(repr(value) if isinstance(value, float) else value) == number
