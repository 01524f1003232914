"""A node's heartbeat, and taking over what dead nodes held."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from crossdock.model.run import MAX_LOSSES
from crossdock.observe import Observe
from crossdock.store import Store, open_store
from crossdock.store.claims import Rescued, claim_quarantined
from crossdock.store.nodes import NodeRow, list_nodes, register_node, remove_node
from crossdock.watch.liveness import Liveness
from tests.support.held import HeldClock, held_sources
from tests.support.replies import Ledger
from tests.support.runs import NODE, OTHER_NODE, Runs


@dataclass
class Told:
    rescued: list[Rescued] = field(default_factory=list)

    async def __call__(self, rescued: Rescued) -> None:
        self.rescued.append(rescued)


@dataclass
class World:
    store: Store
    runs: Runs
    told: Told
    liveness: Liveness


@pytest.fixture
async def world(store: Store, clock: HeldClock) -> World:
    told = Told()
    liveness = Liveness(store, Observe(), told, sources=held_sources(clock, NODE), ttl_seconds=10.0)
    await liveness.register()
    return World(store, Runs(store, clock.now), told, liveness)


async def test_a_registered_node_may_act(world: World) -> None:
    (row,) = await world.store.read(list_nodes)

    assert row.id == NODE
    assert world.liveness.may_act()


async def test_a_node_that_never_registered_may_not(store: Store, clock: HeldClock) -> None:
    assert not Liveness(store, Observe(), Told(), sources=held_sources(clock, NODE), ttl_seconds=10.0).may_act()


async def test_a_node_without_a_heartbeat_stops_before_its_lease_ends(store: Store, clock: HeldClock) -> None:
    liveness = Liveness(store, Observe(), Told(), sources=held_sources(clock, NODE), ttl_seconds=0.0)

    await liveness.register()

    assert not liveness.may_act()


async def test_a_heartbeat_that_can_not_be_written_is_survived(database_url: str, clock: HeldClock) -> None:
    async with open_store(database_url) as store:
        liveness = Liveness(store, Observe(), Told(), sources=held_sources(clock, NODE), ttl_seconds=10.0)
        await liveness.register()

    await liveness.beat()

    assert liveness.may_act()  # its lease has not ended yet


async def test_a_node_that_was_taken_for_dead_registers_again(world: World) -> None:
    await world.store.write(remove_node, NODE)

    await world.liveness.beat()

    assert [row.id for row in await world.store.read(list_nodes)] == [NODE]


async def test_what_a_dead_node_held_is_taken_back(world: World, clock: HeldClock) -> None:
    run = await world.runs.leased(node=OTHER_NODE)
    mine = await world.runs.leased()

    await world.liveness.rescue()

    assert [await world.runs.state(one.event.id) for one in (run, mine)] == ["queued", "running"]
    (rescued,) = world.told.rescued
    assert (rescued.queued, rescued.lost) == (1, ())


async def test_there_is_nothing_to_tell_where_nobody_died(world: World) -> None:
    await world.runs.leased()

    await world.liveness.rescue()

    assert world.told.rescued == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_after_a_start_every_earlier_node_is_dead(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, NodeRow(OTHER_NODE, "host", 1, "0", clock.now, clock.now))
    run = await world.runs.leased(node=OTHER_NODE)

    await world.liveness.rescue()

    assert await world.runs.state(run.event.id) == "queued"
    assert [row.id for row in await world.store.read(list_nodes)] == [NODE]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_living_neighbour_keeps_what_it_holds(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, NodeRow(OTHER_NODE, "host", 1, "0", clock.now, clock.now))
    run = await world.runs.leased(node=OTHER_NODE)

    await world.liveness.rescue()

    assert await world.runs.state(run.event.id) == "running"


async def test_replies_that_a_dead_node_was_sending_wait_again(world: World, clock: HeldClock) -> None:
    ledger = Ledger(world.store)
    owed = await ledger.owe_reply(clock.now, leased=True)
    other = Liveness(world.store, Observe(), world.told, sources=held_sources(clock, OTHER_NODE), ttl_seconds=10.0)
    await other.register()
    await world.store.write(remove_node, NODE)

    await other.rescue()

    assert (await ledger.shown(owed.id)).state == "queued"


async def test_a_run_that_kills_its_process_is_handed_over_after_a_few_times(world: World, clock: HeldClock) -> None:
    run = await world.runs.leased(node=OTHER_NODE)
    for _ in range(MAX_LOSSES - 1):
        await world.liveness.rescue()
        assert await world.store.write(claim_quarantined, OTHER_NODE, "again", clock.now)

    await world.liveness.rescue()

    (lost,) = world.told.rescued[-1].lost
    assert (lost.event.id, lost.losses) == (run.event.id, MAX_LOSSES)


async def test_a_node_that_leaves_is_gone(world: World) -> None:
    await world.liveness.leave()

    assert await world.store.read(list_nodes) == []
