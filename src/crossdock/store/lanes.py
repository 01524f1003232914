"""Lanes: the strict order of runs. A lane is leased, not its runs: its owner runs the head, then the next.

The fence is the lane's token: a run of a lane is taken only by whoever owns the lane now. A run's end and the taking
of the next one are one change, so that an ordered run costs one commit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Select,
    String,
    Subquery,
    exists,
    false,
    func,
    null,
    select,
    text,
    true,
    update,
)

from crossdock.model.run import LeasedRun
from crossdock.model.states import RUN_MOVES, RunMove, RunState, WaitingFor
from crossdock.model.time import Instant
from crossdock.model.value import value
from crossdock.store import schema
from crossdock.store.claims import COLUMNS, IS_CLAIMABLE, IS_UNFINISHED, cancel_asked, read_leased, taken, wake_lane_of
from crossdock.store.settle import Settle
from crossdock.store.statements import RowUpdate

run = schema.run
lane = schema.lane

# --- the owner's changes ---------------------------------------------------------------------------------------------


@value
class LaneClaim:
    """Take a run of a lane that this node owns."""

    event_id: str
    token: str
    node_id: str
    now: Instant
    lane_token: str


@value
class LaneTurn:
    """End the head (`settle`) and take the next (`claim`), either may be missing. Its answer says what landed.

    The claim is not tried when the settle did not land: the lane is somebody else's then.
    """

    rank: ClassVar[int] = 22

    settle: Settle | None
    claim: LaneClaim | None

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[tuple[bool, bool]]:
        settles = [change.settle for change in changes if change.settle is not None]
        if len({settle.event_id for settle in settles}) < len(settles):
            return [answer for change in changes for answer in cls.record(connection, [change])]  # as Settle does
        settled = dict(zip((s.event_id for s in settles), Settle.record(connection, settles), strict=True))
        ended = [change.settle is None or settled[change.settle.event_id] for change in changes]
        claims = [c.claim for c, landed in zip(changes, ended, strict=True) if landed and c.claim is not None]
        claimed = _take(connection, claims)
        return [
            (landed, landed and change.claim is not None and change.claim.event_id in claimed)
            for change, landed in zip(changes, ended, strict=True)
        ]


@value
class LaneBurst:
    """Several runs of one lane, taken and ended in one commit: for workflows without side effects, which may be worked
    out before it. Its answer says for each run whether it landed.
    """

    rank: ClassVar[int] = 23

    runs: tuple[tuple[LaneClaim, Settle], ...]

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[tuple[bool, ...]]:
        claimed = _take(connection, [claim for change in changes for claim, _ in change.runs])
        settles = [s for change in changes for claim, s in change.runs if claim.event_id in claimed]
        settled = dict(zip((s.event_id for s in settles), Settle.record(connection, settles), strict=True))
        return [tuple(settled.get(s.event_id, False) for _, s in change.runs) for change in changes]


def _take(connection: Connection, claims: Sequence[LaneClaim]) -> set[str]:
    rows = [(c.event_id, c.token, c.node_id, c.now, c.lane_token) for c in claims]
    return {row.event_id for row in _take_runs.execute(connection, rows)}


def _build_take(v: Subquery) -> Executable:
    owned = exists().where(lane.c.id == run.c.lane_id, lane.c.lease_token == v.c.lane_token)
    return (
        update(run)
        .where(run.c.event_id == v.c.event_id, IS_CLAIMABLE, owned)
        .values(**taken(v))
        .returning(run.c.event_id)
    )


_take_runs = RowUpdate({**COLUMNS, "lane_token": String()}, _build_take)

# --- what waits in a lane --------------------------------------------------------------------------------------------


@value
class QueuedRun:
    """A run in its lane, as it stands there."""

    run: LeasedRun
    state: RunState
    due_at: Instant
    is_held: bool = False
    """An operator has to move it on."""


def read_lane(connection: Connection, lane_id: str, after: int, limit: int) -> list[QueuedRun]:
    """The unfinished runs of a lane behind a sequence number, in order."""
    query = (
        select(run.c.event_id, run.c.state, run.c.due_at, run.c.waiting_for)
        .where(run.c.lane_id == lane_id, run.c.lane_sequence > after, IS_UNFINISHED)
        .order_by(run.c.lane_sequence)
        .limit(limit)
    )
    rows = {row.event_id: row for row in connection.execute(query)}
    return [_queued(leased, rows[leased.event.id]) for leased in read_leased(connection, list(rows))]


def _queued(leased: LeasedRun, row: Any) -> QueuedRun:
    return QueuedRun(leased, RunState(row.state), row.due_at, is_held=row.waiting_for == WaitingFor.OPERATOR.value)


# Written out, not bound: both databases use a partial index only for the very words of its condition.
IS_FREE_LANE = text("lane.lease_node IS NULL AND NOT lane.dormant")


def acquire_lanes(
    connection: Connection, node_id: str, tokens: Sequence[str], without: Collection[str] = ()
) -> list[tuple[str, str, str]]:
    """Own lanes that have work and no owner: (lane id, integration id, token) of up to `len(tokens)` of them.

    Those of the integrations `without` are left to others.
    """
    wanted = (IS_FREE_LANE, lane.c.integration_id.not_in(without)) if without else (IS_FREE_LANE,)
    query = select(lane.c.id).where(*wanted).order_by(lane.c.id).limit(len(tokens)).with_for_update(skip_locked=True)
    ids = connection.execute(query).scalars()
    rows = [(lane_id, token, node_id) for lane_id, token in zip(ids, tokens, strict=False)]
    return sorted((row.id, row.integration_id, row.lease_token) for row in _acquire.execute(connection, rows))


def _build_acquire(v: Subquery) -> Executable:
    return (
        update(lane)
        .where(lane.c.id == v.c.id, IS_FREE_LANE)
        .values(lease_node=v.c.node_id, lease_token=v.c.token)
        .returning(lane.c.id, lane.c.integration_id, lane.c.lease_token)
    )


_acquire = RowUpdate({"id": String(), "token": String(), "node_id": String()}, _build_acquire)


def has_orphan_lanes(connection: Connection) -> bool:
    """Whether there is a lane with work and no owner."""
    return connection.execute(select(lane.c.id).where(IS_FREE_LANE).limit(1)).first() is not None


@dataclass(frozen=True, slots=True)
class LaneRelease:
    """Give up a lane in which nothing can start: it is empty, or its head waits for an operator.

    Its answer says whether it landed: it does not when something has come. A lane that was given up so is *dormant*:
    nobody looks for it before an event comes or somebody acts.
    """

    rank: ClassVar[int] = 26

    lane_id: str
    lane_token: str

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[bool]:
        rows = sorted((change.lane_id, change.lane_token) for change in changes)
        # Differs: on PostgreSQL the rows are locked first, so that the next statement sees every run that came before.
        _lock_lanes.execute(connection, rows)
        landed = {row.id for row in _release_idle.execute(connection, rows)}
        return [change.lane_id in landed for change in changes]


def _build_lock(v: Subquery) -> Executable:
    return select(lane.c.id).join(v, v.c.id == lane.c.id).order_by(lane.c.id).with_for_update(of=lane)


def _build_release(v: Subquery) -> Executable:
    return (
        update(lane)
        .where(lane.c.id == v.c.id, lane.c.lease_token == v.c.token, ~_CAN_GO_ON)
        .values(lease_node=null(), lease_token=null(), dormant=true())
        .returning(lane.c.id)
    )


def _head(column: ColumnElement[Any]) -> Any:
    """A column of the lane's first unfinished run."""
    own = (run.c.lane_id == lane.c.id, IS_UNFINISHED)
    return select(column).where(*own).order_by(run.c.lane_sequence).limit(1).correlate(lane).scalar_subquery()


_CAN_GO_ON = func.coalesce(_head(func.coalesce(run.c.waiting_for, "")), WaitingFor.OPERATOR.value) != (
    WaitingFor.OPERATOR.value
)
_lock_lanes = RowUpdate({"id": String(), "token": String()}, _build_lock)
_release_idle = RowUpdate({"id": String(), "token": String()}, _build_release)


# --- between nodes ---------------------------------------------------------------------------------------------------


def count_lanes_by_node(connection: Connection) -> dict[str, int]:
    """How many lanes each node owns."""
    query = select(lane.c.lease_node, func.count()).where(lane.c.lease_node.is_not(None)).group_by(lane.c.lease_node)
    return {row[0]: int(row[1]) for row in connection.execute(query)}


@dataclass(frozen=True, slots=True)
class StalledLane:
    """A lane of a node in which a run should have started, or is marked as running."""

    id: str
    integration_id: str
    token: str
    head_state: RunState
    head_due_at: Instant


def stalled_lanes(connection: Connection, node_id: str, before: Instant) -> list[StalledLane]:
    """Lanes of a node whose head was due before an instant and has not ended."""
    state, due_at = _head(run.c.state).label("state"), _head(run.c.due_at).label("due_at")
    owned = select(lane.c.id, lane.c.integration_id, lane.c.lease_token, state, due_at)
    lanes = owned.where(lane.c.lease_node == node_id).subquery()
    startable = (RunState.QUEUED.value, RunState.RETRYING.value, RunState.RUNNING.value)
    query = select(lanes).where(lanes.c.state.in_(startable), lanes.c.due_at < before)
    return [StalledLane(row[0], row[1], row[2], RunState(row[3]), row[4]) for row in connection.execute(query)]


_LANES_IN_USE = text(
    # Hops from one lane to the next in the index of unfinished runs, however many each of them has.
    """
    WITH RECURSIVE used(id) AS (
        SELECT min(lane_id) FROM run
        WHERE lane_id IS NOT NULL AND state NOT IN ('succeeded', 'failed', 'canceled')
        UNION ALL
        SELECT (SELECT min(lane_id) FROM run
            WHERE lane_id > used.id AND lane_id IS NOT NULL AND state NOT IN ('succeeded', 'failed', 'canceled'))
        FROM used WHERE used.id IS NOT NULL
    )
    SELECT lane.id FROM used JOIN lane ON lane.id = used.id WHERE lane.dormant
    """
)


def dormant_lanes_in_use(connection: Connection) -> list[str]:
    """The dormant lanes that have unfinished runs: all but a few wait for an operator."""
    return list(connection.execute(_LANES_IN_USE).scalars())


def wake_forgotten_lanes(connection: Connection, lane_ids: Sequence[str], before: Instant) -> list[str]:
    """Wake those of the dormant lanes in which a run could have started before an instant: nobody would ever look for
    them.
    """
    startable = (RunState.QUEUED.value, RunState.RETRYING.value)
    waits = (_head(run.c.state).in_(startable), _head(run.c.due_at) < before)
    some = (lane.c.id.in_(lane_ids), lane.c.dormant)
    statement = update(lane).where(*some, *waits).values(dormant=false()).returning(lane.c.id)
    return list(connection.execute(statement).scalars())


def owns_lane(connection: Connection, lane_id: str, lane_token: str) -> bool:
    """Whether the lane's lease has this token."""
    query = select(lane.c.id).where(lane.c.id == lane_id, lane.c.lease_token == lane_token)
    return connection.execute(query).first() is not None


def reclaim_head(connection: Connection, event_id: str, lane_token: str, now: Instant) -> bool:
    """Queue a run that is marked as running in a lane whose owner knows nothing of it; cancel it if it was to be
    stopped.

    Only the lane's owner may ask: it alone runs what is in the lane. An answer that was lost with the connection to
    the database leaves such a run behind.
    """
    owned = exists().where(lane.c.id == run.c.lane_id, lane.c.lease_token == lane_token)
    held = (run.c.event_id == event_id, run.c.state == RunState.RUNNING.value, owned)
    if cancel_asked(connection, held, now):
        return True
    statement = (
        update(run).where(*held).values(state=RunState.QUEUED.value, due_at=now, lease_node=null(), lease_token=null())
    )
    return connection.execute(statement).rowcount == 1


def release_lanes(connection: Connection, lanes: Sequence[tuple[str, str]]) -> None:
    """Give up lanes by (id, token)."""
    for lane_id, token in lanes:
        held = (lane.c.id == lane_id, lane.c.lease_token == token)
        connection.execute(update(lane).where(*held).values(lease_node=null(), lease_token=null()))


# --- the operator's changes ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane with work in it, for people. `reason` says why the head waits."""

    id: str
    key: str
    depth: int
    head_event_id: str
    head_state: RunState
    waiting_for: WaitingFor | None
    head_since: Instant
    head_due_at: Instant
    head_attempts: int
    head_error: str | None


def list_lanes(connection: Connection, integration_id: str, after: str, limit: int) -> list[LaneState]:
    """Lanes of an integration that have unfinished runs, by key, behind the lane id `after`."""
    first = func.min(run.c.lane_sequence).label("head")
    busy = (
        select(run.c.lane_id, func.count().label("depth"), first)
        .where(run.c.lane_id > after, run.c.lane_id >= f"{integration_id}:", run.c.lane_id < f"{integration_id};")
        .where(IS_UNFINISHED)
        .group_by(run.c.lane_id)
        .order_by(run.c.lane_id)
        .limit(limit)
        .subquery()
    )
    query = (
        select(busy.c.depth, lane.c.key, run)
        .join(lane, lane.c.id == busy.c.lane_id)
        .join(run, (run.c.lane_id == busy.c.lane_id) & (run.c.lane_sequence == busy.c.head))
        .where(IS_UNFINISHED)
        .order_by(run.c.lane_id)
    )
    return [lane_state(row) for row in connection.execute(query)]


def lane_state(row: Any) -> LaneState:
    return LaneState(
        id=row.lane_id,
        key=row.key,
        depth=row.depth,
        head_event_id=row.event_id,
        head_state=RunState(row.state),
        waiting_for=WaitingFor(row.waiting_for) if row.waiting_for else None,
        head_since=row.accepted_at,
        head_due_at=row.due_at,
        head_attempts=row.attempts,
        head_error=row.error_message,
    )


def head_of(connection: Connection, lane_id: str) -> str | None:
    """The event id of a lane's head; None when the lane is empty."""
    return connection.scalar(_head_query(lane_id))


def _head_query(lane_id: str) -> Select[str]:
    own = (run.c.lane_id == lane_id, IS_UNFINISHED)
    return select(run.c.event_id).where(*own).order_by(run.c.lane_sequence).limit(1).correlate(None)


def release_run(connection: Connection, event_id: str, now: Instant, *, lane_id: str | None = None) -> bool:
    """Let a run that waits for an operator, or for its next attempt, start at once with all its attempts.

    With `lane_id`, here and below, only while it is the head of that lane. A request to stop it that came too late for
    its last attempt is void: whoever releases it wants it to go on.
    """
    changes: dict[str, Any] = {"due_at": now, "attempts": 0, "waiting_for": null(), "cancel_requested": False}
    return _operate(connection, event_id, RunMove.RELEASE, lane_id, changes)


def skip_run(connection: Connection, event_id: str, now: Instant, note: str, *, lane_id: str | None = None) -> bool:
    """End a run that has not succeeded as failed, so that its lane goes on."""
    said = f"skipped by an operator: {note}" if note else "skipped by an operator"
    error = func.coalesce(run.c.error_message + f" ({said})", said)
    kind = func.coalesce(run.c.error_kind, "skipped")
    changes = {"finished_at": now, "waiting_for": null(), "error_message": error, "error_kind": kind}
    return _operate(connection, event_id, RunMove.SKIP, lane_id, changes)


def park_run(connection: Connection, event_id: str, *, lane_id: str | None = None) -> bool:
    """Take a run out of its lane and keep it until somebody retries or cancels it."""
    changes = {"waiting_for": WaitingFor.PARKED.value, "lane_id": null(), "lane_sequence": null()}
    return _operate(connection, event_id, RunMove.PARK, lane_id, changes)


def _operate(
    connection: Connection, event_id: str, move: RunMove, lane_id: str | None, changes: Mapping[str, Any]
) -> bool:
    allowed, target = RUN_MOVES[move]
    wake_lane_of(connection, event_id)
    guard = [run.c.event_id == event_id, run.c.state.in_([state.value for state in allowed])]
    if lane_id is not None:
        # Both: on PostgreSQL the head is that of the statement's begin, and only the row itself is looked at again.
        guard += [run.c.lane_id == lane_id, run.c.event_id == _head_query(lane_id).scalar_subquery()]
    statement = update(run).where(*guard).values(state=target.value, **changes)
    return connection.execute(statement).rowcount == 1
