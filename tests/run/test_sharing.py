"""Two nodes on one database: what the first one has no room for, the other takes, and together they keep to limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crossdock.clock import Sources
from crossdock.observe import Observe
from crossdock.store import Store, open_store
from crossdock.store.claims import Rescued
from crossdock.store.nodes import Condition, write_stance
from crossdock.watch.liveness import Liveness
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE
from tests.support.yard import Yard, until

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

HELD: Any = {"id": "h", "python": {"function": "work:held", "arguments": {"name": "{{ body.name }}"}}}


class Neighbour:
    """A node with its own connections and its heartbeat."""

    def __init__(self, store: Store, clock: HeldClock, folder: Path, node_id: str) -> None:
        self.yard = Yard(store, clock, folder, node_id)
        self.yard.epoch.is_alone = False
        self.liveness = Liveness(
            store,
            Observe(),
            self,
            sources=Sources(clock, lambda: 0.0, self.yard.epoch),
            monotonic=lambda: 0.0,
            ttl_seconds=10.0,
            heartbeat_seconds=2.0,
            roles="run",
            condition=lambda: Condition(stance=write_stance(self.yard.stage.stance())),
        )

    async def rescued(self, rescued: Rescued) -> None: ...

    async def abandon(self) -> None: ...

    async def beat(self) -> None:
        await self.liveness.beat()
        self.yard.stage.heard_of_others()

    @property
    def names(self) -> list[str]:
        """The calls that were begun here."""
        return list(self.yard.calls)


@pytest.fixture
async def here(store: Store, clock: HeldClock, tmp_path: Path) -> AsyncIterator[Neighbour]:
    node = Neighbour(store, clock, tmp_path / NODE, NODE)
    await node.liveness.register()
    node.yard.start()
    yield node
    await node.yard.close()


@pytest.fixture
async def there(store: Store, database_url: str, clock: HeldClock, tmp_path: Path) -> AsyncIterator[Neighbour]:
    """It is not registered yet."""
    async with open_store(database_url) as own_store:
        node = Neighbour(own_store, clock, tmp_path / OTHER_NODE, OTHER_NODE)
        node.yard.start()
        yield node
        await node.yard.close()


async def add(here: Neighbour, there: Neighbour, integration_id: str = "int_a", concurrency: int = 4) -> None:
    for node in (here, there):
        await node.yard.add(integration_id, [HELD], concurrency=concurrency)


async def call(node: Neighbour, *names: str, integration_id: str = "int_a") -> list[str]:
    path = f"/hooks/yard/{integration_id}"
    return [await node.yard.accepted(path, body=b'{"name": "%s"}' % name.encode()) for name in names]


async def join(here: Neighbour, there: Neighbour) -> None:
    """The second node comes, and both hear of each other and of what they tell."""
    await there.liveness.register()
    await hear(here, there)


async def hear(here: Neighbour, there: Neighbour) -> None:
    for _ in range(2):
        for node in (here, there):
            await node.beat()


async def test_what_a_full_node_has_no_room_for_is_taken_by_another(here: Neighbour, there: Neighbour) -> None:
    await add(here, there)
    await join(here, there)
    names = [f"n{n}" for n in range(8)]

    events = await call(here, *names)
    await until(lambda: len(here.names) == len(there.names) == 2)
    for node in (here, there):
        node.yard.open(*names)
    for event_id in events:
        await here.yard.until(event_id, "succeeded")

    assert sorted(here.names + there.names) == names  # each once


async def test_together_they_never_have_more_in_work_than_the_limit(here: Neighbour, there: Neighbour) -> None:
    await add(here, there)
    names = [f"n{n}" for n in range(9)]
    events = await call(here, *names)
    await here.yard.until_calls(4)

    await join(here, there)
    there.yard.stage.wake()
    here.yard.open(names[0])
    await here.yard.until(events[0], "succeeded")
    await hear(here, there)
    above = (len(here.names), len(there.names))  # three in work at the first one, whose share is two
    here.yard.open(names[1])
    await here.yard.until(events[1], "succeeded")
    await hear(here, there)
    await until(lambda: len(there.names) == 2)

    assert above == (4, 0)
    assert len(here.names) == 4


async def test_a_node_without_a_share_takes_calls_for_the_others(here: Neighbour, there: Neighbour) -> None:
    await add(here, there, concurrency=1)
    await join(here, there)

    events = await call(here, "n0") + await call(there, "n1")
    for node in (here, there):
        node.yard.open("n0", "n1")
    for event_id in events:
        await here.yard.until(event_id, "succeeded")

    assert sorted([here.names, there.names], key=len) == [[], ["n0", "n1"]]


async def test_a_long_backlog_of_one_integration_keeps_no_other_from_being_taken(
    here: Neighbour, there: Neighbour
) -> None:
    await add(here, there, "int_a", concurrency=2)
    await add(here, there, "int_b", concurrency=2)
    await join(here, there)
    await call(here, *[f"a{n}" for n in range(20)], integration_id="int_a")

    await call(here, *[f"b{n}" for n in range(4)], integration_id="int_b")
    await until(lambda: len(here.names) == len(there.names) == 2)

    assert [sorted(name[0] for name in node.names) for node in (here, there)] == [["a", "b"], ["a", "b"]]


async def test_runs_of_a_node_that_stops_go_on_elsewhere(here: Neighbour, there: Neighbour) -> None:
    await add(here, there)
    await join(here, there)
    events = await call(here, "n0", "n1", "n2", "n3")
    await until(lambda: len(here.names) == len(there.names) == 2)

    await here.yard.stop()
    await hear(here, there)
    await until(lambda: len(there.names) == 4)
    there.yard.open("n0", "n1", "n2", "n3")

    for event_id in events:
        await there.yard.until(event_id, "succeeded")


async def test_workflows_without_side_effects_are_not_limited(here: Neighbour, there: Neighbour) -> None:
    pure: Any = [{"id": "t", "transform": {"a": 1}}]
    live = [await node.yard.add("int_a", pure, concurrency=1) for node in (here, there)]
    await join(here, there)
    for node in (here, there):
        await node.yard.until(await node.yard.accepted(), "succeeded")  # it is known to be pure from now on

    offers = [node.yard.stage.offer(each) for node, each in zip((here, there), live, strict=True) for _ in range(2)]

    assert None not in offers
