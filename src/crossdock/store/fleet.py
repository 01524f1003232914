"""What all nodes together look like: who lives and holds what, how much waits where, and which lanes are deepest.

Whoever looks wants the whole, so these questions go through everything that is unfinished, once, by the indexes that
hold nothing else. They are asked by people, and every now and then for the metrics; none is asked for an event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal, select, text, union_all

from crossdock.model.states import RunState, WaitingFor
from crossdock.model.time import Instant, seconds_between
from crossdock.store import schema
from crossdock.store.claims import IS_DELAYED, IS_FREE, IS_HELD, IS_UNFINISHED
from crossdock.store.lanes import LaneState, lane_state
from crossdock.store.nodes import NodeRow, database_now, list_nodes

run, lane, delivery, bulk_job = schema.run, schema.lane, schema.delivery, schema.bulk_job

COUNTED_AT_MOST = 1_000_000
"""Runs of one kind that are looked at; beyond it the counts are too small, and `Backlog.is_complete` is False."""

_LEASED = {"run": run, "lane": lane, "delivery": delivery, "bulk_job": bulk_job}

# --- nodes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenNode:
    """A node, how many seconds ago it beat by the clock of heartbeats, and what it holds by kind."""

    row: NodeRow
    heartbeat_age: float
    leases: Mapping[str, int]


def database_version(connection: Connection) -> str:
    """The version of the database, such as 18.1."""
    return ".".join(map(str, connection.dialect.server_version_info or ()))


def see_nodes(connection: Connection, now: Instant) -> list[SeenNode]:
    """All nodes, in the order in which they came."""
    clock = connection.execute(select(database_now(connection, now))).scalar_one()
    leases = leases_by_node(connection)
    return [
        SeenNode(row, max(0.0, seconds_between(row.heartbeat_at, clock)), leases.get(row.id, {}))
        for row in list_nodes(connection)
    ]


def leases_by_node(connection: Connection) -> dict[str, dict[str, int]]:
    """How much each node holds, by kind; nodes that nobody knows any more too."""
    counts = union_all(
        *(
            select(literal(kind), table.c.lease_node, func.count())
            .where(table.c.lease_node.is_not(None))
            .group_by(table.c.lease_node)
            for kind, table in _LEASED.items()
        )
    )
    found: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_LEASED, 0))
    for kind, node_id, count in connection.execute(counts):
        found[node_id][kind] = int(count)
    return dict(found)


# --- what waits ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Backlog:
    """What an integration has unfinished. Instants are those of acceptance."""

    integration_id: str
    states: dict[RunState, int] = field(default_factory=dict)
    in_lanes: int = 0
    blocked: int = 0
    """Runs that wait for an operator."""
    parked: int = 0
    oldest_at: Instant | None = None
    """Of what is not parked: somebody has put that aside."""
    deliveries: int = 0
    """Replies that wait for their first or next try."""
    delivery_due_at: Instant | None = None
    """When the first of these is or was due."""
    is_complete: bool = True

    def add(self, state: RunState, waiting_for: str | None, count: int, oldest_at: Instant) -> None:
        """Count runs in; the oldest of them was accepted at an instant."""
        self.states[state] = self.states.get(state, 0) + count
        if waiting_for == WaitingFor.PARKED.value:
            self.parked += count
            return
        if waiting_for == WaitingFor.OPERATOR.value:
            self.blocked += count
        self.oldest_at = oldest_at if self.oldest_at is None else min(self.oldest_at, oldest_at)

    @property
    def unfinished(self) -> int:
        return sum(self.states.values())


def count_unfinished(connection: Connection) -> list[Backlog]:
    """What each integration has unfinished, the one with most first; none where nothing is."""
    found: dict[str, Backlog] = {}
    is_complete = True
    for kind in UNFINISHED_KINDS:
        rows = list(connection.execute(_count(kind)))
        is_complete = is_complete and sum(row[3] for row in rows) < COUNTED_AT_MOST
        for integration_id, state, waiting_for, count, oldest_at in rows:
            backlog = found.setdefault(integration_id, Backlog(integration_id))
            backlog.add(RunState(state), waiting_for, int(count), oldest_at)
            backlog.in_lanes += int(count) if kind is IN_LANES else 0
    replies = count_waiting_deliveries(connection)
    replies.pop("", None)
    for integration_id, (count, due_at) in replies.items():
        backlog = found.setdefault(integration_id, Backlog(integration_id))
        backlog.deliveries, backlog.delivery_due_at = count, due_at
    for backlog in found.values():
        backlog.is_complete = is_complete
    return sorted(
        found.values(), key=lambda backlog: (-backlog.unfinished, -backlog.deliveries, backlog.integration_id)
    )


IN_LANES = and_(IS_UNFINISHED, run.c.lane_id.is_not(None))
UNFINISHED_KINDS = (
    and_(IS_FREE),
    IN_LANES,
    and_(run.c.lease_node.is_not(None), run.c.lane_id.is_(None)),
    and_(IS_DELAYED, run.c.lane_id.is_(None)),
    and_(IS_HELD, run.c.lane_id.is_(None)),
)
"""Every unfinished run is of one kind, and each kind has the very words of one partial index."""


def _count(kind: ColumnElement[bool]) -> Select[Any]:
    columns = (run.c.integration_id, run.c.state, run.c.waiting_for, run.c.accepted_at)
    some = select(*columns).where(kind).limit(COUNTED_AT_MOST).subquery()
    what = (some.c.integration_id, some.c.state, some.c.waiting_for)
    return select(*what, func.count(), func.min(some.c.accepted_at)).group_by(*what)


_WAITING_DELIVERIES = text(
    """
    SELECT integration_id, count(*), min(due_at) FROM delivery WHERE state IN ('queued', 'retrying')
    GROUP BY integration_id
    """
)


def count_waiting_deliveries(connection: Connection) -> dict[str, tuple[int, Instant]]:
    """For each integration with replies that wait: how many, and when the first of them is or was due. Notifications
    count under ''.
    """
    return {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(_WAITING_DELIVERIES)}


def count_bulk_jobs(connection: Connection) -> dict[str, int]:
    """How many bulk jobs that have not ended are in each state."""
    query = select(bulk_job.c.state, func.count()).where(text("finished_at IS NULL")).group_by(bulk_job.c.state)
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def integration_names(connection: Connection, workspace_id: str) -> dict[str, str]:
    """The names of a workspace's integrations by their ids."""
    integration = schema.integration.c
    query = select(integration.id, integration.name).where(integration.workspace_id == workspace_id)
    return {row[0]: row[1] for row in connection.execute(query)}


# --- the deepest lanes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeepLane:
    """A lane with work, whose it is, and the node that owns it."""

    integration_id: str
    state: LaneState
    node_id: str | None


def deepest_lanes(connection: Connection, limit: int, integration_id: str | None = None) -> list[DeepLane]:
    """The lanes with the most unfinished runs, of all integrations or of one, deepest first."""
    own = (
        () if integration_id is None else (run.c.lane_id >= f"{integration_id}:", run.c.lane_id < f"{integration_id};")
    )
    depth, head = func.count().label("depth"), func.min(run.c.lane_sequence).label("head")
    deep = (
        select(run.c.lane_id, depth, head)
        .where(IN_LANES, *own)
        .group_by(run.c.lane_id)
        .order_by(depth.desc(), run.c.lane_id)
        .limit(limit)
        .subquery()
    )
    query = (
        select(deep.c.depth, lane.c.key, lane.c.lease_node.label("owner"), run)
        .join(lane, lane.c.id == deep.c.lane_id)
        .join(run, (run.c.lane_id == deep.c.lane_id) & (run.c.lane_sequence == deep.c.head))
        .where(IS_UNFINISHED)
        .order_by(deep.c.depth.desc(), deep.c.lane_id)
    )
    return [DeepLane(row.integration_id, lane_state(row), row.owner) for row in connection.execute(query)]
