"""Bulk jobs: their rows, who works on them, and what each event came to.

Whoever works on a job holds its lease. A batch of events is one transaction: what is done to the events, what is told
of them, and the cursor. The guard names lease, state and the cursor that the batch began from, so that a batch lands
once or not at all, whatever happens to its worker in between.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, null, select, update

from crossdock.model.bulk import (
    BULK_MOVES,
    COMPARED,
    FINAL_BULK_STATES,
    BulkItem,
    BulkKind,
    BulkMove,
    BulkOutcome,
    BulkState,
)
from crossdock.model.outcome import Json
from crossdock.model.states import RunState
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.accept import Accept, Accepted
from crossdock.store.claims import cancel_run
from crossdock.store.event_bites import FoundEvent

job, item = schema.bulk_job, schema.bulk_item


@dataclass(frozen=True, slots=True)
class BulkJobRow:
    """A job as it stands. `request` holds filter, options and rate; `summary` counts the outcomes."""

    id: str
    workspace_id: str
    kind: BulkKind
    request: Json
    created_at: Instant
    created_by: str
    state: BulkState = BulkState.RUNNING
    cursor: str | None = None
    """The last event that was dealt with, or the one before the first."""
    total: int | None = None
    done: int = 0
    skipped: int = 0
    failed: int = 0
    summary: Json = None
    waiting_because: str | None = None
    error: str | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None
    lease_token: str | None = None

    @property
    def dealt_with(self) -> int:
        return self.done + self.skipped + self.failed


_COLUMNS = [job.c[name] for name in BulkJobRow.__dataclass_fields__]
IS_UNFINISHED = job.c.finished_at.is_(None)


def _row(row: Any) -> BulkJobRow:
    values = dict(row._mapping)
    return BulkJobRow(
        **{
            **values,
            "kind": BulkKind(row.kind),
            "state": BulkState(row.state),
            "request": json.loads(row.request),
            "summary": json.loads(row.summary) if row.summary is not None else None,
        }
    )


# --- for people ------------------------------------------------------------------------------------------------------


def add_job(connection: Connection, row: BulkJobRow, most: int) -> bool:
    """Record a new job; False when its workspace has `most` unfinished ones already."""
    workspace = schema.workspace
    # the row of the workspace makes two nodes count one after the other
    connection.execute(select(workspace.c.id).where(workspace.c.id == row.workspace_id).with_for_update())
    unfinished = select(func.count()).select_from(job).where(IS_UNFINISHED, job.c.workspace_id == row.workspace_id)
    if connection.execute(unfinished).scalar_one() >= most:
        return False
    values = {name: getattr(row, name) for name in BulkJobRow.__dataclass_fields__}
    changed = {"kind": row.kind.value, "state": row.state.value, "request": json.dumps(row.request)}
    connection.execute(insert(job).values(**{**values, **changed, "summary": json.dumps(_no_counts(row.kind))}))
    return True


def _no_counts(kind: BulkKind) -> dict[str, int]:
    return {outcome.value: 0 for outcome in COMPARED} if kind is BulkKind.WHAT_IF else {}


def jobs_page(
    connection: Connection,
    workspace_id: str,
    *,
    states: Sequence[BulkState] = (),
    kind: BulkKind | None = None,
    before: str | None = None,
    limit: int,
) -> list[BulkJobRow]:
    """The newest jobs first, those before the id `before`."""
    query = select(*_COLUMNS).where(job.c.workspace_id == workspace_id).order_by(job.c.id.desc()).limit(limit)
    if states:
        query = query.where(job.c.state.in_([state.value for state in states]))
    if kind is not None:
        query = query.where(job.c.kind == kind.value)
    if before is not None:
        query = query.where(job.c.id < before)
    return [_row(row) for row in connection.execute(query)]


def show_job(connection: Connection, workspace_id: str, job_id: str) -> BulkJobRow | None:
    """A job; None when the workspace has no such one."""
    row = connection.execute(select(*_COLUMNS).where(job.c.id == job_id, job.c.workspace_id == workspace_id)).first()
    return None if row is None else _row(row)


def items_page(
    connection: Connection, job_id: str, *, outcome: BulkOutcome | None = None, after: str | None = None, limit: int
) -> list[BulkItem]:
    """What the events of a job came to, oldest first, those after the event `after`."""
    query = select(item).where(item.c.job_id == job_id).order_by(item.c.event_id).limit(limit)
    if outcome is not None:
        query = query.where(item.c.outcome == outcome.value)
    if after is not None:
        query = query.where(item.c.event_id > after)
    return [
        BulkItem(row.event_id, BulkOutcome(row.outcome), json.loads(row.document)) for row in connection.execute(query)
    ]


def move_job(connection: Connection, job_id: str, move: BulkMove, now: Instant) -> bool:
    """Pause, resume or cancel a job; whether it landed. Whoever works on it has lost it then."""
    return _move(connection, job.c.id == job_id, move, now)


# --- for the worker --------------------------------------------------------------------------------------------------


def has_free_job(connection: Connection, node_id: str, held: Sequence[str]) -> bool:
    """Whether a job is to be worked on and nobody does. `held` are the tokens under which the node works already."""
    return connection.execute(select(job.c.id).where(*_RUNNING, _is_free(node_id, held)).limit(1)).first() is not None


_RUNNING = (IS_UNFINISHED, job.c.state == BulkState.RUNNING.value)


def _is_free(node_id: str, held: Sequence[str]) -> ColumnElement[bool]:
    """Nobody's, or this node's without its knowing: the answer to an earlier lease was lost with the database."""
    return job.c.lease_token.is_(None) | ((job.c.lease_node == node_id) & job.c.lease_token.not_in(held))


def lease_jobs(
    connection: Connection, node_id: str, held: Sequence[str], tokens: Sequence[str], now: Instant
) -> list[tuple[str, str]]:
    """Take up to `len(tokens)` jobs that nobody works on; ids with their tokens.

    A workspace's second job comes after the first ones of all others.
    """
    place = func.row_number().over(partition_by=job.c.workspace_id, order_by=job.c.id).label("place")
    running = select(job.c.id, _is_free(node_id, held).label("is_free"), place).where(*_RUNNING).subquery()
    free = select(running.c.id).where(running.c.is_free).order_by(running.c.place, running.c.id)
    leased = []
    for job_id, token in zip(list(connection.execute(free.limit(len(tokens))).scalars()), tokens, strict=False):
        taken = update(job).where(job.c.id == job_id, *_RUNNING, _is_free(node_id, held))
        taken = taken.values(lease_node=node_id, lease_token=token, started_at=func.coalesce(job.c.started_at, now))
        if connection.execute(taken).rowcount == 1:
            leased.append((job_id, token))
    return leased


def leased_job(connection: Connection, job_id: str, lease_token: str) -> BulkJobRow | None:
    """The job as it stands; None when it is not the lease's any more."""
    row = connection.execute(select(*_COLUMNS).where(*_held(job_id, lease_token))).first()
    return None if row is None else _row(row)


def set_total(connection: Connection, job_id: str, lease_token: str, total: int) -> bool:
    """Say how many events there are to deal with; whether it landed."""
    return connection.execute(update(job).where(*_held(job_id, lease_token)).values(total=total)).rowcount == 1


def set_waiting(connection: Connection, job_id: str, lease_token: str, reason: str | None) -> bool:
    """Say why a job stands still, or (None) that it goes on; whether it landed."""
    statement = update(job).where(*_held(job_id, lease_token)).values(waiting_because=reason)
    return connection.execute(statement).rowcount == 1


def end_job(
    connection: Connection, job_id: str, lease_token: str, move: BulkMove, now: Instant, error: str | None = None
) -> bool:
    """End a job that the lease holds; whether it landed."""
    condition = (job.c.id == job_id) & (job.c.lease_token == lease_token)
    return _move(connection, condition, move, now, error)


def free_jobs(connection: Connection, node_ids: Sequence[str]) -> int:
    """Take their jobs from nodes that are dead or stop, for others to go on with; how many there were."""
    statement = update(job).where(job.c.lease_node.in_(node_ids), IS_UNFINISHED)
    return connection.execute(statement.values(lease_node=null(), lease_token=null())).rowcount


def _held(job_id: str, lease_token: str) -> tuple[ColumnElement[bool], ...]:
    return job.c.id == job_id, job.c.lease_token == lease_token, job.c.state == BulkState.RUNNING.value


def _move(
    connection: Connection, condition: ColumnElement[bool], move: BulkMove, now: Instant, error: str | None = None
) -> bool:
    allowed, target = BULK_MOVES[move]
    values = {
        "state": target.value,
        "finished_at": now if target in FINAL_BULK_STATES else None,
        "error": error,
        "waiting_because": None,
        "lease_node": None,
        "lease_token": None,
    }
    statement = update(job).where(condition, job.c.state.in_([state.value for state in allowed])).values(**values)
    return connection.execute(statement).rowcount == 1


# --- a batch ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """Where a job stands before some events and after them."""

    job_id: str
    lease_token: str
    cursor: str | None
    next_cursor: str


def record_items(connection: Connection, batch: Batch, items: Sequence[BulkItem]) -> bool:
    """Tell what events came to and go on behind them; whether it landed."""
    if not _advance(connection, batch):
        return False
    _tell(connection, batch.job_id, items)
    return True


def record_replays(
    connection: Connection, batch: Batch, replays: Sequence[Accept], others: Sequence[BulkItem]
) -> list[Accepted] | None:
    """Record new events and tell of them and of the others; None when it did not land."""
    if not _advance(connection, batch):
        return None
    made = [answer for answer in Accept.record(connection, replays) if isinstance(answer, Accepted)]
    told = [BulkItem(str(one.event.replay_of), BulkOutcome.REPLAYED, {"new_event_id": one.event.id}) for one in made]
    _tell(connection, batch.job_id, [*told, *others])
    return made


@dataclass(frozen=True, slots=True)
class Cancellations:
    """Runs that were stopped at once; the rest of a batch had ended, or stops at its next step."""

    ended: tuple[FoundEvent, ...]
    asked: tuple[FoundEvent, ...]


def record_cancels(
    connection: Connection, batch: Batch, found: Sequence[FoundEvent], now: Instant
) -> Cancellations | None:
    """Stop the runs of events and tell of each; None when it did not land."""
    if not _advance(connection, batch):
        return None
    ended, asked, told = [], [], []
    for event in found:
        became = cancel_run(connection, event.id, now)
        if became is RunState.CANCELED:
            ended.append(event)
            told.append(BulkItem(event.id, BulkOutcome.CANCELED, {}))
        elif became is RunState.RUNNING:
            asked.append(event)
            told.append(
                BulkItem(event.id, BulkOutcome.CANCELED, {"reason": "it is being worked on; it stops at its next step"})
            )
        else:
            told.append(BulkItem(event.id, BulkOutcome.SKIPPED, {"reason": "it had ended already"}))
    _tell(connection, batch.job_id, told)
    return Cancellations(tuple(ended), tuple(asked))


def _advance(connection: Connection, batch: Batch) -> bool:
    """Move the cursor. The row is locked from here to the commit: nobody pauses or takes over in between."""
    statement = update(job).where(
        *_held(batch.job_id, batch.lease_token), job.c.cursor.is_not_distinct_from(batch.cursor)
    )
    return connection.execute(statement.values(cursor=batch.next_cursor, waiting_because=null())).rowcount == 1


def _tell(connection: Connection, job_id: str, items: Sequence[BulkItem]) -> None:
    if not items:
        return
    connection.execute(
        insert(item),
        [
            {
                "job_id": job_id,
                "event_id": one.event_id,
                "outcome": one.outcome.value,
                "document": json.dumps(one.document),
            }
            for one in items
        ],
    )
    counts = Counter(one.outcome for one in items)
    summary = Counter(json.loads(connection.execute(select(job.c.summary).where(job.c.id == job_id)).scalar_one()))
    summary.update({outcome.value: count for outcome, count in counts.items()})
    skipped, failed = counts[BulkOutcome.SKIPPED], counts[BulkOutcome.FAILED]
    connection.execute(
        update(job)
        .where(job.c.id == job_id)
        .values(
            done=job.c.done + len(items) - skipped - failed,
            skipped=job.c.skipped + skipped,
            failed=job.c.failed + failed,
            summary=json.dumps(summary),
        )
    )


# --- retention -------------------------------------------------------------------------------------------------------


def forget_jobs(connection: Connection, before: Instant, limit: int) -> int:
    """Delete up to `limit` rows of jobs that ended before an instant, items first; how many."""
    old = job.c.finished_at < before
    job_id = connection.execute(select(job.c.id).where(old).order_by(job.c.id).limit(1)).scalar()
    if job_id is None:
        return 0
    some = select(item.c.event_id).where(item.c.job_id == job_id).limit(limit)
    removed = connection.execute(delete(item).where(item.c.job_id == job_id, item.c.event_id.in_(some))).rowcount
    if removed < limit:
        removed += connection.execute(delete(job).where(job.c.id == job_id)).rowcount
    return removed
