"""What becomes of signals between nodes, as the store tells it (`store.notices.SignalObserver`)."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from crossdock.observe.histogram import Histogram, Labels
from crossdock.observe.metrics import SIGNALS_DROPPED, SIGNALS_HEARD_COUNT, SIGNALS_HEARING, SIGNALS_SENT


class SignalCounts:
    """Counts words: a node that tells of ten runs at once has sent ten."""

    def __init__(
        self,
        counters: Mapping[str, MutableMapping[Labels, float]],
        gauges: MutableMapping[str, Mapping[Labels, float]],
        echo: Histogram,
    ) -> None:
        self._sent = counters[SIGNALS_SENT.name]
        self._dropped = counters[SIGNALS_DROPPED.name]
        self._heard = counters[SIGNALS_HEARD_COUNT.name]
        self._gauges = gauges
        self._echo = echo

    def signals_sent(self, count: int, /) -> None:
        self._sent[()] += count

    def signals_dropped(self, count: int, /) -> None:
        self._dropped[()] += count

    def signals_heard(self, count: int, /) -> None:
        self._heard[()] += count

    def set_hearing(self, is_hearing: bool, /) -> None:
        self._gauges[SIGNALS_HEARING.name] = {(): float(is_hearing)}

    def echoed(self, seconds: float, /) -> None:
        """What this process told itself came back after so long."""
        self._echo.add(seconds)
