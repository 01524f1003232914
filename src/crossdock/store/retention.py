"""Forgetting finished events when their time is over, in small slices that hold up nobody."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, null, select, text, tuple_, update

from crossdock.model.states import RUN_MOVES, RunMove, RunState
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.claims import IS_DELAYED, IS_FREE, IS_HELD, IS_UNFINISHED
from crossdock.store.events import CLOCK_STEP, first_id_at

run = schema.run
event = schema.event
delivery = schema.delivery


@dataclass(frozen=True, slots=True)
class Slice:
    """How many were deleted of those that were looked at; `after` is where the next slice goes on, None at the end."""

    deleted: int
    after: str | None


def forget_events(connection: Connection, integration_id: str, before: Instant, limit: int, after: str = "") -> Slice:
    """Delete the finished ones of up to `limit` events of an integration that came before an instant.

    The ids, which begin with the time, bound what is looked at: the writer must not read what is to be kept. Events
    that have to stay, because they wait in a blocked lane, are passed over once a round and not in each slice.
    """
    old = (event.c.integration_id == integration_id, event.c.id > after, event.c.id < first_id_at(before + CLOCK_STEP))
    looked_at = select(event.c.id, event.c.received_at).where(*old).order_by(event.c.id).limit(limit)
    found = connection.execute(looked_at).all()
    past = [row.id for row in found if row.received_at < before]
    kept = _kept(connection, past) if past else set()
    ids = [event_id for event_id in past if event_id not in kept]
    _delete(connection, ids)
    return Slice(len(ids), found[-1].id if len(found) == limit else None)


def _kept(connection: Connection, ids: list[str]) -> set[str]:
    """Events among `ids` that still have something to be done."""
    unfinished = select(run.c.event_id).where(run.c.event_id.in_(ids), IS_UNFINISHED)
    pending = select(delivery.c.event_id).where(delivery.c.event_id.in_(ids), delivery.c.finished_at.is_(None))
    return {*connection.execute(unfinished).scalars(), *connection.execute(pending).scalars()}


def _delete(connection: Connection, ids: list[str]) -> None:
    if not ids:
        return
    sent = list(connection.execute(select(delivery.c.id).where(delivery.c.event_id.in_(ids))).scalars())
    if sent:
        connection.execute(delete(schema.attempt).where(schema.attempt.c.delivery_id.in_(sent)))
        connection.execute(delete(delivery).where(delivery.c.event_id.in_(ids)))
    connection.execute(delete(schema.journal).where(schema.journal.c.event_id.in_(ids)))
    connection.execute(delete(run).where(run.c.event_id.in_(ids)))
    connection.execute(delete(event).where(event.c.id.in_(ids)))


def forget_notifications(connection: Connection, before: Instant, limit: int, after: str = "") -> Slice:
    """Delete the ended ones of up to `limit` notifications that were made before an instant, with their tries. Their
    ids bound what is looked at, as in `forget_events`.
    """
    told = schema.notification
    old = (told.c.delivery_id > after, told.c.delivery_id < first_id_at(before + CLOCK_STEP, "dlv"))
    looked_at = select(told.c.delivery_id).where(*old).order_by(told.c.delivery_id).limit(limit)
    found = list(connection.execute(looked_at).scalars())
    past = (delivery.c.id.in_(found), delivery.c.created_at < before, delivery.c.finished_at.is_not(None))
    ids = list(connection.execute(select(delivery.c.id).where(*past)).scalars())
    if ids:
        for table in (schema.attempt, told):
            connection.execute(delete(table).where(table.c.delivery_id.in_(ids)))
        connection.execute(delete(delivery).where(delivery.c.id.in_(ids)))
    return Slice(len(ids), found[-1] if len(found) == limit else None)


def forget_dedupe_keys(connection: Connection, now: Instant, limit: int) -> int:
    """Delete up to `limit` dedupe keys whose window is over; how many."""
    dedupe = schema.dedupe
    place = tuple_(dedupe.c.integration_id, dedupe.c.key)
    over = select(dedupe.c.integration_id, dedupe.c.key).where(dedupe.c.expires_at <= now).limit(limit)
    # Passed over when another transaction renews it; asked again, should that have been faster.
    chosen = [tuple(row) for row in connection.execute(over.with_for_update(skip_locked=True))]
    if chosen:
        connection.execute(delete(dedupe).where(place.in_(chosen), dedupe.c.expires_at <= now))
    return len(chosen)


IS_DORMANT = text("lane.lease_node IS NULL AND lane.dormant")


def forget_lanes(connection: Connection, before: Instant, limit: int, after: str = "") -> Slice:
    """Delete the empty ones of up to `limit` dormant lanes to which no event has come since an instant."""
    lane = schema.lane
    looked_at = select(lane.c.id, lane.c.last_used_at).where(IS_DORMANT, lane.c.id > after)
    found = connection.execute(looked_at.order_by(lane.c.id).limit(limit)).all()
    ids = [row.id for row in found if row.last_used_at < before]
    busy = select(run.c.event_id).where(run.c.lane_id == lane.c.id, IS_UNFINISHED).exists()
    # asked again of a row that had to be waited for
    still = (lane.c.lease_node.is_(None), lane.c.last_used_at < before, ~busy)
    deleted = connection.execute(delete(lane).where(lane.c.id.in_(ids), *still)).rowcount if ids else 0
    return Slice(deleted, found[-1].id if len(found) == limit else None)


HEALTH_TABLES = (schema.outcome, schema.health, schema.health_issue, schema.health_change, schema.told)


def forget_health_of_removed(connection: Connection, limit: int) -> int:
    """Delete up to `limit` rows of each kind that tell of the health of integrations that were removed; how many."""
    there = select(schema.integration.c.id)
    deleted = 0
    for table in HEALTH_TABLES:
        key = list(table.primary_key.columns)
        gone = select(*key).where(table.c.integration_id.not_in(there)).limit(limit)
        rows = [tuple(row) for row in connection.execute(gone)]
        if rows:
            deleted += connection.execute(delete(table).where(tuple_(*key).in_(rows))).rowcount
    return deleted


def oldest_health(connection: Connection) -> dict[str, Instant]:
    """Since when integrations have changes, besides the last one, or issues that are over."""
    owner, change, issue = schema.integration, schema.health_change, schema.health_issue
    is_mine = change.c.integration_id == owner.c.id
    last = select(func.max(change.c.id)).where(is_mine).correlate(owner).scalar_subquery()
    changed = select(change.c.at).where(is_mine, change.c.id < last).order_by(change.c.id).limit(1).scalar_subquery()
    ended = select(func.min(issue.c.resolved_at)).where(issue.c.integration_id == owner.c.id).scalar_subquery()
    found = {row[0]: [at for at in row[1:] if at] for row in connection.execute(select(owner.c.id, changed, ended))}
    return {integration_id: min(moments) for integration_id, moments in found.items() if moments}


def forget_health(connection: Connection, integration_id: str, before: Instant, limit: int) -> int:
    """Delete up to `limit` changes, and issues that were over, of before an instant; how many. Open issues stay, and so
    does the last change: it says how long the integration has been in its state.
    """
    change, issue = schema.health_change, schema.health_issue
    last = select(func.max(change.c.id)).where(change.c.integration_id == integration_id).scalar_subquery()
    old_changes = (change.c.integration_id == integration_id, change.c.at < before, change.c.id != last)
    old_issues = (issue.c.integration_id == integration_id, issue.c.resolved_at < before)
    deleted = 0
    for table, is_old in ((change, old_changes), (issue, old_issues)):
        ids = select(table.c.id).where(*is_old).limit(limit)
        deleted += connection.execute(delete(table).where(table.c.id.in_(ids))).rowcount
    return deleted


_REMOVED = text(
    # Hops from one id to the next in the index, so that a million events cost as many steps as there are integrations.
    """
    WITH RECURSIVE seen(id) AS (
        SELECT min(integration_id) FROM event
        UNION ALL
        SELECT (SELECT min(integration_id) FROM event WHERE integration_id > seen.id)
        FROM seen
        WHERE seen.id IS NOT NULL
    )
    SELECT id FROM seen WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM integration)
    """
)


def removed_integrations(connection: Connection) -> list[str]:
    """Ids of integrations that were removed but still have events."""
    return list(connection.execute(_REMOVED).scalars())


def cancel_runs_of(connection: Connection, integration_id: str, now: Instant, limit: int) -> int:
    """Cancel up to `limit` runs of an integration that nobody works on; how many."""
    states = [state.value for state in RUN_MOVES[RunMove.CANCEL][0] if state is not RunState.RUNNING]
    is_mine = (run.c.integration_id == integration_id, run.c.state.in_(states))
    in_lanes = (run.c.lane_id >= f"{integration_id}:", run.c.lane_id < f"{integration_id};", IS_UNFINISHED)
    ids: set[str] = set()
    for place in ((IS_FREE,), in_lanes, (IS_DELAYED,), (IS_HELD,)):  # a query for each small index that has them
        ids.update(connection.execute(select(run.c.event_id).where(*is_mine, *place).limit(limit - len(ids))).scalars())
    statement = (
        update(run)
        .where(run.c.event_id.in_(ids), run.c.state.in_(states))
        .values(
            state=RunState.CANCELED.value,
            finished_at=now,
            waiting_for=null(),
            error_kind="integration_removed",
            error_message="the integration was removed while this run waited",
        )
    )
    return connection.execute(statement).rowcount
