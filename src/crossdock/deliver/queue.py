"""Leased deliveries in memory: who waits for a sender, and whose turn it is.

Two bounds for each integration. Its *room* is what this process holds of it at all; what is beyond stays in the store
until there is room again. Its *senders* are the exchanges that run at once: a few are its own whatever the others do,
more while most senders are idle. So a busy integration goes fast, and one whose target hangs can't hold up the others.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass

from crossdock.model.delivery import LeasedDelivery


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """`own_senders` each integration gets, `most_senders` while more than half of all are idle."""

    senders: int = 256
    own_senders: int = 16
    most_senders: int = 64
    room: int = 128
    """For each integration: reserved, waiting and being sent together."""
    all_room: int = 2_048


DEFAULT_QUEUE_LIMITS = QueueLimits()


class SendQueue:
    def __init__(self, limits: QueueLimits = DEFAULT_QUEUE_LIMITS) -> None:
        self._limits = limits
        self._idle = limits.senders
        self._held: Counter[str] = Counter()
        self._all_held = 0
        self._busy: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[LeasedDelivery]] = defaultdict(deque)
        self._turns: OrderedDict[str, None] = OrderedDict()

    def room(self, integration_id: str) -> int:
        """How many more deliveries of the integration may be reserved."""
        limits = self._limits
        return max(0, min(limits.room - self._held[integration_id], limits.all_room - self._all_held))

    def reserve(self, integration_id: str, count: int = 1) -> bool:
        """Keep room for deliveries that are about to be leased; False when there is not enough."""
        if count > self.room(integration_id):
            return False
        self._held[integration_id] += count
        self._all_held += count
        return True

    def release(self, integration_id: str, count: int = 1) -> None:
        """Give reserved room back."""
        self._all_held -= count
        self._held[integration_id] -= count
        if not self._held[integration_id]:
            del self._held[integration_id]

    def put(self, delivery: LeasedDelivery) -> None:
        """Line up a delivery for which room was reserved."""
        self._waiting[delivery.integration_id].append(delivery)
        self._turns.setdefault(delivery.integration_id, None)

    def take(self) -> LeasedDelivery | None:
        """The next delivery, with a sender for it; integrations take turns. None when nobody may send now."""
        while self._turns and self._idle:
            integration_id = next(iter(self._turns))
            if self._busy[integration_id] >= self._allowed():
                del self._turns[integration_id]  # it comes back when one of its exchanges is over
                continue
            waiting = self._waiting[integration_id]
            delivery = waiting.popleft()
            if waiting:
                self._turns.move_to_end(integration_id)
            else:
                del self._turns[integration_id], self._waiting[integration_id]
            self._idle -= 1
            self._busy[integration_id] += 1
            return delivery
        return None

    def done(self, integration_id: str) -> None:
        """An exchange is over: its sender is idle and its room free."""
        self._idle += 1
        self._busy[integration_id] -= 1
        if not self._busy[integration_id]:
            del self._busy[integration_id]
        if integration_id in self._waiting:
            self._turns.setdefault(integration_id, None)
        self.release(integration_id)

    def drain(self) -> list[LeasedDelivery]:
        """Take out all that wait, without senders; their room is free."""
        waiting = [delivery for line in self._waiting.values() for delivery in line]
        self._waiting.clear()
        self._turns.clear()
        for delivery in waiting:
            self.release(delivery.integration_id)
        return waiting

    def _allowed(self) -> int:
        limits = self._limits
        return limits.most_senders if self._idle > limits.senders // 2 else limits.own_senders
