"""Forgetting: finished events when their time is over, and nothing that somebody still needs."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, insert, update

from crossdock.model.states import RunMove
from crossdock.model.time import later
from crossdock.store import Store, schema
from crossdock.store.accept import Accepted, DedupeKey, Duplicate
from crossdock.store.lanes import LaneRelease, park_run
from crossdock.store.retention import (
    Slice,
    cancel_runs_of,
    forget_dedupe_keys,
    forget_events,
    forget_lanes,
    forget_notifications,
    removed_integrations,
)
from crossdock.store.settle import NewReply
from tests.support.held import HeldClock
from tests.support.notices import Board, a_change
from tests.support.replies import Ledger
from tests.support.runs import NODE, Runs, a_step, add_integration, an_entry, count

TABLES = ("event", "run", "journal", "delivery", "attempt")


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


async def counts(store: Store) -> tuple[int, ...]:
    return tuple([await store.read(count, table) for table in TABLES])


def add_attempt(connection: Connection, delivery_id: str) -> None:
    row = {"delivery_id": delivery_id, "number": 1, "started_at": 1, "finished_at": 2, "response_body": b""}
    connection.execute(insert(schema.attempt).values(**row, request_headers="[]", response_headers="[]"))


async def test_a_finished_event_is_forgotten_with_all_that_belongs_to_it(store: Store, runs: Runs) -> None:
    run = await runs.leased()
    await runs.settle(run, entry=an_entry(0, a_step()), reply=NewReply("dlv_1", runs.now, runs.now, None))
    await store.write(add_attempt, "dlv_1")
    assert await counts(store) == (1, 1, 1, 1, 1)

    assert await store.write(forget_events, "int_a", runs.now, 9) == Slice(0, None)
    assert await store.write(forget_events, "int_b", later(runs.now, 1), 9) == Slice(0, None)
    assert await store.write(forget_events, "int_a", later(runs.now, 1), 9) == Slice(1, None)

    assert await counts(store) == (0, 0, 0, 0, 0)


async def test_events_that_are_not_finished_are_kept(store: Store, runs: Runs) -> None:
    await runs.queued()
    await runs.leased()
    await runs.settle(await runs.leased(), RunMove.RETRY, due_at=runs.now)
    await runs.settle(await runs.leased(), RunMove.BLOCK)
    parked = await runs.queued()
    await store.write(park_run, parked)

    assert await store.write(forget_events, "int_a", later(runs.now, 1_000), 99) == Slice(0, None)
    assert await store.read(count, "event") == 5


async def test_an_event_whose_reply_is_pending_is_kept(store: Store, runs: Runs) -> None:
    await runs.settle(await runs.leased(), reply=NewReply("dlv_1", runs.now, None, None))
    await runs.settle(await runs.leased(), reply=NewReply("dlv_2", runs.now, None, (NODE, "sender")))

    assert await store.write(forget_events, "int_a", later(runs.now, 1_000), 99) == Slice(0, None)


async def test_events_go_oldest_first_in_slices(store: Store, runs: Runs, clock: HeldClock) -> None:
    events = []
    for _ in range(5):
        events.append((await runs.accept(finished=True)).event.id)  # type: ignore[union-attr]
        runs.now = clock.advance(60)
    before = later(runs.now, 60)

    assert await store.write(forget_events, "int_a", before, 2) == Slice(2, events[1])
    assert [await runs.row(event_id) is None for event_id in events] == [True, True, False, False, False]
    assert await store.write(forget_events, "int_a", before, 9, events[1]) == Slice(3, None)


async def test_events_that_have_to_stay_are_passed_over_by_the_next_slice(store: Store, runs: Runs) -> None:
    waiting = [await runs.queued() for _ in range(3)]
    over = (await runs.accept(finished=True)).event.id  # type: ignore[union-attr]
    before = later(runs.now, 1_000)

    first = await store.write(forget_events, "int_a", before, 3)
    second = await store.write(forget_events, "int_a", before, 3, first.after)

    assert first == Slice(0, waiting[-1])
    assert second == Slice(1, None)
    assert await runs.row(over) is None


async def test_dedupe_keys_are_forgotten_after_their_window(store: Store, runs: Runs) -> None:
    for n in range(5):
        await runs.accept(dedupe=DedupeKey(f"k{n}", 60.0 * (n + 1)))

    assert await store.write(forget_dedupe_keys, later(runs.now, 180), 2) == 2
    assert await store.write(forget_dedupe_keys, later(runs.now, 180), 9) == 1
    assert isinstance(await runs.accept(dedupe=DedupeKey("k4", 60)), Duplicate)


async def test_lanes_that_nobody_uses_are_forgotten(store: Store, runs: Runs) -> None:
    owned = await runs.accept(lane="owned", leased=True)
    busy = await runs.accept(lane="busy")
    for key in ("idle1", "idle2"):
        answer = await runs.accept(lane=key, leased=True)
        assert isinstance(answer, Accepted)
        await store.write(park_run, answer.event.id)
        assert await store.submit(LaneRelease(f"int_a:{key}", str(answer.lane_token)))

    assert await store.write(forget_lanes, runs.now, 9) == Slice(0, None)
    assert await store.write(forget_lanes, later(runs.now, 1), 9) == Slice(2, None)

    assert await store.read(count, "lane") == 2
    assert [answer.lane.id for answer in (owned, busy) if isinstance(answer, Accepted) and answer.lane]


async def test_removed_integrations_are_those_with_events_and_without_a_row(store: Store, runs: Runs) -> None:
    await store.write(add_integration, "int_b")
    for integration_id in ("int_a", "int_b", "int_c", "int_a"):
        await runs.accept(integration_id, finished=True)

    assert await store.read(removed_integrations) == ["int_a", "int_c"]


async def test_there_is_nothing_removed_where_nothing_happened(store: Store) -> None:
    assert await store.read(removed_integrations) == []


async def test_the_waiting_runs_of_a_removed_integration_are_canceled(store: Store, runs: Runs) -> None:
    waiting = [await runs.queued(), await runs.queued(lane="k")]
    working, other = await runs.leased(), await runs.queued("int_b")

    assert await store.write(cancel_runs_of, "int_a", runs.now, 1) == 1
    assert await store.write(cancel_runs_of, "int_a", runs.now, 9) == 1
    assert await store.write(cancel_runs_of, "int_a", runs.now, 9) == 0

    assert [await runs.state(event_id) for event_id in (*waiting, working.event.id, other)] == [
        "canceled", "canceled", "running", "queued"
    ]  # fmt: skip


# --- what it leaves behind -------------------------------------------------------------------------------------------

ROUNDS, IN_EACH = 12, 2_000


def fill(connection: Connection, turn: int) -> None:
    """A round of events as they pass: accepted, changed twice, answered; those of each lane one after the other."""
    first = turn * IN_EACH
    name = "'evt_' || lpad(to_hex(n), 12, '0')"
    events = (
        "INSERT INTO event (id, integration_id, received_at, method, path, query, headers, content_type, source_ip, "
        f"size, body) SELECT {name}, 'int_a', n * 1000, 'POST', '/', '[]', '[]', '', '', 500, "
        "convert_to(repeat('x', 500), 'UTF8')"
    )
    runs = (
        "INSERT INTO run (event_id, integration_id, state, workflow_number, accepted_at, due_at, attempts, losses, "
        f"cancel_requested) SELECT {name}, 'int_a', 'queued', 1, n, n, 0, 0, false"
    )
    replies = (
        "INSERT INTO delivery (id, kind, integration_id, event_id, state, created_at, due_at, attempts) "
        f"SELECT 'dlv_' || {name}, 'reply', 'int_a', {name}, 'queued', n, n, 0"
    )
    steps = f"INSERT INTO journal (event_id, position, steps) SELECT {name}, 0, '[]'"
    for statement in (events, runs, replies, steps):
        connection.exec_driver_sql(f"{statement} FROM generate_series({first}, {first + IN_EACH - 1}) n")
    for change in (
        "UPDATE run SET state = 'running', lease_node = 'n', lease_token = 't' WHERE state = 'queued'",
        (
            "UPDATE run SET state = 'succeeded', lease_node = NULL, lease_token = NULL, finished_at = 1 "
            "WHERE state = 'running'"
        ),
        "UPDATE delivery SET state = 'delivered', finished_at = 1 WHERE state = 'queued'",
    ):
        connection.exec_driver_sql(change)


def sizes(connection: Connection) -> dict[str, int]:
    """Bytes of the tables and of their indexes."""
    query = (
        "SELECT relname, pg_relation_size(oid) FROM pg_class "
        "WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace"
    )
    wanted = ("event", "run", "delivery", "journal")
    return {row[0]: row[1] for row in connection.exec_driver_sql(query) if row[0].startswith(wanted)}


def vacuum(store: Store) -> None:
    """As autovacuum does: it comes when a part of the rows is dead, which each round of this makes sure of."""
    with store.database.direct.connect() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"VACUUM {table}")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_tables_and_indexes_stay_flat_while_events_come_and_go(store: Store) -> None:
    seen: list[dict[str, int]] = []
    for turn in range(ROUNDS):
        await store.write(fill, turn)
        slices: list[Slice] = [Slice(0, "")]
        while slices[-1].after is not None:
            slices.append(await store.write(forget_events, "int_a", turn * IN_EACH * 1_000, 500, slices[-1].after))
        assert sum(done.deleted for done in slices) == (IN_EACH if turn else 0)  # all but the last round
        await asyncio.to_thread(vacuum, store)
        seen.append(await store.read(sizes))

    settled, last = seen[3], seen[-1]
    grown = {name: (settled[name], size) for name, size in last.items() if size > settled[name] * 1.25 + 65_536}
    assert grown == {}


async def test_ended_notifications_are_forgotten_with_what_they_told_and_their_tries(
    store: Store, clock: HeldClock
) -> None:
    board = Board(store, Ledger(store))
    await board.webhook()
    await board.change(a_change(), now=clock.now)
    old = await board.delivery()
    await store.write(_end, old, clock.now)
    await store.write(add_attempt, old)
    await board.change(a_change(), now=clock.advance(100), damping=0.0)

    assert await store.write(forget_notifications, later(clock.now, -100), 9) == Slice(0, None)
    assert await store.write(forget_notifications, later(clock.now, 3_650 * 86_400.0), 9) == Slice(1, None)

    assert await counts(store) == (0, 0, 0, 1, 0)
    assert len(await board.told()) == 1


def _end(connection: Connection, delivery_id: str, now: int) -> None:
    ended = update(schema.delivery).where(schema.delivery.c.id == delivery_id)
    connection.execute(ended.values(state="delivered", finished_at=now))
