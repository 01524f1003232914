"""What statements cost PostgreSQL beside 1,000,000 finished runs and 100,000 runs in blocked lanes: a few pages each.

Each statement is really carried out and its pages are counted (EXPLAIN ANALYZE, BUFFERS), once before anybody has
gathered statistics about the tables, and once after. A shape of a plan may mislead; a page that is read does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event, text

from crossdock.model.states import DeliveryMove, RunMove
from crossdock.model.time import later
from crossdock.store.accept import Accept, DedupeKey, Lease
from crossdock.store.backlog import blocked_lanes, count_backlog
from crossdock.store.claims import (
    Claim,
    cancel_waiting,
    claim_quarantined,
    end_delays,
    held_runs,
    pull_back_runs,
    read_leases,
    request_cancel,
    rescue_runs,
    return_runs,
)
from crossdock.store.database import Database, open_database
from crossdock.store.deliveries import (
    AttemptSettle,
    DeliveryClaim,
    expire_due,
    look_for_deliveries,
    pull_back_deliveries,
    read_sending,
    rescue_deliveries,
)
from crossdock.store.events import show_event
from crossdock.store.lanes import (
    LaneClaim,
    LaneRelease,
    LaneTurn,
    acquire_lanes,
    count_lanes_by_node,
    has_orphan_lanes,
    head_of,
    list_lanes,
    read_lane,
    release_run,
    stalled_lanes,
)
from crossdock.store.nodes import beat, bury, list_nodes, unregistered_holders
from crossdock.store.retention import (
    cancel_runs_of,
    forget_dedupe_keys,
    forget_events,
    forget_lanes,
    removed_integrations,
)
from crossdock.store.run_look import look_for_runs
from crossdock.store.settle import Checkpoint, Settle
from crossdock.store.status import read_status
from tests.support.large import FILL, NOW, blocked_id, past_id, present_id
from tests.support.postgres import ForeignServer
from tests.support.runs import NODE, OTHER_NODE, a_step, an_entry, an_event

pytestmark = [pytest.mark.xdist_group("scale"), pytest.mark.timeout(180)]

Look = Callable[[Connection], Any]

FEW = 320
"""Pages that a statement may touch: four probes of four pages each for each of 20 integrations, and less for most."""


@pytest.fixture(scope="module")
def large(postgres: ForeignServer, postgres_template: str) -> Iterator[Database]:
    name = postgres.create_database(postgres_template)
    with psycopg.connect(postgres.url(name), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for statement in FILL:
            connection.execute(statement)
    database = open_database(postgres.url(name))
    yield database
    database.dispose()
    postgres.drop_database(name)


def changed(*changes: Any) -> Look:
    return lambda connection: type(changes[0]).record(connection, changes)


def accepts(count: int, **more: Any) -> list[Accept]:
    return [Accept(an_event(NOW, "int_01"), 1, **more) for _ in range(count)]


def settle(n: int, move: RunMove) -> Settle:
    return Settle(present_id(n), "int_01", f"t{n}", move, NOW, entry=an_entry(1, a_step()))


HOT: dict[str, Look] = {
    "accept": changed(*accepts(3, lease=Lease(NODE, "n"))),
    "accept in a lane": changed(*accepts(3, lease=Lease(NODE, "n"), lane_key="k21")),
    "accept once": changed(*accepts(3, dedupe=DedupeKey("k21", 60.0))),
    "checkpoint": changed(Checkpoint(present_id(41901), "t41901", an_entry(0, a_step()))),
    "succeed": changed(settle(41902, RunMove.SUCCEED)),
    "retry": changed(settle(41903, RunMove.RETRY)),
    "claim": changed(Claim("int_01", NODE, ("n1", "n2", "n3"), NOW)),
    "claim nothing": changed(Claim("int_99", NODE, ("n1", "n2"), NOW)),
    "claim deliveries": changed(DeliveryClaim("int_01", NODE, ("n1", "n2"), NOW)),
    "settle a delivery": changed(AttemptSettle("dlv_" + present_id(7), "t", 1, DeliveryMove.DELIVER, NOW)),
    "turn of a lane": changed(LaneTurn(None, LaneClaim(blocked_id(21), "n", NODE, NOW, "lt1"))),
    "release of a lane": changed(LaneRelease("int_01:o1", "lt1")),
    "heartbeat": lambda c: beat(c, NODE, NOW),
    "nodes": list_nodes,
    "bury": lambda c: bury(c, NODE, {OTHER_NODE: 1}),
    "status": lambda c: read_status(c, past_id(5_001)),
    "event": lambda c: show_event(c, "ws_1", past_id(5_001)),
    "cancel": lambda c: cancel_waiting(c, present_id(41_000), NOW),
    "ask to stop": lambda c: request_cancel(c, present_id(41_901)),
    "release by an operator": lambda c: release_run(c, blocked_id(7), NOW),
}
POLLED: dict[str, Look] = {
    "look for runs": lambda c: look_for_runs(c, NODE, NOW),
    "look for deliveries": lambda c: look_for_deliveries(c, NOW),
    "quarantine": lambda c: claim_quarantined(c, NODE, "n", NOW),
    "delays": lambda c: end_delays(c, NOW),
    "own runs": lambda c: read_leases(c, NODE),
    "own deliveries": lambda c: read_sending(c, NODE),
    "expiry": lambda c: expire_due(c, NOW),
    "orphans": has_orphan_lanes,
    "adopt": lambda c: acquire_lanes(c, NODE, ["n1", "n2"]),
    "shares": count_lanes_by_node,
    "head": lambda c: head_of(c, "int_01:k21"),
    "read a lane": lambda c: read_lane(c, "int_01:k21", 5, 20),
    "holders": unregistered_holders,
    "removed integrations": removed_integrations,
    "deliveries of the dead": lambda c: rescue_deliveries(c, ["node_gone"], NOW),
}
BOUNDED: dict[str, tuple[Look, int]] = {
    # what a statement takes is bounded, and so is what it costs: pages for each row that it deals with
    "stalled lanes, of 50": (lambda c: stalled_lanes(c, NODE, NOW), 500),
    "20 lanes on a page, with 100 runs each": (lambda c: list_lanes(c, "int_01", "", 20), 2_500),
    "1,000 blocked lanes": (blocked_lanes, 1_100),
    "count of 1,000 of each of 20": (lambda c: count_backlog(c, [f"int_{n:02}" for n in range(20)], 1_000), 22_000),
    "runs of the dead, 50": (lambda c: rescue_runs(c, [OTHER_NODE], NODE, NOW, "n"), 2_000),
    "held by the dead": (lambda c: held_runs(c, [OTHER_NODE]), FEW),
    "hand back 50 runs": (lambda c: return_runs(c, [f"t{n}" for n in range(41_901, 41_951)], NOW), 1_500),
    "cancel 100 runs": (lambda c: cancel_runs_of(c, "int_01", NOW, 100), 4_000),
    "forget 100 events": (lambda c: forget_events(c, "int_01", later(NOW, -90_000), 100), 2_500),
    "pass over 100 events": (lambda c: forget_events(c, "int_01", NOW, 100, past_id(1)), 1_000),
    "forget 100 keys": (lambda c: forget_dedupe_keys(c, later(NOW, 60), 100), 1_000),
    "pull back 20,000 runs after a clock was wrong": (lambda c: pull_back_runs(c, NOW), 15_000),
    "pull back 20,000 deliveries": (lambda c: pull_back_deliveries(c, NOW), 15_000),
    "look at 100 lanes": (lambda c: forget_lanes(c, NOW, 100), 500),
}
ALL = {name: (look, FEW) for name, look in (HOT | POLLED).items()} | BOUNDED


def costs(database: Database, act: Look) -> dict[str, int]:
    """The statements of `act`, each with the pages that it touches. Nothing of it is kept."""
    found: dict[str, int] = {}

    def explain(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        driver: Any = connection.connection.dbapi_connection
        with driver.cursor() as cursor:
            cursor.execute("SAVEPOINT explained")
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement}", parameters)
            ((plan,),) = cursor.fetchall()
            cursor.execute("ROLLBACK TO SAVEPOINT explained")
        root = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
        found[statement] = root["Shared Hit Blocks"] + root["Shared Read Blocks"]

    with database.writer.connect() as connection:
        database.begin(connection)
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        event.listen(connection, "before_cursor_execute", explain)
        act(connection)
        event.remove(connection, "before_cursor_execute", explain)
        connection.exec_driver_sql("ROLLBACK")
    assert found
    return found


def too_dear(database: Database, looks: dict[str, tuple[Look, int]]) -> list[str]:
    return [
        f"{name}: {pages} pages of at most {most} for {statement}"
        for name, (look, most) in looks.items()
        for statement, pages in costs(database, look).items()
        if pages > most
    ]


def test_a_dear_statement_is_noticed(large: Database) -> None:
    """The guard itself: it sees what reads a table, or a whole index."""
    dear: dict[str, tuple[Look, int]] = {
        "table": (lambda c: c.execute(text("SELECT count(*) FROM run WHERE attempts = 7")), FEW),
        "index": (lambda c: c.execute(text("SELECT count(*) FROM run WHERE lane_id > '' AND state = 'queued'")), FEW),
    }

    assert len(too_dear(large, dear)) == 2


def test_statements_touch_few_pages_before_anybody_has_gathered_statistics(large: Database) -> None:
    assert too_dear(large, ALL) == []


def test_statements_touch_few_pages_with_statistics(large: Database) -> None:
    with large.direct.connect() as connection:
        connection.execute(text("ANALYZE"))

    assert too_dear(large, ALL) == []
