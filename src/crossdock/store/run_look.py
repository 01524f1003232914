"""What a node looks for from time to time: runs that nobody handed over, whatever the reason, in one statement."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, String, cast, func, literal, null, select, union_all

from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.claims import IS_DELAYED, IS_FREE, IS_LOST_BEFORE, is_due
from crossdock.store.lanes import IS_FREE_LANE
from crossdock.store.statements import has_row

run = schema.run
owner = schema.integration.c.id

_BACKLOG, _DELAYS, _QUARANTINE, _CANCEL, _LANES, _NEXT = "backlog", "delays", "quarantine", "cancel", "lanes", "next"


@dataclass(frozen=True, slots=True)
class DueRuns:
    """What there is to do. `next_at` is when the next run that waits for its time becomes due."""

    integrations: tuple[str, ...]
    """Those with unordered runs that may be taken."""
    has_ended_delays: bool
    has_quarantined: bool
    """A run waits that was lost with a node before."""
    cancel_requests: tuple[str, ...]
    """Runs of this node that somebody asked to stop."""
    has_orphan_lanes: bool
    """There are lanes with work and no owner."""
    next_at: Instant | None


def look_for_runs(connection: Connection, node_id: str, now: Instant) -> DueRuns:
    """What is due at `now`. Some probes of indexes for each integration, however long the backlogs are."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(_question(node_id, now)):
        found[row.what].append(row.at if row.what == _NEXT else row.id)
    return DueRuns(
        integrations=tuple(found[_BACKLOG]),
        has_ended_delays=bool(found[_DELAYS]),
        has_quarantined=bool(found[_QUARANTINE]),
        cancel_requests=tuple(found[_CANCEL]),
        has_orphan_lanes=bool(found[_LANES]),
        next_at=min((at for at in found[_NEXT] if at is not None), default=None),
    )


def _question(node_id: str, now: Instant) -> Any:
    free, delayed = (IS_FREE, run.c.integration_id == owner), (IS_DELAYED, run.c.integration_id == owner)
    quarantined = select(run.c.event_id.label("id")).where(IS_LOST_BEFORE, is_due(run, now)).limit(1).subquery()
    orphans = select(schema.lane.c.id).where(IS_FREE_LANE).limit(1).subquery()
    moments = [
        select(func.min(run.c.due_at)).where(*waiting, run.c.due_at > now).scalar_subquery()
        for waiting in (free, delayed)
    ]
    return union_all(
        _told(_BACKLOG, owner).where(has_row(select(run.c.due_at).where(*free, is_due(run, now)))),
        _told(_DELAYS, owner).where(has_row(select(run.c.due_at).where(*delayed, run.c.due_at <= now))),
        _told(_QUARANTINE, quarantined.c.id),
        _told(_CANCEL, run.c.event_id).where(run.c.lease_node == node_id, run.c.cancel_requested),
        _told(_LANES, orphans.c.id),
        *(
            select(literal(_NEXT).label("what"), literal("").label("id"), func.min(each.c.at).label("at"))
            for each in (select(moment.label("at")).select_from(schema.integration).subquery() for moment in moments)
        ),
    )


def _told(what: str, place: Any) -> Select[Any]:
    return select(literal(what, String).label("what"), place.label("id"), cast(null(), BigInteger).label("at"))
