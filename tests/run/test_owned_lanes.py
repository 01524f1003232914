"""Which node owns which lane: given up, adopted, handed on between two runs, mended."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from crossdock.model.epoch import Member
from crossdock.model.retry import RetryPolicy
from crossdock.store import Store, schema
from crossdock.store.lanes import count_lanes_by_node, release_run
from crossdock.store.signals import Signals, Topic
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE, Batch
from tests.support.yard import LATER, Yard, until

BY_KEY = "{{ body.key }}"
LANE = "int_a:"
ONCE = RetryPolicy(attempts=1)
HELD = {
    "id": "h",
    "python": {"function": "work:held", "arguments": {"name": "{{ body.name }}", "group": "{{ body.key }}"}},
}


def body(name: str, key: str = "") -> bytes:
    return b'{"name": "%s", "key": "%s"}' % (name.encode(), key.encode())


class ToNeighbour(Signals):
    """Tells the other node at once."""

    def __init__(self) -> None:
        self.neighbour: Yard | None = None

    def tell(self, topic: Topic, word: str = "", *, node: str | None = None) -> None:
        assert self.neighbour is not None
        if topic is Topic.LANES:
            self.neighbour.stage.seek_lanes()
        elif topic is Topic.LANE:
            self.neighbour.stage.lanes.changes_told([word])


@pytest.fixture
async def yards(store: Store, clock: HeldClock, tmp_path: Path) -> AsyncIterator[tuple[Yard, Yard]]:
    """Two nodes on one database; only the first takes calls here."""
    signals = (ToNeighbour(), ToNeighbour())
    pair = tuple(
        Yard(store, clock, tmp_path / node_id, node_id, lane_idle_seconds=0.05, signals=tells)
        for node_id, tells in zip((NODE, OTHER_NODE), signals, strict=True)
    )
    signals[0].neighbour, signals[1].neighbour = pair[1], pair[0]
    members = tuple(Member(node_id, frozenset({"run"})) for node_id in (NODE, OTHER_NODE))
    for yard in pair:
        yard.epoch.members = members
        yard.start()
    yield pair[0], pair[1]
    for yard in pair:
        await yard.close()


def lane_row(connection: Connection, lane_id: str) -> Any:
    return connection.execute(select(schema.lane).where(schema.lane.c.id == lane_id)).one()


def take_away(connection: Connection, lane_id: str, **values: Any) -> None:
    connection.execute(update(schema.lane).where(schema.lane.c.id == lane_id).values(values))


def mended(yard: Yard) -> int:
    """How many lanes the node has mended."""
    return len(re.findall(rb"^crossdock_lanes_mended_total 1", yard.observe.text(), re.MULTILINE))


async def until_lane(store: Store, lane_id: str, **wanted: Any) -> Any:
    """The lane's row once it has these values."""
    row = await store.read(lane_row, lane_id)
    while any(getattr(row, name) != value for name, value in wanted.items()):
        row = await store.read(lane_row, lane_id)
    return row


async def test_an_empty_lane_is_given_up_and_found_by_nobody(yards: tuple[Yard, Yard], store: Store) -> None:
    here, _ = yards
    await here.add(steps=[HELD], ordered=True)
    here.open("one")

    await here.until(await here.accepted(body=body("one")), "succeeded")
    await until_lane(store, LANE, dormant=True)

    assert await store.read(count_lanes_by_node) == {}


async def test_a_lane_that_waits_for_an_operator_is_woken_by_the_decision(
    yards: tuple[Yard, Yard], store: Store, clock: HeldClock
) -> None:
    here, there = yards
    step = {"id": "a", "python": {"function": "work:note", "arguments": {"name": "n", "fail_times": 1}}}
    await here.add(steps=[step], ordered=True, retry=ONCE)
    event_id = await here.accepted(body=body("one"))
    await here.until(event_id, "waiting")
    await until_lane(store, LANE, dormant=True)
    await here.stop()

    await there.add(steps=[step], ordered=True, retry=ONCE)
    there.calls.append("n")  # the failure was at the other node
    await store.write(release_run, event_id, clock.now)
    there.stage.lane_changed(LANE)

    await there.until(event_id, "succeeded")


async def test_a_node_with_more_than_its_share_hands_lanes_on_between_two_runs(yards: tuple[Yard, Yard]) -> None:
    here, there = yards
    for yard in yards:
        await yard.add(steps=[HELD], ordered=True, ordering_key=BY_KEY)
    keys = [f"k{n}" for n in range(12)]
    heads = [await here.accepted(body=body(f"{key}-1", key)) for key in keys]
    tails = [await here.accepted(body=body(f"{key}-2", key)) for key in keys]
    await here.until_calls(12)

    await here.stage.lanes.share()
    here.open(*(f"{key}-1" for key in keys))
    for head in heads:
        await here.until(head, "succeeded")
    await until(lambda: len(here.calls) + len(there.calls) == 24)

    assert 1 <= len(there.calls) <= 6
    assert not {call for call in there.calls if call.endswith("-1")}
    for yard in yards:
        yard.open(*(f"{key}-2" for key in keys))
    for tail in tails:
        await here.until(tail, "succeeded")


async def test_a_node_without_company_keeps_all_lanes(yards: tuple[Yard, Yard], store: Store) -> None:
    here, _ = yards
    here.epoch.members = (Member(NODE, frozenset({"run"})), Member("node_web", frozenset({"web"})))
    await here.add(steps=[HELD], ordered=True, ordering_key=BY_KEY)
    for n in range(10):
        await here.accepted(body=body(f"n{n}", f"k{n}"))
    await here.until_calls(10)

    await here.stage.lanes.share()

    assert await store.read(count_lanes_by_node) == {NODE: 10}


async def test_a_lane_that_its_owner_knows_nothing_of_is_mended(
    yards: tuple[Yard, Yard], store: Store, clock: HeldClock
) -> None:
    here, there = yards
    await here.add(steps=[HELD], ordered=True)
    await here.stop()
    event_id = await _left_behind(here, there)
    clock.advance(60)

    await there.stage.lanes.mend()

    there.open("one")
    await there.until(event_id, "succeeded")
    assert mended(there) == 1


async def _left_behind(here: Yard, there: Yard) -> str:
    """A run in a lane that the record says is the other node's, which was never told."""
    await there.add(steps=[HELD], ordered=True)
    event_id = await here.accepted(body=body("one"))
    await here.store.write(take_away, LANE, lease_node=OTHER_NODE, lease_token="unheard")
    return event_id


async def test_a_lane_that_was_taken_for_empty_is_mended(yards: tuple[Yard, Yard], store: Store) -> None:
    here, there = yards
    await here.add(steps=[HELD], ordered=True)
    await here.stop()
    event_id = await _left_behind(here, there)
    await store.write(take_away, LANE, lease_node=None, lease_token=None, dormant=True)
    there.clock.advance(60)

    await there.stage.lanes.wake_forgotten()

    there.open("one")
    await there.until(event_id, "succeeded")
    assert mended(there) == 1


async def test_a_lane_that_is_worked_on_needs_no_mending(yards: tuple[Yard, Yard], clock: HeldClock) -> None:
    here, _ = yards
    await here.add(steps=[HELD], ordered=True)
    await here.accepted(body=body("one"))
    await here.until_calls(1)
    clock.advance(3_600)

    await here.stage.lanes.mend()

    assert mended(here) == 0


async def test_a_node_that_was_taken_for_dead_goes_on_with_no_lane(yards: tuple[Yard, Yard], store: Store) -> None:
    here, there = yards
    for yard in yards:
        await yard.add(steps=[HELD], ordered=True)
    events = [await here.accepted(body=body(name)) for name in ("one", "two")]
    await here.until_calls(1)

    await here.stage.abandon()
    here.epoch.renew("node_again")
    await store.write(take_away, LANE, lease_node=None, lease_token=None)
    there.stage.seek_lanes()
    there.open("one", "two")
    for event_id in events:
        await there.until(event_id, "succeeded")

    assert here.calls == ["one"]
    assert there.calls == ["one", "two"]


# --- integrations that a node can't read -----------------------------------------------------------------------------


def can_not_read(yard: Yard, integration_id: str) -> None:
    """As with another master key: the integration is there, and this node can't use it."""
    snapshot = yard.catalog.snapshot
    by_id = {name: live for name, live in snapshot.by_id.items() if name != integration_id}
    broken = MappingProxyType({integration_id: "no key opens its secrets"})
    yard.catalog.snapshot = replace(snapshot, by_id=MappingProxyType(by_id), broken=broken)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_node_leaves_runs_to_others_whose_integration_it_can_not_read(
    yards: tuple[Yard, Yard], ordered: bool
) -> None:
    here, there = yards
    for yard in yards:
        await yard.add(steps=[HELD], ordered=ordered, reply=LATER)
    can_not_read(there, "int_a")
    await here.stop()

    event_id = await here.accepted(body=body("one"))
    there.stage.wake()
    there.stage.seek_lanes()
    await there.stage.lanes.adopt()

    assert (await there.row(event_id)).state == "queued"
    await there.add(steps=[HELD], ordered=ordered, reply=LATER)
    there.catalog.snapshot = replace(there.catalog.snapshot, broken=MappingProxyType({}))
    there.open("one")
    there.stage.wake()
    there.stage.seek_lanes()
    await there.until(event_id, "succeeded")
    await until(lambda: len(there.senders.handed) == 1)


async def test_what_a_node_has_taken_already_goes_back_untried(yards: tuple[Yard, Yard]) -> None:
    here, _ = yards
    await here.add(steps=[HELD])
    async with Batch(here.store):
        calling = asyncio.create_task(here.accepted(body=body("one")))
        await until(lambda: here.store.waiting > 0)
        can_not_read(here, "int_a")
    event_id = await calling

    row = await here.until(event_id, "queued")

    assert (row.attempts, here.calls) == (0, [])
