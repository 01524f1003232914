"""Traffic in slots of time: what is kept agrees with the runs that there are, whoever counted and when."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from sqlalchemy import Connection, delete, select

from crossdock.model.outcome import Failure
from crossdock.model.run import LeasedRun
from crossdock.model.states import RunMove
from crossdock.model.time import SECOND, Instant
from crossdock.model.traffic import HOUR, SLOT, Counts, bucket_of, floor_to
from crossdock.store import Store, schema
from crossdock.store.claims import cancel_waiting
from crossdock.store.retention import forget_events
from crossdock.store.traffic import Place, add_refused, counted_to, read_slots
from crossdock.watch.traffic import TrafficCount
from tests.support.held import HeldClock
from tests.support.runs import REFUSED, Runs, add_integration

pytestmark = pytest.mark.anyio

IDS = ("int_a", "int_b")
EVER = (0, 2**60)


def counts_of_rows(connection: Connection, width: Instant, before: Instant) -> dict[Place, Counts]:
    """What the runs themselves say of the calls that were accepted before an instant."""
    found: dict[Place, Counts] = {}
    for run in connection.execute(select(schema.run).where(schema.run.c.accepted_at < before)):
        bucket = 0 if run.finished_at is None else bucket_of((run.finished_at - run.accepted_at) / 1_000)
        place = (run.integration_id, floor_to(run.accepted_at, width))
        found.setdefault(place, Counts()).add_runs(run.state, bucket, 1)
    return found


async def kept(store: Store, width: Instant) -> dict[Place, Counts]:
    return await store.read(read_slots, IDS, width, *EVER)


async def check_agreement(store: Store) -> None:
    to = await store.read(counted_to)
    assert to is not None
    for width in (SLOT, HOUR):
        assert await kept(store, width) == await store.read(counts_of_rows, width, to)


@pytest.fixture
async def history(store: Store, clock: HeldClock) -> History:
    for integration_id in IDS:
        await store.write(add_integration, integration_id)
    return History(store, clock, Random(11))


class History:
    """Calls that come and end as chance wants it."""

    def __init__(self, store: Store, clock: HeldClock, chance: Random) -> None:
        self.store = store
        self.clock = clock
        self.chance = chance
        self.leased: list[LeasedRun] = []
        self.queued: list[str] = []

    async def go_on(self, moments: int, seconds: float = 97.0) -> None:
        for _ in range(moments):
            self.clock.advance(self.chance.uniform(0.001, seconds))
            await self.chance.choice((self._call, self._call, self._end))()

    async def _call(self) -> None:
        runs = Runs(self.store, self.clock.now)
        integration_id, lane = self.chance.choice(IDS), self.chance.choice((None, "k"))
        match self.chance.randrange(3):
            case 0:
                self.leased.append(await runs.leased(integration_id))
            case 1:
                self.queued.append(await runs.queued(integration_id, lane=lane))
            case 2:
                await runs.accept(integration_id, finished=True)

    async def _end(self) -> None:
        if self.queued and self.chance.random() < 0.3:
            event_id = self.queued.pop(self.chance.randrange(len(self.queued)))
            assert await self.store.write(cancel_waiting, event_id, self.clock.now)
        elif self.leased:
            run = self.leased.pop(self.chance.randrange(len(self.leased)))
            move, why = self.chance.choice(ENDS)
            assert await Runs(self.store, self.clock.now).settle(run, move, failure=why)

    async def finish(self) -> None:
        while self.leased:
            await Runs(self.store, self.clock.now).settle(self.leased.pop())
        for event_id in self.queued:
            await self.store.write(cancel_waiting, event_id, self.clock.now)


ENDS: tuple[tuple[RunMove, Failure | None], ...] = ((RunMove.SUCCEED, None), (RunMove.FAIL, REFUSED))


async def test_slots_agree_with_the_runs(store: Store, clock: HeldClock, history: History) -> None:
    count = TrafficCount(store, clock)

    for _ in range(6):
        await history.go_on(25)
        await count.count()
        await check_agreement(store)
    await history.finish()
    clock.advance(400)
    await count.count()

    await check_agreement(store)
    assert sum(counts.unfinished for counts in (await kept(store, SLOT)).values()) == 0


async def test_nodes_that_count_side_by_side_change_nothing(store: Store, clock: HeldClock, history: History) -> None:
    nodes = [TrafficCount(store, clock) for _ in range(3)]

    for _ in range(3):
        await history.go_on(20)
        await asyncio.gather(*(node.count() for node in nodes))

    await check_agreement(store)


async def test_what_a_dead_node_left_uncounted_is_counted(store: Store, clock: HeldClock, history: History) -> None:
    await history.go_on(10)
    counting = asyncio.create_task(TrafficCount(store, clock).count())
    await asyncio.sleep(0)
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)

    await history.go_on(10)
    await TrafficCount(store, clock).count()

    await check_agreement(store)


async def test_long_ago_is_counted_by_the_hour(store: Store, clock: HeldClock, history: History) -> None:
    await history.go_on(40)
    clock.advance(3 * 86_400)
    await history.go_on(5)

    clock.advance(600)
    await TrafficCount(store, clock).count()

    to = await store.read(counted_to)
    assert to == floor_to(clock.now - 30 * SECOND, SLOT)
    assert await kept(store, HOUR) == await store.read(counts_of_rows, HOUR, to)
    assert all(slot > clock.now - 51 * HOUR for _, slot in await kept(store, SLOT))


async def test_the_last_half_minute_of_a_slot_is_waited_for(store: Store, clock: HeldClock, history: History) -> None:
    clock.now = floor_to(clock.now, SLOT) + SLOT - SECOND
    await Runs(store, clock.now).queued()

    clock.advance(29)
    await TrafficCount(store, clock).count()
    early = await kept(store, SLOT)
    clock.advance(3)
    await TrafficCount(store, clock).count()

    assert early == {}
    assert [counts.accepted for counts in (await kept(store, SLOT)).values()] == [1]


async def test_a_commit_that_took_long_is_counted_a_slot_later(
    store: Store, clock: HeldClock, history: History
) -> None:
    began = clock.now
    await Runs(store, began).queued()
    clock.advance(400)
    await TrafficCount(store, clock).count()
    await Runs(store, began + 1).accept(finished=True)

    clock.advance(300)
    await TrafficCount(store, clock).count()

    await check_agreement(store)


async def test_counts_outlive_their_events(store: Store, clock: HeldClock, history: History) -> None:
    await history.go_on(30)
    await history.finish()
    clock.advance(400)
    await TrafficCount(store, clock).count()
    before = await kept(store, HOUR)

    for integration_id in IDS:
        await store.write(forget_events, integration_id, clock.now, 1_000)
    clock.advance(400)
    await TrafficCount(store, clock).count()

    assert await kept(store, HOUR) == before


async def test_a_run_that_vanished_uncounted_is_left_out(store: Store, clock: HeldClock, history: History) -> None:
    runs = Runs(store, clock.now)
    await runs.accept(finished=True)
    event_id = await runs.queued()
    clock.advance(400)
    count = TrafficCount(store, clock)
    await count.count()

    await store.write(lambda c: c.execute(delete(schema.run).where(schema.run.c.event_id == event_id)) and None)
    await count.count()

    for width in (SLOT, HOUR):
        assert [(one.accepted, one.unfinished) for one in (await kept(store, width)).values()] == [(1, 0)]


async def test_refused_calls_stand_beside_the_counted_ones(store: Store, clock: HeldClock, history: History) -> None:
    await Runs(store, clock.now).accept(finished=True)
    await store.write(add_refused, {("int_a", clock.now): 3, ("int_a", clock.now + 1): 2})

    clock.advance(400)
    await TrafficCount(store, clock).count()

    for width in (SLOT, HOUR):
        assert [(one.succeeded, one.rejected) for one in (await kept(store, width)).values()] == [(1, 5)]


async def test_slots_whose_time_is_over_are_deleted(store: Store, clock: HeldClock, history: History) -> None:
    await store.write(add_refused, {("int_a", clock.now): 1, ("int_gone", clock.now): 1})
    count = TrafficCount(store, clock)

    clock.advance(60 * 3_600)
    await count.forget()
    fine, coarse = await kept(store, SLOT), await kept(store, HOUR)
    clock.advance(401 * 86_400)
    await count.forget()

    assert (len(fine), len(coarse), len(await kept(store, HOUR))) == (0, 1, 0)
