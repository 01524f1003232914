"""Which node this process is, and whether it may begin what the outside world will see.

A node's leases are its own while its heartbeat is fresh. It stops beginning side effects before the others may take
its work over, so that the two never overlap; a node whose row was taken away goes on as another one, a new *epoch*,
and holds nothing of what it held before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from crossdock.model.time import Instant

ACTS_FOR = 0.8
"""The share of a lease's time to live in which its holder begins side effects: the rest is for those under way."""


@dataclass(frozen=True, slots=True)
class Stance:
    """What a node tells of its work with each heartbeat, for sharing limits: see `model.shares`."""

    knows: frozenset[str]
    """The other nodes that it leaves their shares to."""
    over: frozenset[str] = frozenset()
    """Integrations of which it has more in work than its share."""
    has_stopped: bool = False
    """It takes nothing more; `over` are then all integrations of which it has something in work."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node that lives, as the others see it."""

    node_id: str
    roles: frozenset[str]
    is_leaving: bool = False
    stance: Stance | None = None
    """None before its second heartbeat."""


def _tell_nobody() -> None:
    """Nobody waits for it."""


class Epoch:
    """`monotonic` counts seconds, those in which the machine or the process was suspended too."""

    def __init__(self, node_id: str, monotonic: Callable[[], float], *, is_alone: bool = False) -> None:
        """`is_alone`: nobody else can reach the database, so nobody can take anything over."""
        self.node_id = node_id
        self.members: tuple[Member, ...] = ()
        """All living nodes, this one included, as of the last heartbeat."""
        self._monotonic = monotonic
        self.is_alone = is_alone
        self._acts_until = float("-inf")
        self.confirmed: Callable[[], None] = _tell_nobody
        """Is called with each heartbeat that landed."""

    def may_act(self) -> bool:
        """Whether this node's leases are certainly its own."""
        return self.is_alone or self._monotonic() < self._acts_until

    @property
    def seconds_left(self) -> float:
        """How long this node may act without another heartbeat; negative when it may not."""
        return self._acts_until - self._monotonic()

    def confirm(self, beaten_at: float, ttl_seconds: float) -> None:
        """A heartbeat that began at `beaten_at` landed."""
        self._acts_until = beaten_at + ttl_seconds * ACTS_FOR
        self.confirmed()

    def renew(self, node_id: str) -> None:
        """Go on as another node, which may act once it is known."""
        self.node_id = node_id
        self.members = ()
        self._acts_until = float("-inf")


@dataclass(slots=True)
class _Sight:
    heartbeat_at: Instant
    still_for: float = 0.0


@dataclass(slots=True)
class Witness:
    """Tells which nodes are dead: those whose heartbeat was seen to stand still for the whole time to live.

    No wall clock is asked, neither this machine's nor the database's, so that a clock that is set can't kill a node. A
    pause between two looks counts as one heartbeat at most: while the database is away nobody can beat, and whoever
    comes back first must not bury the others.
    """

    ttl_seconds: float
    heartbeat_seconds: float
    _seen: dict[str, _Sight] = field(default_factory=dict)
    _looked_at: float | None = None

    def look(
        self, heartbeats: Mapping[str, Instant], now: float, leases: Mapping[str, float] | None = None
    ) -> list[str]:
        """The dead among the nodes with these last heartbeats; `now` is monotonic.

        `leases` tells for how many seconds a node may go on without a heartbeat where that is not as long as here.
        """
        passed = 0.0 if self._looked_at is None else min(now - self._looked_at, self.heartbeat_seconds * 1.5)
        self._looked_at = now
        before, self._seen = self._seen, {}
        for node_id, heartbeat_at in heartbeats.items():
            sight = before.get(node_id)
            if sight is None or sight.heartbeat_at != heartbeat_at:
                sight = _Sight(heartbeat_at)
            else:
                sight.still_for += passed
            self._seen[node_id] = sight
        given = leases or {}
        return sorted(
            node_id
            for node_id, sight in self._seen.items()
            if sight.still_for >= max(self.ttl_seconds, given.get(node_id, 0.0))
        )
