"""What people see of nodes and of what waits for them."""

from __future__ import annotations

import pytest

from crossdock.model.states import RunMove
from crossdock.store import Store
from crossdock.store.lanes import LaneClaim, LaneTurn, acquire_lanes
from crossdock.store.nodes import Condition, NodeRow, announce_leaving, beat, register_node
from crossdock.store.settle import Settle
from tests.api.conftest import Api
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE
from tests.support.story import FAILURE

ORDERED = {"ordered_delivery": True, "ordering_key": "{{ body.a }}"}


async def add_node(store: Store, clock: HeldClock, node_id: str) -> None:
    row = NodeRow(node_id, "one.example", 7, "0.9", clock(), clock(), "run,web", "http://one.example:8420")
    await store.write(register_node, row)
    await store.write(beat, node_id, clock(), Condition("mk_1", hears=False))


async def test_nodes_are_shown_with_all_that_is_known_of_them(api: Api, store: Store, clock: HeldClock) -> None:
    await add_node(store, clock, NODE)
    await add_node(store, clock, OTHER_NODE)
    await store.write(announce_leaving, OTHER_NODE)

    here, there = (await api.call("GET", "/api/v1/nodes", who="charlie")).json["items"]

    assert (here["id"], here["is_this"], here["state"]) == (NODE, True, "working")
    assert (there["id"], there["is_this"], there["state"]) == (OTHER_NODE, False, "leaving")
    assert here["roles"] == ["run", "web"]
    assert (here["host"], here["pid"], here["address"]) == ("one.example", 7, "http://one.example:8420")
    assert (here["key_ids"], here["hears_signals"]) == (["mk_1"], False)
    assert 0 <= here["heartbeat_age_seconds"] < 60
    assert here["leases"] == {"run": 0, "lane": 0, "delivery": 0, "bulk_job": 0}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_node_that_was_not_heard_of_lately_is_silent(api: Api, store: Store, clock: HeldClock) -> None:
    await add_node(store, clock, OTHER_NODE)
    clock.advance(6)

    (node,) = (await api.call("GET", "/api/v1/nodes")).json["items"]

    assert (node["state"], node["heartbeat_age_seconds"]) == ("silent", 6.0)


async def test_the_integration_with_most_to_do_comes_first(api: Api, clock: HeldClock) -> None:
    few, many = await api.make("Few"), await api.make("Many")
    await api.story.receive(few["id"])
    for _ in range(2):
        await api.story.receive(many["id"])
    await api.story.fail(many["id"], RunMove.RETRY)
    await api.story.succeed(few["id"], reply="dlv_1")
    clock.advance(30)

    first, second = (await api.call("GET", "/api/v1/backlog", who="charlie")).json["items"]

    assert first["integration"] == {"id": many["id"], "name": "Many"}
    assert {name: first[name] for name in ("unfinished", "queued", "retrying", "running", "waiting")} == {
        "unfinished": 3,
        "queued": 2,
        "retrying": 1,
        "running": 0,
        "waiting": 0,
    }
    assert first["oldest_age_seconds"] == pytest.approx(31.25)
    assert (second["unfinished"], second["replies_waiting"], second["replies_overdue_seconds"]) == (1, 1, 30.0)
    assert first["complete"]
    assert first["lanes"] == []


async def test_pages_of_the_backlog_follow_one_another(api: Api) -> None:
    for name in ("A", "B", "C"):
        await api.story.receive((await api.make(name))["id"])

    first = (await api.call("GET", "/api/v1/backlog?limit=2")).json
    rest = (await api.call("GET", f"/api/v1/backlog?limit=2&cursor={first['next']}")).json

    assert [len(page["items"]) for page in (first, rest)] == [2, 1]
    names = {item["integration"]["name"] for page in (first, rest) for item in page["items"]}
    assert names == {"A", "B", "C"}
    assert rest["next"] is None


async def test_the_deepest_lanes_say_what_they_wait_for(api: Api, store: Store, clock: HeldClock) -> None:
    made = await api.make(trigger=ORDERED)
    for key in ("deep", "deep", "shallow"):
        await api.story.receive(made["id"], lane=key)
    await store.write(acquire_lanes, NODE, ["t1"])
    clock.advance(5)

    (item,) = (await api.call("GET", "/api/v1/backlog")).json["items"]
    deep, shallow = item["lanes"]

    assert (deep["key"], deep["depth"], deep["waiting"], deep["head_age_seconds"]) == ("deep", 2, 1, 5.0)
    assert shallow["depth"] == 1
    assert sorted(lane["why"] for lane in item["lanes"]) == [
        "its head may start",
        "no node owns it: one that runs workflows takes it within seconds",
    ]


async def test_a_blocked_lane_says_what_to_do(api: Api, store: Store, clock: HeldClock) -> None:
    made = await api.make(trigger=ORDERED)
    event_id = await api.story.receive(made["id"], lane="k")
    ((_, _, lane_token),) = await store.write(acquire_lanes, NODE, ["t1"])
    await store.submit(LaneTurn(None, LaneClaim(event_id, "r1", NODE, clock(), lane_token)))
    assert await store.submit(Settle(event_id, made["id"], "r1", RunMove.BLOCK, clock(), failure=FAILURE))

    (item,) = (await api.call("GET", "/api/v1/backlog")).json["items"]

    assert item["blocked"] == 1
    assert item["lanes"][0]["status"] == "blocked"
    assert "retry, skip or park" in item["lanes"][0]["why"]


async def test_the_backlog_of_another_workspace_is_not_shown(api: Api) -> None:
    await api.story.receive((await api.make())["id"])

    assert (await api.call("GET", "/api/v1/backlog", who="dora")).json["items"] == []


@pytest.mark.parametrize("path", ["/api/v1/nodes", "/api/v1/backlog"])
async def test_nobody_sees_it_without_a_token(api: Api, path: str) -> None:
    assert (await api.call("GET", path, who="")).status == 401
