"""Rows as one document: every value comes back as it was given, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Subquery,
    Table,
    Text,
    select,
    update,
)

from crossdock.model.errors import Unrecordable
from crossdock.model.outcome import Failure, Result
from crossdock.model.states import RunMove
from crossdock.store import Store
from crossdock.store.claims import read_leased
from crossdock.store.database import open_database
from crossdock.store.statements import RowInsert, RowUpdate
from tests.support.held import HeldClock
from tests.support.runs import Batch, Runs, a_step, an_entry, an_event, settle_of

NASTY = [
    "",
    " ",
    "'",
    '"',
    "\\",
    "\\u0041",
    "%s %(rows)s :rows",
    "{}",
    "[1]",
    "null",
    "0",
    "1e5",
    "\n\r\t",
    "ü€𝄞",
    "\u2028",
]
BLOBS = [b"", b"\x00", b"a", None, bytes(range(256)), b"", None, "ü".encode(), b"\xff" * 70_000, b""]

_metadata = MetaData()
sample = Table(
    "sample",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String),
    Column("body", LargeBinary),
    Column("amount", BigInteger),
    Column("flag", Boolean),
    Column("note", Text),
    Column("other", LargeBinary),
)
insert_samples = RowInsert(sample)


def _build_rename(v: Subquery) -> Any:
    fits = (sample.c.id == v.c.id, sample.c.name == v.c.old)
    return update(sample).where(*fits).values(name=v.c.new, flag=v.c.flag, body=v.c.body).returning(sample.c.id)


rename_samples = RowUpdate(
    {"id": Integer(), "old": String(), "new": String(), "flag": Boolean(), "body": LargeBinary()}, _build_rename
)


@pytest.fixture
async def table(store: Store) -> Store:
    await store.write(_metadata.create_all)
    return store


def write(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    insert_samples.execute(connection, rows)
    return read(connection)


def read(connection: Connection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(select(sample).order_by(sample.c.id))]


def row(n: int, name: Any = "n", body: Any = b"", other: Any = None, **more: Any) -> tuple[Any, ...]:
    return (n, name, body, more.get("amount"), more.get("flag"), more.get("note"), other)


async def test_text_comes_back_as_it_was_given(table: Store) -> None:
    rows = [row(n, text, note=text) for n, text in enumerate(NASTY)]

    assert await table.write(write, rows) == rows


async def test_blobs_of_every_kind_come_back_byte_for_byte(table: Store) -> None:
    rows = [row(n, body=blob, other=BLOBS[-1 - n]) for n, blob in enumerate(BLOBS)]

    assert await table.write(write, rows) == rows


@pytest.mark.parametrize("blob", [b"", None, b"x"])
async def test_a_batch_of_equal_blobs_comes_back(table: Store, blob: bytes | None) -> None:
    rows = [row(n, body=blob) for n in range(3)]

    assert await table.write(write, rows) == rows


async def test_numbers_and_claims_come_back(table: Store) -> None:
    amounts = [0, -1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), None]
    rows = [row(n, amount=amount, flag=[True, False, None][n % 3]) for n, amount in enumerate(amounts)]

    assert await table.write(write, rows) == rows


async def test_no_rows_need_no_statement(table: Store) -> None:
    assert await table.write(write, []) == []


async def test_an_update_meets_only_the_rows_that_it_names(table: Store) -> None:
    await table.write(write, [row(n, f"n{n}") for n in range(4)])

    landed = await table.write(
        rename_samples.execute,
        [
            (0, "n0", "ü'", True, b""),
            (1, "stale", "no", True, b"no"),
            (3, "n3", None, False, b"\x00\xff"),
            (9, "n9", "x", None, None),
        ],
    )

    assert sorted(found.id for found in landed) == [0, 3]
    assert [(r[0], r[1], r[2], r[4]) for r in await table.read(read)] == [
        (0, "ü'", b"", True),
        (1, "n1", b"", None),
        (2, "n2", b"", None),
        (3, None, b"\x00\xff", False),
    ]


async def test_a_nul_in_a_text_is_kept_or_refused_and_never_cuts_it(table: Store) -> None:
    if table.dialect == "postgresql":
        with pytest.raises(Exception, match="unsupported Unicode escape"):
            await table.write(write, [row(1, "a\x00b")])
        return

    assert await table.write(write, [row(1, "a\x00b")]) == [row(1, "a\x00b")]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_rows_come_back_on_sqlite(database_url: str, data: st.DataObject) -> None:
    _any_rows_come_back(database_url, data)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_rows_come_back_on_postgresql(database_url: str, data: st.DataObject) -> None:
    _any_rows_come_back(database_url, data)


_texts = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
_rows = st.lists(
    st.tuples(
        _texts,
        st.none() | st.binary(max_size=40),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.booleans(),
        _texts,
        st.none() | st.binary(max_size=40),
    ),
    max_size=12,
)


def _any_rows_come_back(url: str, data: st.DataObject) -> None:
    rows = [(n, *cells) for n, cells in enumerate(data.draw(_rows))]
    database = open_database(url)
    try:
        with database.writer.connect() as connection:
            _metadata.create_all(connection)
            connection.exec_driver_sql("BEGIN")
            assert write(connection, rows) == rows
            connection.exec_driver_sql("ROLLBACK")
    finally:
        database.dispose()


# --- through the real changes ----------------------------------------------------------------------------------------


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


async def test_bodies_of_a_batch_are_kept_byte_for_byte(store: Store, runs: Runs) -> None:
    bodies = [blob for blob in BLOBS if blob is not None]

    async with Batch(store):
        futures = [store.submit(runs.change(an_event(runs.now, body=body), leased=True)) for body in bodies]
    ids = [accepted.event.id for accepted in await asyncio.gather(*futures)]

    assert [run.event.request.body for run in await store.read(read_leased, ids)] == bodies


async def test_half_a_surrogate_pair_is_refused_alone(store: Store, runs: Runs) -> None:
    first, second, third = [await runs.leased() for _ in range(3)]
    entry = an_entry(0, a_step(output="\ud800"))

    async with Batch(store):
        futures = [
            store.submit(settle_of(first, RunMove.SUCCEED, runs.now, entry=an_entry(0, a_step()))),
            store.submit(settle_of(second, RunMove.SUCCEED, runs.now, entry=entry)),
            store.submit(settle_of(third, RunMove.SUCCEED, runs.now)),
        ]

    assert await futures[0]
    assert await futures[2]
    with pytest.raises(Unrecordable):
        await futures[1]
    assert await runs.state(second.event.id) == "running"


async def test_a_nul_and_half_a_pair_in_a_failure_are_replaced(store: Store, runs: Runs) -> None:
    run = await runs.leased()

    landed = await runs.settle(run, RunMove.FAIL, failure=Failure("ki\x00nd", "a\x00b\ud800c", "st\x00ep"))

    row = await runs.row(run.event.id)
    assert landed
    assert (row.error_kind, row.error_message, row.error_step) == ("ki\ufffdnd", "a\ufffdb?c", "st\ufffdep")


async def test_a_journal_keeps_what_json_can_say(store: Store, runs: Runs) -> None:
    run = await runs.leased()
    output = {"big": 2**80, "nul": "a\x00b", "deep": [[[1.5, None, True]]], "": "ü'\""}
    entry = an_entry(0, a_step(output=output), result=Result(201, (("x-a", "ü"), ("x-a", "2")), b"\x00\xff"))

    assert await runs.settle(run, entry=entry)

    assert await runs.journal(run.event.id) == (entry,)
