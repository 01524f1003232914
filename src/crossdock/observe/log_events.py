"""Every event of the log, named once."""

from __future__ import annotations

import logging
from dataclasses import dataclass


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
WEBHOOK_BROKEN = LogEvent(
    "webhook.broken", logging.ERROR, "A notification webhook can't be used as it is stored; the others work."
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
HEALTH_TROUBLED = LogEvent(
    "health.troubled", logging.WARNING, "An integration went into warning or error; the line says why."
)
HEALTH_CHANGED = LogEvent("health.changed", logging.INFO, "An integration's health went into another state.")
HEALTH_REFUSED = LogEvent(
    "health.refused",
    logging.ERROR,
    "The health of an integration can't be judged; it stays as it is, the others go on.",
)
WEBHOOK_UNREADABLE = LogEvent(
    "webhook.unreadable", logging.ERROR, "A notification webhook can't be read as it is stored; it is told nothing."
)
WEBHOOK_FAILING = LogEvent(
    "webhook.failing", logging.WARNING, "A notification webhook was reached before, and failed now; tried again."
)
WEBHOOK_RECOVERED = LogEvent("webhook.recovered", logging.INFO, "A notification webhook that failed was reached again.")
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
SIGNALS_HEARD = LogEvent("signals.heard", logging.INFO, "What other nodes tell is heard from now on.")
SIGNALS_LOST = LogEvent(
    "signals.lost", logging.WARNING, "What other nodes tell is not heard; their work is found by asking, every second."
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
    "rescue.refused",
    logging.ERROR,
    "The database refuses to free one thing of a dead process; the others go on.",
)
LANE_MENDED = LogEvent("lane.mended", logging.WARNING, "A lane waited without cause; it was set going.")
CLOCK_WAS_AHEAD = LogEvent(
    "clock.was_ahead", logging.WARNING, "A clock that was far ahead had queued work for later; it is due now."
)
LANES_HANDED_ON = LogEvent("lanes.handed_on", logging.INFO, "This process gave some of its lanes to others.")
LANES_LEFT = LogEvent(
    "lanes.left",
    logging.INFO,
    "The database is away at a stop; others take the lanes over once they miss this process.",
)
WATCH_FAILED = LogEvent("watch.failed", logging.ERROR, "A watch turn met a fault; the next turn tries again.")
WATCH_PUT_OFF = LogEvent(
    "watch.put_off", logging.DEBUG, "A watch turn could not be taken: the database is still away; tried again."
)
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
SIGN_IN_REFUSED = LogEvent(
    "sign_in.refused", logging.INFO, "Somebody tried to sign in with a wrong login or password, from this address."
)
SIGN_IN_THROTTLED = LogEvent(
    "sign_in.throttled", logging.WARNING, "So many tries to sign in failed that the next one has to wait."
)
SIGN_ON_REFUSED = LogEvent(
    "sign_on.refused", logging.WARNING, "Somebody came from the OpenID provider and was not signed in."
)
RETENTION_SWEPT = LogEvent("retention.swept", logging.DEBUG, "Events past their time were removed.")

LOG_EVENTS: tuple[LogEvent, ...] = tuple(value for value in list(globals().values()) if isinstance(value, LogEvent))
