"""What time has done to integrations: found by reading, so that only what changes has to be written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, func, select

from crossdock.model.health import Facts, HealthStatus, Watched, new_health
from crossdock.model.health_judging import judge
from crossdock.model.states import WaitingFor
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.attention import last_received
from crossdock.store.backlog import count_backlog
from crossdock.store.claims import IS_HELD
from crossdock.store.health import effective_status
from crossdock.store.health_rows import read_kept

COUNTED_RUNS = 1_000
"""Waiting runs of an integration are counted up to here."""


def changed_by_time(connection: Connection, watched: Sequence[Watched], now: Instant) -> dict[str, Facts]:
    """Those of the integrations whose health is another one by now than what is known, with what it is judged by."""
    known = read_kept(connection, [one.integration_id for one in watched])
    unheard = {name for name in known if known[name].health.marks.last_event_at is None}
    unheard |= {one.integration_id for one in watched} - known.keys()
    facts = read_facts(connection, watched, unheard)
    changed = {}
    for one in watched:
        kept = known.get(one.integration_id)
        if kept is None and not one.enabled:
            continue  # it was never switched on: there is nothing to know
        before = kept.health if kept is not None else None
        own = facts[one.integration_id]
        if judge(before or new_health(now), one, (), own, now, _no_id).health != before:
            changed[one.integration_id] = own
    return changed


def _no_id(prefix: str) -> str:
    """For what is worked out and not kept."""
    return prefix


def read_facts(connection: Connection, watched: Sequence[Watched], unheard: Collection[str] = ()) -> dict[str, Facts]:
    """What the rules of time ask about, for those integrations whose rules do. Of the `unheard` no event is known."""
    listened = [
        one.integration_id
        for one in watched
        if one.rules.silence is not None or (not one.has_workflow and one.integration_id in unheard)
    ]
    queued = [one.integration_id for one in watched if one.rules.backlog is not None]
    guarded = [one.integration_id for one in watched if one.rules.rejected_calls is not None]
    last = last_received(connection, listened) if listened else {}
    waiting = count_backlog(connection, queued, COUNTED_RUNS) if queued else {}
    refused = _refused(connection, guarded) if guarded else {}
    blocked = _blocked(connection, [one.integration_id for one in watched])
    return {
        one: Facts(last.get(one), waiting.get(one), refused.get(one, {}), blocked.get(one))
        for one in (each.integration_id for each in watched)
    }


def _refused(connection: Connection, integration_ids: Sequence[str]) -> dict[str, Mapping[str, int]]:
    table = schema.rejection
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(select(table).where(table.c.integration_id.in_(integration_ids))):
        found.setdefault(row.integration_id, {})[row.reason] = row._mapping["count"]
    return dict(found)


def _blocked(connection: Connection, integration_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    run = schema.run
    query = (
        select(run.c.integration_id, func.count(), func.min(run.c.event_id))
        .where(IS_HELD, run.c.waiting_for == WaitingFor.OPERATOR.value, run.c.integration_id.in_(integration_ids))
        .group_by(run.c.integration_id)
    )
    return {row[0]: (int(row[1]), row[2]) for row in connection.execute(query)}


def health_in_numbers(connection: Connection) -> tuple[dict[str, HealthStatus], dict[str, int]]:
    """For metrics: the state of each integration, and how many issues are open of those that have some."""
    owner, issue = schema.integration, schema.health_issue
    states = connection.execute(select(owner.c.id, effective_status()))
    is_open = (issue.c.resolved_at.is_(None), issue.c.integration_id == owner.c.id)
    issues = select(owner.c.id, func.count()).join(issue, is_open[1]).where(is_open[0]).group_by(owner.c.id)
    return (
        {row[0]: HealthStatus(row[1]) for row in states},
        {row[0]: int(row[1]) for row in connection.execute(issues)},
    )
