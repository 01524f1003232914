"""What the program says about itself: every metric and every log event, named once.

Rules that hold here:

- Counting on the hot path costs one dictionary update. What Prometheus wants to see is put together when it asks.
- A metric or log event that is not in `METRICS` or `LOG_EVENTS` does not exist; the reference lists exactly these.
- Secrets do not get out: facts with telling names are hidden, and so is every value given to `conceal`, wherever in
  a line it stands.
- One line for each event at debug, none at info.

Counters are written by one thread each (the event loop, or the store's writer), and read by any.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

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

# --- metrics -------------------------------------------------------------------------------------------------------

Kind = Literal["counter", "gauge", "histogram"]
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
ROWS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """`name` is as Prometheus shows it, without the `_total` that counters get."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


INFO = MetricSpec("crossdock_info", "gauge", "Always 1; the label tells the version.", ("version",))
ACCEPTED = MetricSpec("crossdock_events_accepted", "counter", "Calls recorded and answered.", ("integration",))
DUPLICATES = MetricSpec("crossdock_events_duplicate", "counter", "Calls recognised as seen before.", ("integration",))
REJECTED = MetricSpec(
    "crossdock_events_rejected",
    "counter",
    "Calls refused, by reason; the integration is empty where none was found.",
    ("integration", "reason"),
)
CONNECTIONS_REFUSED = MetricSpec(
    "crossdock_connections_refused",
    "counter",
    "Connections closed before a whole request came, by reason.",
    ("reason",),
)
RUNS_FINISHED = MetricSpec(
    "crossdock_runs_finished", "counter", "Runs that came to a final state.", ("integration", "state")
)
RUN_RETRIES = MetricSpec("crossdock_run_retries", "counter", "Failed attempts that are tried again.", ("integration",))
STEPS_PERFORMED = MetricSpec(
    "crossdock_steps_performed",
    "counter",
    "Tries of steps with side effects, by kind and by what the try came to: done, retry (failed in passing) or stop.",
    ("kind", "outcome"),
)
STEP_SECONDS = MetricSpec(
    "crossdock_step_seconds", "counter", "Time that tries of steps with side effects took in all.", ("kind",)
)
RUNS_RESCUED = MetricSpec("crossdock_runs_rescued", "counter", "Runs taken over from processes that died.")
LEASES_LOST = MetricSpec(
    "crossdock_leases_lost", "counter", "Late writes that were refused because others took over.", ("kind",)
)
NODES_FENCED = MetricSpec(
    "crossdock_node_fenced", "counter", "Times that this process was taken for dead and began anew with empty hands."
)
LANES_MENDED = MetricSpec("crossdock_lanes_mended", "counter", "Lanes that waited without cause and were set going.")
RUN_LATENCY = MetricSpec(
    "crossdock_run_latency_seconds", "histogram", "From acceptance of the call to the end of its run.", bounds=SECONDS
)
UNFINISHED = MetricSpec("crossdock_runs_unfinished", "gauge", "Runs that have not ended yet.", ("integration",))
OLDEST_AGE = MetricSpec(
    "crossdock_oldest_run_age_seconds", "gauge", "How long the oldest unfinished run has waited.", ("integration",)
)
BLOCKED_LANES = MetricSpec(
    "crossdock_lanes_blocked", "gauge", "Lanes whose head waits for an operator.", ("integration",)
)
DELIVERIES_FINISHED = MetricSpec(
    "crossdock_deliveries_finished", "counter", "Deliveries that came to a final state.", ("kind", "state")
)
DELIVERY_ATTEMPTS = MetricSpec("crossdock_delivery_attempts", "counter", "Tries to send a delivery.", ("kind",))
DELIVERY_LATENCY = MetricSpec(
    "crossdock_delivery_latency_seconds", "histogram", "From the making of a delivery to its end.", bounds=SECONDS
)
COMMIT_ROWS = MetricSpec("crossdock_commit_changes", "histogram", "Changes that shared one commit.", bounds=ROWS)
COMMIT_SECONDS = MetricSpec("crossdock_commit_seconds", "histogram", "Time of one shared commit.", bounds=SECONDS)
STORE_UNAVAILABLE = MetricSpec(
    "crossdock_store_unavailable", "counter", "Times that the database could not be written or read."
)

WORKER_PROCESSES = MetricSpec(
    "crossdock_worker_processes", "gauge", "Processes for isolated functions and for JSONata.", ("of", "state")
)
WORKER_WAITING = MetricSpec(
    "crossdock_worker_calls_waiting", "gauge", "Calls that wait for such a process to be free.", ("of",)
)

SPANS_EXPORTED = MetricSpec("crossdock_spans_exported", "counter", "Spans of traces that the collector took.")
SPANS_DROPPED = MetricSpec(
    "crossdock_spans_dropped",
    "counter",
    "Spans of traces that were lost: queue_full (more than the collector takes), not_sent (it refused them, or was not "
    "there) or too_many (of one run, or of all runs in work).",
    ("reason",),
)

METRICS = (
    INFO, ACCEPTED, DUPLICATES, REJECTED, CONNECTIONS_REFUSED, RUNS_FINISHED, RUN_RETRIES, STEPS_PERFORMED,
    STEP_SECONDS, RUNS_RESCUED, LEASES_LOST, NODES_FENCED, LANES_MENDED, RUN_LATENCY, UNFINISHED, OLDEST_AGE, BLOCKED_LANES,
    DELIVERIES_FINISHED, DELIVERY_ATTEMPTS, DELIVERY_LATENCY, COMMIT_ROWS, COMMIT_SECONDS, STORE_UNAVAILABLE,
    WORKER_PROCESSES, WORKER_WAITING, SPANS_EXPORTED, SPANS_DROPPED,
)  # fmt: skip

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


# --- log -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogEvent:
    name: str
    level: int
    help: str


SERVER_STARTED = LogEvent("server.started", logging.INFO, "Calls are accepted from now on.")
SERVER_STOPPING = LogEvent("server.stopping", logging.INFO, "No more calls are accepted; running work may finish.")
SERVER_STOPPED = LogEvent("server.stopped", logging.INFO, "Everything has ended or was handed back.")
SERVER_STOP_FORCED = LogEvent(
    "server.stop_forced", logging.WARNING, "A second signal: ended at once; the next start takes over what was running."
)
REQUEST_CRASHED = LogEvent("request.crashed", logging.ERROR, "A request met a fault of the program; answered 500.")
CONFIGURATION_LOADED = LogEvent("configuration.loaded", logging.INFO, "The integrations in memory were replaced.")
CONFIGURATION_BROKEN = LogEvent(
    "configuration.broken", logging.ERROR, "An integration can't be used as it is stored; the others work."
)
CONNECTION_BROKEN = LogEvent(
    "connection.broken", logging.ERROR, "A connection can't be used as it is stored; steps that name it fail."
)
MASTER_KEY_ROTATED = LogEvent("master_key.rotated", logging.INFO, "All secrets were sealed with a new key.")
EVENT_ACCEPTED = LogEvent("event.accepted", logging.DEBUG, "A call was recorded.")
EVENT_REJECTED = LogEvent("event.rejected", logging.DEBUG, "A call was refused.")
RUN_ENDED = LogEvent("run.ended", logging.DEBUG, "A run came to a final state.")
RUN_RETRYING = LogEvent("run.retrying", logging.DEBUG, "An attempt failed and is tried again later.")
RUN_CRASHED = LogEvent("run.crashed", logging.ERROR, "A run met a fault of the program; settled as failed.")
RUNS_TAKEN_OVER = LogEvent("runs.taken_over", logging.WARNING, "Runs of a process that died were taken over.")
LEASE_LOST = LogEvent("lease.lost", logging.WARNING, "A late write was refused: others took the work over.")
STRAYS_RETURNED = LogEvent(
    "strays.returned", logging.WARNING, "Work was this process's without its knowledge; it is taken anew."
)
WORKFLOW_UNUSABLE = LogEvent("workflow.unusable", logging.DEBUG, "A workflow version can't be compiled; its runs fail.")
LOOK_FAILED = LogEvent("run.look_failed", logging.DEBUG, "The database could not be asked for work; asked again soon.")
LANE_STUMBLED = LogEvent("lane.stumbled", logging.ERROR, "A lane met a fault of the program; it starts again.")
LANE_BLOCKED = LogEvent("lane.blocked", logging.WARNING, "The head of a lane failed for good; an operator has to act.")
DELIVERY_ENDED = LogEvent("delivery.ended", logging.DEBUG, "A delivery came to a final state.")
DELIVERY_CRASHED = LogEvent("delivery.crashed", logging.ERROR, "A delivery met a fault of the program; tried again.")
FUNCTIONS_BROKEN = LogEvent("functions.broken", logging.ERROR, "A module of the workflows folder can't be imported.")
FUNCTION_PRINTED = LogEvent(
    "function.printed", logging.INFO, "A function in a worker process printed something; the end of it."
)
CHANGE_REFUSED = LogEvent("store.change_refused", logging.ERROR, "The database refused a change; the others landed.")
FOLLOW_UP_FAILED = LogEvent("store.follow_up_failed", logging.ERROR, "What follows a recorded change met a fault.")
STORE_LOST = LogEvent("store.lost", logging.ERROR, "The database can't be written or read now.")
INDEXES_MISSING = LogEvent("store.indexes_missing", logging.WARNING, "The database lacks indexes; it works, slower.")
POOLER_FOUND = LogEvent(
    "store.pooler_found", logging.WARNING, "A pooler is in the way of signals: other nodes are heard of by asking."
)
STORE_RECOVERED = LogEvent("store.recovered", logging.INFO, "The database works again.")
HEARTBEAT_FAILED = LogEvent("node.heartbeat_failed", logging.WARNING, "This process could not say that it lives.")
NODE_FENCED = LogEvent(
    "node.fenced", logging.ERROR, "Others took this process for dead; it drops its work and goes on as a new node."
)
RESCUE_STUMBLED = LogEvent(
    "rescue.stumbled", logging.ERROR, "Runs of a dead process could not be taken over together; tried one by one."
)
RESCUE_REFUSED = LogEvent(
    "rescue.refused", logging.ERROR, "The database refuses to change one run of a dead process; the others go on."
)
LANE_MENDED = LogEvent("lane.mended", logging.WARNING, "A lane waited without cause; it was set going.")
LANES_HANDED_ON = LogEvent("lanes.handed_on", logging.INFO, "This process gave some of its lanes to others.")
WATCH_FAILED = LogEvent("watch.failed", logging.ERROR, "A watch turn met a fault; the next turn tries again.")
BULK_JOB_ENDED = LogEvent("bulk_job.ended", logging.INFO, "A bulk job came to its end.")
BULK_JOB_CRASHED = LogEvent("bulk_job.crashed", logging.ERROR, "A bulk job met a fault of the program; it failed.")
COMPARISON_CRASHED = LogEvent(
    "bulk_job.comparison_crashed", logging.ERROR, "Trying an event in a what-if met a fault of the program."
)
WORKFLOW_TESTED_LIVE = LogEvent(
    "workflow.tested_live", logging.INFO, "Somebody tries a workflow live: its side effects are performed."
)
SQL_DONE_NOT_PRUNED = LogEvent(
    "sql.done_not_pruned", logging.WARNING, "Old rows of a database's table crossdock_done could not be deleted."
)
TRACES_LOST = LogEvent("traces.lost", logging.WARNING, "Spans of traces can't be sent; said once, until they can be.")
TRACES_RECOVERED = LogEvent("traces.recovered", logging.INFO, "Spans of traces are sent again.")
RETENTION_SWEPT = LogEvent("retention.swept", logging.DEBUG, "Events past their time were removed.")

LOG_EVENTS: tuple[LogEvent, ...] = tuple(value for value in list(globals().values()) if isinstance(value, LogEvent))

_log = logging.getLogger("crossdock")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TELLING = re.compile(
    r"(^|_|-)(token|secret|password|passwd|authorization|cookie|credentials?|signature|api_?key|x-api-key|key)$",
    re.IGNORECASE,
)
_HIDDEN = "[redacted]"
_concealed: set[str] = set()


def emit(event: LogEvent, /, *, error: BaseException | None = None, **facts: object) -> None:
    """Write one line, with the traceback of `error` where one is given. Costs next to nothing below the log level."""
    if _log.isEnabledFor(event.level):
        _log.log(event.level, event.name, exc_info=error, extra={"facts": facts})


def is_debugging() -> bool:
    """Whether lines for single events are written; asked before facts that cost something are gathered."""
    return _log.isEnabledFor(logging.DEBUG)


def conceal(secret: str | None) -> None:
    """From now on `secret` never appears in the log, whatever line it would be part of."""
    if secret and len(secret) >= 4:
        _concealed.update((secret, json.dumps(secret)[1:-1]))


def configure_logging(level: str, style: str, stream: TextIO | None = None) -> None:
    """Send all log lines of this process to `stream` (standard error by default).

    `style` is `human`, `json`, or `auto`: human on a terminal. Lines of libraries take the same form; those below
    warning are dropped, because a web server's own access log would be a line for each event.
    """
    stream = sys.stderr if stream is None else stream
    is_human = style == "human" or (style == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(is_human, colors=is_human and stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _LEVELS[level]))
    _log.setLevel(_LEVELS[level])
    logging.captureWarnings(True)


def _formatter(is_human: bool, *, colors: bool) -> logging.Formatter:
    import structlog  # here, because it is needed once a process and costs a third of a second

    class Concealing(structlog.stdlib.ProcessorFormatter):
        def format(self, record: logging.LogRecord) -> str:
            return _hide_concealed(super().format(record))

    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=22, event_key="message", timestamp_key="time")
        if is_human
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    exceptions = [] if is_human else [structlog.processors.format_exc_info]
    return Concealing(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            # Facts may be called `event`, the word for what an integration was called with.
            structlog.processors.EventRenamer("message"),
            _add_facts,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *exceptions, renderer],
    )


def _add_facts(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The facts of `emit`; those with telling names are hidden. The logger's name is kept for foreign lines only."""
    facts: Mapping[str, object] | None = getattr(line["_record"], "facts", None)
    if facts is not None:
        del line["logger"]
        line.update(redact(facts))
    return line


def redact(facts: Mapping[str, object]) -> dict[str, object]:
    """`facts` with the values of telling names (tokens, passwords, keys...) hidden, at any depth."""
    return {name: _HIDDEN if _TELLING.search(name) else _redact_value(value) for name, value in facts.items()}


def _redact_value(value: object) -> object:
    if isinstance(value, Mapping):
        return redact({str(name): inner for name, inner in value.items()})
    if isinstance(value, list | tuple):
        return [_redact_value(inner) for inner in value]
    return value


def _hide_concealed(line: str) -> str:
    for secret in list(_concealed):
        if secret in line:
            line = line.replace(secret, _HIDDEN)
    return line
