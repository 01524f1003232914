"""Nodes: alive while they beat, buried when they do not, and what they held is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection, update

from crossdock.model.time import SECOND, Instant
from crossdock.store import Store, schema
from crossdock.store.nodes import (
    NodeRow,
    beat,
    bury_dead,
    list_nodes,
    register_node,
    remove_node,
    unregistered_holders,
)
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE, Runs

TTL = 10.0


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


def a_node(node_id: str, now: Instant) -> NodeRow:
    return NodeRow(node_id, "host", 1, "0.1", now, now)


def silence(connection: Connection, node_id: str, seconds: float) -> None:
    """As if the node's last heartbeat were so old."""
    node = schema.node
    at = node.c.heartbeat_at - round(seconds * SECOND)
    connection.execute(update(node).where(node.c.id == node_id).values(heartbeat_at=at))


async def test_a_known_node_beats_and_a_removed_one_learns_that_it_is_gone(store: Store, clock: HeldClock) -> None:
    await store.write(register_node, a_node(NODE, clock.now))

    assert await store.write(beat, NODE, clock.now)
    await store.write(remove_node, NODE)
    assert not await store.write(beat, NODE, clock.now)
    assert await store.read(list_nodes) == []


async def test_a_node_buries_those_that_are_silent_and_never_itself(store: Store, clock: HeldClock) -> None:
    for node_id in (NODE, OTHER_NODE, "node_third"):
        await store.write(register_node, a_node(node_id, clock.now))
    for node_id in (NODE, OTHER_NODE):
        await store.write(silence, node_id, TTL + 1)

    buried = await store.write(bury_dead, NODE, clock.now, TTL)

    only_one_process = store.dialect == "sqlite"  # its lock keeps every other one out
    assert sorted(buried) == ([OTHER_NODE, "node_third"] if only_one_process else [OTHER_NODE])
    assert NODE in [row.id for row in await store.read(list_nodes)]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_leases_are_judged_by_the_databases_clock(store: Store, clock: HeldClock) -> None:
    await store.write(register_node, a_node(OTHER_NODE, clock.now - 10**12))

    assert await store.write(bury_dead, NODE, clock.now + 10**15, TTL) == []
    assert await store.write(beat, OTHER_NODE, 0)
    assert await store.write(bury_dead, NODE, clock.now, TTL) == []


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
