"""What the database says after a measurement. It is read from outside, by a connection that can't write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, text

from crossdock.store.database import open_database

POLL_SECONDS = 0.25

_IS_FINAL = "state IN ('succeeded', 'failed', 'canceled')"

_UNFINISHED = text(f"SELECT count(*) FROM run WHERE integration_id = :id AND NOT ({_IS_FINAL})")
_UNSENT = text(
    "SELECT count(*) FROM delivery WHERE integration_id = :id AND state IN ('queued', 'sending', 'retrying')"
)
_SENT = text("SELECT count(*), max(finished_at) FROM delivery WHERE integration_id = :id AND state = 'delivered'")
_SUMS = text(
    "SELECT count(*), sum(CASE WHEN state = 'succeeded' THEN 1 ELSE 0 END), min(accepted_at), max(finished_at) "
    "FROM run WHERE integration_id = :id"
)
_EVENTS = text("SELECT count(*) FROM event WHERE integration_id = :id")
_NTH_LAG = text(
    "SELECT finished_at - accepted_at FROM run WHERE integration_id = :id AND finished_at IS NOT NULL "
    "ORDER BY 1 LIMIT 1 OFFSET :place"
).bindparams(bindparam("place"))
_END_OF_RUN = text("SELECT state, accepted_at, finished_at, error_message FROM run WHERE event_id = :id")
_WAITING = text(
    "SELECT count(*) AS waiting, count(lease_node) AS leased FROM run WHERE integration_id = :id "
    "AND (state = 'waiting' OR lease_node IS NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Counts of one integration. `seconds` lie between its first acceptance and its last finished run or reply."""

    events: int
    runs: int
    succeeded: int
    replies: int
    unfinished: int
    seconds: float
    lag_p50_ms: float
    lag_p99_ms: float

    @property
    def per_second(self) -> float:
        return self.succeeded / self.seconds if self.seconds else 0.0


def read_record(url: str, integration_id: str, *, wait_seconds: float) -> Recorded:
    """Wait until every run and reply of the integration is finished, up to `wait_seconds`, then count."""
    database = open_database(url)
    deadline = time.monotonic() + wait_seconds
    try:
        while True:
            with database.reading() as connection:
                unfinished = sum(
                    connection.execute(query, {"id": integration_id}).scalar_one() for query in (_UNFINISHED, _UNSENT)
                )
                if not unfinished or time.monotonic() > deadline:
                    return _count(connection, integration_id, unfinished)
            time.sleep(POLL_SECONDS)
    finally:
        database.dispose()


def seconds_to_end(url: str, event_id: str, *, within: float) -> float:
    """From a run's acceptance to its end, which is waited for; RuntimeError when it has not succeeded."""
    row = _poll(url, _END_OF_RUN, {"id": event_id}, lambda row: row.finished_at is not None, within)
    if row.state != "succeeded":
        raise RuntimeError(f"the run of {event_id} is {row.state}: {row.error_message}")
    return float(row.finished_at - row.accepted_at) / 1e6


def wait_for_waiting(url: str, integration_id: str, count: int, *, within: float) -> int:
    """Wait until so many runs of the integration wait for their time; how many leases there are then."""
    row = _poll(url, _WAITING, {"id": integration_id}, lambda row: row.waiting >= count, within)
    return int(row.leased)


def _poll(url: str, query: Any, named: dict[str, Any], is_over: Callable[[Any], bool], within: float) -> Any:
    """The answer to a query, as soon as it says that something is over."""
    database = open_database(url)
    deadline = time.monotonic() + within
    try:
        while True:
            with database.reading() as connection:
                row = connection.execute(query, named).one()
            if is_over(row):
                return row
            if time.monotonic() > deadline:
                raise RuntimeError(f"not over within {within:g} s: {row}")
            time.sleep(POLL_SECONDS / 10)
    finally:
        database.dispose()


def _count(connection: Connection, integration_id: str, unfinished: int) -> Recorded:
    named: dict[str, Any] = {"id": integration_id}
    runs, succeeded, first, last = connection.execute(_SUMS, named).one()
    events = connection.execute(_EVENTS, named).scalar_one()
    replies, last_reply = connection.execute(_SENT, named).one()
    seconds = (max(last, last_reply or 0) - first) / 1e6 if last and first else 0.0
    finished = max(runs - unfinished, 0)
    p50, p99 = (_lag(connection, named, int(finished * share)) for share in (0.5, 0.99))
    return Recorded(events, runs, int(succeeded or 0), replies, unfinished, seconds, p50, p99)


def _lag(connection: Connection, named: dict[str, Any], place: int) -> float:
    lag = connection.execute(_NTH_LAG, {**named, "place": place}).scalar_one_or_none()
    return (lag or 0) / 1_000
