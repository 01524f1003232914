"""What webhooks are told of changes of health: deliveries at once, held notices for later, nothing twice."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, insert, select, update

from crossdock.clock import new_id
from crossdock.model.delivery import LeasedNotice
from crossdock.model.notification import WebhookRules
from crossdock.model.states import DeliveryState
from crossdock.model.time import SECOND, later
from crossdock.store import Store, schema
from crossdock.store.database import Database, open_database
from crossdock.store.notice_deliveries import NoticeClaim
from crossdock.store.telling import (
    DIGEST_CHANGES,
    HASTENED_TRIES,
    drop_notices_about,
    drop_notices_of,
    read_told,
    release_held,
    review_notices_of,
    tell_changes,
)
from tests.support.held import HeldClock
from tests.support.notices import ACTIVE, DAMPING, ERROR, WARNING, Board, a_change, insert_webhooks, record_changes
from tests.support.replies import Ledger

NIGHT = {"from": "00:00", "until": "23:00", "time_zone": "UTC"}
"""Around the clock's start, which is at 13:33 UTC."""


@pytest.fixture
def board(store: Store) -> Board:
    return Board(store, Ledger(store))


async def test_a_change_becomes_a_delivery_to_each_webhook_that_asks(board: Board, clock: HeldClock) -> None:
    await board.webhook("nwh_1")
    await board.webhook("nwh_2", filters={"statuses": ["error"]})
    change = a_change(WARNING)

    assert await board.change(change, now=clock.now) == 1

    assert await board.told("nwh_1") == [[change.id]]
    assert await board.told("nwh_2") == []
    (row,) = await board.store.read(lambda c: c.execute(select(schema.delivery)).all())
    assert (row.kind, row.webhook_id, row.integration_id, row.event_id) == ("notification", "nwh_1", "", None)
    assert (row.state, row.due_at, row.expires_at) == ("queued", clock.now, None)


@pytest.mark.parametrize(
    "document",
    [
        {"filters": {"integrations": ["int_b"]}},
        {"filters": {"types": ["webhook-trigger"]}},
        {"filters": {"statuses": ["active"]}},
        {"active": False},
    ],
)
async def test_what_filters_leave_out_is_not_told(board: Board, clock: HeldClock, document: dict[str, Any]) -> None:
    await board.webhook(**document)

    assert await board.change(a_change(ERROR), now=clock.now) == 0


async def test_webhooks_of_another_workspace_hear_nothing(board: Board, clock: HeldClock) -> None:
    await board.webhook()
    await board.store.write(_move_away, "nwh_1")

    assert await board.change(a_change(ERROR), now=clock.now) == 0


async def test_a_webhook_that_cannot_be_read_does_not_keep_others_from_hearing(
    board: Board, clock: HeldClock, caplog: pytest.LogCaptureFixture
) -> None:
    await board.webhook("nwh_1", quiet_hours={"from": "late"})
    await board.webhook("nwh_2")

    assert await board.change(a_change(ERROR), now=clock.now) == 1

    assert len(await board.told("nwh_2")) == 1
    assert "webhook.unreadable" in caplog.text


async def test_a_flap_within_the_damping_is_told_once_when_it_stays(board: Board, clock: HeldClock) -> None:
    await board.webhook(notify_recovery=True)
    first, recovered, again = a_change(ERROR), a_change(ACTIVE, ERROR), a_change(ERROR)
    await board.change(first, now=clock.now)
    await board.change(recovered, now=clock.advance(10))

    assert await board.change(again, now=clock.advance(10)) == 0
    assert await board.release(clock.advance(39)) == 0
    assert await board.release(clock.advance(1)) == 1

    assert await board.told() == [[first.id], [recovered.id], [again.id]]
    assert await board.release(clock.advance(1_000)) == 0


async def test_a_flap_that_ended_is_not_told(board: Board, clock: HeldClock) -> None:
    await board.webhook(notify_recovery=True)
    await board.change(a_change(ERROR), now=clock.now)
    await board.change(a_change(ACTIVE, ERROR), now=clock.advance(1))
    await board.change(a_change(ERROR), now=clock.advance(1))
    assert len(await board.held()) == 1

    await board.change(a_change(ACTIVE, ERROR), now=clock.advance(1))

    assert await board.held() == []
    assert await board.release(clock.advance(1_000)) == 0
    assert len(await board.told()) == 2


async def test_several_changes_at_once_are_told_in_their_order(board: Board, clock: HeldClock) -> None:
    await board.webhook()
    warned, failed = a_change(WARNING), a_change(ERROR, WARNING)

    assert await board.change(warned, failed, now=clock.now) == 2

    assert await board.told() == [[warned.id], [failed.id]]


async def test_a_digest_tells_every_change_of_all_integrations_once(board: Board, clock: HeldClock) -> None:
    await board.webhook(digest="PT15M")
    changes = [a_change(ERROR), a_change(WARNING, ERROR), a_change(ERROR, integration_id="int_b")]
    for change in changes:
        await board.change(change, now=clock.advance(1))
    (held,) = await board.held()

    assert await board.release(held.due_at - 1) == 0
    assert await board.release(held.due_at) == 1

    assert await board.told() == [[change.id for change in changes]]
    assert await board.held() == []
    assert held.due_at % (15 * 60 * 1_000_000) == 0


async def test_a_long_digest_keeps_the_newest_and_the_last_of_each_integration(board: Board, clock: HeldClock) -> None:
    await board.webhook(digest="PT15M", filters={"statuses": []})
    early = a_change(ERROR, integration_id="int_b")
    await board.change(early, now=clock.now)
    flapping = [a_change(ERROR if n % 2 else ACTIVE) for n in range(DIGEST_CHANGES)]

    await board.change(*flapping, now=clock.now)

    (held,) = await board.held()
    kept = json.loads(held.change_ids)
    assert kept == [early.id, *(change.id for change in flapping[-DIGEST_CHANGES // 2 :])]


async def test_quiet_hours_hold_what_is_not_excepted(board: Board, clock: HeldClock) -> None:
    await board.webhook(quiet_hours={**NIGHT, "except_statuses": ["error"]})
    warned = a_change(WARNING)
    await board.change(warned, now=clock.now)
    (held,) = await board.held()

    failed = a_change(ERROR, WARNING)
    assert await board.change(failed, now=clock.advance(60)) == 1

    assert (held.reason, held.due_at % 86_400_000_000) == ("quiet_hours", 23 * 3_600_000_000)
    assert await board.told() == [[failed.id]]
    assert await board.held() == []


async def test_the_last_state_is_told_when_quiet_hours_end(board: Board, clock: HeldClock) -> None:
    await board.webhook(quiet_hours=NIGHT)
    await board.change(a_change(WARNING), now=clock.now)
    last = a_change(ERROR, WARNING)
    await board.change(last, now=clock.advance(60))
    (held,) = await board.held()

    assert await board.release(held.due_at) == 1

    assert await board.told() == [[last.id]]


async def test_what_is_held_follows_the_rules_of_the_moment(board: Board, clock: HeldClock) -> None:
    await board.webhook(quiet_hours=NIGHT)
    await board.change(a_change(ERROR), now=clock.now)
    await board.store.write(_rewrite, "nwh_1", {})

    assert await board.release(clock.now) == 0
    await board.store.write(review_notices_of, "nwh_1", WebhookRules(), clock.now)

    assert await board.release(clock.now) == 1


@pytest.mark.parametrize(("seconds", "wait"), [(86_400.0, 900.0), (60.0, 60.0), (None, 0.0)])
async def test_a_digest_that_waits_comes_by_the_changed_rules_but_no_later(
    board: Board, clock: HeldClock, seconds: float | None, wait: float
) -> None:
    await board.webhook(digest="PT15M")
    now = clock.now // (900 * SECOND) * 900 * SECOND
    await board.change(a_change(ERROR), now=now)

    await board.store.write(review_notices_of, "nwh_1", WebhookRules(digest_seconds=seconds), now)

    (held,) = await board.held()
    assert held.due_at == later(now, wait)


async def test_a_webhook_that_is_dropped_is_told_nothing_more(board: Board, clock: HeldClock) -> None:
    await board.webhook(notify_recovery=True)
    await board.change(a_change(ERROR), a_change(ACTIVE, ERROR), a_change(ERROR), now=clock.now)
    assert len(await board.held()) == 1

    assert await board.store.write(drop_notices_of, "nwh_1", clock.now, "the webhook was deleted") == 2

    assert await board.held() == []
    assert await board.store.read(read_told, {"nwh_1"}, {"int_a"}) == {}
    rows = await board.store.read(lambda c: c.execute(select(schema.delivery)).all())
    assert {(row.state, row.last_error) for row in rows} == {(DeliveryState.CANCELED, "the webhook was deleted")}


async def test_what_is_held_of_a_webhook_or_an_integration_that_is_gone_is_forgotten(
    board: Board, clock: HeldClock
) -> None:
    await board.webhook("nwh_1", quiet_hours=NIGHT)
    await board.webhook("nwh_2", quiet_hours=NIGHT)
    await board.change(a_change(ERROR), a_change(ERROR, integration_id="int_b"), now=clock.now)
    await board.store.write(lambda c: c.execute(delete(schema.notification_webhook).where(_is("nwh_1"))))
    await board.ledger.remove_integration("int_a")

    assert await board.release(clock.advance(32_400)) == 1

    assert await board.held() == []
    assert (await board.told("nwh_1"), len(await board.told("nwh_2"))) == ([], 1)


async def test_a_removed_integration_takes_along_what_is_held_about_it(board: Board, clock: HeldClock) -> None:
    await board.webhook(quiet_hours=NIGHT)
    await board.change(a_change(ERROR), a_change(ERROR, integration_id="int_b"), now=clock.now)

    await board.store.write(drop_notices_about, "int_a")

    assert [row.integration_id for row in await board.held()] == ["int_b"]


async def test_a_clock_that_is_set_back_holds_nothing_longer_than_the_damping(board: Board, clock: HeldClock) -> None:
    await board.webhook()
    await board.change(a_change(ERROR), a_change(WARNING, ERROR), a_change(ERROR, WARNING), now=clock.now)
    now = clock.advance(-100_000)

    assert await board.release(now) == 0
    assert await board.release(later(now, DAMPING)) == 1

    told = await board.store.read(read_told, {"nwh_1"}, {"int_a"})
    assert told["nwh_1", "int_a"].status is ERROR


async def test_what_is_told_keeps_its_order_when_the_clock_is_set_back(board: Board, clock: HeldClock) -> None:
    await board.webhook()
    first, second = a_change(WARNING), a_change(ERROR, WARNING)
    await board.change(first, now=clock.now)

    await board.change(second, now=clock.advance(-3_600))

    assert await board.told() == [[first.id], [second.id]]
    due = await board.store.read(lambda c: c.execute(select(func.max(schema.delivery.c.due_at))).scalar_one())
    assert due == later(clock.now, 3_600)


async def test_news_have_what_they_wait_behind_tried_at_once(board: Board, clock: HeldClock) -> None:
    await board.webhook("nwh_1")
    await board.webhook("nwh_2", filters={"statuses": ["warning"]})
    await board.change(a_change(WARNING), now=clock.now)
    await board.store.write(_retry_everything, later(clock.now, 1_800))

    await board.change(a_change(ERROR, WARNING), now=clock.advance(60))

    due = await board.store.read(
        lambda c: c.execute(select(schema.delivery).order_by("webhook_id", "created_at")).all()
    )
    assert [(row.webhook_id, row.due_at) for row in due] == [
        ("nwh_1", clock.now),
        ("nwh_1", clock.now),
        ("nwh_2", later(clock.now, 1_740)),
    ]


@pytest.mark.parametrize(("attempts", "header"), [(5, "retry-after"), (HASTENED_TRIES, "date")])
async def test_news_hasten_nothing_that_the_target_wants_later_or_that_has_few_tries_left(
    board: Board, clock: HeldClock, attempts: int, header: str
) -> None:
    await board.webhook()
    await board.change(a_change(WARNING), now=clock.now)
    later_on = later(clock.now, 1_800)
    await board.store.write(_retry_everything, later_on, attempts)
    await board.store.write(_answer_with, await board.delivery(), attempts, header)

    await board.change(a_change(ERROR, WARNING), now=clock.advance(60))

    due = await board.store.read(lambda c: list(c.execute(select(schema.delivery.c.due_at)).scalars()))
    assert sorted(due) == [clock.now, later_on]


def _retry_everything(connection: Connection, due_at: int, attempts: int = 5) -> None:
    state = DeliveryState.RETRYING.value
    connection.execute(update(schema.delivery).values(state=state, attempts=attempts, due_at=due_at))


def _answer_with(connection: Connection, delivery_id: str, number: int, header: str) -> None:
    headers = json.dumps([[header, "1800"]], separators=(",", ":"))
    tried = {"delivery_id": delivery_id, "number": number, "started_at": 0, "finished_at": 0, "status": 503}
    answered = {"request_headers": "[]", "response_headers": headers, "response_body": b""}
    connection.execute(insert(schema.attempt).values(**tried, **answered))


async def test_what_is_not_recorded_is_not_told(board: Board, clock: HeldClock) -> None:
    await board.webhook()

    def fail_after_telling(connection: Connection) -> None:
        record_changes(connection, [a_change(ERROR)], clock.now, DAMPING)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await board.store.write(fail_after_telling)

    assert await board.told() == []
    assert await board.store.read(read_told, {"nwh_1"}, {"int_a"}) == {}


async def test_a_thousand_webhooks_hear_of_one_change_in_one_go(board: Board, clock: HeldClock) -> None:
    await board.ledger.add_integration("int_a")
    ids = [f"nwh_{n:04}" for n in range(1_000)]
    await board.store.write(insert_webhooks, ids, True, json.dumps({"notify_recovery": True}))

    made = await board.change(a_change(ERROR), a_change(ACTIVE, ERROR), a_change(ERROR), now=clock.now)
    released = await board.release(clock.advance(60))

    assert made == 2_000
    assert released == 500
    assert await board.release(clock.now) == 500
    assert {len(await board.told(one)) for one in ids[::100]} == {3}


# --- two nodes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_two_nodes_release_a_notice_once(board: Board, clock: HeldClock, database_url: str) -> None:
    await board.webhook(quiet_hours=NIGHT)
    for number in range(40):
        await board.change(a_change(ERROR, integration_id=f"int_{number}"), now=clock.now)
    later_on = clock.advance(32_400)

    made = await asyncio.to_thread(_release_twice, database_url, later_on)

    told = await board.told()
    assert sum(made) == len(told) == len({ids[0] for ids in told}) == 40


def _release_twice(database_url: str, now: int) -> list[int]:
    """Two connections that have both locked what they found before either commits."""
    databases = [open_database(database_url) for _ in range(2)]
    barrier, made = threading.Barrier(2, timeout=20), [0, 0]

    def release(number: int) -> None:
        with transaction(databases[number]) as connection:
            made[number] = release_held(connection, now, damping=DAMPING, new_id=new_id, limit=30)
            barrier.wait()

    threads = [threading.Thread(target=release, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.dispose()
    return made


@contextmanager
def transaction(database: Database) -> Iterator[Connection]:
    with database.writer.connect() as connection:
        database.begin(connection)
        yield connection
        connection.exec_driver_sql("COMMIT")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_two_integrations_begin_one_digest_at_once(board: Board, clock: HeldClock, database_url: str) -> None:
    await board.webhook(digest="PT15M")
    await board.ledger.add_integration("int_b")
    changes = [a_change(ERROR), a_change(ERROR, integration_id="int_b")]

    await asyncio.to_thread(_tell_side_by_side, database_url, changes, clock.now)

    (held,) = await board.held()
    assert sorted(json.loads(held.change_ids)) == sorted(change.id for change in changes)


def _tell_side_by_side(database_url: str, changes: list[Any], now: int) -> None:
    """The second one meets the first one's row at the moment when it writes its own."""
    databases = [open_database(database_url) for _ in range(2)]

    def tell(connection: Connection, number: int) -> None:
        tell_changes(connection, [changes[number]], now, damping=DAMPING, new_id=new_id)

    def tell_second() -> None:
        with transaction(databases[1]) as connection:
            tell(connection, 1)

    second = threading.Thread(target=tell_second)
    with transaction(databases[0]) as connection:
        tell(connection, 0)
        second.start()
        deadline = time.monotonic() + 20
        while not connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar():
            assert time.monotonic() < deadline
    second.join()
    for database in databases:
        database.dispose()


def _move_away(connection: Connection, webhook_id: str) -> None:
    connection.execute(schema.workspace.insert().values(id="ws_2", slug="other", name="Other", created_at=0))
    connection.execute(schema.notification_webhook.update().where(_is(webhook_id)).values(workspace_id="ws_2"))


def _rewrite(connection: Connection, webhook_id: str, document: Any) -> None:
    rewritten = schema.notification_webhook.update().where(_is(webhook_id)).values(document=json.dumps(document))
    connection.execute(rewritten)


def _is(webhook_id: str) -> Any:
    return schema.notification_webhook.c.id == webhook_id


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_two_nodes_claim_what_a_webhook_is_owed_once_and_in_order(
    board: Board, clock: HeldClock, database_url: str
) -> None:
    await board.webhook()
    for number in range(20):
        await board.change(a_change(WARNING, integration_id=f"int_{number}"), now=clock.now)
        await board.change(a_change(ERROR, WARNING, integration_id=f"int_{number}"), now=clock.now)

    claimed = await asyncio.to_thread(_claim_twice, database_url, clock.now)

    assert len(claimed) == len({one.id for one in claimed}) == 20
    assert {one.notice.changes[0].status for one in claimed} == {WARNING}


def _claim_twice(database_url: str, now: int) -> list[LeasedNotice]:
    """Two connections that begin at the same moment."""
    databases = [open_database(database_url) for _ in range(2)]
    barrier, claimed = threading.Barrier(2, timeout=20), []

    def claim(number: int) -> None:
        with transaction(databases[number]) as connection:
            barrier.wait()
            tokens = tuple(f"{number}-{n}" for n in range(20))
            claimed.extend(NoticeClaim.record(connection, [NoticeClaim("nwh_1", f"node_{number}", tokens, now)])[0])

    threads = [threading.Thread(target=claim, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.dispose()
    return claimed
