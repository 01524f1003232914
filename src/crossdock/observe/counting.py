"""The counts behind the metrics.

Counters are written by one thread each (the event loop, or the store's writer), and read by any.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from crossdock import __version__
from crossdock.observe.metrics import (
    ACCEPTED,
    BLOCKED_LANES,
    COMMIT_ROWS,
    COMMIT_SECONDS,
    CONNECTIONS_REFUSED,
    DELIVERIES_FINISHED,
    DELIVERY_ATTEMPTS,
    DELIVERY_LATENCY,
    DUPLICATES,
    INFO,
    LANES_MENDED,
    LEASES_LOST,
    METRICS,
    NODES_FENCED,
    OLDEST_AGE,
    REJECTED,
    RUN_LATENCY,
    RUN_RETRIES,
    RUNS_FINISHED,
    RUNS_RESCUED,
    SPANS_DROPPED,
    SPANS_EXPORTED,
    STEP_SECONDS,
    STEPS_PERFORMED,
    STORE_UNAVAILABLE,
    UNFINISHED,
    WORKER_PROCESSES,
    WORKER_WAITING,
    MetricSpec,
)
from crossdock.observe.signals import SignalCounts

Labels = tuple[str, ...]


class _Histogram:
    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, spec: MetricSpec) -> None:
        self.bounds = spec.bounds
        self.counts = [0] * (len(spec.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        rows, total = [], 0
        for bound, count in zip((*self.bounds, float("inf")), list(self.counts), strict=True):
            total += count
            rows.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
        return rows


class Observe(Collector):
    """The program's own counts. Stages call its methods; `text` shows them all."""

    def __init__(self) -> None:
        self._counters: dict[str, dict[Labels, float]] = {
            spec.name: defaultdict(int) for spec in METRICS if spec.kind == "counter"
        }
        self._histograms = {spec.name: _Histogram(spec) for spec in METRICS if spec.kind == "histogram"}
        self._gauges: dict[str, Mapping[Labels, float]] = {INFO.name: {(__version__,): 1.0}}
        # Looked up once: the hot path then pays one dictionary update for each count.
        self._accepted = self._counters[ACCEPTED.name]
        self._finished = self._counters[RUNS_FINISHED.name]
        self._run_latency = self._histograms[RUN_LATENCY.name]
        self.signals = SignalCounts(self._counters, self._gauges)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def accepted(self, integration_id: str) -> None:
        self._accepted[(integration_id,)] += 1

    def duplicate(self, integration_id: str) -> None:
        self._counters[DUPLICATES.name][(integration_id,)] += 1

    def rejected(self, integration_id: str, reason: str) -> None:
        """`integration_id` is empty for calls to paths that nobody has."""
        self._counters[REJECTED.name][(integration_id, reason)] += 1

    def connection_refused(self, reason: str) -> None:
        self._counters[CONNECTIONS_REFUSED.name][(reason,)] += 1

    def run_finished(self, integration_id: str, state: str, seconds: float) -> None:
        """`seconds` have passed since the call was accepted."""
        self._finished[(integration_id, state)] += 1
        self._run_latency.add(seconds)

    def run_retried(self, integration_id: str) -> None:
        self._counters[RUN_RETRIES.name][(integration_id,)] += 1

    def step_performed(self, kind: str, outcome: str, seconds: float) -> None:
        """One try of a step with side effects; `outcome` is done, retry or stop."""
        self._counters[STEPS_PERFORMED.name][(kind, outcome)] += 1
        self._counters[STEP_SECONDS.name][(kind,)] += seconds

    def runs_rescued(self, count: int) -> None:
        self._counters[RUNS_RESCUED.name][()] += count

    def lease_lost(self, kind: str) -> None:
        """`kind` is what was leased: run, lane or delivery."""
        self._counters[LEASES_LOST.name][(kind,)] += 1

    def fenced(self) -> None:
        self._counters[NODES_FENCED.name][()] += 1

    def lane_mended(self) -> None:
        self._counters[LANES_MENDED.name][()] += 1

    def delivery_attempt(self, kind: str) -> None:
        self._counters[DELIVERY_ATTEMPTS.name][(kind,)] += 1

    def delivery_finished(self, kind: str, state: str, seconds: float) -> None:
        self._counters[DELIVERIES_FINISHED.name][(kind, state)] += 1
        self._histograms[DELIVERY_LATENCY.name].add(seconds)

    def commit(self, rows: int, seconds: float) -> None:
        self._histograms[COMMIT_ROWS.name].add(rows)
        self._histograms[COMMIT_SECONDS.name].add(seconds)

    def store_unavailable(self) -> None:
        self._counters[STORE_UNAVAILABLE.name][()] += 1

    def spans_exported(self, count: int) -> None:
        self._counters[SPANS_EXPORTED.name][()] += count

    def spans_dropped(self, reason: str, count: int) -> None:
        """`reason` is queue_full, not_sent or too_many."""
        self._counters[SPANS_DROPPED.name][(reason,)] += count

    def set_backlog(self, unfinished: Mapping[str, int], oldest_age: Mapping[str, float]) -> None:
        """Replace what is known of the queues, by integration; ages are in seconds."""
        self._gauges[UNFINISHED.name] = {(key,): float(count) for key, count in unfinished.items()}
        self._gauges[OLDEST_AGE.name] = {(key,): age for key, age in oldest_age.items()}

    def set_blocked_lanes(self, lanes: Mapping[str, int]) -> None:
        self._gauges[BLOCKED_LANES.name] = {(key,): float(count) for key, count in lanes.items()}

    def set_workers(self, states: Mapping[tuple[str, str], int], waiting: Mapping[str, int]) -> None:
        """Replace what is known of worker processes: how many of each use are in each state, and calls that wait."""
        self._gauges[WORKER_PROCESSES.name] = {key: float(count) for key, count in states.items()}
        self._gauges[WORKER_WAITING.name] = {(use,): float(count) for use, count in waiting.items()}

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        for spec in METRICS:
            if spec.kind == "counter":
                # A copy: another thread may count while this one shows.
                counts = list(self._counters[spec.name].items())
                yield _counter(spec, counts if spec.labels else counts or [((), 0)])
            elif spec.kind == "gauge":
                yield _gauge(spec, self._gauges.get(spec.name, {}).items())
            else:
                yield _histogram(spec, self._histograms[spec.name])


def _counter(spec: MetricSpec, counts: Iterable[tuple[Labels, float]]) -> Metric:
    family = CounterMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, count in counts:
        family.add_metric(labels, count)
    return family


def _gauge(spec: MetricSpec, values: Iterable[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _histogram(spec: MetricSpec, histogram: _Histogram) -> Metric:
    family = HistogramMetricFamily(spec.name, spec.help)
    family.add_metric((), histogram.cumulative(), histogram.sum)
    return family
