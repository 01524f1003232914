"""Notifications on their way out: in order for each integration, tried again, not lost with whoever sends them."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, delete, update

from crossdock.deliver.queue import DEFAULT_QUEUE_LIMITS, NOTICE_LIMITS
from crossdock.model.states import DeliveryState
from crossdock.model.time import later
from crossdock.store import schema
from crossdock.store.deliveries import rescue_deliveries, resend
from crossdock.store.notice_deliveries import read_records
from crossdock.store.telling import drop_notices_of
from tests.deliver.conftest import Yard
from tests.support.notices import ACTIVE, ERROR, WARNING, a_change
from tests.support.postgres import free_port
from tests.support.replies import NODE
from tests.support.sink import Answer, Sink

SENT = {DeliveryState.DELIVERED, DeliveryState.FAILED}


async def test_a_change_is_posted_to_the_webhook_and_kept(yard: Yard, sink: Sink) -> None:
    await yard.add("int_a", sink.url)
    await yard.add_webhook("nwh_1", f"{sink.url}/alerts", headers={"X-Team": "7"})
    change = a_change(ERROR, at=yard.clock.now)

    delivery_id = await yard.notify(change)

    shown = await yard.ledger.until(delivery_id, SENT)
    (received,) = sink.requests
    told = received.json()
    assert (received.method, received.path, received.headers["x-team"]) == ("POST", "/alerts", "7")
    assert received.headers["idempotency-key"] == delivery_id
    assert (told["event_type"], told["data"]["status"]) == ("integration.status_changed", "error")
    assert told["data"]["url"] == "https://crossdock.example/integrations/int_a"
    (attempt,) = shown.tries
    assert (shown.state, shown.webhook_id, attempt.status) == (DeliveryState.DELIVERED, "nwh_1", 200)
    assert attempt.request_body == received.body


async def test_the_webhook_gets_the_changes_of_an_integration_one_after_the_other(yard: Yard, sink: Sink) -> None:
    await yard.add_webhook("nwh_1", sink.url)
    gate = asyncio.Event()
    sink.will_answer(gate=gate)
    first = await yard.notify(a_change(WARNING))
    await sink.wait_for(1)

    second = await yard.notify(a_change(ERROR, WARNING))
    other = await yard.notify(a_change(ERROR, integration_id="int_b"))
    await yard.ledger.until(other, SENT)
    assert (await yard.ledger.shown(second)).state is DeliveryState.QUEUED
    gate.set()

    await yard.ledger.until(second, SENT)
    assert [one.headers["idempotency-key"] for one in sink.requests] == [first, other, second]


async def test_news_have_what_they_wait_behind_tried_again_first(yard: Yard, sink: Sink) -> None:
    await yard.add_webhook("nwh_1", sink.url)
    sink.will_answer(503)
    first = await yard.notify(a_change(WARNING))
    await yard.ledger.until(first, {DeliveryState.RETRYING})

    second = await yard.notify(a_change(ERROR, WARNING))

    await yard.ledger.until(second, SENT)
    assert [one.headers["idempotency-key"] for one in sink.requests] == [first, first, second]


async def test_a_refusal_of_the_validators_is_tried_again(yard: Yard, sink: Sink) -> None:
    validators = [{"json_path": "$.data.status", "expected_values": ["ok"]}]
    await yard.add_webhook("nwh_1", sink.url, response_validators=validators)
    sink.will_answer(200, b'{"status":"busy"}')
    delivery_id = await yard.notify(a_change())
    waiting = await yard.ledger.until(delivery_id, {DeliveryState.RETRYING})

    sink.will_answer(200, b'{"status":"ok"}')
    yard.clock.advance(5)
    yard.stage.wake()

    assert "$.data.status" in (waiting.last_error or "")
    shown = await yard.ledger.until(delivery_id, SENT)
    assert (shown.state, [attempt.status for attempt in shown.tries]) == (DeliveryState.DELIVERED, [200, 200])
    assert "$.data.status" in (shown.tries[0].error or "")


async def test_retry_after_of_a_webhook_is_honoured(yard: Yard, sink: Sink) -> None:
    await yard.add_webhook("nwh_1", sink.url)
    sink.will_answer(429, headers={"Retry-After": "120"})

    waiting = await yard.ledger.until(await yard.notify(a_change()), {DeliveryState.RETRYING})

    assert waiting.due_at == later(yard.clock.now, 120)


async def test_a_failing_webhook_is_noted_once_and_changes_no_health(
    yard: Yard, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await yard.add_webhook("nwh_1", f"http://127.0.0.1:{free_port()}/")
    began = yard.clock.now
    delivery_id = await yard.notify(a_change())
    for tries in (1, 2):
        await yard.ledger.until(delivery_id, {DeliveryState.RETRYING}, tries=tries)
        yard.clock.advance(1_000)
        yard.stage.wake()
    failed = await yard.ledger.until(delivery_id, SENT)
    failing = (await yard.store.read(read_records, ["nwh_1"]))["nwh_1"]

    yard.know_webhook("nwh_1", sink.url)
    await yard.ledger.until(await yard.notify(a_change(ACTIVE, ERROR)), SENT)

    recovered = (await yard.store.read(read_records, ["nwh_1"]))["nwh_1"]
    assert (failing.failing_since, failing.failures, failing.last_error) == (began, 3, failed.last_error)
    assert (recovered.delivered_at, recovered.failures, recovered.failing_since) == (yard.clock.now, 0, None)
    assert (caplog.text.count("webhook.failing"), caplog.text.count("webhook.recovered")) == (1, 1)
    assert await yard.store.read(lambda c: c.execute(schema.outcome.select()).all()) == []


async def test_a_webhook_that_is_deleted_while_it_is_sent_to_hears_that_and_nothing_more(
    yard: Yard, sink: Sink
) -> None:
    await yard.add_webhook("nwh_1", sink.url)
    gate = asyncio.Event()
    sink.will_answer(503, gate=gate)
    sent = await yard.notify(a_change(WARNING))
    await sink.wait_for(1)
    waiting = await yard.notify(a_change(ERROR, WARNING))

    assert await yard.store.write(_delete_webhook, yard.clock.now) == 1
    gate.set()
    await yard.ledger.until_state(sent, {DeliveryState.RETRYING})
    yard.forget_webhook("nwh_1")
    yard.clock.advance(5)
    yard.stage.wake()

    assert await yard.ledger.until_state(sent, SENT) is DeliveryState.FAILED
    assert await yard.ledger.until_state(waiting, {DeliveryState.CANCELED})
    assert len(sink.requests) == 1
    assert await yard.store.read(read_records, ["nwh_1"]) == {}


async def test_a_webhook_that_was_switched_off_is_sent_nothing(yard: Yard, sink: Sink) -> None:
    await yard.add_webhook("nwh_1", sink.url)
    yard.know_webhook("nwh_1", sink.url, active=False)
    delivery_id = await yard.notify(a_change())

    unknown = await yard.ledger.until(delivery_id, {DeliveryState.RETRYING})
    await yard.store.write(lambda c: c.execute(update(schema.notification_webhook).values(active=False)))
    yard.clock.advance(5)
    yard.stage.wake()

    off = await yard.ledger.until(delivery_id, SENT)
    assert unknown.last_error == "the notification webhook can't be used now: it is not known here yet"
    assert (off.state, off.last_error) == (DeliveryState.FAILED, "the notification webhook was switched off")
    assert (sink.requests, off.tries) == ([], ())


async def test_a_notification_of_a_node_that_died_is_sent_again_under_its_id(yard: Yard, sink: Sink) -> None:
    await yard.add_webhook("nwh_1", sink.url)
    gate = asyncio.Event()
    sink.will_answer(200, gate=gate)
    delivery_id = await yard.notify(a_change())
    await sink.wait_for(1)

    other = yard.another_stage("node_other")
    await other.start()
    assert await yard.store.write(rescue_deliveries, [NODE], yard.clock.now) == 1
    other.wake()

    shown = await yard.ledger.until(delivery_id, SENT)
    gate.set()
    await other.stop(0)
    assert [one.headers["idempotency-key"] for one in sink.requests] == [delivery_id, delivery_id]
    assert (shown.state, shown.attempts) == (DeliveryState.DELIVERED, 2)


async def test_a_notification_that_is_resent_tells_the_same(yard: Yard, sink: Sink) -> None:
    await yard.add_webhook("nwh_1", sink.url)
    sink.will_answer(404)
    first = await yard.notify(a_change(WARNING), a_change(ERROR, WARNING))
    await yard.ledger.until(first, SENT)

    assert await yard.store.write(resend, first, "dlv_again", yard.clock.advance(1))
    yard.stage.wake()

    again = await yard.ledger.until("dlv_again", SENT)
    assert (again.state, again.webhook_id) == (DeliveryState.DELIVERED, "nwh_1")
    assert sink.requests[-1].body in [request.body for request in sink.requests[:-1]]
    told = await yard.board.told()
    assert told[-1] in told[:-1]


async def test_a_digest_is_one_message(yard: Yard, sink: Sink) -> None:
    await yard.add_webhook("nwh_1", sink.url, digest="PT1M")
    await yard.board.change(a_change(WARNING), a_change(ERROR, integration_id="int_b"), now=yard.clock.now)

    assert await yard.board.release(yard.clock.advance(60)) == 1
    yard.stage.wake()

    await sink.wait_for(1)
    told = sink.requests[0].json()
    assert told["event_type"] == "integration.digest"
    assert [change["id"] for change in told["changes"]] == ["int_a", "int_b"]
    await yard.ledger.until(await yard.board.delivery(), SENT)
    assert len(sink.requests) == 1


async def test_a_slow_webhook_does_not_hold_up_the_others(yard: Yard, sink: Sink) -> None:
    slow, gate = Sink(), asyncio.Event()
    await slow.start()
    slow.otherwise = Answer(gate=gate)
    await yard.add_webhook("nwh_1", slow.url)
    await yard.add_webhook("nwh_2", sink.url)
    await yard.add("int_a", sink.url)

    for number in range(20):
        await yard.notify(a_change(integration_id=f"int_{number}"))
    owed = await yard.hand_over()

    await yard.ledger.until(await yard.board.delivery("nwh_2"), SENT)
    await yard.ledger.until(owed.id, SENT)
    gate.set()
    await yard.ledger.until(await yard.board.delivery("nwh_1"), SENT)
    await slow.stop()


def _delete_webhook(connection: Connection, now: int) -> int:
    """As the use case does."""
    connection.execute(delete(schema.notification_webhook))
    return drop_notices_of(connection, "nwh_1", now, "the notification webhook was deleted")


async def test_no_reply_waits_for_the_many_webhooks_that_hear_of_one_change(yard: Yard, sink: Sink) -> None:
    webhooks, gate = DEFAULT_QUEUE_LIMITS.senders + 10, asyncio.Event()
    sink.answer_to = lambda received: Answer(gate=gate) if received.path == "/told" else Answer()
    for number in range(webhooks):
        await yard.add_webhook(f"nwh_{number}", f"{sink.url}/told")
    await yard.add("int_b", f"{sink.url}/reply")
    await yard.notify(a_change(ERROR))
    await sink.wait_for(NOTICE_LIMITS.senders)

    reply = await yard.owe("int_b")
    yard.stage.wake()

    assert (await yard.ledger.until(reply.id, SENT)).state is DeliveryState.DELIVERED
    gate.set()
    await sink.wait_for(webhooks + 1)
