"""Events that happen to an integration, written as the stages write them."""

from __future__ import annotations

from itertools import count

from sqlalchemy import select

from crossdock.clock import new_id
from crossdock.model.delivery import SendReport
from crossdock.model.event import Event, Request
from crossdock.model.health import Facts, Watched
from crossdock.model.integration import HealthRules
from crossdock.model.outcome import Failure, Json, Result
from crossdock.model.run import JournalEntry, StepRecord, StepStatus
from crossdock.model.states import DeliveryMove, RunMove
from crossdock.model.time import Instant
from crossdock.store import Store
from crossdock.store.accept import Accept, Lease
from crossdock.store.deliveries import AttemptSettle, DeliveryClaim
from crossdock.store.health import Means, evaluate
from crossdock.store.lanes import LaneClaim, LaneTurn, acquire_lanes
from crossdock.store.notice_deliveries import NoticeClaim, NoticeSettle
from crossdock.store.schema import delivery
from crossdock.store.settle import NewReply, Settle
from tests.support.held import HeldClock

FAILURE = Failure("refused", "the warehouse said no", "call")


class Story:
    """Tells a store what happened. Ids begin with the time, as real ones do."""

    def __init__(self, store: Store, clock: HeldClock) -> None:
        self._store = store
        self._clock = clock
        self._numbers = count(1)

    async def receive(self, integration_id: str, body: bytes = b'{"a": 1}', *, lane: str | None = None, **more) -> str:
        """A call that was recorded and waits; its event id."""
        now: Instant = self._clock()
        event = Event(
            id=f"evt_{now // 1_000:012x}{next(self._numbers):020x}",
            integration_id=integration_id,
            received_at=now,
            request=Request(
                method="POST",
                path=more.get("path", "/hooks/default/orders"),
                query=(("a", "1"), ("a", "2")),
                headers=(("host", "x"), ("x-site", "12")),
                content_type=more.get("content_type", "application/json"),
                body=body,
                key_id=more.get("key_id"),
                source_ip="203.0.113.9",
            ),
        )
        await self._store.submit(Accept(event, 0, lane_key=lane))
        return event.id

    async def succeed(self, integration_id: str, body: bytes = b'{"a": 1}', *, reply: str | None = None) -> str:
        """A call that was handled: a step, a result, and a reply that waits when it has an id."""
        event_id = await self._receive_leased(integration_id, body)
        self._clock.advance(0.25)
        now = self._clock()
        step = StepRecord("map", "transform", StepStatus.SUCCEEDED, now, now, 1, {"a": 1}, {"b": 10**30})
        result = Result(201, (("content-type", "application/json"),), b'{"b": 2}')
        await self._settle(
            event_id,
            integration_id,
            RunMove.SUCCEED,
            entry=JournalEntry(1, (step,), result),
            reply=NewReply(reply, now, None, None) if reply else None,
        )
        return event_id

    async def fail(self, integration_id: str, move: RunMove = RunMove.FAIL) -> str:
        """A call whose attempt failed, for good or (RETRY) not yet."""
        event_id = await self._receive_leased(integration_id, b"{}")
        self._clock.advance(1.0)
        due = self._clock() + 5_000_000 if move is RunMove.RETRY else None
        await self._settle(event_id, integration_id, move, failure=FAILURE, due_at=due)
        return event_id

    async def block(self, integration_id: str, lane: str) -> str:
        """A call in a lane that failed for good: the lane waits for an operator."""
        event_id = await self.receive(integration_id, lane=lane)
        [(_, _, lane_token)] = await self._store.write(acquire_lanes, "node_1", ["lease-1"])
        turn = LaneTurn(None, LaneClaim(event_id, f"token-{event_id}", "node_1", self._clock(), lane_token))
        await self._store.submit(turn)
        await self._settle(event_id, integration_id, RunMove.BLOCK, failure=FAILURE)
        return event_id

    async def judge(self, document: Json) -> None:
        """Judge an integration, as shown by the API, by what came of its runs and replies and by time."""
        is_enabled = document["status"] == "enabled"
        watched = Watched(document["id"], HealthRules(), is_enabled, revision=document["revision"])
        facts = {watched.integration_id: Facts()}
        await self._store.write(evaluate, [watched], facts, self._clock(), Means(new_id, 60.0))

    async def notify(self, webhook_id: str, status: int) -> str:
        """A notification that was sent and answered with this status; its id."""
        now = self._clock()
        [leased] = await self._store.submit(NoticeClaim(webhook_id, "node_1", ("lease-1",), now))
        report = SendReport(now, now + 5_000, (("webhook-id", leased.id),), status, (), b"no", request_body=b'{"a":1}')
        move = DeliveryMove.DELIVER if status < 300 else DeliveryMove.FAIL
        error = None if status < 300 else f"the target answered {status}"
        settle = AttemptSettle(leased.id, "lease-1", leased.attempts, move, now, report=report, error=error)
        settled = await self._store.submit(NoticeSettle(settle, webhook_id))
        assert settled.has_landed
        return str(leased.id)

    async def is_canceled(self, delivery_id: str) -> bool:
        """Whether a delivery was given up, whoever may see it."""
        query = select(delivery.c.state).where(delivery.c.id == delivery_id)
        return bool(await self._store.read(lambda c: c.execute(query).scalar_one()) == "canceled")

    async def end_reply(self, integration_id: str, delivery_id: str) -> None:
        """A reply that was sent and refused for good."""
        now = self._clock()
        [leased] = await self._store.submit(DeliveryClaim(integration_id, "node_1", ("lease-1",), now))
        report = SendReport(now, now + 5_000, (("a", "b"),), 410, (("c", "d"),), b"gone")
        await self._store.submit(
            AttemptSettle(leased.id, "lease-1", leased.attempts, DeliveryMove.FAIL, now, report=report, error="gone")
        )
        assert leased.id == delivery_id

    async def _receive_leased(self, integration_id: str, body: bytes) -> str:
        now = self._clock()
        event_id = f"evt_{now // 1_000:012x}{next(self._numbers):020x}"
        request = Request("POST", "/hooks/default/orders", (), (), "application/json", body)
        event = Event(event_id, integration_id, now, request)
        await self._store.submit(Accept(event, 0, lease=Lease("node_1", f"token-{event_id}")))
        return event_id

    async def _settle(self, event_id: str, integration_id: str, move: RunMove, **more) -> None:
        landed = await self._store.submit(
            Settle(event_id, integration_id, f"token-{event_id}", move, self._clock(), **more)
        )
        assert landed
