"""What the metrics tell of heartbeats, of the other nodes, and of what was taken back."""

from __future__ import annotations

import pytest

from crossdock.model.node_state import NodeState, judge_node
from crossdock.store import Store, open_store
from crossdock.store.nodes import announce_leaving, register_node, remove_node
from tests.support.exposition import sample, samples
from tests.support.held import HeldClock
from tests.support.replies import Ledger
from tests.support.runs import NODE, OTHER_NODE
from tests.watch.test_liveness import World, neighbour

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
async def world(store: Store, clock: HeldClock) -> World:
    made = World(store, clock)
    await made.liveness.register()
    return made


async def test_heartbeats_are_timed_and_nodes_counted_by_role(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, neighbour(clock))

    await world.liveness.beat()

    assert sample(world.observe, "crossdock_heartbeat_seconds_count") == 1
    assert sample(world.observe, "crossdock_nodes", role="run", state="working") == 2
    assert sample(world.observe, "crossdock_nodes", role="web", state="working") == 1


async def test_a_node_that_leaves_is_counted_as_such(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, neighbour(clock))
    await world.store.write(announce_leaving, OTHER_NODE)

    await world.liveness.beat()

    assert sample(world.observe, "crossdock_nodes", role="run", state="leaving") == 1


async def test_a_node_that_is_gone_is_counted_no_more(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, neighbour(clock))
    await world.liveness.beat()

    await world.store.write(remove_node, OTHER_NODE)
    await world.liveness.beat()

    assert sample(world.observe, "crossdock_nodes", role="run", state="working") == 1


@pytest.mark.parametrize(
    ("age", "is_leaving", "state"),
    [
        (0.0, False, NodeState.WORKING),
        (5.0, False, NodeState.WORKING),
        (5.1, False, NodeState.SILENT),
        (0.0, True, NodeState.LEAVING),
        (5.1, True, NodeState.SILENT),
    ],
)
def test_a_node_without_a_heartbeat_for_half_its_time_to_live_is_silent(
    age: float, is_leaving: bool, state: NodeState
) -> None:
    assert judge_node(age, 10.0, is_leaving=is_leaving) is state


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_silent_node_is_counted_as_such(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, neighbour(clock))
    clock.advance(6.0)

    await world.liveness.beat()

    assert sample(world.observe, "crossdock_nodes", role="run", state="silent") == 1
    assert sample(world.observe, "crossdock_nodes", role="run", state="working") == 1


@on_postgresql
async def test_a_clock_ahead_of_the_database_is_told(world: World, clock: HeldClock) -> None:
    await world.liveness.beat()
    before = sample(world.observe, "crossdock_node_clock_skew_seconds")
    clock.advance(120)

    await world.liveness.beat()

    after = sample(world.observe, "crossdock_node_clock_skew_seconds")
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(120, abs=30)


async def test_heartbeats_that_fail_are_counted(database_url: str, clock: HeldClock) -> None:
    async with open_store(database_url) as store:
        world = World(store, clock)
        await world.liveness.register()

    await world.liveness.beat()

    assert sample(world.observe, "crossdock_heartbeats_failed_total") == 1
    assert samples(world.observe, "crossdock_heartbeat_seconds_count") == [({}, 0.0)]


async def test_being_taken_for_dead_is_counted(world: World) -> None:
    await world.store.write(remove_node, NODE)

    await world.liveness.beat()

    assert sample(world.observe, "crossdock_node_fenced_total") == 1


@on_postgresql
async def test_the_dead_and_what_they_held_are_counted(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, neighbour(clock))
    await world.runs.leased(node=OTHER_NODE)

    await world.beats(6)
    await world.liveness.rescue()

    assert sample(world.observe, "crossdock_nodes_buried_total") == 1
    assert sample(world.observe, "crossdock_runs_rescued_total") == 1


async def test_deliveries_that_are_taken_back_are_counted(world: World, clock: HeldClock) -> None:
    await Ledger(world.store).owe_reply(clock.now, leased=True)
    other = World(world.store, clock, OTHER_NODE)
    await other.liveness.register()
    await world.store.write(remove_node, NODE)

    await other.liveness.rescue()

    assert sample(other.observe, "crossdock_deliveries_rescued_total") == 1
