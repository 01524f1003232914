"""A node's heartbeat, its epochs, and taking over what dead nodes held."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import Connection, text, update

from crossdock.clock import Sources
from crossdock.model.epoch import ACTS_FOR, Epoch, Stance
from crossdock.model.errors import Misconfigured
from crossdock.model.run import MAX_LOSSES
from crossdock.observe import Observe
from crossdock.store import Store, open_store, schema
from crossdock.store.claims import Rescued, claim_quarantined, held_lanes
from crossdock.store.nodes import (
    Condition,
    NodeRow,
    beat,
    list_nodes,
    read_stance,
    register_node,
    remove_node,
    write_stance,
)
from crossdock.watch.liveness import Liveness
from tests.support.held import HeldClock
from tests.support.replies import Ledger
from tests.support.runs import NODE, OTHER_NODE, Runs

TTL = 10.0
HEARTBEAT = 2.0
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class Seconds:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Told:
    taken_back: list[Rescued] = field(default_factory=list)
    abandoned_as: list[str] = field(default_factory=list)
    epoch: Epoch | None = None

    async def rescued(self, rescued: Rescued) -> None:
        self.taken_back.append(rescued)

    async def abandon(self) -> None:
        assert self.epoch is not None
        self.abandoned_as.append(self.epoch.node_id)


class World:
    """One node, as `node_id`, whose clocks stand still."""

    def __init__(self, store: Store, clock: HeldClock, node_id: str = NODE) -> None:
        self.store = store
        self.runs = Runs(store, clock.now)
        self.seconds = Seconds()
        self.epoch = Epoch(node_id, self.seconds)
        self.told = Told(epoch=self.epoch)
        self.observe = Observe()
        self.liveness = Liveness(
            store,
            self.observe,
            self.told,
            sources=Sources(clock, lambda: 0.0, self.epoch),
            monotonic=self.seconds,
            ttl_seconds=TTL,
            heartbeat_seconds=HEARTBEAT,
            roles="run,web",
        )

    async def beats(self, count: int) -> None:
        for _ in range(count):
            self.seconds.now += HEARTBEAT
            await self.liveness.beat()


@pytest.fixture
async def world(store: Store, clock: HeldClock) -> World:
    made = World(store, clock)
    await made.liveness.register()
    return made


def neighbour(clock: HeldClock, node_id: str = OTHER_NODE) -> NodeRow:
    return NodeRow(node_id, "host", 1, "0", clock.now, clock.now, "run")


# --- acting ----------------------------------------------------------------------------------------------------------


async def test_a_registered_node_may_act_until_shortly_before_its_lease_ends(world: World) -> None:
    (row,) = await world.store.read(list_nodes)
    assert (row.id, row.roles) == (NODE, "run,web")
    assert world.epoch.may_act()

    world.seconds.now += TTL * ACTS_FOR

    assert not world.epoch.may_act()


async def test_a_node_that_never_registered_may_not_act(store: Store, clock: HeldClock) -> None:
    assert not World(store, clock).epoch.may_act()


async def test_a_heartbeat_lets_a_node_act_for_longer(world: World) -> None:
    await world.beats(4)

    assert world.epoch.may_act()
    assert world.epoch.seconds_left == pytest.approx(TTL * ACTS_FOR)


async def test_a_heartbeat_that_can_not_be_written_is_survived(database_url: str, clock: HeldClock) -> None:
    async with open_store(database_url) as store:
        world = World(store, clock)
        await world.liveness.register()

    await world.liveness.beat()

    assert world.epoch.may_act()  # its lease has not ended yet


async def test_a_node_hears_who_else_lives(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, neighbour(clock))

    await world.liveness.beat()

    assert {member.node_id: member.roles for member in world.epoch.members} == {
        NODE: frozenset({"run", "web"}),
        OTHER_NODE: frozenset({"run"}),
    }


async def test_a_node_sees_the_others_as_soon_as_it_is_known_itself(store: Store, clock: HeldClock) -> None:
    await store.write(register_node, neighbour(clock))
    world = World(store, clock)

    await world.liveness.register()

    assert {member.node_id for member in world.epoch.members} == {NODE, OTHER_NODE}


async def test_a_heartbeat_tells_what_the_node_has_in_work(world: World) -> None:
    stance = Stance(frozenset({OTHER_NODE}), frozenset({"int_a"}), has_stopped=True)
    await world.store.write_apart(beat, NODE, 0, Condition(stance=write_stance(stance)))

    (row,) = await world.store.read(list_nodes)

    assert read_stance(row.stance) == stance


def test_a_stance_of_another_version_is_none() -> None:
    assert [read_stance(text) for text in ("", "{", '{"knows": 1}', '{"other": []}')] == [None] * 4


async def test_a_node_that_was_taken_for_dead_drops_its_work_and_begins_anew(world: World) -> None:
    await world.store.write(remove_node, NODE)

    await world.liveness.beat()

    (row,) = await world.store.read(list_nodes)
    assert world.told.abandoned_as == [NODE]  # before it is somebody again
    assert row.id == world.epoch.node_id != NODE
    assert world.epoch.may_act()


# --- taking over -----------------------------------------------------------------------------------------------------


@on_postgresql
async def test_what_a_silent_node_held_is_taken_back_after_its_time_to_live(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, neighbour(clock))
    run = await world.runs.leased(node=OTHER_NODE)
    mine = await world.runs.leased()

    await world.beats(5)
    await world.liveness.rescue()
    before = await world.runs.state(run.event.id)
    await world.beats(1)
    await world.liveness.rescue()

    assert before == "running"
    assert [await world.runs.state(one.event.id) for one in (run, mine)] == ["queued", "running"]
    assert [row.id for row in await world.store.read(list_nodes)] == [NODE]
    assert (world.told.taken_back[-1].queued, world.told.taken_back[-1].lost) == (1, ())


@on_postgresql
async def test_a_node_that_beats_again_before_it_is_buried_keeps_what_it_holds(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, neighbour(clock))
    run = await world.runs.leased(node=OTHER_NODE)
    await world.beats(6)

    await world.store.write(_beat_once_more, OTHER_NODE)
    await world.liveness.rescue()

    assert await world.runs.state(run.event.id) == "running"


@on_postgresql
async def test_who_could_not_reach_the_database_judges_nobody_dead(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, neighbour(clock))
    run = await world.runs.leased(node=OTHER_NODE)
    await world.beats(2)

    world.seconds.now += 3_600  # nobody could beat in this hour
    await world.liveness.beat()
    await world.liveness.rescue()

    assert await world.runs.state(run.event.id) == "running"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_after_a_start_every_earlier_node_is_dead(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, neighbour(clock))
    run = await world.runs.leased(node=OTHER_NODE)

    await world.liveness.rescue()

    assert await world.runs.state(run.event.id) == "queued"
    assert [row.id for row in await world.store.read(list_nodes)] == [NODE]


async def test_leases_of_nodes_that_nobody_knows_are_taken_back(world: World) -> None:
    run = await world.runs.leased(node=OTHER_NODE)

    await world.liveness.rescue()

    assert await world.runs.state(run.event.id) == "queued"


async def test_there_is_nothing_to_tell_where_nobody_died(world: World) -> None:
    await world.runs.leased()

    await world.liveness.rescue()

    assert world.told.taken_back == []


async def test_replies_that_a_dead_node_was_sending_wait_again(world: World, clock: HeldClock) -> None:
    ledger = Ledger(world.store)
    owed = await ledger.owe_reply(clock.now, leased=True)
    other = World(world.store, clock, OTHER_NODE)
    await other.liveness.register()
    await world.store.write(remove_node, NODE)

    await other.liveness.rescue()

    assert (await ledger.shown(owed.id)).state == "queued"


async def test_a_run_that_kills_its_process_is_handed_over_after_a_few_times(world: World, clock: HeldClock) -> None:
    run = await world.runs.leased(node=OTHER_NODE)
    for _ in range(MAX_LOSSES - 1):
        await _rescue(world)
        assert await world.store.write(claim_quarantined, OTHER_NODE, "again", clock.now)

    await _rescue(world)

    (lost,) = world.told.taken_back[-1].lost
    assert (lost.event.id, lost.losses) == (run.event.id, MAX_LOSSES)


async def test_a_row_that_the_database_refuses_to_change_does_not_stop_the_rescue(world: World) -> None:
    runs = [await world.runs.leased(node=OTHER_NODE) for _ in range(3)]
    poisoned = runs[1].event.id
    await world.store.write(_refuse_changes_of, poisoned)

    await world.liveness.rescue()

    states = [await world.runs.state(run.event.id) for run in runs]
    assert states == ["queued", "running", "queued"]


async def test_a_lane_that_the_database_refuses_to_change_does_not_stop_the_rescue(world: World) -> None:
    for key in ("a", "b"):
        await world.runs.accept(lane=key, leased=True, node=OTHER_NODE)
    run = await world.runs.leased(node=OTHER_NODE)
    await world.store.write(_refuse_changes_of, "int_a:a", "lane", "id")

    await world.liveness.rescue()

    assert await world.runs.state(run.event.id) == "queued"
    assert await world.store.read(held_lanes, [OTHER_NODE]) == ["int_a:a"]


async def test_a_node_that_leaves_is_gone(world: World) -> None:
    await world.liveness.leave()

    assert await world.store.read(list_nodes) == []


@on_postgresql
async def test_a_node_that_is_leaving_says_so(world: World) -> None:
    await world.liveness.announce_leaving()
    await world.liveness.beat()

    assert [member.is_leaving for member in world.epoch.members] == [True]


async def _rescue(world: World) -> None:
    world.seconds.now += 60.0
    await world.liveness.rescue()


def _beat_once_more(connection: Connection, node_id: str) -> None:
    node = schema.node
    connection.execute(update(node).where(node.c.id == node_id).values(heartbeat_at=node.c.heartbeat_at + 1))


def _refuse_changes_of(connection: Connection, name: str, table: str = "run", key: str = "event_id") -> None:
    if connection.dialect.name == "sqlite":
        refuse = "BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
    else:
        body = "BEGIN RAISE EXCEPTION 'poisoned' USING ERRCODE = 'check_violation'; END"
        connection.execute(text(f"CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$"))
        refuse = "EXECUTE FUNCTION poison()"
    when = f"FOR EACH ROW WHEN (OLD.{key} = '{name}')"
    connection.execute(text(f"CREATE TRIGGER poison BEFORE UPDATE ON {table} {when} {refuse}"))


# --- keys ------------------------------------------------------------------------------------------------------------


async def test_a_node_whose_keys_no_living_node_shares_does_not_start(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, replace(neighbour(clock), key_ids="theirs", lease_seconds=TTL))

    with pytest.raises(Misconfigured, match=r"another master key .*theirs there, ours here"):
        await world.liveness.check_keys(["ours"])


@pytest.mark.parametrize("key_ids", ["", "ours,theirs"])
async def test_a_node_that_shares_a_key_or_tells_none_is_no_stranger(
    world: World, clock: HeldClock, key_ids: str
) -> None:
    await world.store.write(register_node, replace(neighbour(clock), key_ids=key_ids))

    await world.liveness.check_keys(["ours"])


async def test_the_keys_of_a_node_that_is_gone_keep_nobody_out(world: World, clock: HeldClock) -> None:
    await world.store.write(register_node, replace(neighbour(clock), key_ids="theirs"))
    await world.store.write(_age, OTHER_NODE, TTL + 1)

    await world.liveness.check_keys(["ours"])


def _age(connection: Connection, node_id: str, seconds: float) -> None:
    earlier = schema.node.c.heartbeat_at - round(seconds * 1_000_000)
    connection.execute(update(schema.node).where(schema.node.c.id == node_id).values(heartbeat_at=earlier))
