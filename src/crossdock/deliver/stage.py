"""Stage 3: deliveries go out.

They come in two ways: replies leased and handed over in memory once the end of their run is durable (`try_reserve`,
`hand_over`), and all others claimed from the store when there is room or they become due. They wait in a `SendQueue`,
which is fair between its owners: one for the replies of integrations, and one with senders of its own for notification
webhooks, so that no reply waits for the many that hear of one change. `replies` and `notices` know how each is sent.
Each try ends in one guarded change; the sender is idle again before that is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from crossdock.clock import Sources, new_token
from crossdock.deliver.attempt import Judge, is_over, settle_of
from crossdock.deliver.notices import Notices
from crossdock.deliver.queue import NOTICE_LIMITS, SendQueue
from crossdock.deliver.replies import Replies
from crossdock.model.delivery import LeasedDelivery, LeasedNotice, LeasedReply, SendReport
from crossdock.model.errors import StoreUnavailable
from crossdock.model.leases import HeldLeases
from crossdock.model.retry import REPLY_RETRY, RetryPolicy
from crossdock.model.states import DELIVERY_MOVES, FINAL_DELIVERY_STATES, DeliveryMove, DeliveryState
from crossdock.model.time import Instant, seconds_between
from crossdock.observe import (
    DELIVERY_CRASHED,
    DELIVERY_ENDED,
    LEASE_LOST,
    LOOK_FAILED,
    STRAYS_RETURNED,
    WATCH_FAILED,
    WEBHOOK_FAILING,
    WEBHOOK_RECOVERED,
    Observe,
    emit,
    is_debugging,
)
from crossdock.store import Store
from crossdock.store.deliveries import (
    TOO_LATE,
    AttemptSettle,
    DeliveryClaim,
    expire_due,
    look_for_deliveries,
    read_sending,
    return_deliveries,
)
from crossdock.store.lookout import Lookout
from crossdock.store.notice_deliveries import NoticeClaim, NoticeSettle, NoticeSettled, WebhookTurn
from crossdock.store.patience import until_recorded
from crossdock.store.signals import Signals, Topic

CUT_SECONDS = 5.0
"""How long a stop waits for what it has cut off to be handed back."""

_Claim: TypeAlias = type[DeliveryClaim] | type[NoticeClaim]
_TURNS = {WebhookTurn.FAILING: WEBHOOK_FAILING, WebhookTurn.RECOVERED: WEBHOOK_RECOVERED}


class DeliverStage:
    """Sends deliveries. Everything but the exchanges and the reads and writes happens on the event loop."""

    def __init__(
        self,
        store: Store,
        replies: Replies,
        notices: Notices,
        observe: Observe,
        *,
        sources: Sources,
        signals: Signals | None = None,
        retry: RetryPolicy = REPLY_RETRY,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """`ended` is called for each delivery that has ended: it is quick."""
        self._store = store
        self._replies = replies
        self._notices = notices
        self._observe = observe
        self._sources = sources
        self._signals = signals or Signals()
        self._tell_ended = ended
        self._judge = Judge(retry, sources)
        self._queue = SendQueue()
        self._queues: dict[_Claim, SendQueue] = {DeliveryClaim: self._queue, NoticeClaim: SendQueue(NOTICE_LIMITS)}
        self._held = HeldLeases()
        self._backlog: OrderedDict[str, _Claim] = OrderedDict()
        self._claiming: set[str] = set()
        self._sending: set[asyncio.Task[object]] = set()
        self._tasks: set[asyncio.Future[object]] = set()
        self._lookout = Lookout(sources.now, self._signals)
        self._looking: asyncio.Task[None] | None = None
        self._is_pumping = False
        self._stopping = False

    # --- from the run stage ----------------------------------------------------------------------------------------

    def try_reserve(self, integration_id: str) -> bool:
        """Make room for a reply that is about to be recorded; False: record it unleased, it will be claimed.

        Room that was made has to be used by `hand_over` or given back by `unreserve`.
        """
        if self._stopping or not self._sources.epoch.may_act():
            return False
        if integration_id in self._backlog or not self._queue.reserve(integration_id):
            self._backlog[integration_id] = DeliveryClaim  # those that wait in the store go first
            return False
        return True

    def unreserve(self, integration_id: str) -> None:
        """Nothing was recorded after all: there is room again."""
        self._queue.release(integration_id)
        self._pump_soon()

    def hand_over(self, deliveries: Sequence[LeasedDelivery]) -> None:
        """Send freshly recorded deliveries for which `try_reserve` made room."""
        for delivery in deliveries:
            self._held.add(delivery.lease_token)
            self._queue_of(delivery).put(delivery)
        self._start_senders()

    def wake(self) -> None:
        """Deliveries wait in the store, for this node or another."""
        self._signals.tell(Topic.DELIVERIES)
        self.look_soon()

    def look_soon(self) -> None:
        """Something may have become due."""
        self._lookout.wake()

    # --- one delivery ----------------------------------------------------------------------------------------------

    def _start_senders(self) -> None:
        if self._stopping:
            self._hand_back_waiting()
        for queue in self._queues.values():
            while (delivery := queue.take()) is not None:
                self._track(asyncio.get_running_loop().create_task(self._deliver(delivery)))

    def _queue_of(self, delivery: LeasedDelivery) -> SendQueue:
        return self._queues[DeliveryClaim if isinstance(delivery, LeasedReply) else NoticeClaim]

    def _drain(self) -> list[LeasedDelivery]:
        return [delivery for queue in self._queues.values() for delivery in queue.drain()]

    def _track(self, task: asyncio.Future[object]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: LeasedDelivery) -> None:
        try:
            settle = await self._try_to_send(delivery)
        finally:
            self._queue_of(delivery).done(delivery.owner_id)
            self._start_senders()
            self._pump_soon()
        self._landed(delivery, settle, has_landed=await self._record(delivery, settle))

    async def _record(self, delivery: LeasedDelivery, settle: AttemptSettle) -> bool:
        try:
            return await self._record_all_of(delivery, settle)
        finally:
            self._held.discard(delivery.lease_token)

    async def _record_all_of(self, delivery: LeasedDelivery, settle: AttemptSettle) -> bool:
        try:
            return await self._submit(delivery, settle)
        except Exception as error:  # what the target said can't be kept; that it was sent must be
            emit(DELIVERY_CRASHED, error=error, **_telling(delivery))
            report = SendReport(settle.now, settle.now, (), error="what was sent and answered could not be recorded")
            return await self._submit(delivery, replace(settle, report=report, error=None))

    async def _submit(self, delivery: LeasedDelivery, settle: AttemptSettle) -> bool:
        change = _change_of(delivery, settle)
        answer: bool | NoticeSettled = await until_recorded(lambda: self._store.submit(change), self._sources.fraction)
        if isinstance(answer, bool):
            return answer
        if answer.turn is not None:
            emit(_TURNS[answer.turn], webhook=delivery.owner_id, delivery_id=delivery.id, reason=settle.error)
        return answer.has_landed

    async def _try_to_send(self, delivery: LeasedDelivery) -> AttemptSettle:
        """One try. Whatever happens in it, there is a change to record."""
        now = self._sources.now()
        if is_over(delivery, now):
            return settle_of(delivery, DeliveryMove.EXPIRE, now, error=TOO_LATE)
        task = asyncio.current_task()
        assert task is not None
        self._sending.add(task)
        try:
            if not self._sources.gate.may_act():
                await self._sources.gate.passage()
            return await self._send(delivery)
        except asyncio.CancelledError:  # only `stop` and `abandon` cancel, and want this one handed back
            return settle_of(delivery, DeliveryMove.HAND_BACK, self._sources.now())
        except Exception as error:
            emit(DELIVERY_CRASHED, error=error, **_telling(delivery))
            failed = f"{type(error).__name__} inside Crossdock; see the log"
            return self._judge.judge(delivery, SendReport(now, self._sources.now(), (), error=failed), failed)
        finally:
            self._sending.discard(task)

    async def _send(self, delivery: LeasedDelivery) -> AttemptSettle:
        if delivery.attempts == 1:
            self._observe.delivery_begun(seconds_between(delivery.created_at, self._sources.now()))
        if isinstance(delivery, LeasedReply):
            settle = await self._replies.send(delivery, self._judge)
        else:
            settle = await self._notices.send(delivery, self._judge)
        if settle.report is not None:
            self._observe.delivery_attempt(delivery.kind)
        return settle

    def _landed(self, delivery: LeasedDelivery, settle: AttemptSettle, *, has_landed: bool) -> None:
        if not has_landed:
            self._observe.lease_lost("delivery")
            emit(LEASE_LOST, kind="delivery", id=delivery.id)
            return
        state = DELIVERY_MOVES[settle.move][1]
        if state in FINAL_DELIVERY_STATES:
            self._ended(delivery, state, settle)
            if isinstance(delivery, LeasedNotice):  # the next one of its integration may have waited for it
                self._backlog.setdefault(delivery.owner_id, NoticeClaim)
                self._pump_soon()
        elif settle.due_at is not None:
            self._lookout.due(settle.due_at)

    def _ended(self, delivery: LeasedDelivery, state: DeliveryState, settle: AttemptSettle) -> None:
        self._tell_ended()
        self._observe.delivery_finished(delivery.kind, state, seconds_between(delivery.created_at, settle.now))
        if is_debugging():
            emit(DELIVERY_ENDED, **_telling(delivery), state=state.value, error_text=settle.error)

    # --- the backlog in the store ----------------------------------------------------------------------------------

    def _pump_soon(self) -> None:
        if self._backlog and not self._is_pumping and not self._stopping:
            self._is_pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Claim for each backlogged owner that has room for a batch: small claims cost as much as large ones."""
        self._is_pumping = False
        for owner_id, claim in list(self._backlog.items()):
            queue = self._queues[claim]
            if owner_id not in self._claiming and queue.reserve(owner_id, queue.batch):
                self._backlog.move_to_end(owner_id)
                self._claim(owner_id, claim, queue.batch)

    def _claim(self, owner_id: str, claim: _Claim, count: int) -> None:
        tokens = tuple(new_token() for _ in range(count))
        node_id = self._sources.node_id
        self._claiming.add(owner_id)

        def claimed(answer: list[LeasedDelivery] | Exception) -> None:
            is_past = node_id != self._sources.node_id  # whoever rescues that node's deliveries has them
            self._claimed(owner_id, claim, count, [] if is_past or isinstance(answer, Exception) else answer)

        future = self._store.submit(claim(owner_id, node_id, tokens, self._sources.now()), claimed)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # `claimed` has dealt with it
        self._track(future)

    def _claimed(self, owner_id: str, claim: _Claim, count: int, deliveries: Sequence[LeasedDelivery]) -> None:
        """Fewer than wanted, or none for a failed claim: the next look finds what still waits."""
        self._claiming.discard(owner_id)
        if len(deliveries) < count:
            self._backlog.pop(owner_id, None)
            self._queues[claim].release(owner_id, count - len(deliveries))
        self.hand_over(deliveries)

    # --- looking for work ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to look for deliveries that wait."""
        self._looking = asyncio.get_running_loop().create_task(self._look_forever())

    async def _look_forever(self) -> None:
        while not self._stopping:
            self._lookout.begin()
            try:
                next_at = await self._look()
                if next_at is not None:
                    self._lookout.due(next_at)
            except StoreUnavailable as error:
                emit(LOOK_FAILED, reason=str(error))
            except Exception as error:
                emit(WATCH_FAILED, error=error, turn="looking for deliveries")
            await self._lookout.rest()

    async def _look(self) -> Instant | None:
        """Expire what is over, claim what is due; when the next delivery becomes due."""
        now = self._sources.now()
        found = await self._store.read(look_for_deliveries, now)
        if found.has_expired:
            await self._expire(now)
        for integration_id in found.integrations:
            self._backlog.setdefault(integration_id, DeliveryClaim)
        for webhook_id in found.webhooks:
            self._backlog.setdefault(webhook_id, NoticeClaim)
        self._pump()
        return found.next_at

    async def _expire(self, now: Instant) -> None:
        while ended := await self._store.write(expire_due, now):
            for delivery in ended:
                waited = seconds_between(delivery.created_at, now)
                self._observe.delivery_finished(delivery.kind, DeliveryState.EXPIRED, waited)

    async def return_strays(self) -> None:
        """Hand back deliveries that are leased to this node without its knowledge; called seconds apart."""
        strays = self._held.strays(await self._store.read(read_sending, self._sources.node_id))
        if strays:
            returned = await self._store.write(return_deliveries, self._sources.node_id, strays, self._sources.now())
            emit(STRAYS_RETURNED, kind="delivery", count=returned)
            self.wake()

    # --- stopping --------------------------------------------------------------------------------------------------

    async def abandon(self) -> None:
        """This node was taken for dead, and its deliveries are others' now: drop them."""
        for delivery in self._drain():
            self._held.discard(delivery.lease_token)
        for task in list(self._sending):
            task.cancel()

    async def stop(self, grace_seconds: float) -> None:
        """Claim nothing more, let running exchanges finish within the grace, hand back the rest."""
        self._stopping = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        self._hand_back_waiting()
        await self._settle_down(grace_seconds)
        for task in list(self._sending):
            task.cancel()
        await self._settle_down(CUT_SECONDS)
        for left in list(self._tasks):  # the database is away: whoever sees this node dead takes them back
            left.cancel()

    def _hand_back_waiting(self) -> None:
        for delivery in self._drain():
            settle = settle_of(delivery, DeliveryMove.HAND_BACK, self._sources.now())
            self._track(asyncio.get_running_loop().create_task(self._record(delivery, settle)))

    async def _settle_down(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._tasks:  # a claim that was under way brings deliveries, which are handed back
                    await asyncio.wait(list(self._tasks))

    @property
    def leases(self) -> int:
        """Deliveries that this node holds: those that are sent, and those that wait for a sender."""
        return len(self._held)

    @property
    def in_flight(self) -> int:
        """How many exchanges with targets run now."""
        return len(self._sending)


def _change_of(delivery: LeasedDelivery, settle: AttemptSettle) -> AttemptSettle | NoticeSettle:
    return settle if isinstance(delivery, LeasedReply) else NoticeSettle(settle, delivery.notice.webhook_id)


def _telling(delivery: LeasedDelivery) -> dict[str, Any]:
    """What a line of the log says of a delivery."""
    if isinstance(delivery, LeasedReply):
        return {"delivery_id": delivery.id, "event_id": delivery.handled.event.id}
    return {"delivery_id": delivery.id, "webhook": delivery.notice.webhook_id}
