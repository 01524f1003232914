"""What the database costs and how it fares, as the store tells it (`store.record.DatabaseObserver`).

It is told from several threads, so unlike the other counts these are guarded.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from threading import Lock
from typing import Literal

from crossdock.observe.histogram import Histogram, Labels
from crossdock.observe.metrics import (
    CONNECTIONS_LOST,
    CONNECTIONS_MADE,
    DATABASE_CONTENDED,
    DATABASE_SECONDS,
    DATABASE_STATEMENTS,
    DATABASE_WAIT,
    MetricSpec,
)


class DatabaseCounts:
    """Shared commits have histograms of their own; they are not counted again here."""

    def __init__(
        self,
        counters: Mapping[str, MutableMapping[Labels, float]],
        histograms: Mapping[str, MutableMapping[Labels, Histogram]],
    ) -> None:
        self._lock = Lock()
        self._counters = counters
        self._seconds = {kind: Histogram(DATABASE_SECONDS) for kind in ("change", "read")}
        histograms[DATABASE_SECONDS.name].update({(kind,): seconds for kind, seconds in self._seconds.items()})
        self._wait = histograms[DATABASE_WAIT.name][()]
        self._statements = counters[DATABASE_STATEMENTS.name]

    def answered(self, kind: Literal["commit", "change", "read"], seconds: float, /) -> None:
        if kind != "commit":
            with self._lock:
                self._seconds[kind].add(seconds)

    def waited(self, seconds: float, /) -> None:
        with self._lock:
            self._wait.add(seconds)

    def sent(self) -> None:
        with self._lock:
            self._statements[()] += 1

    def contended(self, reason: str, /) -> None:
        self._count(DATABASE_CONTENDED, (reason,))

    def connected(self) -> None:
        self._count(CONNECTIONS_MADE)

    def lost(self) -> None:
        self._count(CONNECTIONS_LOST)

    def _count(self, spec: MetricSpec, labels: Labels = ()) -> None:
        with self._lock:
            self._counters[spec.name][labels] += 1
