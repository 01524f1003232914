"""The nodes, and what waits for them: for people who keep an installation going."""

from __future__ import annotations

from crossdock import __version__
from crossdock.clock import Sources
from crossdock.manage.actor import Actor
from crossdock.manage.lanes import lane_document
from crossdock.manage.paging import Page, check_limit, read_number_cursor, write_cursor
from crossdock.model.node_state import judge_node
from crossdock.model.outcome import Json
from crossdock.model.states import RunState
from crossdock.model.time import SECOND, Instant, format_instant, seconds_between
from crossdock.store import Store
from crossdock.store.fleet import (
    Backlog,
    DeepLane,
    SeenNode,
    count_unfinished,
    database_version,
    deepest_lanes,
    integration_names,
    see_nodes,
)

LANES_SHOWN = 10
"""Of each integration."""


class Fleet:
    """`ttl_seconds` is after how long without a heartbeat a node's work is taken over."""

    def __init__(self, store: Store, sources: Sources, ttl_seconds: float) -> None:
        self._store = store
        self._sources = sources
        self._ttl = ttl_seconds

    async def about(self, actor: Actor) -> Json:
        """The version of this program, and the database under it."""
        actor.require("viewer")
        version = await self._store.read(database_version)
        return {"version": __version__, "database": {"kind": self._store.dialect, "version": version}}

    async def nodes(self, actor: Actor) -> Page:
        """The processes that work on this database, in the order in which they came."""
        actor.require("viewer")
        seen = await self._store.read(see_nodes, self._sources.now())
        return Page([self._node_document(node) for node in seen])

    def _node_document(self, node: SeenNode) -> Json:
        row = node.row
        return {
            "id": row.id,
            "host": row.host,
            "pid": row.pid,
            "version": row.version,
            "roles": sorted(filter(None, row.roles.split(","))),
            "address": row.address or None,
            "state": judge_node(node.heartbeat_age, self._ttl, is_leaving=row.is_leaving).value,
            "started_at": format_instant(row.started_at),
            "heartbeat_at": format_instant(row.heartbeat_at),
            "heartbeat_age_seconds": round(node.heartbeat_age, 3),
            "clock_skew_seconds": round(row.clock_skew / SECOND, 3),
            "hears_signals": row.hears,
            "key_ids": sorted(filter(None, row.key_ids.split(","))),
            "leases": {kind: node.leases.get(kind, 0) for kind in ("run", "lane", "delivery", "bulk_job")},
            "is_this": row.id == self._sources.node_id,
        }

    async def backlog(self, actor: Actor, *, limit: int | None = None, cursor: str | None = None) -> Page:
        """The integrations with unfinished work, the one with most first; and their deepest lanes.

        It is put together anew for each page: what moves meanwhile may be seen twice, or not at all.
        """
        actor.require("viewer")
        size, start = check_limit(limit), read_number_cursor(cursor) or 0
        names = await self._store.read(integration_names, actor.workspace_id)
        found = [each for each in await self._store.read(count_unfinished) if each.integration_id in names]
        now = self._sources.now()
        items = [
            {
                "integration": {"id": each.integration_id, "name": names[each.integration_id]},
                **backlog_document(each, now),
                "lanes": await self._lanes_of(each, now),
            }
            for each in found[start : start + size]
        ]
        return Page(items, write_cursor(start + size) if len(found) > start + size else None)

    async def _lanes_of(self, backlog: Backlog, now: Instant) -> list[Json]:
        if not backlog.in_lanes:
            return []
        lanes = await self._store.read(deepest_lanes, LANES_SHOWN, backlog.integration_id)
        return [deep_lane_document(lane, now) for lane in lanes]


def backlog_document(backlog: Backlog, now: Instant) -> Json:
    states = {state.value: backlog.states.get(state, 0) for state in _SHOWN_STATES}
    return {
        "unfinished": backlog.unfinished,
        **states,
        "blocked": backlog.blocked,
        "parked": backlog.parked,
        "oldest_received_at": None if backlog.oldest_at is None else format_instant(backlog.oldest_at),
        "oldest_age_seconds": _age(backlog.oldest_at, now),
        "replies_waiting": backlog.deliveries,
        "replies_overdue_seconds": _age(backlog.delivery_due_at, now),
        "complete": backlog.is_complete,
    }


_SHOWN_STATES = (RunState.QUEUED, RunState.RUNNING, RunState.RETRYING, RunState.WAITING)


def deep_lane_document(lane: DeepLane, now: Instant) -> Json:
    """The lane as the list of an integration's lanes shows it, with its depth, owner, and why its head waits."""
    return {
        **lane_document(lane.state),
        "depth": lane.state.depth,
        "head_age_seconds": _age(lane.state.head_since, now),
        "node_id": lane.node_id,
        "why": why_it_waits(lane, now),
    }


def why_it_waits(lane: DeepLane, now: Instant) -> str:
    """In words, what the head of a lane waits for."""
    state = lane.state
    if state.waiting_for is not None and state.waiting_for.value == "operator":
        return "its head failed for good: retry, skip or park it"
    if state.head_state is RunState.RUNNING:
        return "its head is worked on"
    if state.waiting_for is not None:
        return f"its head goes on at {format_instant(state.head_due_at)}, after a delay step"
    if state.head_state is RunState.RETRYING and state.head_due_at > now:
        return f"its head failed and is tried again at {format_instant(state.head_due_at)}"
    if lane.node_id is None:
        return "no node owns it: one that runs workflows takes it within seconds"
    return "its head may start"


def _age(since: Instant | None, now: Instant) -> float | None:
    return None if since is None else round(max(0.0, seconds_between(since, now)), 3)
