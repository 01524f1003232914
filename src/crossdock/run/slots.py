"""How many runs may be worked on at once, in all and for each integration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class Slots:
    """Counts runs in work. Taking more than there is room for gives what there is."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._in_use = 0
        self._by_integration: Counter[str] = Counter()

    def free(self, integration_id: str, limit: int) -> int:
        """How many more runs the integration may start, `limit` being its own bound."""
        return max(0, min(self._total - self._in_use, limit - self._by_integration[integration_id]))

    def take(self, integration_id: str, limit: int, wanted: int = 1) -> int:
        """Take up to `wanted` slots; how many it got."""
        got = min(wanted, self.free(integration_id, limit))
        self._in_use += got
        self._by_integration[integration_id] += got
        return got

    def take_extra(self, integration_id: str) -> None:
        """Take a slot whether or not there is room."""
        self._in_use += 1
        self._by_integration[integration_id] += 1

    def release(self, integration_id: str, count: int = 1) -> None:
        """Give slots back."""
        self._in_use -= count
        self._by_integration[integration_id] -= count
        if not self._by_integration[integration_id]:
            del self._by_integration[integration_id]

    @property
    def in_use(self) -> int:
        return self._in_use

    @property
    def by_integration(self) -> Mapping[str, int]:
        return self._by_integration
