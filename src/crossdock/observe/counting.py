"""The counts behind the metrics.

Counters are written by one thread each (the event loop, or the store's writer), and read by any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

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
from crossdock.observe.database import DatabaseCounts
from crossdock.observe.histogram import Histogram, Labels
from crossdock.observe.metrics import (
    ACCEPTED,
    BLOCKED_LANES,
    BULK_JOBS,
    CHANGES_WAITING,
    CLOCK_SKEW,
    COMMIT_ROWS,
    COMMIT_SECONDS,
    CONNECTIONS_REFUSED,
    DELIVERIES_FINISHED,
    DELIVERIES_OVERDUE,
    DELIVERIES_RESCUED,
    DELIVERIES_WAITING,
    DELIVERY_ATTEMPTS,
    DELIVERY_LATENCY,
    DELIVERY_QUEUE,
    DUPLICATES,
    DUTIES_TAKEN,
    EVENT_LOOP_LAG,
    HEALTH,
    HEALTH_CHANGES,
    HEALTH_ISSUES,
    HEARTBEAT_SECONDS,
    HEARTBEATS_FAILED,
    INFO,
    LANE_AGE,
    LANE_DEPTH,
    LANES_BUSY,
    LANES_MENDED,
    LANES_PASSED_ON,
    LEASE_LEFT,
    LEASES_HELD,
    LEASES_LOST,
    METRICS,
    NODES,
    NODES_BURIED,
    NODES_FENCED,
    OLDEST_AGE,
    REJECTED,
    RUN_LATENCY,
    RUN_QUEUE,
    RUN_RETRIES,
    RUNS_FINISHED,
    RUNS_RESCUED,
    SIGNAL_ECHO,
    SPANS_DROPPED,
    SPANS_EXPORTED,
    STEP_SECONDS,
    STEPS_PERFORMED,
    STORE_UNAVAILABLE,
    UNFINISHED,
    WEBHOOK_FAILURES,
    WORKER_PROCESSES,
    WORKER_WAITING,
    MetricSpec,
)
from crossdock.observe.signals import SignalCounts


class Observe(Collector):
    """The program's own counts. Stages call its methods; `text` shows them all."""

    def __init__(self) -> None:
        self._counters: dict[str, dict[Labels, float]] = {
            spec.name: defaultdict(int) for spec in METRICS if spec.kind == "counter"
        }
        self._histograms: dict[str, dict[Labels, Histogram]] = {
            spec.name: {} if spec.labels else {(): Histogram(spec)} for spec in METRICS if spec.kind == "histogram"
        }
        self._gauges: dict[str, Mapping[Labels, float]] = {INFO.name: {(__version__,): 1.0}}
        # Looked up once: the hot path then pays one dictionary update for each count.
        self._accepted = self._counters[ACCEPTED.name]
        self._finished = self._counters[RUNS_FINISHED.name]
        self._run_latency = self._histograms[RUN_LATENCY.name][()]
        self._run_queue = self._histograms[RUN_QUEUE.name][()]
        self.signals = SignalCounts(self._counters, self._gauges, self._histograms[SIGNAL_ECHO.name][()])
        self.database = DatabaseCounts(self._counters, self._histograms)
        self._asked: list[Callable[[], None]] = []
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

    def run_begun(self, seconds: float) -> None:
        """A run starts for the first time, so long after its call was accepted."""
        self._run_queue.add(max(0.0, seconds))  # a clock that is set back must not take from the sum

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

    def lanes_handed_on(self, count: int) -> None:
        self._counters[LANES_PASSED_ON.name][()] += count

    def heartbeat(self, seconds: float) -> None:
        """A heartbeat landed, and was answered so late."""
        self._histograms[HEARTBEAT_SECONDS.name][()].add(seconds)

    def heartbeat_failed(self) -> None:
        self._counters[HEARTBEATS_FAILED.name][()] += 1

    def nodes_buried(self, count: int) -> None:
        self._counters[NODES_BURIED.name][()] += count

    def deliveries_rescued(self, count: int) -> None:
        self._counters[DELIVERIES_RESCUED.name][()] += count

    def duty_taken(self, name: str) -> None:
        self._counters[DUTIES_TAKEN.name][(name,)] += 1

    def loop_lag(self, seconds: float) -> None:
        """The event loop came so late to something that was due."""
        self._histograms[EVENT_LOOP_LAG.name][()].add(seconds)

    def delivery_begun(self, seconds: float) -> None:
        """A delivery is tried for the first time, so long after it was made."""
        self._histograms[DELIVERY_QUEUE.name][()].add(max(0.0, seconds))

    def delivery_attempt(self, kind: str) -> None:
        self._counters[DELIVERY_ATTEMPTS.name][(kind,)] += 1

    def delivery_finished(self, kind: str, state: str, seconds: float) -> None:
        self._counters[DELIVERIES_FINISHED.name][(kind, state)] += 1
        self._histograms[DELIVERY_LATENCY.name][()].add(seconds)

    def health_changed(self, integration_id: str, state: str) -> None:
        self._counters[HEALTH_CHANGES.name][(integration_id, state)] += 1

    def commit(self, rows: int, seconds: float) -> None:
        self._histograms[COMMIT_ROWS.name][()].add(rows)
        self._histograms[COMMIT_SECONDS.name][()].add(seconds)

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

    def set_health(self, states: Mapping[str, str], open_issues: Mapping[str, int]) -> None:
        """Replace what is known of the health of integrations, by integration."""
        self._gauges[HEALTH.name] = dict.fromkeys(states.items(), 1.0)
        self._gauges[HEALTH_ISSUES.name] = {(key,): float(count) for key, count in open_issues.items()}

    def set_blocked_lanes(self, lanes: Mapping[str, int]) -> None:
        self._gauges[BLOCKED_LANES.name] = {(key,): float(count) for key, count in lanes.items()}

    def set_nodes(self, states: Mapping[tuple[str, str], int], clock_skew: float) -> None:
        """Replace what is known of all nodes, by role and state; and of this machine's clock, in seconds."""
        self._gauges[NODES.name] = {key: float(count) for key, count in states.items()}
        self._gauges[CLOCK_SKEW.name] = {(): clock_skew}

    def set_work(self, leases: Mapping[str, int], lanes_busy: int, changes_waiting: int) -> None:
        """Replace what is known of this process's own work; leases are by kind."""
        self._gauges[LEASES_HELD.name] = {(kind,): float(count) for kind, count in leases.items()}
        self._gauges[LANES_BUSY.name] = {(): float(lanes_busy)}
        self._gauges[CHANGES_WAITING.name] = {(): float(changes_waiting)}

    def set_lease(self, seconds_left: float) -> None:
        """How long this process may act without another heartbeat. Not told where nobody could take anything over."""
        self._gauges[LEASE_LEFT.name] = {(): seconds_left}

    def set_deepest_lanes(self, lanes: Mapping[tuple[str, str], tuple[int, float]]) -> None:
        """Replace what is known of the deepest lanes: depth, and the age of the head in seconds."""
        self._gauges[LANE_DEPTH.name] = {key: float(depth) for key, (depth, _) in lanes.items()}
        self._gauges[LANE_AGE.name] = {key: age for key, (_, age) in lanes.items()}

    def set_deliveries(self, waiting: Mapping[str, int], overdue: Mapping[str, float]) -> None:
        """Replace what is known of deliveries that wait, by integration; `overdue` is in seconds."""
        self._gauges[DELIVERIES_WAITING.name] = {(key,): float(count) for key, count in waiting.items()}
        self._gauges[DELIVERIES_OVERDUE.name] = {(key,): seconds for key, seconds in overdue.items()}

    def set_webhook_failures(self, failures: Mapping[str, int]) -> None:
        """Replace what is known of webhooks that fail: how many tries in a row did."""
        self._gauges[WEBHOOK_FAILURES.name] = {(key,): float(count) for key, count in failures.items()}

    def set_bulk_jobs(self, states: Mapping[str, int]) -> None:
        self._gauges[BULK_JOBS.name] = {(state,): float(count) for state, count in states.items()}

    def set_workers(self, states: Mapping[tuple[str, str], int], waiting: Mapping[str, int]) -> None:
        """Replace what is known of worker processes: how many of each use are in each state, and calls that wait."""
        self._gauges[WORKER_PROCESSES.name] = {key: float(count) for key, count in states.items()}
        self._gauges[WORKER_WAITING.name] = {(use,): float(count) for use, count in waiting.items()}

    def when_asked(self, tell: Callable[[], None]) -> None:
        """Call `tell` before the metrics are shown: for gauges that are known at any time, and change all the time."""
        self._asked.append(tell)

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        for tell in self._asked:
            tell()
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


def _histogram(spec: MetricSpec, histograms: Mapping[Labels, Histogram]) -> Metric:
    family = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, histogram in list(histograms.items()):
        family.add_metric(labels, histogram.cumulative(), histogram.sum)
    return family
