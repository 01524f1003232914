"""What is counted at the door and written now and then: refused calls by reason, calls by API key."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossdock.model.time import Instant


@dataclass(slots=True)
class Count:
    calls: int = 0
    last_at: Instant = 0

    def add(self, now: Instant) -> None:
        self.calls += 1
        self.last_at = now


@dataclass(slots=True)
class Tally:
    """Counts since they were last taken. `rejections` is keyed by integration id and reason, `keys` by key id."""

    rejections: dict[tuple[str, str], Count] = field(default_factory=dict)
    keys: dict[str, Count] = field(default_factory=dict)

    def reject(self, integration_id: str, reason: str, now: Instant) -> None:
        self.rejections.setdefault((integration_id, reason), Count()).add(now)

    def use_key(self, key_id: str, now: Instant) -> None:
        count = self.keys.get(key_id)
        if count is None:
            count = self.keys[key_id] = Count()
        count.calls += 1
        count.last_at = now

    def take(self) -> Tally:
        """What was counted so far; counting starts anew."""
        taken = Tally(self.rejections, self.keys)
        self.rejections, self.keys = {}, {}
        return taken
