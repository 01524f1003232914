"""Sending a notification: changes of health, to a notification webhook, in the form that it wants at the moment."""

from __future__ import annotations

from dataclasses import replace

from crossdock.catalog import Catalog
from crossdock.clock import Sources
from crossdock.deliver.attempt import UNKNOWN_OWNER_SECONDS, Judge, settle_of
from crossdock.model.delivery import LeasedNotice
from crossdock.model.states import DeliveryMove
from crossdock.model.time import later
from crossdock.notices.payload import About, payload_of
from crossdock.notices.sending import NoticeSender
from crossdock.notices.webhook import NotificationWebhook
from crossdock.store import Store
from crossdock.store.deliveries import AttemptSettle
from crossdock.store.notice_deliveries import is_webhook_active
from crossdock.store.patience import until_recorded


class Notices:
    """Sends notifications. `site` is the address of this server for links."""

    def __init__(
        self, store: Store, catalog: Catalog, sender: NoticeSender, *, sources: Sources, site: str = ""
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._sender = sender
        self._sources = sources
        self._site = site

    async def send(self, delivery: LeasedNotice, judge: Judge) -> AttemptSettle:
        """One try, and what follows from it."""
        webhook = self._catalog.snapshot.webhooks.get(delivery.notice.webhook_id)
        if webhook is None or not webhook.active:
            return await self._without_webhook(delivery)
        if not delivery.notice.changes:
            error = "the changes of health that it tells are not kept any more"
            return settle_of(delivery, DeliveryMove.FAIL, self._sources.now(), error=error)
        return await self._exchange(delivery, webhook, judge)

    async def _exchange(self, delivery: LeasedNotice, webhook: NotificationWebhook, judge: Judge) -> AttemptSettle:
        notice = delivery.notice
        payload = payload_of(notice.changes, self._about, is_digest=notice.is_digest)
        sent = await self._sender.send(webhook, payload, delivery.id, self._sources.now())
        report = replace(sent.report, error=sent.report.error or sent.refusal, request_body=sent.request_body)
        return judge.judge(delivery, report, sent.error, sent.refusal)

    def _about(self, integration_id: str) -> About:
        """What is known of an integration; of one that was removed since, its id."""
        url = f"{self._site}/integrations/{integration_id}"
        live = self._catalog.snapshot.by_id.get(integration_id)
        if live is None:
            return About(integration_id, "", url)
        return About(live.integration.name, live.integration.type, url)

    async def _without_webhook(self, delivery: LeasedNotice) -> AttemptSettle:
        """The webhook can't be used as it is in memory: it is gone, off, newer than what this node has read, or
        unreadable.
        """
        now, webhook_id = self._sources.now(), delivery.notice.webhook_id
        is_active = await until_recorded(
            lambda: self._store.read(is_webhook_active, webhook_id), self._sources.fraction
        )
        if not is_active:
            deed = "deleted" if is_active is None else "switched off"
            return settle_of(delivery, DeliveryMove.FAIL, now, error=f"the notification webhook was {deed}")
        reason = self._catalog.snapshot.broken_webhooks.get(webhook_id, "it is not known here yet")
        error = f"the notification webhook can't be used now: {reason}"
        due_at = later(now, UNKNOWN_OWNER_SECONDS)
        return settle_of(delivery, DeliveryMove.RETRY, now, due_at=due_at, error=error)
