"""Behind PgBouncer in transaction mode: sessions belong to nobody, and nothing is left in them for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from crossdock.model.errors import Misconfigured, StoreUnavailable
from crossdock.store import Store, open_store
from crossdock.store.accept import Accepted
from crossdock.store.claims import Claim
from crossdock.store.database import open_database
from crossdock.store.inspect import inspect_database
from crossdock.store.migrate import LATEST_REVISION, current_revision
from crossdock.store.patience import until_recorded
from tests.support import pgbouncer
from tests.support.held import HeldClock
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import ForeignServer
from tests.support.runs import NODE, Runs, a_step, add_integration, an_entry

SETTINGS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")


@pytest.fixture(scope="module")
def bouncer(postgres: ForeignServer) -> Iterator[PgBouncer]:
    pgbouncer.expect()
    running = PgBouncer(postgres.url("postgres"), sessions=3)
    yield running
    running.remove()


@pytest.fixture
def name(postgres: ForeignServer) -> Iterator[str]:
    """An empty database."""
    made = postgres.create_database()
    yield made
    postgres.drop_database(made)


def shown(connection: Connection) -> list[str]:
    return [str(connection.execute(text(f"SHOW {setting}")).scalar_one()) for setting in SETTINGS]


async def accept_and_finish(store: Store, runs: Runs) -> None:
    ids = [await runs.queued() for _ in range(6)]
    lane = await runs.accept(lane="k", leased=True)
    assert isinstance(lane, Accepted)
    taken = await store.submit(Claim("int_a", NODE, tuple(f"t{n}" for n in range(6)), runs.now))
    assert [run.event.id for run in taken] == ids
    for run in taken:
        assert await runs.settle(run, entry=an_entry(0, a_step()))


async def test_tables_are_made_and_events_go_through_it(bouncer: PgBouncer, name: str, clock: HeldClock) -> None:
    async with open_store(bouncer.url(name)) as one, open_store(bouncer.url(name)) as other:
        await one.write(add_integration, "int_a")
        await accept_and_finish(one, Runs(one, clock.now))
        await accept_and_finish(other, Runs(other, clock.now))

        assert await other.read(current_revision) == LATEST_REVISION


async def test_what_is_read_at_one_moment_leaves_no_session_behind_that_does_so(bouncer: PgBouncer, name: str) -> None:
    def isolation(connection: Connection) -> str:
        return str(connection.execute(text("SHOW transaction_isolation")).scalar_one())

    async with open_store(bouncer.url(name)) as store:
        assert {await store.read_at_once(isolation) for _ in range(5)} == {"repeatable read"}
        assert {await store.read(isolation) for _ in range(5)} == {"read committed"}


async def test_more_ask_than_there_are_sessions(bouncer: PgBouncer, name: str) -> None:
    async with open_store(bouncer.url(name)) as one, open_store(bouncer.url(name)) as other:
        asked = [store.read(current_revision) for _ in range(25) for store in (one, other)]

        assert set(await asyncio.gather(*asked)) == {LATEST_REVISION}


async def test_timeouts_hold_in_a_transaction_and_not_behind_it(
    bouncer: PgBouncer, postgres: ForeignServer, name: str
) -> None:
    async with open_store(bouncer.url(name)) as store:
        assert await store.write(shown) == ["2s", "8s", "5s", "on"]
        with pytest.raises((DBAPIError, StoreUnavailable)):
            await store.read(lambda c: c.execute(text("UPDATE setting SET value = '1'")))

        for _ in range(10):  # other sessions, in turns
            with store.database.direct.connect() as plain:
                assert shown(plain)[:3] == ["0", "0", "0"]
                assert plain.execute(text("SHOW transaction_read_only")).scalar() == "off"


async def test_it_is_recognised_and_told(bouncer: PgBouncer, postgres: ForeignServer, name: str) -> None:
    async with open_store(bouncer.url(name)) as store:
        with store.database.writer.connect() as connection:
            assert store.database.is_pooled(connection)
    straight = open_database(postgres.url(name))
    with straight.writer.connect() as connection:
        assert not straight.is_pooled(connection)
    straight.dispose()

    assert inspect_database(bouncer.url(name), 0).is_pooled
    assert not inspect_database(bouncer.url(name), 0, postgres.url(name)).is_pooled


async def test_missing_indexes_are_built_past_it(
    bouncer: PgBouncer, postgres: ForeignServer, name: str, clock: HeldClock
) -> None:
    async with open_store(bouncer.url(name)) as store:
        await Runs(store, clock.now).queued()
        await store.write(lambda c: c.execute(text("DROP INDEX run_held")))

    async with open_store(bouncer.url(name)):
        assert inspect_database(bouncer.url(name), 0).lacking == ("run_held",)
    async with open_store(bouncer.url(name), direct=postgres.url(name)):
        assert inspect_database(bouncer.url(name), 0).lacking == ()


async def test_cut_sessions_are_replaced(bouncer: PgBouncer, postgres: ForeignServer, name: str) -> None:
    async with open_store(bouncer.url(name), direct=postgres.url(name)) as store:
        await store.read(current_revision)
        with store.database.direct.connect() as plain:
            plain.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

        async with asyncio.timeout(20):
            revision = await until_recorded(lambda: store.write(current_revision), lambda: 0.0)
            assert revision == await until_recorded(lambda: store.read(current_revision), lambda: 0.0)


def test_a_way_past_it_is_for_postgresql() -> None:
    with pytest.raises(Misconfigured, match="none before SQLite"):
        open_database("sqlite:////tmp/x.db", "postgresql://u@h/db")
