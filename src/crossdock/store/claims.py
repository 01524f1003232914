"""Taking runs to work on them: queued ones of an integration, the next one of a lane, those of dead nodes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    String,
    Subquery,
    Table,
    and_,
    false,
    func,
    null,
    or_,
    select,
    text,
    update,
)

from crossdock.model.outcome import Failure
from crossdock.model.run import MAX_LOSSES, Lane, LeasedRun
from crossdock.model.states import RUN_MOVES, RunMove, RunState
from crossdock.model.time import Instant, later
from crossdock.store import schema
from crossdock.store.accept import event_of
from crossdock.store.journal import read_entries
from crossdock.store.statements import RowUpdate, has_row

run = schema.run
lane = schema.lane

# Written out, not bound: both databases use a partial index only for the very words of its condition.
IS_CLAIMABLE = text("run.state IN ('queued', 'retrying')")
IS_FREE = text("run.state IN ('queued', 'retrying') AND run.lane_id IS NULL")
IS_LOST_BEFORE = text("run.state IN ('queued', 'retrying') AND run.lane_id IS NULL AND run.losses > 0")
IS_UNFINISHED = text("run.state NOT IN ('succeeded', 'failed', 'canceled')")
IS_DELAYED = text("run.state = 'waiting' AND run.waiting_for = 'delay'")
IS_HELD = text("run.state = 'waiting' AND run.waiting_for <> 'delay'")

CLOCK_SKEW_SECONDS = 60.0
"""How far the clocks of nodes may differ, or be set back, before what waits for nobody has to be pulled back."""


def is_due(table: Table, now: Instant) -> ColumnElement[bool]:
    """Whether a run or delivery that waits may be taken.

    What is queued waits for nobody: the moment that it is due at is when it came, by a clock that may be ahead. Only
    what is tried again later has to be waited for. The first condition bounds what is read of an index.
    """
    due_at = table.c.due_at
    return and_(due_at <= later(now, CLOCK_SKEW_SECONDS), or_(table.c.state == RunState.QUEUED.value, due_at <= now))


# --- unordered runs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """Take up to `len(tokens)` due runs of one integration, oldest first. Its answer is the leased runs.

    Runs that were lost with a node are left out: `claim_quarantined` takes those one at a time, so that a payload that
    kills its process does not take others with it again and again.
    """

    rank: ClassVar[int] = 40

    integration_id: str
    node_id: str
    tokens: tuple[str, ...]
    now: Instant

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[list[LeasedRun]]:
        return [
            _claim(connection, _claimable(change.integration_id, change.now, len(change.tokens)), change)
            for change in changes
        ]


def _claimable(integration_id: str, now: Instant, limit: int) -> Any:
    return (
        select(run.c.event_id)
        .where(IS_FREE, run.c.integration_id == integration_id, is_due(run, now), run.c.losses == 0)
        .order_by(run.c.due_at, run.c.event_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _claim(connection: Connection, query: Any, change: Claim) -> list[LeasedRun]:
    ids = list(connection.execute(query).scalars())
    rows = [(event_id, token, change.node_id, change.now) for event_id, token in zip(ids, change.tokens, strict=False)]
    claimed = {row.event_id for row in _take_runs.execute(connection, rows)} if rows else set()
    return read_leased(connection, [row[0] for row in rows if row[0] in claimed])


def claim_quarantined(
    connection: Connection, node_id: str, token: str, now: Instant, full: Collection[str] = ()
) -> LeasedRun | None:
    """Take one due run that was lost with a node before, of none of the integrations that are `full`."""
    query = (
        select(run.c.event_id)
        .where(IS_LOST_BEFORE, is_due(run, now), *([run.c.integration_id.not_in(sorted(full))] if full else ()))
        .order_by(run.c.due_at, run.c.event_id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    leased = _claim(connection, query, Claim("", node_id, (token,), now))
    return leased[0] if leased else None


def _build_take(v: Subquery) -> Executable:
    return update(run).where(run.c.event_id == v.c.event_id, IS_CLAIMABLE).values(**taken(v)).returning(run.c.event_id)


def taken(v: Subquery) -> dict[str, Any]:
    return {
        "state": RUN_MOVES[RunMove.CLAIM][1].value,
        "waiting_for": null(),
        "lease_node": v.c.node_id,
        "lease_token": v.c.token,
        "started_at": func.coalesce(run.c.started_at, v.c.now),
        "attempts": run.c.attempts + 1,
    }


COLUMNS: dict[str, Any] = {"event_id": String(), "token": String(), "node_id": String(), "now": BigInteger()}
_take_runs = RowUpdate(COLUMNS, _build_take)


def read_leased(connection: Connection, event_ids: Sequence[str]) -> list[LeasedRun]:
    """Runs with their events and histories, in the order of the ids."""
    if not event_ids:
        return []
    query = (
        select(schema.event, run.c.workflow_number, run.c.attempts, run.c.losses, run.c.lease_token)
        .add_columns(run.c.lane_id, run.c.lane_sequence, run.c.caller_node)
        .join(run, run.c.event_id == schema.event.c.id)
        .where(schema.event.c.id.in_(event_ids))
    )
    histories = read_entries(connection, event_ids)
    found = {row.id: _leased_of(row) for row in connection.execute(query)}
    return [replace(found[i], journal=histories.get(i, ())) for i in event_ids if i in found]


def _leased_of(row: Any) -> LeasedRun:
    return LeasedRun(
        event=event_of(row),
        workflow_number=row.workflow_number,
        attempts=row.attempts,
        losses=row.losses,
        lease_token=row.lease_token or "",
        lane=Lane(row.lane_id, row.lane_sequence) if row.lane_id is not None else None,
        caller_node=row.caller_node,
    )


END_AT_ONCE = 1_000
"""Delays of one integration that end in one transaction."""


def end_delays(connection: Connection, now: Instant) -> list[str]:
    """Queue runs whose waiting is over, up to END_AT_ONCE of each integration; the lanes that they are in."""
    target = RUN_MOVES[RunMove.RELEASE][1].value
    lanes: list[str] = []
    owner = schema.integration.c.id
    with_due = has_row(select(run.c.due_at).where(IS_DELAYED, run.c.integration_id == owner, run.c.due_at <= now))
    for integration_id in list(connection.execute(select(owner).where(with_due)).scalars()):
        due = (IS_DELAYED, run.c.integration_id == integration_id, run.c.due_at <= now)
        chosen = select(run.c.event_id).where(*due).order_by(run.c.due_at).limit(END_AT_ONCE)
        ids = list(connection.execute(chosen.with_for_update(skip_locked=True)).scalars())
        ended = update(run).where(run.c.event_id.in_(ids), IS_DELAYED).values(state=target, waiting_for=null())
        lanes += [lane_id for lane_id in connection.execute(ended.returning(run.c.lane_id)).scalars() if lane_id]
    return lanes


def read_leases(connection: Connection, node_id: str) -> dict[str, str]:
    """The unordered runs that a node holds: event ids by lease token."""
    query = select(run.c.lease_token, run.c.event_id).where(run.c.lease_node == node_id, run.c.lane_id.is_(None))
    return {row.lease_token: row.event_id for row in connection.execute(query)}


def return_runs(connection: Connection, tokens: Sequence[str], now: Instant) -> int:
    """Queue leased runs again that nobody works on; how many there were. One that was to be stopped is canceled."""
    held = (run.c.lease_token.in_(tokens), run.c.lease_node.is_not(None), run.c.state == RunState.RUNNING.value)
    canceled = cancel_asked(connection, held, now)
    statement = (
        update(run)
        .where(*held)
        .values(state=RUN_MOVES[RunMove.HAND_BACK][1].value, due_at=now, attempts=run.c.attempts - 1)
        .values(lease_node=null(), lease_token=null())
    )
    return canceled + connection.execute(statement).rowcount


def pull_back_runs(connection: Connection, now: Instant) -> int:
    """Let runs be due now that a clock far ahead has queued for later; how many there were."""
    ahead = (IS_FREE, run.c.state == RunState.QUEUED.value, run.c.due_at > later(now, CLOCK_SKEW_SECONDS))
    return connection.execute(update(run).where(*ahead).values(due_at=now)).rowcount


# --- rescue ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rescued:
    """What was taken back from dead nodes. `lost` runs were lost too often: they are to be failed.

    Those that were to be stopped are canceled, and in neither.
    """

    queued: int
    lost: tuple[LeasedRun, ...]


def rescue_runs(connection: Connection, dead: Sequence[str], node_id: str, now: Instant, token: str) -> Rescued:
    """Take back the runs and lanes of dead nodes. Any node may do this: the guard is the dead node's lease."""
    if not dead:
        return Rescued(0, ())
    free_lanes_of(connection, dead)
    return _take_back(connection, (run.c.lease_node.in_(dead),), node_id, now, token)


def free_lanes_of(connection: Connection, dead: Sequence[str], only: str | None = None) -> int:
    """The lanes of dead nodes (or `only` this one of them) have no owner any more; how many there were."""
    held = (lane.c.lease_node.in_(dead),) if only is None else (lane.c.lease_node.in_(dead), lane.c.id == only)
    return connection.execute(update(lane).where(*held).values(lease_node=null(), lease_token=null())).rowcount


def held_lanes(connection: Connection, node_ids: Sequence[str]) -> list[str]:
    """The lanes that nodes own."""
    return list(connection.execute(select(lane.c.id).where(lane.c.lease_node.in_(node_ids))).scalars())


def held_runs(connection: Connection, node_ids: Sequence[str]) -> list[str]:
    """The runs that nodes hold, by their events."""
    return list(connection.execute(select(run.c.event_id).where(run.c.lease_node.in_(node_ids))).scalars())


def rescue_run(
    connection: Connection, event_id: str, dead: Sequence[str], node_id: str, now: Instant, token: str
) -> Rescued:
    """Take back one run of dead nodes."""
    return _take_back(connection, (run.c.event_id == event_id, run.c.lease_node.in_(dead)), node_id, now, token)


def _take_back(
    connection: Connection, place: Sequence[ColumnElement[bool]], node_id: str, now: Instant, token: str
) -> Rescued:
    held = (*place, run.c.state == RunState.RUNNING.value)
    cancel_asked(connection, held, now)
    hopeless = update(run).where(*held, run.c.losses >= MAX_LOSSES - 1)
    lost = connection.execute(
        hopeless.values(lease_node=node_id, lease_token=token, losses=run.c.losses + 1).returning(run.c.event_id)
    ).scalars()
    lost_ids = list(lost)
    back = (
        update(run)
        .where(*held, run.c.event_id.not_in(lost_ids))
        .values(
            state=RUN_MOVES[RunMove.RESCUE][1].value,
            losses=run.c.losses + 1,
            due_at=now,
            lease_node=null(),
            lease_token=null(),
        )
    )
    return Rescued(connection.execute(back).rowcount, tuple(read_leased(connection, lost_ids)))


LOST = Failure(
    "node_lost",
    f"the process ended {MAX_LOSSES} times while this run was being worked on; the run is taken for the cause",
    permanent=True,
)


# --- stopping --------------------------------------------------------------------------------------------------------


def cancel_run(connection: Connection, event_id: str, now: Instant) -> RunState | None:
    """Stop a run: CANCELED at once, RUNNING where the node that works on it was asked to, None when it has ended."""
    if cancel_waiting(connection, event_id, now):
        return RunState.CANCELED
    if request_cancel(connection, event_id):
        return RunState.RUNNING
    # Differs: on PostgreSQL an attempt may end between the two, and the run waits for its next one.
    return RunState.CANCELED if cancel_waiting(connection, event_id, now) else None


def cancel_waiting(connection: Connection, event_id: str, now: Instant) -> bool:
    """Cancel a run that nobody works on."""
    states = tuple(state.value for state in RUN_MOVES[RunMove.CANCEL][0] if state is not RunState.RUNNING)
    wake_lane_of(connection, event_id)
    statement = (
        update(run)
        .where(run.c.event_id == event_id, run.c.state.in_(states))
        .values(state=RunState.CANCELED.value, finished_at=now, waiting_for=null())
    )
    return connection.execute(statement).rowcount == 1


def request_cancel(connection: Connection, event_id: str) -> bool:
    """Ask the node that works on a run to stop it."""
    statement = update(run).where(run.c.event_id == event_id, run.c.state == RunState.RUNNING.value)
    return connection.execute(statement.values(cancel_requested=True)).rowcount == 1


def cancel_asked(connection: Connection, held: Sequence[ColumnElement[bool]], now: Instant) -> int:
    """Cancel those of the `held` runs that were to be stopped, as their node can't do it any more; how many."""
    statement = update(run).where(*held, run.c.cancel_requested)
    ended = {"state": RUN_MOVES[RunMove.CANCEL][1].value, "finished_at": now, "lease_node": null()}
    return connection.execute(statement.values(**ended, lease_token=null())).rowcount


def wake_lane_of(connection: Connection, event_id: str) -> None:
    """Something may start in the lane that an event's run is in: let an owner be found for it, if it has none."""
    mine = select(run.c.lane_id).where(run.c.event_id == event_id).scalar_subquery()
    connection.execute(update(lane).where(lane.c.id == mine, lane.c.dormant).values(dormant=false()))
