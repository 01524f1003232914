"""Nodes: alive while they beat, buried when they do not, and what they held is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crossdock.model.time import Instant
from crossdock.store import Store
from crossdock.store.nodes import (
    NodeRow,
    announce_leaving,
    beat,
    bury,
    list_nodes,
    register_node,
    remove_node,
    unregistered_holders,
)
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE, Runs


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


def a_node(node_id: str, now: Instant) -> NodeRow:
    return NodeRow(node_id, "host", 1, "0.1", now, now)


async def test_a_known_node_beats_and_a_removed_one_learns_that_it_is_gone(store: Store, clock: HeldClock) -> None:
    await store.write(register_node, a_node(NODE, clock.now))

    assert (await store.write(beat, NODE, clock.now)).is_known
    await store.write(remove_node, NODE)
    assert not (await store.write(beat, NODE, clock.now)).is_known
    assert await store.read(list_nodes) == []


async def test_a_heartbeat_hears_of_all_nodes(store: Store, clock: HeldClock) -> None:
    for node_id in (NODE, OTHER_NODE):
        await store.write(register_node, a_node(node_id, clock.now))
    await store.write(announce_leaving, OTHER_NODE)

    pulse = await store.write(beat, NODE, clock.now)

    assert {row.id: row.is_leaving for row in pulse.nodes} == {NODE: False, OTHER_NODE: True}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_node_is_buried_only_with_the_heartbeat_that_stood_still(store: Store, clock: HeldClock) -> None:
    for node_id in (NODE, OTHER_NODE):
        await store.write(register_node, a_node(node_id, clock.now))
    silent = {row.id: row.heartbeat_at for row in await store.read(list_nodes) if row.id == OTHER_NODE}
    await store.write(beat, OTHER_NODE, clock.now)

    assert await store.write(bury, NODE, silent) == []
    silent = {row.id: row.heartbeat_at for row in await store.read(list_nodes) if row.id == OTHER_NODE}
    assert await store.write(bury, NODE, silent) == [OTHER_NODE]
    assert [row.id for row in await store.read(list_nodes)] == [NODE]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_lock_keeps_every_other_process_out(store: Store, clock: HeldClock) -> None:
    for node_id in (NODE, OTHER_NODE):
        await store.write(register_node, a_node(node_id, clock.now))

    assert await store.write(bury, NODE, {}) == [OTHER_NODE]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_heartbeats_are_told_by_the_databases_clock(store: Store, clock: HeldClock) -> None:
    await store.write(register_node, a_node(NODE, clock.now - 10**12))

    pulse = await store.write(beat, NODE, 0)

    assert pulse.nodes[0].heartbeat_at > clock.now


async def test_a_node_says_who_it_is(store: Store, clock: HeldClock) -> None:
    row = replace(a_node(NODE, clock.now), host="ü", pid=77, version="1.2.3")
    await store.write(register_node, row)

    (found,) = await store.read(list_nodes)

    assert (found.id, found.host, found.pid, found.version) == (NODE, "ü", 77, "1.2.3")
    assert found.started_at <= found.heartbeat_at


async def test_holders_without_a_row_are_found_whatever_they_hold(store: Store, runs: Runs) -> None:
    await store.write(register_node, a_node(NODE, runs.now))
    await runs.leased()
    await runs.leased(node="node_with_run")
    await runs.accept(lane="k", leased=True, node="node_with_lane")

    assert await store.read(unregistered_holders) == ["node_with_lane", "node_with_run"]
