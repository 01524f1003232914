"""Handled events that owe a reply, recorded through the store's own doors."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Set
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from crossdock.clock import new_id
from crossdock.model.delivery import HandledEvent, LeasedReply, SendReport
from crossdock.model.event import Event, Request
from crossdock.model.outcome import Failure, Result
from crossdock.model.run import JournalEntry
from crossdock.model.states import DeliveryState, RunMove
from crossdock.model.time import Instant
from crossdock.store import Store, schema
from crossdock.store.accept import Accept, Lease
from crossdock.store.events import DeliveryRow, show_delivery
from crossdock.store.settle import NewReply, Settle

NODE = "node_here"
RESULT = Result(201, (("content-type", "application/json"),), b'{"id":7}')
REFUSED = Failure("assert", "the order has no lines", "check")

_numbers = itertools.count(1)


def an_event(now: Instant, integration_id: str = "int_a", body: bytes = b'{"order":1}') -> Event:
    request = Request(
        method="POST",
        path="/hooks/default/orders",
        query=(("site", "12"), ("tag", "a"), ("tag", "b")),
        headers=(("content-type", "application/json"), ("x-api-key", "[redacted]"), ("x-trace", "t1")),
        content_type="application/json",
        body=body,
    )
    return Event(new_id("evt"), integration_id, now, request)


@dataclass(slots=True)
class Ledger:
    """Writes integrations, handled events and their replies, and reads what became of them."""

    store: Store
    integrations: set[str] = field(default_factory=set)

    async def add_integration(self, integration_id: str) -> None:
        if integration_id not in self.integrations:
            await self.store.write(_insert_integration, integration_id)
            self.integrations.add(integration_id)

    async def owe_reply(
        self,
        now: Instant,
        integration_id: str = "int_a",
        *,
        expires_at: Instant | None = None,
        leased: bool = False,
        failure: Failure | None = None,
        result: Result | None = RESULT,
    ) -> LeasedReply:
        """A reply for an event that was just handled: leased to this node, or waiting to be claimed."""
        await self.add_integration(integration_id)
        event = an_event(now, integration_id)
        await self.store.submit(Accept(event, 1, Lease(NODE, "run-token")))
        lease = (NODE, f"token-{next(_numbers)}") if leased else None
        reply = NewReply(new_id("dlv"), now, expires_at, lease)
        settle = Settle(
            event_id=event.id,
            integration_id=integration_id,
            lease_token="run-token",
            move=RunMove.FAIL if failure else RunMove.SUCCEED,
            now=now,
            failure=failure,
            entry=JournalEntry(0, (), result) if result is not None else None,
            reply=reply,
        )
        assert await self.store.submit(settle)
        handled = HandledEvent(event, failure is None, result, failure, 1, now)
        return LeasedReply(reply.id, integration_id, now, expires_at, 1, lease[1] if lease else "", handled)

    async def shown(self, delivery_id: str) -> DeliveryRow:
        row = await self.store.read(show_delivery, "ws_1", delivery_id)
        assert row is not None
        return row

    async def until(
        self, delivery_id: str, states: Set[DeliveryState], *, tries: int = 0, within: float = 20.0
    ) -> DeliveryRow:
        """The delivery, once it is in one of the states after so many tries; TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            while True:
                shown = await self.shown(delivery_id)
                if shown.state in states and len(shown.tries) >= tries:
                    return shown

    async def until_state(self, delivery_id: str, states: Set[DeliveryState], *, within: float = 20.0) -> DeliveryState:
        """The same for a delivery whose integration is gone, so that nobody sees more of it."""
        async with asyncio.timeout(within):
            while (state := await self.store.read(_state, delivery_id)) not in states:
                pass
        return state

    async def remove_integration(self, integration_id: str) -> None:
        await self.store.write(_delete_integration, integration_id)


def a_report(now: Instant, status: int | None = 200, error: str | None = None) -> SendReport:
    return SendReport(now, now + 1_000, (("x-site", "12"),), status, (("server", "sink"),), b"{}", error)


def _state(connection: Connection, delivery_id: str) -> DeliveryState:
    query = select(schema.delivery.c.state).where(schema.delivery.c.id == delivery_id)
    return DeliveryState(connection.execute(query).scalar_one())


def _delete_integration(connection: Connection, integration_id: str) -> None:
    connection.execute(delete(schema.integration).where(schema.integration.c.id == integration_id))


def _insert_integration(connection: Connection, integration_id: str) -> None:
    if not connection.execute(select(schema.workspace).where(schema.workspace.c.id == "ws_1")).first():
        connection.execute(insert(schema.workspace).values(id="ws_1", slug="yard", name="Yard", created_at=0))
    connection.execute(
        insert(schema.integration).values(
            id=integration_id,
            workspace_id="ws_1",
            name=integration_id,
            type="event-webhook-async",
            enabled=True,
            path=integration_id,
            document="{}",
            workflow_number=0,
            revision=1,
            created_at=0,
            updated_at=0,
        )
    )
