"""A deliver stage on a real store, with integrations set up in memory and in the record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from types import MappingProxyType
from typing import Any

import pytest

from crossdock.catalog import Catalog, LiveIntegration
from crossdock.deliver.notices import Notices
from crossdock.deliver.replies import Replies
from crossdock.deliver.stage import DeliverStage
from crossdock.model.delivery import LeasedReply
from crossdock.model.health import HealthChange
from crossdock.model.integration import Integration, ReplySettings
from crossdock.model.retry import RetryPolicy
from crossdock.model.trigger import Trigger
from crossdock.notices.sending import NoticeSender
from crossdock.notices.webhook import WebhookIdentity, read_webhook
from crossdock.observe import Observe
from crossdock.outbound.caller import HttpCaller
from crossdock.outbound.client import HttpSender, SendLimits
from crossdock.outbound.guard import Guard
from crossdock.store import Store
from crossdock.vault import Vault
from tests.support.held import HeldClock, held_sources
from tests.support.notices import Board
from tests.support.replies import NODE, Ledger

SECRET = bytes(range(32))
RETRY = RetryPolicy(attempts=3, delay=10.0, factor=2.0, max_delay=600.0)
LIMITS = SendLimits(seconds=20.0)


@dataclass(slots=True)
class Yard:
    """What a test of this stage needs, in one place."""

    store: Store
    ledger: Ledger
    catalog: Catalog
    clock: HeldClock
    observe: Observe
    sender: HttpSender
    caller: HttpCaller
    board: Board
    stage: DeliverStage

    async def add(self, integration_id: str, url: str, **reply: object) -> LiveIntegration:
        """An integration that replies to `url`."""
        await self.ledger.add_integration(integration_id)
        settings = replace(ReplySettings(url), **reply)  # type: ignore[arg-type]
        integration = Integration(
            integration_id, "yard", integration_id, "event-webhook-async", True, integration_id, Trigger(), settings
        )
        live = LiveIntegration(integration, SECRET)
        self.know(live)
        return live

    async def add_webhook(self, webhook_id: str, url: str, **document: Any) -> None:
        """A notification webhook at `url` that wants to hear of everything."""
        await self.board.webhook(webhook_id, filters={"statuses": []}, url=url, **document)
        self.know_webhook(webhook_id, url, **document)

    def know_webhook(self, webhook_id: str, url: str, *, active: bool = True, **document: Any) -> None:
        identity = WebhookIdentity(webhook_id, "yard", webhook_id, 1, active)
        webhook = read_webhook(identity, {"url": url, **document}, {})
        known = {**self.catalog.snapshot.webhooks, webhook_id: webhook}
        self.catalog.snapshot = replace(self.catalog.snapshot, webhooks=MappingProxyType(known))

    def forget_webhook(self, webhook_id: str) -> None:
        known = {one: live for one, live in self.catalog.snapshot.webhooks.items() if one != webhook_id}
        self.catalog.snapshot = replace(self.catalog.snapshot, webhooks=MappingProxyType(known))

    async def notify(self, *changes: HealthChange, webhook_id: str = "nwh_1") -> str:
        """Health changed, and the stage hears of it; the id of the newest delivery to a webhook."""
        await self.board.change(*changes, now=self.clock.now, damping=0.0)
        delivery_id = await self.board.delivery(webhook_id)
        self.stage.wake()
        return delivery_id

    def know(self, live: LiveIntegration) -> None:
        known = {**self.catalog.snapshot.by_id, live.integration.id: live}
        self.catalog.snapshot = replace(self.catalog.snapshot, by_id=MappingProxyType(known))

    async def owe(self, integration_id: str = "int_a", **more: object) -> LeasedReply:
        """A reply that waits to be claimed."""
        return await self.ledger.owe_reply(self.clock.now, integration_id, **more)  # type: ignore[arg-type]

    async def hand_over(self, integration_id: str = "int_a", **more: object) -> LeasedReply:
        """A reply as the run stage hands it over."""
        assert self.stage.try_reserve(integration_id)
        delivery = await self.owe(integration_id, leased=True, **more)
        self.stage.hand_over([delivery])
        return delivery

    def another_stage(self, node_id: str) -> DeliverStage:
        sources = held_sources(self.clock, node_id)
        replies = Replies(self.store, self.catalog, self.sender, sources=sources, limits=LIMITS)
        notices = Notices(
            self.store, self.catalog, NoticeSender(self.caller), sources=sources, site="https://crossdock.example"
        )
        return DeliverStage(self.store, replies, notices, self.observe, sources=sources, retry=RETRY)


@pytest.fixture
async def yard(store: Store, clock: HeldClock) -> AsyncIterator[Yard]:
    async with open_yard(store, clock) as opened:
        yield opened


@asynccontextmanager
async def open_yard(store: Store, clock: HeldClock) -> AsyncIterator[Yard]:
    catalog = Catalog(store, Vault([bytes(32)]))
    sender = HttpSender(Guard((ip_network("127.0.0.0/8"),)), clock)
    caller = HttpCaller(sender)
    ledger = Ledger(store)
    built = Yard(store, ledger, catalog, clock, Observe(), sender, caller, Board(store, ledger), None)  # type: ignore[arg-type]
    built.stage = built.another_stage(NODE)
    await built.stage.start()
    yield built
    await built.stage.stop(0)
    await caller.close()
    await sender.close()
