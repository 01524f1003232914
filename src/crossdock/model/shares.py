"""How nodes share what an integration may have in work at once, so that together they keep to its limit.

Each node that runs has a share, and the shares add up to exactly the limit. Nodes see one another by their heartbeats,
each at its own moment. The sum holds although no two of them need see the same:

- With more nodes nobody's share grows, and whoever may act sees at least all the others that may.
- A node makes room for a newcomer as soon as it sees it, and tells so with its next heartbeat (`Stance`), together with
  the integrations of which it has more in work than its new share.
- A newcomer has no share before all nodes that it sees have told so, and none of an integration before each of them has
  had no more of it than its share.
- A node that stops counts for what it has in work, until it has ended that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b

from crossdock.model.epoch import Epoch, Member, Stance


def share_of(limit: int, integration_id: str, node_id: str, others: Iterable[str]) -> int:
    """What a node may have in work of an integration, beside these others.

    What can't be divided goes to the first ones in an order that is another one for each integration.
    """
    mine = _place(integration_id, node_id)
    places = [_place(integration_id, other) for other in others]
    rank = sum(place < mine for place in places)
    return max(0, -((rank - limit) // (len(places) + 1)))


def _place(integration_id: str, node_id: str) -> bytes:
    return blake2b(f"{integration_id} {node_id}".encode(), digest_size=16).digest()


class Shares:
    """The shares of one node, through all its epochs."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._node_id = ""
        self._members: tuple[Member, ...] | None = None
        self._others: list[Member] = []
        self._known_by: set[str] = set()
        self._awaited: set[tuple[str, str]] = set()
        """Nodes with integrations of which they had more than their share when they first made room."""
        self._has_arrived = False
        self._shares: dict[tuple[str, int], int] = {}
        self.changes = 0
        """How often something happened that changes shares."""

    def share(self, integration_id: str, limit: int) -> int:
        """How many runs of the integration this node may have in work, `limit` being that of all nodes."""
        if self._epoch.is_alone:
            return limit
        if not self._epoch.may_act():
            return 0
        self.look()
        share = self._shares.get((integration_id, limit))
        if share is None:
            share = self._shares[integration_id, limit] = self._work_out(integration_id, limit)
        return share

    def _work_out(self, integration_id: str, limit: int) -> int:
        if not self._has_arrived or any(awaited == integration_id for _, awaited in self._awaited):
            return 0
        others = (other.node_id for other in self._others if _counts(other, integration_id))
        return share_of(limit, integration_id, self._node_id, others)

    def look(self) -> None:
        """Take in what the last heartbeat brought."""
        epoch = self._epoch
        if epoch.members is self._members and epoch.node_id == self._node_id:
            return
        before = self._others, self._has_arrived, len(self._awaited)
        if epoch.node_id != self._node_id:
            self._node_id, self._known_by, self._awaited, self._has_arrived = epoch.node_id, set(), set(), False
        self._members, self._shares = epoch.members, {}
        self._others = [m for m in epoch.members if "run" in m.roles and m.node_id != epoch.node_id]
        if not self._has_arrived:
            self._hear_who_made_room()
        over = {(other.node_id, name) for other in self._others if other.stance for name in other.stance.over}
        self._awaited &= over
        self.changes += before != (self._others, self._has_arrived, len(self._awaited))

    def _hear_who_made_room(self) -> None:
        for other in self._others:
            stance = other.stance
            if stance is None or other.node_id in self._known_by:
                continue
            if stance.has_stopped or self._node_id in stance.knows:
                self._known_by.add(other.node_id)
                self._awaited.update((other.node_id, name) for name in stance.over)
        is_there = any(member.node_id == self._node_id for member in self._epoch.members)
        self._has_arrived = is_there and all(other.node_id in self._known_by for other in self._others)

    def stance(self, in_work: Mapping[str, int], limit_of: Callable[[str], int | None], has_stopped: bool) -> Stance:
        """What to tell the others with the heartbeat that begins now. `limit_of` gives None for what is not limited.

        Whoever says that it has stopped takes nothing from this moment on.
        """
        self.look()
        over = []
        for name, count in in_work.items():
            limit = limit_of(name)
            if limit is not None and count > (0 if has_stopped else self.share(name, limit)):
                over.append(name)
        return Stance(frozenset(other.node_id for other in self._others), frozenset(over), has_stopped)


def _counts(other: Member, integration_id: str) -> bool:
    """Whether something of the integration is another node's."""
    stance = other.stance
    return stance is None or not stance.has_stopped or integration_id in stance.over
