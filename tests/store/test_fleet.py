"""What all nodes together look like: who holds what, how much waits, and which lanes are deepest."""

from __future__ import annotations

import pytest

from crossdock.model.states import RunMove, RunState
from crossdock.model.time import SECOND, Instant, later
from crossdock.store import Store
from crossdock.store.claims import cancel_waiting
from crossdock.store.fleet import (
    count_bulk_jobs,
    count_unfinished,
    count_waiting_deliveries,
    deepest_lanes,
    integration_names,
    see_nodes,
)
from crossdock.store.lanes import acquire_lanes, park_run
from crossdock.store.nodes import Condition, NodeRow, beat, register_node
from tests.support.held import HeldClock
from tests.support.replies import Ledger
from tests.support.runs import NODE, OTHER_NODE, Runs, add_integration


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


async def test_nodes_are_seen_with_what_they_hold(store: Store, runs: Runs, clock: HeldClock) -> None:
    for node_id in (NODE, OTHER_NODE):
        await store.write(register_node, NodeRow(node_id, "host", 1, "0", clock.now, clock.now))
    await runs.leased()
    await runs.leased()
    await runs.queued(lane="k")
    await store.write(acquire_lanes, OTHER_NODE, ["token"])

    seen = {node.row.id: node for node in await store.read(see_nodes, clock.now)}

    assert seen[NODE].leases == {"run": 2, "lane": 0, "delivery": 0, "bulk_job": 0}
    assert seen[OTHER_NODE].leases["lane"] == 1
    assert 0 <= seen[NODE].heartbeat_age < 60


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_age_of_a_heartbeat_grows(store: Store, clock: HeldClock) -> None:
    await store.write(register_node, NodeRow(NODE, "host", 1, "0", clock.now, clock.now))

    (seen,) = await store.read(see_nodes, clock.advance(7))

    assert seen.heartbeat_age == 7


async def test_unfinished_runs_are_counted_by_integration_and_state(store: Store, runs: Runs) -> None:
    for integration_id in ("int_a", "int_b"):
        await store.write(add_integration, integration_id)
    for _ in range(2):
        await runs.queued()
    await runs.leased()
    await runs.settle(await runs.leased(), RunMove.DELAY, due_at=later(runs.now, 60))
    await runs.settle(await runs.leased(), RunMove.RETRY, due_at=later(runs.now, 60))
    await runs.settle(await runs.leased())
    await runs.queued("int_b", lane="k")

    first, second = await store.read(count_unfinished)

    assert (first.integration_id, first.unfinished, first.in_lanes) == ("int_a", 5, 0)
    assert first.states == {RunState.QUEUED: 2, RunState.RUNNING: 1, RunState.WAITING: 1, RunState.RETRYING: 1}
    assert (second.integration_id, second.unfinished, second.in_lanes) == ("int_b", 1, 1)
    assert first.oldest_at == runs.now
    assert first.is_complete


async def test_runs_that_wait_for_an_operator_are_told_from_parked_ones(store: Store, runs: Runs) -> None:
    await runs.settle(await runs.leased(), RunMove.BLOCK)
    parked = await runs.leased()
    await runs.settle(parked, RunMove.BLOCK)
    assert await store.write(park_run, parked.event.id)

    (backlog,) = await store.read(count_unfinished)

    assert (backlog.states, backlog.blocked, backlog.parked) == ({RunState.WAITING: 2}, 1, 1)


async def test_what_is_parked_is_not_the_oldest_that_waits(store: Store, runs: Runs, clock: HeldClock) -> None:
    parked = await runs.leased()
    await runs.settle(parked, RunMove.BLOCK)
    await store.write(park_run, parked.event.id)
    runs.now = clock.advance(30)
    await runs.queued()

    (backlog,) = await store.read(count_unfinished)

    assert backlog.oldest_at == clock.now


async def test_deliveries_that_wait_are_counted_with_the_moment_of_the_first(store: Store, clock: HeldClock) -> None:
    ledger = Ledger(store)
    await ledger.owe_reply(clock.now)
    await ledger.owe_reply(clock.now + 5)

    waiting = await store.read(count_waiting_deliveries)
    (backlog,) = await store.read(count_unfinished)

    assert waiting == {"int_a": (2, clock.now)}
    assert (backlog.unfinished, backlog.deliveries, backlog.delivery_due_at) == (0, 2, clock.now)


async def test_nothing_unfinished_is_no_backlog(store: Store, runs: Runs) -> None:
    await runs.settle(await runs.leased())

    assert await store.read(count_unfinished) == []
    assert await store.read(count_waiting_deliveries) == {}
    assert await store.read(count_bulk_jobs) == {}
    assert await store.read(deepest_lanes, 5) == []


async def test_the_deepest_lanes_come_first_with_their_heads(store: Store, runs: Runs) -> None:
    heads = [await runs.queued(lane=key) for key in ("a", "b", "c")]
    for key in ("b", "b", "c"):
        await runs.queued(lane=key)
    await runs.queued("int_b", lane="b")

    two = await store.read(deepest_lanes, 2)
    other = await store.read(deepest_lanes, 9, "int_b")

    assert [(lane.integration_id, lane.state.key, lane.state.depth) for lane in two] == [
        ("int_a", "b", 3),
        ("int_a", "c", 2),
    ]
    assert [lane.state.head_event_id for lane in two] == [heads[1], heads[2]]
    assert [(lane.integration_id, lane.state.depth) for lane in other] == [("int_b", 1)]


async def test_a_head_that_has_ended_is_none(store: Store, runs: Runs) -> None:
    first, second = await runs.queued(lane="a"), await runs.queued(lane="a")
    assert await store.write(cancel_waiting, first, runs.now)

    (lane,) = await store.read(deepest_lanes, 5)

    assert (lane.state.depth, lane.state.head_event_id, lane.node_id) == (1, second, None)


async def test_integrations_are_named_for_their_own_workspace_only(store: Store) -> None:
    await store.write(add_integration, "int_a")

    assert await store.read(integration_names, "ws_1") == {"int_a": "int_a"}
    assert await store.read(integration_names, "ws_2") == {}


async def test_a_heartbeat_measures_how_far_the_clocks_differ(store: Store, clock: HeldClock) -> None:
    await store.write(register_node, NodeRow(NODE, "host", 1, "0", clock.now, clock.now))

    async def skew(now: Instant) -> float:
        pulse = await store.write(beat, NODE, now)
        return pulse.nodes[0].clock_skew / SECOND

    grown = await skew(later(clock.now, 3_600)) - await skew(clock.now)

    # SQLite has no clock of its own.
    assert grown == (0 if store.dialect == "sqlite" else pytest.approx(3_600, abs=30))


async def test_a_heartbeat_tells_what_a_node_says_of_itself(store: Store, clock: HeldClock) -> None:
    await store.write(register_node, NodeRow(NODE, "host", 1, "0", clock.now, clock.now))

    await store.write(beat, NODE, clock.now, Condition("mk_1,mk_2", hears=False))

    (seen,) = await store.read(see_nodes, clock.now)
    assert (seen.row.key_ids, seen.row.hears) == ("mk_1,mk_2", False)
