"""Sending a reply: the handled event, to the integration's reply URL."""

from __future__ import annotations

from dataclasses import replace

from crossdock.catalog import Catalog, LiveIntegration
from crossdock.clock import Sources
from crossdock.deliver.attempt import UNKNOWN_OWNER_SECONDS, Judge, settle_of
from crossdock.deliver.message import Sealing, reply_body, reply_headers, shown_headers
from crossdock.model.delivery import LeasedReply, SendReport
from crossdock.model.integration import ReplySettings
from crossdock.model.states import DeliveryMove
from crossdock.model.time import later, seconds_between
from crossdock.model.trace import caller_trace, with_trace
from crossdock.outbound.client import DEFAULT_LIMITS, HttpSender, Message, SendLimits
from crossdock.store import Store
from crossdock.store.deliveries import AttemptSettle, has_integration
from crossdock.store.patience import until_recorded
from crossdock.tracing import Tracer


class Replies:
    """Sends replies, each as the integration's settings are at the moment."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        sender: HttpSender,
        *,
        sources: Sources,
        limits: SendLimits = DEFAULT_LIMITS,
        tracer: Tracer | None = None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._sender = sender
        self._sources = sources
        self._limits = limits
        self._tracer = tracer

    async def send(self, delivery: LeasedReply, judge: Judge) -> AttemptSettle:
        """One try, and what follows from it."""
        live = self._catalog.snapshot.by_id.get(delivery.integration_id)
        if live is None:
            return await self._without_integration(delivery)
        if live.reply is None:
            error = "the integration has no reply URL any more"
            return settle_of(delivery, DeliveryMove.FAIL, self._sources.now(), error=error)
        report = await self._exchange(delivery, live, live.reply)
        return judge.judge(delivery, report, _words(report))

    async def _exchange(self, delivery: LeasedReply, live: LiveIntegration, reply: ReplySettings) -> SendReport:
        body = reply_body(delivery.handled, live.integration.name)
        now = self._sources.now()
        headers = reply_headers(reply, body, Sealing(delivery.id, live.signing_secret, now))
        limits = self._limits
        if delivery.expires_at is not None:  # an exchange that begins in time must not post after it
            limits = replace(limits, seconds=min(limits.seconds, seconds_between(now, delivery.expires_at)))
        report = await self._sent(delivery, live, Message(reply.method, reply.url, headers, body), limits)
        return replace(
            report,
            request_headers=shown_headers(report.request_headers),
            response_headers=shown_headers(report.response_headers),
        )

    async def _sent(
        self, delivery: LeasedReply, live: LiveIntegration, message: Message, limits: SendLimits
    ) -> SendReport:
        """Send it with its trace, unless the reply's own headers speak of one."""
        method, url, headers = message.method, message.url, tuple(message.headers)
        if self._tracer is None:
            passed_on = with_trace(headers, caller_trace(delivery.handled.event))
            return await self._sender.send(method, url, passed_on, message.body, limits)
        report = None
        trace = self._tracer.begin_delivery(delivery, live.integration.name, method, url)
        try:
            report = await self._sender.send(method, url, with_trace(headers, trace.context), message.body, limits)
        finally:
            trace.ended(report)
        return report

    async def _without_integration(self, delivery: LeasedReply) -> AttemptSettle:
        """The integration is not in memory: it was removed, it is newer than what this node has read, or unreadable."""
        now = self._sources.now()
        is_there = await until_recorded(
            lambda: self._store.read(has_integration, delivery.integration_id), self._sources.fraction
        )
        if not is_there:
            return settle_of(delivery, DeliveryMove.FAIL, now, error="the integration was removed")
        due_at = later(now, UNKNOWN_OWNER_SECONDS)
        if delivery.expires_at is not None:
            due_at = min(due_at, delivery.expires_at)
        reason = self._catalog.snapshot.broken.get(delivery.integration_id, "it is not known here yet")
        return settle_of(
            delivery, DeliveryMove.RETRY, now, due_at=due_at, error=f"the integration can't be used now: {reason}"
        )


def _words(report: SendReport) -> str:
    """Why a try was not the last one, or why it was: for the delivery's line."""
    if report.error is not None:
        return report.error if report.status is None else f"the target answered {report.status}: {report.error}"
    if report.status == 410:
        return "the target answered 410 Gone: it wants no replies any more"
    return f"the target answered {report.status}"
