"""What the metrics tell of a node's own state, and of what waits for all nodes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from crossdock.clock import Sources
from crossdock.model.epoch import Epoch
from crossdock.observe import Observe
from crossdock.store import Store
from crossdock.store.claims import cancel_waiting
from crossdock.watch.measuring import DEEPEST_LANES, LANE_NAME_CHARACTERS, NAP_SECONDS, Held, Measuring
from tests.support.exposition import sample, samples
from tests.support.held import HeldClock
from tests.support.replies import Ledger
from tests.support.runs import NODE, Runs


class World:
    def __init__(self, store: Store, clock: HeldClock, *, is_alone: bool = False) -> None:
        self.metrics = Observe()
        self.held = Held({"run": 3, "lane": 2}, 1, 7)
        self.seconds = 100.0
        self.epoch = Epoch(NODE, lambda: self.seconds, is_alone=is_alone)
        sources = Sources(clock, lambda: 0.0, self.epoch)
        self.measuring = Measuring(store, self.metrics, lambda: self.held, sources=sources)


async def test_what_a_node_holds_is_told_as_it_is_when_somebody_asks(store: Store, clock: HeldClock) -> None:
    world = World(store, clock)
    assert sample(world.metrics, "crossdock_leases_held", kind="run") == 3

    world.held = replace(world.held, leases={"run": 4, "lane": 2})

    assert sample(world.metrics, "crossdock_leases_held", kind="run") == 4
    assert sample(world.metrics, "crossdock_lanes_busy") == 1
    assert sample(world.metrics, "crossdock_changes_waiting") == 7


async def test_a_lease_runs_out_second_by_second(store: Store, clock: HeldClock) -> None:
    world = World(store, clock)
    world.epoch.confirm(world.seconds, 10.0)
    assert sample(world.metrics, "crossdock_node_lease_seconds_left") == 8

    world.seconds += 9

    assert sample(world.metrics, "crossdock_node_lease_seconds_left") == -1


async def test_who_is_alone_has_no_lease_that_runs_out(store: Store, clock: HeldClock) -> None:
    world = World(store, clock, is_alone=True)

    assert sample(world.metrics, "crossdock_node_lease_seconds_left") is None


async def test_deliveries_that_wait_are_told_with_how_late_they_are(store: Store, clock: HeldClock) -> None:
    world, ledger = World(store, clock), Ledger(store)
    await ledger.owe_reply(clock.now)
    await ledger.owe_reply(clock.now)
    clock.advance(5)

    await world.measuring.measure()

    assert sample(world.metrics, "crossdock_deliveries_waiting", integration="int_a") == 2
    assert sample(world.metrics, "crossdock_deliveries_overdue_seconds", integration="int_a") == 5


async def test_lanes_are_told_once_their_head_has_waited_for_a_minute(store: Store, clock: HeldClock) -> None:
    world, runs = World(store, clock), Runs(store, clock.now)
    for _ in range(3):
        await runs.queued(lane="customer 7")

    await world.measuring.measure()
    assert samples(world.metrics, "crossdock_lane_depth") == []
    clock.advance(60)
    await world.measuring.measure()

    labels = {"integration": "int_a", "lane": "customer 7"}
    assert sample(world.metrics, "crossdock_lane_depth", **labels) == 3
    assert sample(world.metrics, "crossdock_lane_head_age_seconds", **labels) == 60


async def test_no_more_than_the_deepest_lanes_are_told_under_bounded_names(store: Store, clock: HeldClock) -> None:
    world, runs = World(store, clock), Runs(store, clock.now)
    for number in range(DEEPEST_LANES + 5):
        await runs.queued(lane=f"{number}" + "x" * 200)
    clock.advance(60)

    await world.measuring.measure()

    shown = samples(world.metrics, "crossdock_lane_depth")
    assert len(shown) == DEEPEST_LANES
    assert {len(labels["lane"]) for labels, _ in shown} == {LANE_NAME_CHARACTERS}


async def test_a_lane_that_is_empty_again_is_told_no_more(store: Store, clock: HeldClock) -> None:
    world, runs = World(store, clock), Runs(store, clock.now)
    run = await runs.queued(lane="k")
    clock.advance(60)
    await world.measuring.measure()

    assert await store.write(cancel_waiting, run, clock.now)
    await world.measuring.measure()

    assert samples(world.metrics, "crossdock_lane_depth") == []


async def test_a_loop_that_is_held_up_is_felt(store: Store, clock: HeldClock) -> None:
    world = World(store, clock)
    feeling = asyncio.create_task(world.measuring.feel_the_loop())
    await asyncio.sleep(0)

    time.sleep(NAP_SECONDS * 2)  # noqa: ASYNC251 - this is what holds it up
    await feeling

    assert sample(world.metrics, "crossdock_event_loop_lag_seconds_count") == 1
    assert (sample(world.metrics, "crossdock_event_loop_lag_seconds_sum") or 0.0) > NAP_SECONDS / 2
