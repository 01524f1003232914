"""PostgreSQL in trouble: it stands still, restarts, only reads, keeps a lock, is asked too much; and what mends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import psycopg
import pytest
from sqlalchemy import Connection, insert, text

from crossdock.model.errors import Misconfigured, StoreUnavailable
from crossdock.store import Store, open_store, schema
from crossdock.store.accept import Accepted, DedupeKey
from crossdock.store.database import READERS, open_database, parse_url
from crossdock.store.patience import until_recorded
from crossdock.store.record import Unobserved
from tests.support.held import HeldClock
from tests.support.postgres import ForeignServer, OwnServer, free_port
from tests.support.runs import Batch, Runs, an_event, cut_writers

postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
BOUND_SECONDS = 20.0
"""Within this everybody has an answer, however the database fares: 10 s for it, the rest to connect and to be slow."""


@dataclass(frozen=True, slots=True)
class Note:
    """A change for these tests: a row in `setting`."""

    rank: ClassVar[int] = 50
    name: str

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[str]:
        connection.execute(insert(schema.setting), [{"name": change.name, "value": ""} for change in changes])
        return [change.name for change in changes]


@dataclass(frozen=True, slots=True)
class Touch:
    """Changes rows of `setting` one after the other, in the order that is given."""

    rank: ClassVar[int] = 60
    names: tuple[str, ...]

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[None]:
        for name in [name for change in changes for name in change.names]:
            connection.execute(text("UPDATE setting SET value = value || 'x' WHERE name = :name"), {"name": name})
            connection.execute(text("SELECT pg_sleep(0.2)"))
        return [None] * len(changes)


@dataclass
class Told(Unobserved):
    """What a store's observer heard."""

    kinds: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    connections: int = 0
    losses: int = 0

    def answered(self, kind: str, seconds: float, /) -> None:
        assert seconds > 0
        self.kinds.append(kind)

    def contended(self, reason: str, /) -> None:
        self.reasons.append(reason)

    def connected(self, /) -> None:
        self.connections += 1

    def lost(self, /) -> None:
        self.losses += 1


def ask(connection: Connection) -> int:
    return int(connection.execute(text("SELECT 1")).scalar_one())


def names(connection: Connection) -> set[str]:
    return set(connection.execute(text("SELECT name FROM setting")).scalars())


@asynccontextmanager
async def store_on(server: OwnServer) -> AsyncIterator[Store]:
    async with open_store(server.url(server.create_database())) as store:
        yield store


async def recorded_again(store: Store, name: str) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        await until_recorded(lambda: store.submit(Note(name)), lambda: 0.0)


# --- away, and back --------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
async def test_a_server_that_stands_still_keeps_nobody_waiting_without_end(own_postgres: OwnServer) -> None:
    async with store_on(own_postgres) as store:
        await asyncio.gather(*(store.read(ask) for _ in range(READERS)))
        own_postgres.freeze()
        began = time.monotonic()
        asked = [store.read(ask) for _ in range(READERS * 5)]
        answers = await asyncio.gather(*asked, store.submit(Note("lost")), return_exceptions=True)
        took = time.monotonic() - began
        own_postgres.thaw()

        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        assert took < BOUND_SECONDS
        await recorded_again(store, "after")
        assert await until_recorded(lambda: store.read(ask), lambda: 0.0) == 1
        assert await asyncio.gather(*(store.read(ask) for _ in range(READERS * 2))) == [1] * READERS * 2


async def test_a_server_that_is_started_again_needs_no_restart_of_ours(own_postgres: OwnServer) -> None:
    async with store_on(own_postgres) as store:
        for turn in range(3):
            await recorded_again(store, f"before{turn}")
            own_postgres.kill()
            with pytest.raises(StoreUnavailable):
                await store.submit(Note("lost"))
            with pytest.raises(StoreUnavailable):
                await store.read(ask)
            own_postgres.start()
        await recorded_again(store, "after")

        async with asyncio.timeout(BOUND_SECONDS):  # the readers try to reach it by themselves, a little later
            found = await until_recorded(lambda: store.read(names), lambda: 0.0)
        assert found >= {"before0", "before1", "before2", "after"}


async def test_a_server_that_only_reads_is_left_for_one_that_writes(own_postgres: OwnServer) -> None:
    async with store_on(own_postgres) as store:
        await store.submit(Note("before"))
        _say(own_postgres, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        with pytest.raises(StoreUnavailable):
            await _until_refused(store)
        _say(
            own_postgres,
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )

        await recorded_again(store, "after")


async def _until_refused(store: Store) -> None:
    while True:  # the server takes note of its file a moment later
        await store.write(lambda connection: connection.execute(text("UPDATE setting SET value = 'x'")) and None)


def _say(server: OwnServer, *statements: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@postgresql_only
async def test_a_question_is_asked_again_when_its_connection_was_dead(store: Store) -> None:
    await asyncio.gather(*(store.read(ask) for _ in range(READERS)))
    await store.write(
        lambda connection: connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'crossdock reader' AND datname = current_database()"
            )
        )
    )

    assert await asyncio.gather(*(store.read(ask) for _ in range(READERS * 2))) == [1] * READERS * 2


async def test_a_database_that_lets_nobody_in_for_a_while_is_waited_for(own_postgres: OwnServer) -> None:
    url = own_postgres.url(own_postgres.create_database())
    async with open_store(url) as store:
        await store.submit(Note("before"))
        name = url.rpartition("/")[2]
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        _say(own_postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", end)
        with pytest.raises(StoreUnavailable):
            await store.submit(Note("lost"))
        _say(own_postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

        await recorded_again(store, "after")


# --- meeting others --------------------------------------------------------------------------------------------------


@postgresql_only
async def test_two_that_wait_for_each_other_both_land(database_url: str) -> None:
    told = Told()
    async with open_store(database_url, observer=told) as one, open_store(database_url, observer=told) as other:
        await asyncio.gather(one.submit(Note("a")), one.submit(Note("b")))

        await asyncio.gather(one.submit(Touch(("a", "b"))), other.submit(Touch(("b", "a"))))

        values = await one.read(lambda c: list(c.execute(text("SELECT value FROM setting")).scalars()))
    assert values == ["xx", "xx"]
    assert told.reasons == ["deadlock"]


@pytest.mark.timeout(120)
@postgresql_only
async def test_a_row_that_somebody_keeps_locked_stops_its_own_change_only(store: Store, database_url: str) -> None:
    await store.submit(Note("locked"))
    with psycopg.connect(database_url) as operator:
        operator.execute("UPDATE setting SET value = 'mine' WHERE name = 'locked'")

        async with Batch(store):
            futures: list[Any] = [store.submit(Note(f"n{n}")) for n in range(5)]
            futures.append(store.submit(Touch(("locked",))))
        answers = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), BOUND_SECONDS)

    assert answers[:5] == [f"n{n}" for n in range(5)]
    assert isinstance(answers[5], StoreUnavailable)
    assert await store.submit(Touch(("locked",))) is None


@postgresql_only
async def test_a_node_that_fell_silent_in_a_transaction_does_not_keep_its_locks(store: Store) -> None:
    await store.submit(Note("kept"))
    silent = store.database.writer.connect()
    store.database.begin(silent)
    silent.execute(text("UPDATE setting SET value = 'silent' WHERE name = 'kept'"))

    async with asyncio.timeout(10):
        await store.submit(Touch(("kept",)))

    silent.invalidate()
    silent.close()
    assert await store.read(lambda c: c.execute(text("SELECT value FROM setting")).scalar()) == "x"


@postgresql_only
async def test_nodes_that_take_the_same_keys_in_any_order_do_not_meet(database_url: str, clock: HeldClock) -> None:
    told = Told()
    async with open_store(database_url, observer=told) as one, open_store(database_url, observer=told) as other:
        runs = Runs(one, clock.now)
        keys = [DedupeKey(f"k{n}", 60.0) for n in range(40)]
        futures = []
        for store, order in ((one, keys), (other, keys[::-1])):
            async with Batch(store):
                futures += [store.submit(runs.change(an_event(clock.now), dedupe=key)) for key in order]
        answers = await asyncio.gather(*futures)

    assert sum(isinstance(answer, Accepted) for answer in answers) == len(keys)
    assert told.reasons == []


@postgresql_only
async def test_an_observer_hears_what_the_database_costs(database_url: str) -> None:
    told = Told()
    async with open_store(database_url, observer=told) as store:
        await store.submit(Note("a"))
        await store.write(names)
        await store.read(names)
        await store.read(cut_writers)
        with pytest.raises(StoreUnavailable):
            await store.submit(Note("lost"))
        await recorded_again(store, "b")

    assert told.kinds == ["commit", "change", "read", "read", "commit"]
    assert (told.connections, told.losses) == (2, 1)


# --- where it is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("postgresql://u:p@h/db?sslmod=require", "did you mean sslmode"),
        ("postgresql://u:p@h/db?nonsense=1", "unknown parameter 'nonsense'"),
        ("postgresql://u:p@h:port/db", "not a database URL"),
    ],
)
def test_a_url_with_a_slip_is_told_without_its_password(given: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said) as refused:
        open_database(given)

    assert ":p@" not in str(refused.value)


def test_several_hosts_may_be_named_as_libpq_does() -> None:
    url = parse_url("postgresql://u:p%40ss@one:5432,two:5433/db?sslmode=require")

    assert url.query["host"] == ("one:5432", "two:5433")
    assert (url.username, url.password, url.database, url.query["sslmode"]) == ("u", "p@ss", "db", "require")


async def test_of_several_hosts_the_one_that_writes_is_taken(own_postgres: OwnServer) -> None:
    reading = OwnServer(settings=("default_transaction_read_only=on",))
    try:
        name = own_postgres.create_database()
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{reading.port},127.0.0.1:{own_postgres.port}"
        async with open_store(f"postgresql://postgres@{hosts}/{name}") as store:
            await store.submit(Note("here"))

            assert await store.read(names) == {"here"}
    finally:
        reading.remove()


@postgresql_only
async def test_a_missing_database_and_a_wrong_user_are_told_in_words(
    postgres: ForeignServer, database_url: str
) -> None:
    wrong_user = database_url.replace("postgres@", "nobody@")
    for url, said in ((postgres.url("no_such"), "no_such"), (wrong_user, "nobody")):
        with pytest.raises(Misconfigured, match=said):
            async with open_store(url):
                pass
