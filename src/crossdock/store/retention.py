"""Forgetting finished events when their time is over, in small slices that hold up nobody."""

from __future__ import annotations

from sqlalchemy import Connection, delete, null, select, text, update

from crossdock.model.states import RUN_MOVES, RunMove, RunState
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.claims import IS_FREE, IS_UNFINISHED, IS_WAITING
from crossdock.store.events import CLOCK_STEP, first_id_at

run = schema.run
event = schema.event
delivery = schema.delivery


def forget_events(connection: Connection, integration_id: str, before: Instant, limit: int) -> int:
    """Delete up to `limit` events of an integration that came before an instant and are finished; how many.

    The ids, which begin with the time, bound what is looked at: the writer must not read what is to be kept.
    """
    unfinished = select(run.c.event_id).where(run.c.event_id == event.c.id, IS_UNFINISHED).exists()
    pending = select(delivery.c.id).where(delivery.c.event_id == event.c.id, delivery.c.finished_at.is_(None)).exists()
    query = (
        select(event.c.id)
        .where(event.c.integration_id == integration_id, event.c.id < first_id_at(before + CLOCK_STEP))
        .where(event.c.received_at < before, ~unfinished, ~pending)
        .order_by(event.c.id)
        .limit(limit)
    )
    ids = list(connection.execute(query).scalars())
    if ids:
        deliveries = select(delivery.c.id).where(delivery.c.event_id.in_(ids))
        connection.execute(delete(schema.attempt).where(schema.attempt.c.delivery_id.in_(deliveries)))
        connection.execute(delete(delivery).where(delivery.c.event_id.in_(ids)))
        connection.execute(delete(schema.journal).where(schema.journal.c.event_id.in_(ids)))
        connection.execute(delete(run).where(run.c.event_id.in_(ids)))
        connection.execute(delete(event).where(event.c.id.in_(ids)))
    return len(ids)


def forget_dedupe_keys(connection: Connection, now: Instant, limit: int) -> int:
    """Delete up to `limit` dedupe keys whose window is over; how many."""
    dedupe = schema.dedupe
    query = select(dedupe.c.integration_id, dedupe.c.key).where(dedupe.c.expires_at <= now).limit(limit)
    rows = connection.execute(query).all()
    for row in rows:
        connection.execute(delete(dedupe).where(dedupe.c.integration_id == row.integration_id, dedupe.c.key == row.key))
    return len(rows)


def forget_lanes(connection: Connection, before: Instant, limit: int) -> int:
    """Delete up to `limit` lanes that nobody owns and no event has come to since an instant; how many."""
    lane = schema.lane
    busy = select(run.c.event_id).where(run.c.lane_id == lane.c.id, IS_UNFINISHED).exists()
    idle = select(lane.c.id).where(lane.c.lease_node.is_(None), lane.c.last_used_at < before, ~busy).limit(limit)
    still = (
        lane.c.lease_node.is_(None),
        lane.c.last_used_at < before,
    )  # asked again of a row that had to be waited for
    return connection.execute(delete(lane).where(lane.c.id.in_(idle), *still)).rowcount


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
    for place in ((IS_FREE,), in_lanes, (IS_WAITING,)):  # one query for each small index that they may be in
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
