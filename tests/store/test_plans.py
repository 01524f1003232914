"""How the database finds rows: by an index, however many finished runs and events lie around."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text

from crossdock.model.states import RunMove, RunState
from crossdock.model.time import later
from crossdock.model.traffic import HOUR, SLOT
from crossdock.store import Store, schema
from crossdock.store.accept import Accept, Accepted, DedupeKey
from crossdock.store.attention import last_received, oldest_blocked
from crossdock.store.audit import AuditFilter, audit_entry, audit_page, forget_audit
from crossdock.store.backlog import blocked_lanes, count_backlog
from crossdock.store.claims import (
    Claim,
    cancel_run,
    cancel_waiting,
    claim_quarantined,
    end_delays,
    read_leases,
    request_cancel,
    rescue_runs,
)
from crossdock.store.deliveries import DeliveryClaim, look_for_deliveries, read_sending
from crossdock.store.event_bites import bite_of_events, position_before_last
from crossdock.store.event_search import count_events, list_events
from crossdock.store.events import EventFilter, read_steps, show_event
from crossdock.store.fleet import (
    count_bulk_jobs,
    count_unfinished,
    count_waiting_deliveries,
    deepest_lanes,
    see_nodes,
)
from crossdock.store.lanes import (
    LaneClaim,
    LaneRelease,
    LaneTurn,
    acquire_lanes,
    has_orphan_lanes,
    head_of,
    list_lanes,
    read_lane,
    release_run,
)
from crossdock.store.nodes import unregistered_holders
from crossdock.store.notice_deliveries import NoticeClaim
from crossdock.store.notifications import list_notifications, show_notification
from crossdock.store.retention import cancel_runs_of, forget_events, forget_notifications, removed_integrations
from crossdock.store.run_look import look_for_runs
from crossdock.store.settle import Checkpoint
from crossdock.store.status import read_status
from crossdock.store.telling import drop_notices_of
from crossdock.store.traffic import (
    count_runs,
    count_unfinished_runs,
    forget_traffic,
    integrations_with_traffic,
    kept_slots,
    kept_sums,
    next_acceptance,
    open_slots,
)
from tests.support.held import START, HeldClock
from tests.support.runs import NODE, OTHER_NODE, Runs, a_step, add_integration, an_entry, an_event, settle_of

LARGE = ("run", "event", "journal", "delivery", "attempt", "notification", "audit", "traffic")
SMALL_INDEXES = {
    index.name
    for table in schema.metadata.tables.values()
    for index in table.indexes
    if index.dialect_options["sqlite"]["where"] is not None
}
"""Indexes that hold unfinished rows only: going through all of one is what some questions are about."""
FINISHED = 2_000


@pytest.fixture
async def full(store: Store, clock: HeldClock) -> Runs:
    """A store with many finished events, and some of every kind that is not."""
    runs = Runs(store, clock.now)
    await store.write(add_integration, "int_a")
    await store.write(add_integration, "int_b")
    await store.write(_add_finished)
    for lane in (None, "k", "l"):
        for _ in range(20):
            await runs.queued(lane=lane)
    run = await runs.leased()
    await runs.checkpoint(run, an_entry(0, a_step()))
    await runs.settle(await runs.leased(), RunMove.BLOCK)
    await runs.settle(await runs.leased(), RunMove.DELAY, due_at=later(runs.now, 60))
    await runs.settle(await runs.leased(), RunMove.RETRY, due_at=later(runs.now, 60))
    if store.dialect == "postgresql":
        await store.write(_pretend_more)
    return runs


def _add_finished(connection: Connection) -> None:
    """Rows as ends leave them."""
    ids = [an_event(START - n * 1_000_000).id for n in range(FINISHED)]
    common = {"integration_id": "int_a", "state": "succeeded", "attempts": 1}
    times = {"accepted_at": 1, "due_at": 1, "finished_at": 1}
    run = {**common, **times, "workflow_number": 1, "losses": 0, "cancel_requested": False}
    call = {"method": "POST", "path": "/", "query": "[]", "headers": "[]", "content_type": "", "source_ip": ""}
    event_row = {"integration_id": "int_a", "received_at": START, **call, "size": 200, "body": b"x" * 200}
    reply = {**common, "kind": "reply", "state": "delivered", "created_at": 1, "due_at": 1, "finished_at": 1}
    connection.execute(insert(schema.event), [{"id": one, **event_row} for one in ids])
    connection.execute(insert(schema.run), [{"event_id": one, **run} for one in ids])
    connection.execute(insert(schema.journal), [{"event_id": one, "position": 0, "steps": "[]"} for one in ids])
    connection.execute(insert(schema.delivery), [{"id": f"dlv_{one}", "event_id": one, **reply} for one in ids])
    told = {**reply, "kind": "notification", "integration_id": "", "webhook_id": "nwh_1"}
    notices = [f"dlv_{n:012x}" for n in range(FINISHED)]
    connection.execute(insert(schema.delivery), [{"id": one, **told} for one in notices])
    about = {"webhook_id": "nwh_1", "integration_id": "int_a", "change_ids": "[]"}
    connection.execute(insert(schema.notification), [{"delivery_id": one, **about} for one in notices])
    webhook = {"workspace_id": "ws_1", "active": True, "revision": 1, "created_at": 0, "updated_at": 0}
    both = [{"id": one, "name": one, "document": "{}", **webhook} for one in ("nwh_1", "nwh_2")]
    connection.execute(insert(schema.notification_webhook), both)
    waiting = {**told, "state": "queued", "due_at": START, "created_at": START, "finished_at": None, "attempts": 0}
    connection.execute(insert(schema.delivery), [{**waiting, "id": f"dlv_f{n}"} for n in range(5)])
    connection.execute(insert(schema.notification), [{**about, "delivery_id": f"dlv_f{n}"} for n in range(5)])
    who = {"actor_id": "usr_1", "actor_name": "alice", "action": "key.added", "subject_name": "a key"}
    log = [{"id": f"aud_{n:012x}", "subject_id": f"key_{n}", "workspace_id": "ws_1", "at": n} for n in range(FINISHED)]
    connection.execute(insert(schema.audit), [{**one, **who} for one in log])


def _pretend_more(connection: Connection) -> None:
    """Tell PostgreSQL that its tables are a thousand times as large: it reads a small one whole, and rightly."""
    connection.execute(text("ANALYZE"))
    names = ", ".join(f"'{name}'" for name in LARGE)
    connection.execute(text(f"UPDATE pg_class SET reltuples = reltuples * 1000 WHERE relname IN ({names})"))


def statements_of(connection: Connection, act: Callable[[Connection], Any]) -> list[str]:
    """What is asked of the database to carry out `act`."""
    return [statement for statement, _ in _asked(connection, act)]


def scans(connection: Connection, act: Callable[[Connection], Any]) -> list[str]:
    """Every place where carrying out `act` would read a whole large table."""
    seen = _asked(connection, act)
    explain = _sqlite_scans if connection.dialect.name == "sqlite" else _postgresql_scans
    return [
        f"{found} in {statement}"
        for statement, parameters in seen
        for found in explain(connection, statement, parameters)
    ]


def _asked(connection: Connection, act: Callable[[Connection], Any]) -> list[tuple[str, Any]]:
    seen: list[tuple[str, Any]] = []

    def listen(_: Any, _cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        seen.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", listen)
    act(connection)
    event.remove(connection, "before_cursor_execute", listen)
    assert seen
    return seen


def _sqlite_scans(connection: Connection, statement: str, parameters: Any) -> Iterator[str]:
    assert connection.connection.dbapi_connection is not None
    cursor = connection.connection.dbapi_connection.cursor()
    for *_, detail in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall():
        words = detail.split()
        # Everything behind NULL is everything, too: `event_id IS NOT NULL` is no reason to read all replies.
        is_scan = words[0] == "SCAN" or "delivery USING INDEX ix_delivery_event_id (event_id>?)" in detail
        if is_scan and words[1] in LARGE and not SMALL_INDEXES & set(words):
            yield detail
    cursor.close()


def _postgresql_scans(connection: Connection, statement: str, parameters: Any) -> Iterator[str]:
    assert connection.connection.dbapi_connection is not None
    cursor = connection.connection.dbapi_connection.cursor()
    cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
    ((plan,),) = cursor.fetchall()
    cursor.close()
    yield from _whole_tables((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])


def _whole_tables(node: dict[str, Any]) -> Iterator[str]:
    is_whole = "Index Cond" not in node and node.get("Index Name") not in SMALL_INDEXES
    if (
        node.get("Relation Name") in LARGE
        and node["Node Type"] in ("Seq Scan", "Index Scan", "Index Only Scan")
        and is_whole
    ):
        yield f"{node['Node Type']} of {node['Relation Name']} {node.get('Index Name', '')}"
    for inner in node.get("Plans", ()):
        yield from _whole_tables(inner)


async def test_a_whole_table_is_noticed(store: Store, full: Runs) -> None:
    """The guard itself: it sees a query without an index."""

    def look(connection: Connection) -> None:
        connection.execute(text("SELECT count(*) FROM run WHERE attempts = 7"))

    assert await store.write(scans, look)


async def test_the_hot_changes_read_no_whole_table(store: Store, full: Runs) -> None:
    now = full.now
    run = await full.leased()
    lane_event = await full.accept(lane="new", leased=True)
    assert isinstance(lane_event, Accepted)
    claim = LaneClaim(lane_event.event.id, "t", NODE, now, str(lane_event.lane_token))
    changes: list[Any] = [
        Accept(an_event(now), 1, dedupe=DedupeKey("k", 60.0)),
        full.change(an_event(now), lane="k", leased=True),
        full.change(an_event(now), leased=True),
        Checkpoint(run.event.id, run.lease_token, an_entry(5, a_step())),
        settle_of(run, RunMove.SUCCEED, now, entry=an_entry(6, a_step())),
        LaneTurn(None, claim),
        LaneRelease("int_a:k", "t"),
        Claim("int_a", NODE, ("t1", "t2"), now),
        DeliveryClaim("int_a", NODE, ("t1", "t2"), now),
        NoticeClaim("nwh_1", NODE, ("t3", "t4"), now),
    ]
    for change in changes:
        assert await store.write(scans, lambda connection, c=change: type(c).record(connection, [c])) == []


async def test_looking_for_work_reads_no_whole_table(store: Store, full: Runs) -> None:
    now = full.now
    looks: list[Callable[[Connection], Any]] = [
        lambda c: look_for_runs(c, NODE, now),
        lambda c: end_delays(c, now),
        lambda c: claim_quarantined(c, NODE, "q", now),
        lambda c: read_leases(c, NODE),
        lambda c: read_sending(c, NODE),
        lambda c: rescue_runs(c, [OTHER_NODE], NODE, now, "r"),
        lambda c: unregistered_holders(c),
        lambda c: has_orphan_lanes(c),
        lambda c: acquire_lanes(c, NODE, ["t"]),
        lambda c: read_lane(c, "int_a:k", 3, 9),
        lambda c: head_of(c, "int_a:k"),
        lambda c: list_lanes(c, "int_a", "", 9),
        lambda c: count_backlog(c, ["int_a", "int_b"], 99),
        lambda c: blocked_lanes(c),
        lambda c: look_for_deliveries(c, now),
    ]
    for look in looks:
        assert await store.write(scans, look) == []


async def test_looking_at_all_nodes_reads_no_whole_table(store: Store, full: Runs) -> None:
    looks: list[Callable[[Connection], Any]] = [
        lambda c: see_nodes(c, full.now),
        count_unfinished,
        count_waiting_deliveries,
        count_bulk_jobs,
        lambda c: deepest_lanes(c, 20),
        lambda c: deepest_lanes(c, 20, "int_a"),
    ]
    for look in looks:
        assert await store.write(scans, look) == []


async def test_operators_and_callers_read_no_whole_table(store: Store, full: Runs) -> None:
    event_id = await full.queued()
    now = full.now
    looks: list[Callable[[Connection], Any]] = [
        lambda c: read_status(c, event_id),
        lambda c: cancel_waiting(c, event_id, now),
        lambda c: request_cancel(c, event_id),
        lambda c: cancel_run(c, event_id, now),
        lambda c: release_run(c, event_id, now),
        lambda c: release_run(c, event_id, now, lane_id="int_a:k"),
        lambda c: show_event(c, "ws_1", event_id),
        lambda c: read_steps(c, "ws_1", event_id),
        lambda c: list_events(c, "ws_1", EventFilter(integration_id="int_b"), limit=20),
        lambda c: bite_of_events(c, "ws_1", EventFilter(integration_id="int_b"), limit=20, after="evt_0"),
        lambda c: bite_of_events(c, "ws_1", EventFilter(states=(RunState.FAILED,), received_before=now), limit=20),
        lambda c: position_before_last(c, "int_b", 20),
        lambda c: list_notifications(c, "ws_1", "nwh_1", limit=20, before="dlv_9"),
        lambda c: show_notification(c, "ws_1", "dlv_f1"),
        lambda c: drop_notices_of(c, "nwh_1", now, "it was switched off"),
        lambda c: audit_page(c, "ws_1", AuditFilter(search="alice"), limit=20, after_id="aud_9"),
        lambda c: audit_page(c, "ws_1", AuditFilter(subject_id="key_1", action="key"), limit=20),
        lambda c: audit_entry(c, "ws_1", "aud_9"),
    ]
    for look in looks:
        assert await store.write(scans, look) == []


async def test_pages_read_no_whole_table(store: Store, full: Runs) -> None:
    now = full.now
    hour_ago = later(now, -3_600)
    filters = [
        EventFilter(),
        EventFilter(states=(RunState.FAILED,)),
        EventFilter(states=(RunState.CANCELED,), received_after=hour_ago),
        EventFilter(states=(RunState.QUEUED, RunState.RETRYING), integration_id="int_a"),
        EventFilter(has_failed_reply=True),
        EventFilter(has_failed_reply=True, integration_id="int_b"),
        EventFilter(search="x", key="k", method="POST"),
        EventFilter(replay_of="evt_1"),
    ]
    looks: list[Callable[[Connection], Any]] = [
        *(partial(list_events, workspace_id="ws_1", wanted=wanted, limit=20, after="evt_9") for wanted in filters),
        # Without a time they begin at the newest event, in its index, and look at a bounded number.
        *(
            partial(count_events, workspace_id="ws_1", wanted=replace(wanted, received_after=hour_ago))
            for wanted in filters
        ),
        lambda c: count_runs(c, hour_ago, now, SLOT),
        lambda c: count_runs(c, hour_ago, now, SLOT, ["int_a"]),
        lambda c: count_unfinished_runs(c, now),
        lambda c: next_acceptance(c, hour_ago),
        lambda c: open_slots(c, SLOT, hour_ago),
        lambda c: kept_slots(c, ["int_a", "int_b"], HOUR, hour_ago, now),
        lambda c: kept_sums(c, "ws_1", SLOT, HOUR, (hour_ago, now)),
        lambda c: last_received(c, ["int_a", "int_b"]),
        lambda c: oldest_blocked(c, ["int_a", "int_b"], 10),
        lambda c: integrations_with_traffic(c),
        lambda c: forget_traffic(c, SLOT, "int_a", hour_ago),
    ]
    for look in looks:
        assert await store.write(scans, look) == []


async def test_windows_of_events_are_written_into_their_statements(store: Store, full: Runs) -> None:
    """As parameters they lead PostgreSQL, once it keeps a plan, to one that reads all events."""
    wanted = EventFilter(method="DELETE")

    def look(connection: Connection) -> None:
        list_events(connection, "ws_1", wanted, limit=20)
        count_events(connection, "ws_1", wanted)
        bite_of_events(connection, "ws_1", wanted, limit=20)

    statements = await store.write(statements_of, look)

    windows = [one for one in statements if "candidates" in one]
    assert len(windows) >= 3
    assert [one for one in windows if re.search(r"ORDER BY event\.id( DESC)?\s+LIMIT [?%]", one)] == []


async def test_retention_reads_only_what_it_forgets(store: Store, full: Runs) -> None:
    looks: list[Callable[[Connection], Any]] = [
        lambda c: removed_integrations(c),
        lambda c: forget_events(c, "int_a", later(START, -1_900), 9),
        lambda c: cancel_runs_of(c, "int_b", full.now, 9),
        lambda c: forget_notifications(c, later(START, -1_900), 9, "dlv_0000"),
        lambda c: forget_audit(c, 1_000, 9),
    ]
    for look in looks:
        assert await store.write(scans, look) == []
