"""Whether a node can do its work, and why not, in words."""

from __future__ import annotations

from crossdock.clock import Sources
from crossdock.model.epoch import Epoch
from crossdock.store import Store, open_store
from crossdock.watch.readiness import ReadinessCheck
from tests.support.held import HeldClock
from tests.support.postgres import OwnServer
from tests.support.runs import NODE


def check_of(store: Store, clock: HeldClock, *, confirmed: bool = True) -> ReadinessCheck:
    epoch = Epoch(NODE, lambda: 100.0)
    if confirmed:
        epoch.confirm(100.0, 10.0)
    return ReadinessCheck(store, Sources(clock, lambda: 0.0, epoch))


async def test_a_node_with_database_and_lease_is_ready(store: Store, clock: HeldClock) -> None:
    readiness = await check_of(store, clock).look()

    assert readiness.ready
    assert readiness.checks == {"database": "ok", "lease": "ok", "process": "ok"}


async def test_a_node_without_a_heartbeat_says_so(store: Store, clock: HeldClock) -> None:
    readiness = await check_of(store, clock, confirmed=False).look()

    assert not readiness.ready
    assert "no heartbeat has landed" in readiness.checks["lease"]
    assert readiness.checks["database"] == "ok"


async def test_a_node_that_stops_says_so(store: Store, clock: HeldClock) -> None:
    check = check_of(store, clock)
    check.is_leaving = True

    readiness = await check.look()

    assert not readiness.ready
    assert "takes nothing more" in readiness.checks["process"]


async def test_a_database_that_is_away_is_told_in_words(own_postgres: OwnServer, clock: HeldClock) -> None:
    async with open_store(own_postgres.url(own_postgres.create_database())) as store:
        own_postgres.stop()

        readiness = await check_of(store, clock).look()

    assert not readiness.ready
    assert "database" in readiness.checks["database"]
    assert readiness.checks["lease"] == "ok"


async def test_a_silent_database_is_not_waited_for_long(own_postgres: OwnServer, clock: HeldClock) -> None:
    async with open_store(own_postgres.url(own_postgres.create_database())) as store:
        await check_of(store, clock).look()
        own_postgres.freeze()
        try:
            readiness = await check_of(store, clock).look()
        finally:
            own_postgres.thaw()

    assert "did not answer within 2 s" in readiness.checks["database"]
