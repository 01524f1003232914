"""Replies on their way out: sent once, tried again, given up, handed back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from crossdock.deliver.queue import DEFAULT_QUEUE_LIMITS
from crossdock.model.errors import StoreUnavailable
from crossdock.model.states import DeliveryState
from crossdock.model.time import later
from crossdock.outbound.signatures import sign
from crossdock.store import open_store
from crossdock.store.deliveries import rescue_deliveries
from tests.deliver.conftest import SECRET, Yard, open_yard
from tests.support.held import HeldClock
from tests.support.postgres import OwnServer, free_port
from tests.support.replies import NODE
from tests.support.runs import Batch, LostAnswers
from tests.support.sink import Sink
from tests.support.yard import until

MOST = DEFAULT_QUEUE_LIMITS.most_senders
ROOM = DEFAULT_QUEUE_LIMITS.room
SENT = {DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.EXPIRED}


async def test_a_handed_over_reply_is_posted_and_kept(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", f"{sink.url}/callback", method="PUT", headers=(("X-Site", "12"), ("X-Api-Key", "k")))

    owed = await yard.hand_over()

    shown = await yard.ledger.until(owed.id, SENT)
    (received,) = sink.requests
    assert (received.method, received.path) == ("PUT", "/callback")
    assert received.json()["id"] == owed.handled.event.id
    assert received.headers["x-site"] == "12"
    assert received.headers["idempotency-key"] == received.headers["webhook-id"] == owed.id
    assert dict(sign(SECRET, owed.id, yard.clock.now, received.body)).items() <= received.headers.items()
    assert (shown.state, shown.last_error) == (DeliveryState.DELIVERED, None)
    (attempt,) = shown.tries
    kept = dict(json.loads(attempt.request_headers))
    assert (attempt.status, kept["X-Site"], kept["X-Api-Key"]) == (200, "12", "[redacted]")


async def test_a_waiting_reply_is_found(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)

    owed = await yard.owe()
    yard.stage.wake()

    assert (await yard.ledger.until(owed.id, SENT)).state is DeliveryState.DELIVERED


async def test_a_passing_failure_is_tried_again_at_its_time_with_the_same_message(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    sink.will_answer(503)

    owed = await yard.hand_over()
    waiting = await yard.ledger.until(owed.id, {DeliveryState.RETRYING})
    yard.clock.advance(5)
    yard.stage.wake()

    assert (waiting.last_error, waiting.due_at) == ("the target answered 503", later(yard.clock.now, 0))
    shown = await yard.ledger.until(owed.id, SENT)
    first, second = sink.requests
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert [attempt.status for attempt in shown.tries] == [503, 200]


async def test_nothing_is_sent_before_its_time(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    sink.will_answer(503)
    owed = await yard.hand_over()
    await yard.ledger.until(owed.id, {DeliveryState.RETRYING})

    yard.clock.advance(4.9)
    yard.stage.wake()
    marker = await yard.hand_over()

    await yard.ledger.until(marker.id, SENT)
    assert len(sink.requests) == 2
    assert sink.requests[1].headers["webhook-id"] == marker.id


async def test_retry_after_is_honoured(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    sink.will_answer(429, headers={"Retry-After": "120"})

    owed = await yard.hand_over()

    waiting = await yard.ledger.until(owed.id, {DeliveryState.RETRYING})
    assert waiting.due_at == later(yard.clock.now, 120)


@pytest.mark.parametrize(
    ("status", "words"), [(404, "404"), (410, "410 Gone"), (302, "redirects are not followed"), (401, "401")]
)
async def test_a_final_refusal_fails_the_reply_at_once(yard: Yard, sink: Sink, status: int, words: str) -> None:
    await yard.add("int_a", sink.url)
    sink.will_answer(status, headers={"Location": "/elsewhere"})

    owed = await yard.hand_over()

    shown = await yard.ledger.until(owed.id, SENT)
    assert shown.state is DeliveryState.FAILED
    assert words in (shown.last_error or "")
    assert len(sink.requests) == 1


async def test_a_reply_fails_when_its_tries_are_used_up(yard: Yard) -> None:
    await yard.add("int_a", f"http://127.0.0.1:{free_port()}/")

    owed = await yard.hand_over()
    for tries in (1, 2):
        await yard.ledger.until(owed.id, {DeliveryState.RETRYING}, tries=tries)
        yard.clock.advance(600)
        yard.stage.wake()

    shown = await yard.ledger.until(owed.id, SENT)
    assert (shown.state, len(shown.tries)) == (DeliveryState.FAILED, 3)
    assert "refused" in (shown.last_error or "")


async def test_a_forbidden_target_fails_at_once_and_names_the_setting(yard: Yard) -> None:
    await yard.add("int_a", "https://10.1.2.3/")

    owed = await yard.hand_over()

    shown = await yard.ledger.until(owed.id, SENT)
    assert shown.state is DeliveryState.FAILED
    assert "CROSSDOCK_ALLOWED_TARGETS" in (shown.last_error or "")


async def test_an_answer_of_ten_megabytes_counts_by_its_status(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    sink.will_answer(200, b"x" * 10_000_000)

    owed = await yard.hand_over()

    shown = await yard.ledger.until(owed.id, SENT)
    assert shown.state is DeliveryState.DELIVERED
    assert len(shown.tries[0].response_body) == 65_536


# --- the time for the reply ------------------------------------------------------------------------------------------


async def test_a_reply_whose_time_is_over_is_never_posted(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    in_time = later(yard.clock.now, 60)

    assert yard.stage.try_reserve("int_a")
    handed_over = await yard.owe(leased=True, expires_at=in_time)
    waiting = await yard.owe(expires_at=in_time)
    yard.clock.advance(60)
    yard.stage.hand_over([handed_over])
    yard.stage.wake()

    for owed in (handed_over, waiting):
        assert (await yard.ledger.until(owed.id, SENT)).state is DeliveryState.EXPIRED
    assert sink.requests == []


async def test_a_reply_that_can_not_be_tried_again_in_time_expires_then(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    sink.will_answer(503)

    owed = await yard.hand_over(expires_at=later(yard.clock.now, 3))
    waiting = await yard.ledger.until(owed.id, {DeliveryState.RETRYING})
    yard.clock.advance(3)
    yard.stage.wake()

    assert waiting.due_at == yard.clock.now
    shown = await yard.ledger.until(owed.id, SENT)
    assert (shown.state, shown.last_error) == (DeliveryState.EXPIRED, "the target answered 503")
    assert len(sink.requests) == 1


async def test_an_exchange_is_cut_off_when_the_time_is_over(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    sink.will_answer(gate=asyncio.Event())

    owed = await yard.hand_over(expires_at=later(yard.clock.now, 0.3))

    waiting = await yard.ledger.until(owed.id, {DeliveryState.RETRYING})
    assert waiting.last_error == "no answer within 0.3 s"
    yard.clock.advance(0.3)
    yard.stage.wake()
    assert (await yard.ledger.until(owed.id, SENT)).state is DeliveryState.EXPIRED


# --- who may write what became of it ---------------------------------------------------------------------------------


async def test_the_result_of_a_lost_lease_is_dropped(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    gate = asyncio.Event()
    sink.will_answer(503, gate=gate)
    owed = await yard.hand_over()
    await sink.wait_for(1)

    await yard.store.write(rescue_deliveries, [NODE], yard.clock.now)
    yard.stage.wake()
    shown = await yard.ledger.until(owed.id, SENT)
    gate.set()
    await yard.stage.stop(20)

    assert (shown.state, [attempt.number for attempt in shown.tries]) == (DeliveryState.DELIVERED, [2])
    assert await yard.ledger.shown(owed.id) == shown
    assert b'crossdock_leases_lost_total{kind="delivery"} 1.0' in yard.observe.text()


async def test_two_nodes_send_each_reply_once(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    other = yard.another_stage("node_other")
    owed = [await yard.owe() for _ in range(40)]

    await other.start()
    yard.stage.wake()

    for one in owed:
        await yard.ledger.until(one.id, {DeliveryState.DELIVERED})
    await other.stop(5)
    sent = [received.headers["webhook-id"] for received in sink.requests]
    assert sorted(sent) == sorted(one.id for one in owed)


async def test_a_long_backlog_goes_out_whole(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    owed = [await yard.owe() for _ in range(2 * ROOM + 3)]

    yard.stage.wake()

    await sink.wait_for(len(owed))
    for one in owed:
        await yard.ledger.until(one.id, {DeliveryState.DELIVERED})
    assert len(sink.requests) == len(owed)


async def test_targets_that_hang_hold_up_their_own_integration_only(yard: Yard, sink: Sink) -> None:
    gate = asyncio.Event()
    slow = Sink()
    await slow.start()
    slow.otherwise = replace(slow.otherwise, gate=gate)
    await yard.add("int_slow", slow.url)
    await yard.add("int_fast", sink.url)
    for _ in range(ROOM + 20):
        await yard.owe("int_slow")

    yard.stage.wake()
    await slow.wait_for(MOST)
    swift = await yard.hand_over("int_fast")
    found = await yard.owe("int_fast")
    yard.stage.wake()

    for owed in (swift, found):
        assert (await yard.ledger.until(owed.id, SENT)).state is DeliveryState.DELIVERED
    assert len(slow.requests) == MOST
    gate.set()
    await slow.wait_for(ROOM + 20)
    await yard.stage.stop(20)
    await slow.stop()


async def test_room_that_was_not_needed_is_free_again(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    for _ in range(ROOM):
        assert yard.stage.try_reserve("int_a")
    assert not yard.stage.try_reserve("int_a")
    owed = await yard.owe()

    for _ in range(ROOM):
        yard.stage.unreserve("int_a")

    assert (await yard.ledger.until(owed.id, SENT)).state is DeliveryState.DELIVERED


# --- leased here without this stage's knowledge ----------------------------------------------------------------------


async def test_a_claim_whose_answer_was_lost_is_noticed_and_sent(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    due_at = later(yard.clock.now, 60)  # not before the batch is held: an earlier look would send it as ever
    owed = await yard.ledger.owe_reply(due_at, "int_a")
    async with Batch(yard.store):
        yard.clock.now = due_at
        yard.stage.wake()
        await until(lambda: yard.store.waiting == 1)
        lost = yard.store.submit(LostAnswers())
    with pytest.raises(StoreUnavailable):
        await lost
    assert (await yard.ledger.shown(owed.id)).state is DeliveryState.SENDING

    await yard.stage.return_strays()
    assert (await yard.ledger.shown(owed.id)).state is DeliveryState.SENDING
    await yard.stage.return_strays()

    shown = await yard.ledger.until(owed.id, SENT)
    assert (shown.state, shown.attempts, len(sink.requests)) == (DeliveryState.DELIVERED, 1, 1)


async def test_a_reply_that_was_never_handed_over_is_noticed_and_sent(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    owed = await yard.owe(leased=True)

    await yard.stage.return_strays()
    await yard.stage.return_strays()

    assert (await yard.ledger.until(owed.id, SENT)).state is DeliveryState.DELIVERED


async def test_what_is_being_sent_or_waits_for_a_sender_is_no_stray(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    gate = asyncio.Event()
    sink.otherwise = replace(sink.otherwise, gate=gate)
    owed = [await yard.hand_over() for _ in range(MOST + 5)]
    await sink.wait_for(MOST)

    for _ in range(3):
        await yard.stage.return_strays()
    gate.set()

    for one in owed:
        assert (await yard.ledger.until(one.id, SENT)).state is DeliveryState.DELIVERED
    assert len(sink.requests) == len(owed)


async def test_what_another_node_sends_is_no_stray(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    owed = await yard.owe(leased=True)
    other = yard.another_stage("node_other")

    for _ in range(3):
        await other.return_strays()

    assert (await yard.ledger.shown(owed.id)).state is DeliveryState.SENDING


# --- when things are not as they were --------------------------------------------------------------------------------


async def test_a_reply_without_a_url_any_more_fails(yard: Yard) -> None:
    live = await yard.add("int_a", "https://erp.example/")
    yard.know(replace(live, integration=replace(live.integration, reply=None)))

    owed = await yard.hand_over()

    shown = await yard.ledger.until(owed.id, SENT)
    assert (shown.state, shown.last_error) == (DeliveryState.FAILED, "the integration has no reply URL any more")
    assert shown.tries == ()


async def test_an_integration_that_is_not_known_here_yet_is_waited_for(yard: Yard, sink: Sink) -> None:
    owed = await yard.hand_over()

    waiting = await yard.ledger.until(owed.id, {DeliveryState.RETRYING})
    await yard.add("int_a", sink.url)
    yard.clock.advance(5)
    yard.stage.wake()

    assert "not known here yet" in (waiting.last_error or "")
    shown = await yard.ledger.until(owed.id, SENT)
    assert (shown.state, shown.attempts) == (DeliveryState.DELIVERED, 1)


async def test_the_reply_of_a_removed_integration_fails(yard: Yard) -> None:
    assert yard.stage.try_reserve("int_a")
    owed = await yard.owe(leased=True)
    await yard.ledger.remove_integration("int_a")

    yard.stage.hand_over([owed])

    assert await yard.ledger.until_state(owed.id, SENT) is DeliveryState.FAILED


async def test_a_fault_of_the_program_is_logged_and_tried_again(
    yard: Yard, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    live = await yard.add("int_a", sink.url)
    yard.know(replace(live, signing_secret="not bytes"))  # type: ignore[arg-type]

    owed = await yard.hand_over()

    waiting = await yard.ledger.until(owed.id, {DeliveryState.RETRYING})
    assert waiting.last_error == "TypeError inside Crossdock; see the log"
    assert "delivery.crashed" in caplog.text


async def test_an_end_is_recorded_once_the_database_is_back(
    own_postgres: OwnServer, clock: HeldClock, sink: Sink
) -> None:
    gate = asyncio.Event()
    sink.will_answer(gate=gate)
    async with (
        open_store(own_postgres.url(own_postgres.create_database())) as store,
        open_yard(store, clock) as yard,
    ):
        await yard.add("int_a", sink.url)
        owed = await yard.hand_over()
        await sink.wait_for(1)

        await asyncio.to_thread(own_postgres.stop)
        gate.set()
        await asyncio.to_thread(own_postgres.start)

        shown = await yard.ledger.until(owed.id, {DeliveryState.DELIVERED})
        assert (len(shown.tries), len(sink.requests)) == (1, 1)


# --- stopping --------------------------------------------------------------------------------------------------------


async def test_a_stop_lets_running_exchanges_finish_and_claims_nothing_more(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    gate = asyncio.Event()
    sink.will_answer(gate=gate)
    running = await yard.hand_over()
    await sink.wait_for(1)

    stopping = asyncio.create_task(yard.stage.stop(20))
    await asyncio.sleep(0)
    waiting = await yard.owe()
    yard.stage.wake()
    gate.set()
    await stopping

    assert (await yard.ledger.shown(running.id)).state is DeliveryState.DELIVERED
    assert (await yard.ledger.shown(waiting.id)).state is DeliveryState.QUEUED
    assert not yard.stage.try_reserve("int_a")


async def test_a_stop_hands_back_what_does_not_finish_in_time(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    sink.will_answer(gate=asyncio.Event())
    owed = await yard.hand_over()
    await sink.wait_for(1)

    await yard.stage.stop(0.05)

    shown = await yard.ledger.shown(owed.id)
    assert (shown.state, shown.attempts) == (DeliveryState.QUEUED, 0)


async def test_a_stop_hands_back_what_still_waits_for_a_sender(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    sink.otherwise = replace(sink.otherwise, gate=asyncio.Event())
    owed = [await yard.hand_over() for _ in range(MOST + 5)]
    await sink.wait_for(MOST)

    await yard.stage.stop(0.05)

    for one in owed:
        shown = await yard.ledger.shown(one.id)
        assert (shown.state, shown.attempts) == (DeliveryState.QUEUED, 0)


async def test_what_is_handed_over_during_a_stop_is_handed_back(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    assert yard.stage.try_reserve("int_a")
    owed = await yard.owe(leased=True)

    stopping = asyncio.create_task(yard.stage.stop(20))
    await asyncio.sleep(0)
    yard.stage.hand_over([owed])
    await stopping

    assert (await yard.ledger.until(owed.id, {DeliveryState.QUEUED})).attempts == 0
    assert sink.requests == []
