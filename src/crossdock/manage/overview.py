"""Integrations by need of attention, and what of a workspace needs attention first.

What needs attention: integrations in error, then in warning, then those with blocked lanes, then those where calls
wait for more than a minute. Behind them those that have not begun, those that are well, and those that are switched
off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from crossdock.clock import Clock
from crossdock.manage.actor import Actor
from crossdock.manage.health_documents import worst_first
from crossdock.manage.integrations import Integrations, integration_filter
from crossdock.manage.lanes import write_lane_name
from crossdock.manage.paging import Page, check_limit, read_text_cursor, write_cursor
from crossdock.manage.rankings import Rankings
from crossdock.manage.traffic import Traffic, counts_document
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.health import REPLY, HealthStatus, Issue
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, format_instant, later, seconds_between
from crossdock.model.traffic import Counts, percentile_ms
from crossdock.store import Store
from crossdock.store.attention import (
    Standing,
    TroubledWebhook,
    last_received,
    oldest_blocked,
    open_issues,
    standings,
    troubled_webhooks,
)
from crossdock.store.backlog import blocked_lanes, count_backlog
from crossdock.store.fleet import integration_names
from crossdock.store.integrations import IntegrationFilter

Attention: TypeAlias = Literal["error", "warning", "blocked", "backlog", "initializing", "active", "disabled"]
"""Why an integration stands where it does in the list; the first that holds."""
ORDER: tuple[Attention, ...] = get_args(Attention)
WAITING_SECONDS = 60.0
"""Calls that wait for longer are a backlog."""
COUNTED_WAITING = 1_000
"""Waiting calls of an integration are counted up to here."""
SHOWN = 10
"""Of each kind of trouble in the overview."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits: how many, counted up to COUNTED_WAITING, and since when the oldest."""

    waiting: int
    oldest_at: Instant

    def document(self, now: Instant) -> Json:
        return {
            "waiting": self.waiting,
            "is_more": self.waiting >= COUNTED_WAITING,
            "oldest_at": format_instant(self.oldest_at),
            "oldest_seconds": round(max(0.0, seconds_between(self.oldest_at, now)), 3),
        }


@dataclass(frozen=True, slots=True)
class Ranked:
    """Integrations in the order of the list, with what the order follows from."""

    standings: Sequence[Standing]
    attention: Mapping[str, Attention]
    queues: Mapping[str, Queue]
    blocked: Mapping[str, int]
    """How many lanes wait for an operator."""


class Overview:
    def __init__(self, store: Store, integrations: Integrations, traffic: Traffic, clock: Clock) -> None:
        self._store = store
        self._integrations = integrations
        self._traffic = traffic
        self._clock = clock
        self.rankings = Rankings(traffic)

    # --- the list --------------------------------------------------------------------------------------------------

    async def integrations(
        self,
        actor: Actor,
        *,
        q: str = "",
        type: str | None = None,  # noqa: A002 - the filter's name in the list
        status: Literal["enabled", "disabled"] | None = None,
        health: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Integrations by need of attention, then by name: each with its state and the reason, the last 24 hours by the
        hour, what waits, and when the last event came. The filters are those of the list of documents.
        """
        actor.require("viewer")
        size, position = check_limit(limit), _read_position(cursor)
        wanted = integration_filter(q=q, type=type, status=status, health=health)
        ranked = await self._ranked(actor, wanted)
        behind = [one for one in ranked.standings if position is None or _position(one, ranked.attention) > position]
        shown = behind[:size]
        more = len(behind) > size
        return Page(
            await self._lines(actor, shown, ranked),
            write_cursor(_write_position(_position(shown[-1], ranked.attention))) if more else None,
        )

    async def names(self, actor: Actor) -> dict[str, str]:
        """The names of all integrations by their ids, in the order of the names."""
        actor.require("viewer")
        names = await self._store.read(integration_names, actor.workspace_id)
        return dict(sorted(names.items(), key=lambda item: (item[1], item[0])))

    async def _ranked(self, actor: Actor, wanted: IntegrationFilter) -> Ranked:
        now = self._clock()
        found = await self._store.read(standings, actor.workspace_id, wanted)
        waiting = await self._store.read(count_backlog, [one.id for one in found], COUNTED_WAITING)
        blocked = await self._store.read(blocked_lanes)
        queues = {integration_id: Queue(*queue) for integration_id, queue in waiting.items()}
        since = later(now, -WAITING_SECONDS)
        attention = {one.id: _attention(one, queues.get(one.id), blocked.get(one.id, 0), since) for one in found}
        return Ranked(sorted(found, key=lambda one: _position(one, attention)), attention, queues, blocked)

    async def _lines(self, actor: Actor, shown: Sequence[Standing], ranked: Ranked) -> list[Json]:
        ids, now = [one.id for one in shown], self._clock()
        documents = await self._integrations.documents(actor, ids)
        issues = await self._store.read(open_issues, ids)
        last = await self._store.read(last_received, ids)
        traffic = await self._traffic.lines(ids)
        lines = []
        for integration_id in ids:
            document = documents.get(integration_id)
            if document is None:  # it was deleted in this moment
                continue
            queue = ranked.queues.get(integration_id)
            lines.append(
                {
                    **document,
                    "attention": ranked.attention[integration_id],
                    "current_health": {
                        **document["current_health"],
                        **_reason(issues.get(integration_id, ()), now),
                    },
                    "traffic": traffic[integration_id].document(with_percentiles=False),
                    "duration_ms": _durations(traffic[integration_id].total),
                    "queue": None if queue is None else queue.document(now),
                    "blocked_lanes": ranked.blocked.get(integration_id, 0),
                    "last_event_at": format_instant(last[integration_id]) if integration_id in last else None,
                }
            )
        return lines

    async def of_integration(self, actor: Actor, integration_id: str) -> Json:
        """What of one integration waits, how many of its lanes are blocked, and when its last event came."""
        actor.require("viewer")
        stored = await self._integrations.stored(actor, integration_id)
        ids = [stored.row.id]
        waiting = await self._store.read(count_backlog, ids, COUNTED_WAITING)
        last = await self._store.read(last_received, ids)
        blocked = await self._store.read(blocked_lanes)
        return {
            "queue": Queue(*waiting[ids[0]]).document(self._clock()) if waiting else None,
            "blocked_lanes": blocked.get(ids[0], 0),
            "last_event_at": format_instant(last[ids[0]]) if last else None,
        }

    # --- the overview ----------------------------------------------------------------------------------------------

    async def show(self, actor: Actor) -> Json:
        """What needs attention first, the last 24 hours, and the slowest and busiest integrations."""
        actor.require("viewer")
        ranked = await self._ranked(actor, IntegrationFilter())
        names = {one.id: one.name for one in ranked.standings}
        troubled = [one for one in ranked.standings if ranked.attention[one.id] in ("error", "warning")]
        issues = await self._store.read(open_issues, [one.id for one in troubled])
        own_blocked = [one for one in names if ranked.blocked.get(one)]
        lanes = await self._store.read(oldest_blocked, own_blocked, SHOWN) if own_blocked else []
        webhooks = await self._store.read(troubled_webhooks, actor.workspace_id, SHOWN)
        return {
            "integrations": _counted(ranked),
            "troubled": [self._trouble(one, issues.get(one.id, ())) for one in troubled[:SHOWN]],
            "failed_replies": _failed_replies(issues, names)[:SHOWN],
            "blocked_lanes": [
                {
                    "integration": {"id": lane.integration_id, "name": names[lane.integration_id]},
                    "lane": write_lane_name(lane.lane_id.partition(":")[2]),
                    "key": lane.lane_id.partition(":")[2],
                    "head": lane.event_id,
                    "since": format_instant(lane.since),
                    "error": lane.error,
                }
                for lane in lanes
            ],
            "backlogs": self._backlogs(ranked, names),
            "webhooks": [_webhook(one) for one in webhooks],
            "traffic": await self._traffic.of_workspace(actor),
            **await self._extremes(actor, names),
        }

    def _trouble(self, one: Standing, issues: Sequence[Issue]) -> Json:
        reason = _reason(issues, self._clock())
        return {"integration": {"id": one.id, "name": one.name}, "status": one.status.value, **reason}

    def _backlogs(self, ranked: Ranked, names: Mapping[str, str]) -> list[Json]:
        """The largest, those that wait the longest first among equals."""
        now = self._clock()
        own = [(one, queue) for one, queue in ranked.queues.items() if one in names]
        own.sort(key=lambda item: (-item[1].waiting, item[1].oldest_at, item[0]))
        return [{"integration": {"id": one, "name": names[one]}, **queue.document(now)} for one, queue in own[:SHOWN]]

    async def _extremes(self, actor: Actor, names: Mapping[str, str]) -> Json:
        ranking = await self.rankings.of(actor.workspace_id, list(names))

        def told(some: Iterable[tuple[str, Counts]]) -> list[Json]:
            return [
                {"integration": {"id": one, "name": names[one]}, **counts_document(counts)}
                for one, counts in some
                if one in names
            ]

        return {"busiest": told(ranking.busiest), "slowest": told(ranking.slowest)}


def _attention(one: Standing, queue: Queue | None, blocked: int, waits_since: Instant) -> Attention:
    match one.status:
        case HealthStatus.ERROR:
            return "error"
        case HealthStatus.WARNING:
            return "warning"
        case HealthStatus.DISABLED:
            return "disabled"
    if blocked:
        return "blocked"
    if queue is not None and queue.oldest_at <= waits_since:
        return "backlog"
    return "initializing" if one.status is HealthStatus.INITIALIZING else "active"


def _position(one: Standing, attention: Mapping[str, Attention]) -> tuple[int, str]:
    return ORDER.index(attention[one.id]), one.name


def _write_position(position: tuple[int, str]) -> str:
    return f"{position[0]} {position[1]}"


def _read_position(cursor: str | None) -> tuple[int, str] | None:
    text = read_text_cursor(cursor)
    if text is None:
        return None
    number, _, name = text.partition(" ")
    if not (number.isascii() and number.isdecimal() and len(number) <= 2):
        message = "is not one that this list gave back"
        raise Invalid(f"the cursor {message}; begin again without it", (FieldError("cursor", message),))
    return int(number), name


def _reason(issues: Iterable[Issue], now: Instant) -> Json:
    """The worst issue that counts, in words; None where nothing is wrong."""
    awake = [issue for issue in worst_first(issues) if not issue.is_snoozed(now)]
    first = awake[0] if awake else None
    return {
        "reason": None if first is None else first.message,
        "since_issue": None if first is None else format_instant(first.first_seen),
        "sample_event": None if first is None else first.sample_event_id,
    }


def _durations(counts: Counts) -> Json:
    durations = counts.durations
    return {f"p{rank}": percentile_ms(durations, rank) for rank in (50, 95)}


def _counted(ranked: Ranked) -> Json:
    counts = dict.fromkeys((status.value for status in HealthStatus), 0)
    for one in ranked.standings:
        counts[one.status.value] += 1
    return {"total": len(ranked.standings), **counts}


def _failed_replies(issues: Mapping[str, Sequence[Issue]], names: Mapping[str, str]) -> list[Json]:
    found = [(one, issue) for one, some in issues.items() for issue in some if issue.key == REPLY]
    found.sort(key=lambda item: (-item[1].last_seen, item[0]))
    return [
        {
            "integration": {"id": one, "name": names[one]},
            "message": issue.message,
            "first_seen": format_instant(issue.first_seen),
            "last_seen": format_instant(issue.last_seen),
            "count": issue.count,
            "sample_event": issue.sample_event_id,
        }
        for one, issue in found
    ]


def _webhook(one: TroubledWebhook) -> Json:
    return {
        "id": one.id,
        "name": one.name,
        "failing_since": None if one.failing_since is None else format_instant(one.failing_since),
        "failures": one.failures,
        "last_error": one.last_error,
    }
