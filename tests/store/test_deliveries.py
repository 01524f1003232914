"""Deliveries in the record: claimed once, fenced by their lease, ended once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from crossdock.model.delivery import LeasedReply
from crossdock.model.states import FINAL_DELIVERY_STATES, DeliveryMove, DeliveryState
from crossdock.model.time import later
from crossdock.store import Store
from crossdock.store.deliveries import (
    TOO_LATE,
    AttemptSettle,
    DeliveryClaim,
    cancel_deliveries_of,
    expire_due,
    look_for_deliveries,
    read_sending,
    rescue_deliveries,
    resend,
    return_deliveries,
)
from tests.support.held import HeldClock
from tests.support.replies import NODE, REFUSED, Ledger, a_report


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


async def claim(store: Store, clock: HeldClock, count: int = 1, integration_id: str = "int_a") -> list[LeasedReply]:
    tokens = tuple(f"claim-{clock.now}-{n}" for n in range(count))
    claimed: list[LeasedReply] = await store.submit(DeliveryClaim(integration_id, NODE, tokens, clock.now))
    return claimed


def settle(delivery: LeasedReply, move: DeliveryMove, clock: HeldClock, **more: object) -> AttemptSettle:
    given = AttemptSettle(delivery.id, delivery.lease_token, delivery.attempts, move, clock.now)
    return replace(given, **more)  # type: ignore[arg-type]


async def test_a_waiting_delivery_is_claimed_with_its_event_and_outcome(
    store: Store, ledger: Ledger, clock: HeldClock
) -> None:
    owed = await ledger.owe_reply(clock.now, expires_at=later(clock.now, 60))

    (claimed,) = await claim(store, clock, 5)

    assert claimed == replace(owed, lease_token=claimed.lease_token)
    assert (await ledger.shown(owed.id)).state is DeliveryState.SENDING


async def test_the_reply_of_a_failed_run_tells_its_error(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    await ledger.owe_reply(clock.now, failure=REFUSED, result=None)

    (claimed,) = await claim(store, clock)

    assert not claimed.handled.succeeded
    assert claimed.handled.error == REFUSED
    assert claimed.handled.result is None


async def test_a_delivery_is_claimed_only_once(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    await ledger.owe_reply(clock.now)
    await ledger.owe_reply(clock.now, leased=True)

    assert len(await claim(store, clock, 5)) == 1
    assert await claim(store, clock, 5) == []


async def test_claims_take_the_oldest_of_their_integration(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    first = await ledger.owe_reply(clock.now)
    clock.advance(1)
    await ledger.owe_reply(clock.now)
    await ledger.owe_reply(clock.now, "int_b")

    (claimed,) = await claim(store, clock)

    assert claimed.id == first.id


async def test_a_delivered_reply_keeps_its_try_and_is_over(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    owed = await ledger.owe_reply(clock.now, leased=True)

    assert await store.submit(settle(owed, DeliveryMove.DELIVER, clock, report=a_report(clock.now)))

    shown = await ledger.shown(owed.id)
    assert (shown.state, shown.finished_at, shown.attempts) == (DeliveryState.DELIVERED, clock.now, 1)
    (attempt,) = shown.tries
    assert (attempt.number, attempt.status, attempt.response_body) == (1, 200, b"{}")
    assert json.loads(attempt.request_headers) == [["x-site", "12"]]


async def test_a_retry_waits_for_its_time_and_counts_on(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    owed = await ledger.owe_reply(clock.now, leased=True)
    retry = settle(
        owed, DeliveryMove.RETRY, clock, due_at=later(clock.now, 5), error="busy", report=a_report(clock.now, 503)
    )
    assert await store.submit(retry)

    assert await claim(store, clock) == []
    clock.advance(5)
    (again,) = await claim(store, clock)

    assert again.attempts == 2
    assert (await ledger.shown(owed.id)).last_error == "busy"


async def test_a_late_end_is_refused_and_leaves_no_try(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    owed = await ledger.owe_reply(clock.now, leased=True)
    assert await store.write(rescue_deliveries, [NODE], clock.now) == 1
    (rescued,) = await claim(store, clock)

    assert not await store.submit(settle(owed, DeliveryMove.DELIVER, clock, report=a_report(clock.now)))

    assert rescued.attempts == 2
    shown = await ledger.shown(owed.id)
    assert (shown.state, shown.tries) == (DeliveryState.SENDING, ())


@pytest.mark.parametrize("move", [DeliveryMove.DELIVER, DeliveryMove.FAIL, DeliveryMove.EXPIRE])
async def test_an_ended_delivery_never_changes(
    store: Store, ledger: Ledger, clock: HeldClock, move: DeliveryMove
) -> None:
    owed = await ledger.owe_reply(clock.now, leased=True, expires_at=later(clock.now, 1))
    assert await store.submit(settle(owed, move, clock, error="so it is"))
    ended = await ledger.shown(owed.id)

    clock.advance(10)
    for other in (DeliveryMove.DELIVER, DeliveryMove.FAIL, DeliveryMove.RETRY, DeliveryMove.HAND_BACK):
        assert not await store.submit(settle(owed, other, clock, report=a_report(clock.now)))
    await store.write(rescue_deliveries, [NODE], clock.now)
    await store.write(expire_due, clock.now)
    await store.write(cancel_deliveries_of, "int_a", clock.now, 10)

    assert await claim(store, clock) == []
    assert ended.state in FINAL_DELIVERY_STATES
    assert await ledger.shown(owed.id) == ended


async def test_what_is_handed_back_was_not_tried(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    owed = await ledger.owe_reply(clock.now, leased=True)

    assert await store.submit(settle(owed, DeliveryMove.HAND_BACK, clock))
    (again,) = await claim(store, clock)

    assert (again.id, again.attempts) == (owed.id, 1)


async def test_many_ends_share_a_commit_and_each_learns_its_fate(
    store: Store, ledger: Ledger, clock: HeldClock
) -> None:
    owed = [await ledger.owe_reply(clock.now, leased=True) for _ in range(7)]
    owed[3] = replace(owed[3], lease_token="somebody else's")

    futures = [store.submit(settle(one, DeliveryMove.DELIVER, clock, report=a_report(clock.now))) for one in owed]

    assert [await future for future in futures] == [n != 3 for n in range(7)]


async def test_a_waiting_delivery_expires_at_its_time_and_keeps_the_last_error(
    store: Store, ledger: Ledger, clock: HeldClock
) -> None:
    silent = await ledger.owe_reply(clock.now, expires_at=later(clock.now, 10))
    tried = await ledger.owe_reply(clock.now, expires_at=later(clock.now, 10), leased=True)
    endless = await ledger.owe_reply(clock.now)
    await store.submit(settle(tried, DeliveryMove.RETRY, clock, due_at=later(clock.now, 10), error="busy"))

    assert await store.write(expire_due, later(clock.now, 9)) == []
    clock.advance(10)
    expired = await store.write(expire_due, clock.now)

    assert {one.id for one in expired} == {silent.id, tried.id}
    assert (await ledger.shown(silent.id)).last_error == TOO_LATE
    assert (await ledger.shown(tried.id)).last_error == "busy"
    assert (await ledger.shown(endless.id)).state is DeliveryState.QUEUED


async def test_what_is_over_is_not_claimed(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    await ledger.owe_reply(clock.now, expires_at=later(clock.now, 10))

    clock.advance(10)

    assert await claim(store, clock) == []


async def test_a_look_tells_who_has_work_and_when_the_next_comes(
    store: Store, ledger: Ledger, clock: HeldClock
) -> None:
    await ledger.owe_reply(clock.now, "int_a")
    waiting = await ledger.owe_reply(clock.now, "int_b", leased=True, expires_at=later(clock.now, 90))
    await ledger.add_integration("int_idle")
    await store.submit(settle(waiting, DeliveryMove.RETRY, clock, due_at=later(clock.now, 30)))

    found = await store.read(look_for_deliveries, clock.now)
    late = await store.read(look_for_deliveries, later(clock.now, 90))

    assert (found.integrations, found.next_at, found.has_expired) == (("int_a",), later(clock.now, 30), False)
    assert late.has_expired


async def test_an_empty_store_has_nothing_due(store: Store, clock: HeldClock) -> None:
    found = await store.read(look_for_deliveries, clock.now)

    assert (found.integrations, found.next_at, found.has_expired) == ((), None, False)


async def test_only_dead_nodes_lose_what_they_send(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    owed = await ledger.owe_reply(clock.now, leased=True)

    assert await store.write(rescue_deliveries, ["node_other"], clock.now) == 0
    assert await store.write(rescue_deliveries, [], clock.now) == 0

    assert (await ledger.shown(owed.id)).state is DeliveryState.SENDING


async def test_a_delivery_that_nobody_sends_is_returned_untried(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    owed = await ledger.owe_reply(clock.now, leased=True)
    assert await store.read(read_sending, NODE) == [owed.lease_token]

    clock.advance(20)
    returned = await store.write(return_deliveries, NODE, [owed.lease_token], clock.now)

    shown = await ledger.shown(owed.id)
    assert (returned, shown.state, shown.attempts, shown.due_at) == (1, DeliveryState.QUEUED, 0, clock.now)
    assert await store.read(read_sending, NODE) == []


async def test_only_what_this_node_still_holds_is_returned(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    owed = await ledger.owe_reply(clock.now, leased=True)
    ended = await ledger.owe_reply(clock.now, leased=True)
    await store.submit(settle(ended, DeliveryMove.DELIVER, clock, report=a_report(clock.now)))

    assert await store.write(return_deliveries, "node_other", [owed.lease_token], clock.now) == 0
    assert await store.write(return_deliveries, NODE, [ended.lease_token, "unknown"], clock.now) == 0

    states = [(await ledger.shown(one.id)).state for one in (owed, ended)]
    assert states == [DeliveryState.SENDING, DeliveryState.DELIVERED]


async def test_an_ended_delivery_can_be_resent_as_a_new_one(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    owed = await ledger.owe_reply(clock.now, leased=True, expires_at=later(clock.now, 1))
    await store.submit(settle(owed, DeliveryMove.FAIL, clock, error="gone", report=a_report(clock.now, 410)))
    clock.advance(60)

    assert await store.write(resend, owed.id, "dlv_new", clock.now)
    (again,) = await claim(store, clock)

    assert (again.id, again.attempts, again.expires_at) == ("dlv_new", 1, None)
    assert again.handled == owed.handled
    assert (await ledger.shown(owed.id)).state is DeliveryState.FAILED


async def test_a_delivery_that_is_still_due_is_not_resent(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    waiting = await ledger.owe_reply(clock.now)
    sending = await ledger.owe_reply(clock.now, leased=True)

    for delivery_id in (waiting.id, sending.id, "dlv_unknown"):
        assert not await store.write(resend, delivery_id, "dlv_new", clock.now)


async def test_the_deliveries_of_a_removed_integration_are_canceled(
    store: Store, ledger: Ledger, clock: HeldClock
) -> None:
    waiting = await ledger.owe_reply(clock.now)
    sending = await ledger.owe_reply(clock.now, leased=True)
    other = await ledger.owe_reply(clock.now, "int_b")

    assert await store.write(cancel_deliveries_of, "int_a", clock.now, 10) == 1

    states = [(await ledger.shown(one.id)).state for one in (waiting, sending, other)]
    assert states == [DeliveryState.CANCELED, DeliveryState.SENDING, DeliveryState.QUEUED]


async def test_hostile_texts_of_a_target_are_kept_readably(store: Store, ledger: Ledger, clock: HeldClock) -> None:
    owed = await ledger.owe_reply(clock.now, leased=True)
    report = replace(
        a_report(clock.now, 500, "nul \x00 here"),
        response_headers=(("x-nul", "a\x00b"), ("x-quote", '"\\')),
        response_body=b"\x00\xff" * 40_000,
    )

    assert await store.submit(settle(owed, DeliveryMove.FAIL, clock, error="nul \x00 here", report=report))

    (attempt,) = (await ledger.shown(owed.id)).tries
    assert len(attempt.response_body) == 65_536
    assert json.loads(attempt.response_headers)[1] == ["x-quote", '"\\']
