"""Group commit: shared fate of a batch, a poisoned change alone, losing and finding the database again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError

from crossdock.model.errors import StoreUnavailable, Unrecordable
from crossdock.model.states import DeliveryMove, RunMove
from crossdock.store import Store, open_store, schema
from crossdock.store.accept import Accepted
from crossdock.store.deliveries import AttemptSettle
from crossdock.store.patience import until_recorded
from tests.support.held import HeldClock
from tests.support.replies import Ledger, a_report
from tests.support.runs import Batch, Runs, a_step, an_entry, an_event, cut_writers, settle_of


@dataclass(frozen=True, slots=True)
class Note:
    """A change for these tests: a row in `setting`, refused by the database when it is written twice."""

    rank: ClassVar[int] = 50
    name: str
    value: str = ""

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[str]:
        connection.execute(insert(schema.setting), [{"name": c.name, "value": c.value} for c in changes])
        return [change.name for change in changes]


class Early(Note):
    rank: ClassVar[int] = 5


class Cut(Note):
    """Loses the connection behind all that its commit has written."""

    rank: ClassVar[int] = 90

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[str]:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return [change.name for change in changes]


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(schema.setting.c.name)).scalars())


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


async def test_what_waits_shares_one_commit(database_url: str) -> None:
    commits: list[int] = []
    async with open_store(database_url, lambda changes, _: commits.append(changes)) as store:
        async with Batch(store):
            futures = [store.submit(Note(f"n{n}")) for n in range(20)]
        answers = await asyncio.gather(*futures)

    assert answers == [f"n{n}" for n in range(20)]
    assert commits == [20]


async def test_a_poisoned_change_fails_alone(store: Store) -> None:
    await store.submit(Note("taken"))

    async with Batch(store):
        futures = [store.submit(Note("taken" if n == 5 else f"n{n}")) for n in range(12)]
    answers = await asyncio.gather(*futures, return_exceptions=True)

    assert isinstance(answers[5], Unrecordable)
    assert answers[:5] + answers[6:] == [f"n{n}" for n in range(12) if n != 5]
    assert len(await store.read(names)) == 12


async def test_a_poisoned_change_keeps_the_order_of_its_neighbours(store: Store, runs: Runs) -> None:
    await store.submit(Note("taken"))

    async with Batch(store):
        futures: list[Any] = []
        for n in range(9):
            futures.append(store.submit(runs.change(an_event(runs.now), lane="k", leased=True)))
            if n == 4:
                futures.append(store.submit(Note("taken")))
    answers = await asyncio.gather(*futures, return_exceptions=True)

    places = [answer.lane.sequence for answer in answers if isinstance(answer, Accepted) and answer.lane]
    assert places == list(range(1, 10))


async def test_kinds_are_recorded_in_their_rank_whatever_the_order_of_submission(store: Store) -> None:
    seen: list[str] = []

    async with Batch(store):
        late = store.submit(Note("late"), seen.append)
        early = store.submit(Early("early"), seen.append)
    await asyncio.gather(late, early)

    assert await late == "late"
    assert await early == "early"
    assert seen == ["late", "early"]


async def test_after_is_called_with_the_answer_before_anybody_who_waits_goes_on(store: Store) -> None:
    seen: list[str] = []

    async with Batch(store):
        first = store.submit(Note("a"), seen.append)
        store.submit(Note("b"), seen.append)
    await first

    assert seen == ["a", "b"]


async def test_after_is_called_with_the_error(store: Store) -> None:
    await store.submit(Note("taken"))
    seen: list[Any] = []

    with pytest.raises(Unrecordable):
        await store.submit(Note("taken"), seen.append)

    assert [type(answer) for answer in seen] == [Unrecordable]


async def test_an_after_that_fails_keeps_no_answer_from_the_others(store: Store) -> None:
    def stumble(_: Any) -> None:
        raise RuntimeError("stumbled")

    async with Batch(store):
        futures = [store.submit(Note("a"), stumble), store.submit(Note("b"))]

    assert await asyncio.wait_for(asyncio.gather(*futures), 10) == ["a", "b"]


async def test_a_change_is_recorded_and_handed_over_when_its_waiter_is_gone(store: Store) -> None:
    seen: list[str] = []

    async with Batch(store):
        future = store.submit(Note("left"), seen.append)
        future.cancel()
    await store.submit(Note("next"))

    assert seen == ["left"]
    assert await store.read(names) == ["left", "next"]


async def test_a_write_that_raises_keeps_nothing(store: Store) -> None:
    def half(connection: Connection) -> None:
        Note.record(connection, [Note("half")])
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.write(half)

    assert await store.read(names) == []


async def test_what_waits_at_the_stop_is_recorded(database_url: str) -> None:
    async with open_store(database_url) as store:
        futures = [store.submit(Note(f"n{n}")) for n in range(300)]
    assert await asyncio.gather(*futures) == [f"n{n}" for n in range(300)]

    async with open_store(database_url) as again:
        assert len(await again.read(names)) == 300


async def test_a_change_after_the_stop_is_refused_at_once(database_url: str) -> None:
    async with open_store(database_url) as store:
        pass

    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(store.submit(Note("late")), 10)
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(store.write(names), 10)


# --- the database goes away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_cut_connection_fails_its_commit_and_is_made_anew(store: Store) -> None:
    await store.submit(Note("before"))
    await store.read(cut_writers)

    seen: list[Any] = []
    answers = await asyncio.gather(
        *(store.submit(Note(f"lost{n}"), seen.append) for n in range(5)), return_exceptions=True
    )
    async with asyncio.timeout(20):
        await until_recorded(lambda: store.submit(Note("after")), lambda: 0.0)

    kept = set(await store.read(names))
    assert isinstance(answers[0], StoreUnavailable)
    assert all(isinstance(a, StoreUnavailable) or a in kept for a in answers)
    assert len(seen) == 5
    assert {"before", "after"} <= kept


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_commit_that_fails_keeps_nothing_and_fails_all_its_waiters(store: Store) -> None:
    async with Batch(store):
        futures = [*(store.submit(Note(f"n{n}")) for n in range(4)), store.submit(Cut("last"))]
    answers = await asyncio.gather(*futures, return_exceptions=True)

    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert await store.read(names) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_full_database_is_unavailable_and_takes_changes_again_when_there_is_room(store: Store) -> None:
    def limit(connection: Connection, pages: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    await store.write(limit, 1)
    answers = await asyncio.gather(
        *(store.submit(Note(f"n{n}", "x" * 20_000)) for n in range(40)), return_exceptions=True
    )
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)

    await store.write(limit, 1_000_000)
    assert await store.submit(Note("room")) == "room"
    assert await store.read(names) == ["room"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_value_too_large_for_the_database_is_refused_alone_and_not_taken_for_an_outage(store: Store) -> None:
    noise = "".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=40_000))

    async with Batch(store):
        futures = [store.submit(Note(name)) for name in ("a", noise, "b")]
    answers = await asyncio.gather(*futures, return_exceptions=True)

    assert answers[0] == "a"
    assert answers[2] == "b"
    assert isinstance(answers[1], Unrecordable)


async def test_a_missing_table_is_no_outage(store: Store) -> None:
    def ask(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT * FROM no_such_table")

    with pytest.raises(DBAPIError):
        await store.write(ask)


# --- two ends of one run in one commit -------------------------------------------------------------------------------


async def test_a_stale_end_is_refused_though_the_right_one_shares_its_commit(store: Store, runs: Runs) -> None:
    run = await runs.leased()
    right = settle_of(run, RunMove.SUCCEED, runs.now, entry=an_entry(0, a_step("right")))
    stale = settle_of(run, RunMove.FAIL, runs.now, lease_token="stale", entry=an_entry(1, a_step("stale")))

    async with Batch(store):
        futures = [store.submit(stale), store.submit(right)]
    answers = await asyncio.gather(*futures)

    assert answers == [False, True]
    assert [entry.steps[0].id for entry in await runs.journal(run.event.id)] == ["right"]


async def test_a_stale_attempt_is_refused_though_the_right_one_shares_its_commit(
    store: Store, clock: HeldClock
) -> None:
    owed = await Ledger(store).owe_reply(clock.now, leased=True)
    right = AttemptSettle(owed.id, owed.lease_token, 1, DeliveryMove.DELIVER, clock.now, report=a_report(clock.now))
    stale = AttemptSettle(owed.id, "stale", 1, DeliveryMove.FAIL, clock.now, report=a_report(clock.now, 500))

    async with Batch(store):
        futures = [store.submit(stale), store.submit(right)]

    assert await asyncio.gather(*futures) == [False, True]
    shown = await Ledger(store).shown(owed.id)
    assert [tried.status for tried in shown.tries] == [200]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_it_is_told_when_the_database_is_back(store: Store, clock: HeldClock) -> None:
    """Answers to commits may have been lost: whoever holds leases looks for them."""
    back = asyncio.Event()
    store.on_recovered(back.set)
    assert not store.has_just_recovered

    await store.read(cut_writers)
    async with asyncio.timeout(20):
        while not back.is_set():
            with contextlib.suppress(StoreUnavailable):
                await store.submit(Runs(store, clock.now).change(an_event(clock.now)))
            await asyncio.sleep(0)

    assert store.has_just_recovered
