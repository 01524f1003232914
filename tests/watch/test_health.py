"""Health is judged soon after something has ended, and when time has changed something; by whichever node looks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from crossdock.clock import new_id
from crossdock.model.health import Health, HealthStatus
from crossdock.model.integration import HealthRules, RejectedCalls
from crossdock.model.outcome import Failure
from crossdock.model.states import RunMove
from crossdock.model.tally import Tally
from crossdock.store import Store, schema
from crossdock.store.backlog import add_rejections
from crossdock.store.claims import cancel_waiting
from crossdock.store.health import Means, evaluate, read_health
from crossdock.watch.health import HealthWatch
from crossdock.watch.upkeep import HEALTH_KEPT_SECONDS, Upkeep
from tests.support.held import HeldClock
from tests.support.runs import REFUSED, Runs, count
from tests.support.yard import Yard

INITIALIZING, ACTIVE, WARNING, ERROR, DISABLED = HealthStatus


class World:
    """A node that watches over integrations, and runs that end."""

    def __init__(self, store: Store, clock: HeldClock, folder: Path) -> None:
        self.store = store
        self.clock = clock
        self.yard = Yard(store, clock, folder)
        self.runs = Runs(store, clock.now)
        self.wakes = 0
        self.watch = HealthWatch(
            store, self.yard.catalog, self.yard.observe, self._wake, clock=clock, damping_seconds=60.0
        )

    def _wake(self) -> None:
        self.wakes += 1

    async def add(
        self, integration_id: str = "int_a", *, enabled: bool = True, revision: int = 1, **rules: Any
    ) -> None:
        """An integration with health rules, here and in the record."""
        live = await self.yard.add(integration_id, enabled=enabled)
        changed = replace(live.integration, health=HealthRules(**rules), revision=revision)
        self.yard.know(replace(live, integration=changed))
        row = schema.integration.c.id == integration_id
        change = update(schema.integration).where(row).values(enabled=enabled, revision=revision)
        await self.store.write(lambda connection: connection.execute(change) and None)

    async def end(self, *failures: Failure | None, integration_id: str = "int_a") -> None:
        self.runs.now = self.clock.now
        for failure in failures:
            run = await self.runs.leased(integration_id)
            await self.runs.settle(run, RunMove.FAIL if failure else RunMove.SUCCEED, failure=failure)

    async def look(self, after: float = 0.0) -> None:
        self.clock.advance(after)
        await self.watch.look_at_time()

    async def health(self, integration_id: str = "int_a") -> Health:
        known = await self.store.read(read_health, integration_id)
        assert known is not None
        return known

    async def status(self, integration_id: str = "int_a") -> HealthStatus:
        return (await self.health(integration_id)).status


@pytest.fixture
async def world(store: Store, clock: HeldClock, tmp_path: Path) -> AsyncIterator[World]:
    made = World(store, clock, tmp_path / "functions")
    yield made
    await made.yard.close()


async def test_what_ended_is_taken_in_and_shown(world: World) -> None:
    await world.add()
    await world.add("int_b")
    await world.end(REFUSED)
    await world.end(None, integration_id="int_b")

    await world.watch.take_in()
    await world.watch.measure()

    assert (await world.status(), await world.status("int_b")) == (WARNING, ACTIVE)
    text = world.yard.observe.text().decode()
    assert 'crossdock_integration_health{integration="int_a",state="warning"} 1.0' in text
    assert 'crossdock_integration_issues_open{integration="int_a"} 1.0' in text
    assert 'crossdock_health_changes_total{integration="int_a",state="warning"} 1.0' in text


async def test_a_change_of_which_a_webhook_is_told_wakes_the_senders(world: World) -> None:
    await world.add()
    await world.store.write(_add_webhook)
    await world.end(None)
    await world.watch.take_in()
    assert world.wakes == 0

    await world.end(REFUSED)
    await world.watch.take_in()

    assert world.wakes == 1
    assert await world.store.read(count, "notification") == 1


async def test_what_was_held_is_told_when_its_time_has_come(world: World, clock: HeldClock) -> None:
    await world.add(window=3, error_failures=2)
    await world.store.write(_add_webhook)
    for failures in ([REFUSED], [REFUSED], [None, None]):  # into warning, error, and warning again
        await world.end(*failures)
        await world.watch.take_in()
    await world.watch.release()
    assert await world.store.read(count, "notification") == 2

    clock.advance(60)
    await world.watch.release()

    assert await world.store.read(count, "notification") == 3
    assert world.wakes == 3


def _add_webhook(connection: Connection) -> None:
    document = {"filters": {"integrations": [], "types": [], "statuses": ["warning", "error"]}}
    row = {"id": "nwh_1", "workspace_id": "ws_1", "name": "chat", "active": True, "document": json.dumps(document)}
    connection.execute(insert(schema.notification_webhook).values(**row, revision=1, created_at=0, updated_at=0))


async def test_an_integration_that_can_not_be_read_is_left_alone_with_all_that_waits(world: World) -> None:
    await world.add()
    await world.end(REFUSED)
    snapshot = world.yard.catalog.snapshot
    world.yard.catalog.snapshot = replace(snapshot, by_id={}, broken={"int_a": "its master key is gone"})

    await world.watch.take_in()
    await world.look()

    assert await world.store.read(count, "outcome") == 1
    assert await world.store.read(count, "health") == 0


async def test_one_integration_that_can_not_be_judged_does_not_hold_up_the_others(world: World) -> None:
    await world.add()
    await world.add("int_b")
    broken = {"integration_id": "int_a", "token": "t", "kind": "run", "at": 1, "content": '[["?"]]'}
    await world.store.write(lambda connection: connection.execute(insert(schema.outcome).values(broken)) and None)
    await world.end(REFUSED, integration_id="int_b")

    await world.watch.take_in()
    await world.watch.take_in()

    assert await world.status("int_b") is WARNING
    assert await world.store.read(count, "outcome") == 1


# --- settings --------------------------------------------------------------------------------------------------------


async def test_switching_off_and_on_shows_with_the_next_look(world: World) -> None:
    await world.add()
    await world.end(None)
    await world.watch.take_in()

    await world.add(enabled=False, revision=2)
    await world.watch.take_in()
    assert await world.status() is DISABLED
    await world.add(revision=3)
    await world.watch.take_in()

    assert await world.status() is ACTIVE


async def test_changed_rules_show_with_the_next_look(world: World) -> None:
    await world.add()
    await world.end(None, REFUSED)
    await world.watch.take_in()

    await world.add(revision=2, error_failures=1)
    await world.watch.take_in()

    assert await world.status() is ERROR


async def test_settings_that_changed_while_nobody_looked_show_by_time(world: World) -> None:
    await world.add(enabled=False, revision=2)
    await world.store.write(lambda c: evaluate(c, [], {}, 0, Means(new_id)) and None)

    await world.look()
    assert await world.store.read(count, "health") == 0
    await world.add(revision=3)
    await world.look()

    assert await world.status() is INITIALIZING


# --- time ------------------------------------------------------------------------------------------------------------


async def test_silence_shows_by_time_and_ends_with_an_event(world: World) -> None:
    await world.add(silence=60.0)
    await world.end(None)
    await world.watch.take_in()

    await world.look(after=60)
    assert await world.status() is ACTIVE
    await world.look(after=1)
    assert await world.status() is WARNING
    await world.end(None)
    await world.look()

    assert await world.status() is ACTIVE


async def test_runs_that_wait_show_by_time(world: World) -> None:
    await world.add(backlog=10.0)
    waiting = await world.runs.queued()

    await world.look(after=11)
    assert await world.status() is WARNING
    await world.store.write(cancel_waiting, waiting, world.clock.now)
    await world.look()

    assert await world.status() is ACTIVE  # it has no workflow: recording is all that it does


async def test_refused_calls_show_by_time(world: World) -> None:
    await world.add(rejected_calls=RejectedCalls(5, 60.0))
    await world.look()

    await world.store.write(add_rejections, [("int_a", "unauthorized", 6, world.clock.now)])
    await world.look(after=5)

    assert [issue.message for issue in (await world.health()).issues] == [
        "6 calls were refused within PT60S: 6 unauthorized"
    ]


async def test_blocked_lanes_show_by_time(world: World) -> None:
    await world.add()
    run = await world.runs.leased()
    await world.runs.settle(run, RunMove.BLOCK, failure=REFUSED)

    await world.look()

    keys = {issue.key: issue.sample_event_id for issue in (await world.health()).issues}
    assert keys["blocked"] == run.event.id


async def test_looking_writes_nothing_where_nothing_has_changed(world: World) -> None:
    for number in range(60):
        await world.add(f"int_{number}", silence=3_600.0)
    await world.look()
    before = await world.store.read(_revisions)

    await world.look(after=30)

    assert len(before) == 60
    assert await world.store.read(_revisions) == before


def _revisions(connection: Connection) -> dict[str, int]:
    return {row.integration_id: row.revision for row in connection.execute(select(schema.health))}


# --- forgetting ------------------------------------------------------------------------------------------------------


async def test_old_changes_and_issues_are_forgotten_and_the_last_change_stays(
    world: World, clock: HeldClock, tmp_path: Path
) -> None:
    await world.add(window=1)
    for failure in (REFUSED, None):
        await world.end(failure)
        await world.watch.take_in()
    upkeep = _upkeep(world)

    clock.advance(HEALTH_KEPT_SECONDS)
    await upkeep.forget_health()
    assert await world.store.read(count, "health_change") == 2
    clock.advance(1)
    await upkeep.forget_health()

    assert await world.store.read(count, "health_change") == 1
    assert await world.store.read(count, "health_issue") == 0
    assert await world.status() is ACTIVE


async def test_all_that_tells_of_a_removed_integration_is_forgotten(world: World) -> None:
    await world.add()
    await world.add("int_b")
    for name in ("int_a", "int_b"):
        await world.end(REFUSED, integration_id=name)
    await world.watch.take_in()
    await world.end(REFUSED)
    await world.store.write(_remove, "int_a")

    await _upkeep(world).forget_health()

    for table in ("health", "health_issue", "health_change"):
        assert await world.store.read(count, table) == 1
    assert await world.store.read(count, "outcome") == 0


def _remove(connection: Connection, integration_id: str) -> None:
    connection.execute(schema.integration.delete().where(schema.integration.c.id == integration_id))


def _upkeep(world: World) -> Upkeep:
    return Upkeep(
        world.store,
        world.yard.catalog,
        world.yard.observe,
        Tally().take,
        clock=world.clock,
        queue_limit=5,
        retention_seconds=10.0,
        audit_retention_seconds=10.0,
    )
