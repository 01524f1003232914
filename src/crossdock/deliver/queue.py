"""Leased deliveries in memory: who waits for a sender, and whose turn it is.

Two bounds for each owner: an integration with its replies, a webhook with its notifications. Its *room* is what this
process holds of it at all; what is beyond stays in the store until there is room again. Its *senders* are the exchanges
that run at once: a few are its own whatever the others do, more while most senders are idle. So a busy owner goes fast,
and one whose target hangs can't hold up the others.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass

from crossdock.model.delivery import LeasedDelivery


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Each owner gets `own_senders`, while more than half are idle `most_senders`. A `batch` is claimed at once."""

    senders: int = 256
    own_senders: int = 16
    most_senders: int = 64
    room: int = 128
    """For each owner: reserved, waiting and being sent together."""
    all_room: int = 2_048
    batch: int = 64


DEFAULT_QUEUE_LIMITS = QueueLimits()
NOTICE_LIMITS = QueueLimits(senders=128, own_senders=8, most_senders=32, room=64, all_room=1_024, batch=16)
"""A webhook is owed little at a time, and one change may be told a thousand webhooks."""


class SendQueue:
    def __init__(self, limits: QueueLimits = DEFAULT_QUEUE_LIMITS) -> None:
        self._limits = limits
        self.batch = limits.batch
        self._idle = limits.senders
        self._held: Counter[str] = Counter()
        self._all_held = 0
        self._busy: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[LeasedDelivery]] = defaultdict(deque)
        self._turns: OrderedDict[str, None] = OrderedDict()

    def room(self, owner_id: str) -> int:
        """How many more deliveries of the owner may be reserved."""
        limits = self._limits
        return max(0, min(limits.room - self._held[owner_id], limits.all_room - self._all_held))

    def reserve(self, owner_id: str, count: int = 1) -> bool:
        """Keep room for deliveries that are about to be leased; False when there is not enough."""
        if count > self.room(owner_id):
            return False
        self._held[owner_id] += count
        self._all_held += count
        return True

    def release(self, owner_id: str, count: int = 1) -> None:
        """Give reserved room back."""
        self._all_held -= count
        self._held[owner_id] -= count
        if not self._held[owner_id]:
            del self._held[owner_id]

    def put(self, delivery: LeasedDelivery) -> None:
        """Line up a delivery for which room was reserved."""
        self._waiting[delivery.owner_id].append(delivery)
        self._turns.setdefault(delivery.owner_id, None)

    def take(self) -> LeasedDelivery | None:
        """The next delivery, with a sender for it; owners take turns. None when nobody may send now."""
        while self._turns and self._idle:
            owner_id = next(iter(self._turns))
            if self._busy[owner_id] >= self._allowed():
                del self._turns[owner_id]  # it comes back when one of its exchanges is over
                continue
            waiting = self._waiting[owner_id]
            delivery = waiting.popleft()
            if waiting:
                self._turns.move_to_end(owner_id)
            else:
                del self._turns[owner_id], self._waiting[owner_id]
            self._idle -= 1
            self._busy[owner_id] += 1
            return delivery
        return None

    def done(self, owner_id: str) -> None:
        """An exchange is over: its sender is idle and its room free."""
        self._idle += 1
        self._busy[owner_id] -= 1
        if not self._busy[owner_id]:
            del self._busy[owner_id]
        if owner_id in self._waiting:
            self._turns.setdefault(owner_id, None)
        self.release(owner_id)

    def drain(self) -> list[LeasedDelivery]:
        """Take out all that wait, without senders; their room is free."""
        waiting = [delivery for line in self._waiting.values() for delivery in line]
        self._waiting.clear()
        self._turns.clear()
        for delivery in waiting:
            self.release(delivery.owner_id)
        return waiting

    def _allowed(self) -> int:
        limits = self._limits
        return limits.most_senders if self._idle > limits.senders // 2 else limits.own_senders
