"""Every metric, named once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
LANES_PASSED_ON = MetricSpec(
    "crossdock_lanes_handed_on",
    "counter",
    "Lanes that this process gave to others, because it had more than its share.",
)
LANES_BUSY = MetricSpec("crossdock_lanes_busy", "gauge", "Lanes of this process in which a run is worked on.")
LEASES_HELD = MetricSpec(
    "crossdock_leases_held",
    "gauge",
    "What this process holds, by kind: runs outside of lanes, lanes, deliveries, bulk jobs.",
    ("kind",),
)
NODES = MetricSpec(
    "crossdock_nodes",
    "gauge",
    "Processes on this database as this one sees them, by role and state: working, leaving, or silent (no heartbeat "
    "for half of the time after which others take its work over). One with several roles counts in each.",
    ("role", "state"),
)
LEASE_LEFT = MetricSpec(
    "crossdock_node_lease_seconds_left",
    "gauge",
    "How long this process may begin side effects without another heartbeat; it begins none at 0 and below.",
)
CLOCK_SKEW = MetricSpec(
    "crossdock_node_clock_skew_seconds",
    "gauge",
    "How far this machine's clock is before the database's, or behind it (negative), at the last heartbeat.",
)
HEARTBEAT_SECONDS = MetricSpec(
    "crossdock_heartbeat_seconds", "histogram", "Time of one heartbeat, to the database and back.", bounds=SECONDS
)
HEARTBEATS_FAILED = MetricSpec("crossdock_heartbeats_failed", "counter", "Heartbeats that could not be written.")
NODES_BURIED = MetricSpec("crossdock_nodes_buried", "counter", "Processes that this one found dead.")
DELIVERIES_RESCUED = MetricSpec(
    "crossdock_deliveries_rescued", "counter", "Deliveries taken over from processes that died."
)
DUTIES_TAKEN = MetricSpec(
    "crossdock_duties_taken",
    "counter",
    "Times that this process did something that one process does for all of PostgreSQL's, such as retention.",
    ("duty",),
)
EVENT_LOOP_LAG = MetricSpec(
    "crossdock_event_loop_lag_seconds",
    "histogram",
    "How late this process came to what was due: it has more to do than one core can, or something holds it up.",
    bounds=SECONDS,
)
RUN_LATENCY = MetricSpec(
    "crossdock_run_latency_seconds", "histogram", "From acceptance of the call to the end of its run.", bounds=SECONDS
)
RUN_QUEUE = MetricSpec(
    "crossdock_run_queue_seconds",
    "histogram",
    "From acceptance of the call to the first start of its run.",
    bounds=SECONDS,
)
UNFINISHED = MetricSpec(
    "crossdock_runs_unfinished",
    "gauge",
    "Runs outside of lanes that wait for a free slot or their next attempt, and all runs in lanes that have not ended; "
    "counted up to the setting queue_limit.",
    ("integration",),
)
OLDEST_AGE = MetricSpec(
    "crossdock_oldest_run_age_seconds",
    "gauge",
    "How long ago the call of the oldest run that crossdock_runs_unfinished counts was accepted.",
    ("integration",),
)
BLOCKED_LANES = MetricSpec(
    "crossdock_lanes_blocked", "gauge", "Lanes whose head waits for an operator.", ("integration",)
)
LANE_DEPTH = MetricSpec(
    "crossdock_lane_depth",
    "gauge",
    "Unfinished runs of the 20 deepest lanes whose head has been there for a minute.",
    ("integration", "lane"),
)
LANE_AGE = MetricSpec(
    "crossdock_lane_head_age_seconds",
    "gauge",
    "How long ago the call at the head of such a lane was accepted.",
    ("integration", "lane"),
)
HEALTH = MetricSpec(
    "crossdock_integration_health",
    "gauge",
    "1 for the state that an integration is in: initializing, active, warning, error or disabled.",
    ("integration", "state"),
)
HEALTH_ISSUES = MetricSpec(
    "crossdock_integration_issues_open",
    "gauge",
    "Open issues of an integration, those that are snoozed included.",
    ("integration",),
)
HEALTH_CHANGES = MetricSpec(
    "crossdock_health_changes",
    "counter",
    "Times that an integration went into a state, as far as this process was the one to find out.",
    ("integration", "state"),
)
BULK_JOBS = MetricSpec("crossdock_bulk_jobs", "gauge", "Bulk jobs that have not ended yet, by state.", ("state",))
DELIVERIES_FINISHED = MetricSpec(
    "crossdock_deliveries_finished", "counter", "Deliveries that came to a final state.", ("kind", "state")
)
DELIVERY_ATTEMPTS = MetricSpec("crossdock_delivery_attempts", "counter", "Tries to send a delivery.", ("kind",))
WEBHOOK_FAILURES = MetricSpec(
    "crossdock_notification_webhook_failures",
    "gauge",
    "Tries in a row that a notification webhook failed; nothing of webhooks that do not fail.",
    ("webhook",),
)
DELIVERY_LATENCY = MetricSpec(
    "crossdock_delivery_latency_seconds", "histogram", "From the making of a delivery to its end.", bounds=SECONDS
)
DELIVERY_QUEUE = MetricSpec(
    "crossdock_delivery_queue_seconds",
    "histogram",
    "From the making of a delivery to the first try to send it.",
    bounds=SECONDS,
)
DELIVERIES_WAITING = MetricSpec(
    "crossdock_deliveries_waiting",
    "gauge",
    "Deliveries that wait for their first or next try; the integration is empty for notifications.",
    ("integration",),
)
DELIVERIES_OVERDUE = MetricSpec(
    "crossdock_deliveries_overdue_seconds",
    "gauge",
    "How long ago the try of a delivery that still waits was due; the integration is empty for notifications.",
    ("integration",),
)
COMMIT_ROWS = MetricSpec("crossdock_commit_changes", "histogram", "Changes that shared one commit.", bounds=ROWS)
COMMIT_SECONDS = MetricSpec("crossdock_commit_seconds", "histogram", "Time of one shared commit.", bounds=SECONDS)
STORE_UNAVAILABLE = MetricSpec(
    "crossdock_store_unavailable", "counter", "Times that the database could not be written or read."
)
CHANGES_WAITING = MetricSpec("crossdock_changes_waiting", "gauge", "Changes of this process that wait for a commit.")
DATABASE_SECONDS = MetricSpec(
    "crossdock_database_seconds",
    "histogram",
    "Time of what is asked of the database apart from shared commits, by kind: read (its wait for a free connection "
    "included) or change (a transaction of its own).",
    ("kind",),
    bounds=SECONDS,
)
DATABASE_WAIT = MetricSpec(
    "crossdock_database_wait_seconds",
    "histogram",
    "How long reads waited for one of this process's connections to be free.",
    bounds=SECONDS,
)
DATABASE_STATEMENTS = MetricSpec(
    "crossdock_database_statements",
    "counter",
    "Statements sent to PostgreSQL, those that begin and end transactions included; none are counted on SQLite.",
)
DATABASE_CONTENDED = MetricSpec(
    "crossdock_database_contended",
    "counter",
    "Transactions that met another one and were tried again: deadlock, serialization or lock.",
    ("reason",),
)
CONNECTIONS_MADE = MetricSpec(
    "crossdock_database_connections_made", "counter", "Connections made for writing: the first, and one for each loss."
)
CONNECTIONS_LOST = MetricSpec("crossdock_database_connections_lost", "counter", "Connections for writing that broke.")

WORKER_PROCESSES = MetricSpec(
    "crossdock_worker_processes", "gauge", "Processes for isolated functions and for JSONata.", ("of", "state")
)
WORKER_WAITING = MetricSpec(
    "crossdock_worker_calls_waiting", "gauge", "Calls that wait for such a process to be free.", ("of",)
)

SIGNALS_SENT = MetricSpec(
    "crossdock_signals_sent", "counter", "What this process told other nodes, so that they look at once."
)
SIGNALS_DROPPED = MetricSpec(
    "crossdock_signals_dropped",
    "counter",
    "What it could not tell, because the database was away: the others find it by looking.",
)
SIGNALS_HEARD_COUNT = MetricSpec("crossdock_signals_heard", "counter", "What other nodes told this process.")
SIGNALS_HEARING = MetricSpec(
    "crossdock_signals_hearing",
    "gauge",
    "On PostgreSQL: 1 while this process certainly hears what others tell, 0 while it finds it by looking.",
)
SIGNAL_ECHO = MetricSpec(
    "crossdock_signal_echo_seconds",
    "histogram",
    "How long a signal takes by way of PostgreSQL: every ten seconds this process tells itself something.",
    bounds=SECONDS,
)

SPANS_EXPORTED = MetricSpec("crossdock_spans_exported", "counter", "Spans of traces that the collector took.")
SPANS_DROPPED = MetricSpec(
    "crossdock_spans_dropped",
    "counter",
    "Spans of traces that were lost: queue_full (more than the collector takes), not_sent (it refused them, or was not "
    "there) or too_many (of one run, or of all runs in work).",
    ("reason",),
)

METRICS: tuple[MetricSpec, ...] = tuple(value for value in list(globals().values()) if isinstance(value, MetricSpec))
