"""The last finished runs of an integration, and the failures among them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from crossdock.model.health import FailedRun
from crossdock.model.time import Instant


class Window:
    """The last `size` runs, the oldest first. Runs that went well one after the other are one number."""

    def __init__(self, entries: Iterable[int | FailedRun], size: int) -> None:
        self._entries = deque(entries)
        self._size = size
        self.runs = sum(entry if isinstance(entry, int) else 1 for entry in self._entries)
        self.failures = Counter(entry.key for entry in self._entries if isinstance(entry, FailedRun))
        """By key; keys without failures are left out."""
        self._trim()

    @property
    def entries(self) -> tuple[int | FailedRun, ...]:
        return tuple(self._entries)

    def succeed(self, count: int) -> int:
        """Add up to `count` runs that went well, but no more than until a failure has left; how many were added."""
        if not self.failures:
            self._entries = deque([min(self._size, self.runs + count)])
            self.runs = self._entries[0]  # type: ignore[assignment]
            return count
        first = self._entries[0]
        ahead = first if isinstance(first, int) else 0
        added = min(count, self._size - self.runs + ahead + 1)
        self._append(added)
        return added

    def fail(self, key: str, at: Instant) -> None:
        self._entries.append(FailedRun(key, at))
        self.failures[key] += 1
        self.runs += 1
        self._trim()

    def forgive(self, key: str) -> None:
        """Count the failures of a key as if they had gone well."""
        entries, self._entries = self._entries, deque()
        self.runs = 0
        del self.failures[key]
        for entry in entries:
            if isinstance(entry, FailedRun) and entry.key != key:
                self._entries.append(entry)
                self.runs += 1
            else:
                self._append(entry if isinstance(entry, int) else 1)

    def first_at(self, key: str) -> Instant | None:
        """When the first failure of a key came that is in the window."""
        return min((e.at for e in self._entries if isinstance(e, FailedRun) and e.key == key), default=None)

    def _append(self, count: int) -> None:
        last = self._entries[-1] if self._entries else None
        if isinstance(last, int):
            self._entries[-1] = last + count
        else:
            self._entries.append(count)
        self.runs += count
        self._trim()

    def _trim(self) -> None:
        while self.runs > self._size:
            first = self._entries.popleft()
            if isinstance(first, FailedRun):
                self.runs -= 1
                self.failures[first.key] -= 1
                if not self.failures[first.key]:
                    del self.failures[first.key]
                continue
            gone = min(first, self.runs - self._size)
            self.runs -= gone
            if first > gone:
                self._entries.appendleft(first - gone)
