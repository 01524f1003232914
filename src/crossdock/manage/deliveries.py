"""Deliveries: looking at one with all its tries, and sending it once more."""

from __future__ import annotations

from crossdock.clock import Clock, new_id
from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, entry_of
from crossdock.manage.event_documents import delivery_document
from crossdock.manage.notification_documents import changes_document, integrations_told
from crossdock.manage.ports import Stages
from crossdock.model.errors import Conflict, NotFound
from crossdock.model.outcome import Json
from crossdock.store import Store
from crossdock.store.audit import audited
from crossdock.store.deliveries import resend
from crossdock.store.events import DeliveryRow, show_delivery
from crossdock.store.notifications import show_notification
from crossdock.store.webhooks import integration_names


class Deliveries:
    def __init__(self, store: Store, clock: Clock, stages: Stages) -> None:
        self._store = store
        self._clock = clock
        self._stages = stages

    async def show(self, actor: Actor, delivery_id: str) -> Json:
        """A delivery with all its tries, and what it tells; NotFound when the workspace has no such one."""
        actor.require("viewer")
        found = await self._find(actor, delivery_id)
        told = await self._store.read(show_notification, actor.workspace_id, delivery_id) if found.webhook_id else None
        changes: list[Json] = []
        if told is not None:
            names = await self._store.read(integration_names, actor.workspace_id, integrations_told([told]))
            changes = changes_document(told, names)
        return {**delivery_document(found), "webhook_id": found.webhook_id, "changes": changes}

    async def resend(self, actor: Actor, delivery_id: str) -> Json:
        """Send the same message again as a new delivery, without a time limit; Conflict while the old one is due."""
        actor.require("operator")
        old = await self._find(actor, delivery_id)
        new, now = new_id("dlv"), self._clock()
        about = {"delivery_id": new, "kind": old.kind.value, "event_id": old.event_id, "webhook_id": old.webhook_id}
        after = {name: value for name, value in about.items() if value is not None}
        told = entry_of(actor, "delivery.resent", Subject(delivery_id, old.kind.value), now=now, after=after)
        change = audited(resend, lambda landed: told if landed else None)
        if not await self._store.write(change, delivery_id, new, now):
            raise Conflict(f"the delivery is {old.state.value}: it is sent by itself, there is no need to resend it")
        self._stages.delivery_added()
        return await self.show(actor, new)

    async def _find(self, actor: Actor, delivery_id: str) -> DeliveryRow:
        found = await self._store.read(show_delivery, actor.workspace_id, delivery_id)
        if found is None:
            raise NotFound(f"there is no delivery {delivery_id[:64]} here")
        return found
