"""A deliver stage on a real store, with integrations set up in memory and in the record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from types import MappingProxyType

import pytest

from crossdock.catalog import Catalog, LiveIntegration
from crossdock.deliver.stage import DeliverStage
from crossdock.model.delivery import LeasedDelivery
from crossdock.model.integration import Integration, ReplySettings
from crossdock.model.retry import RetryPolicy
from crossdock.model.trigger import Trigger
from crossdock.observe import Observe
from crossdock.outbound.client import HttpSender, SendLimits
from crossdock.outbound.guard import Guard
from crossdock.store import Store
from crossdock.vault import Vault
from tests.support.held import HeldClock, held_sources
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

    def know(self, live: LiveIntegration) -> None:
        known = {**self.catalog.snapshot.by_id, live.integration.id: live}
        self.catalog.snapshot = replace(self.catalog.snapshot, by_id=MappingProxyType(known))

    async def owe(self, integration_id: str = "int_a", **more: object) -> LeasedDelivery:
        """A reply that waits to be claimed."""
        return await self.ledger.owe_reply(self.clock.now, integration_id, **more)  # type: ignore[arg-type]

    async def hand_over(self, integration_id: str = "int_a", **more: object) -> LeasedDelivery:
        """A reply as the run stage hands it over."""
        assert self.stage.try_reserve(integration_id)
        delivery = await self.owe(integration_id, leased=True, **more)
        self.stage.hand_over([delivery])
        return delivery

    def another_stage(self, node_id: str) -> DeliverStage:
        sources = held_sources(self.clock, node_id)
        return DeliverStage(
            self.store, self.catalog, self.sender, self.observe, sources=sources, retry=RETRY, limits=LIMITS
        )


@pytest.fixture
async def yard(store: Store, clock: HeldClock) -> AsyncIterator[Yard]:
    async with open_yard(store, clock) as opened:
        yield opened


@asynccontextmanager
async def open_yard(store: Store, clock: HeldClock) -> AsyncIterator[Yard]:
    catalog = Catalog(store, Vault([bytes(32)]))
    sender = HttpSender(Guard((ip_network("127.0.0.0/8"),)), clock)
    built = Yard(store, Ledger(store), catalog, clock, Observe(), sender, None)  # type: ignore[arg-type]
    built.stage = built.another_stage(NODE)
    await built.stage.start()
    yield built
    await built.stage.stop(0)
    await sender.close()
