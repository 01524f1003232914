"""What becomes of a leased run: its checkpoints and its end, each guarded by the lease's token.

A stale worker's write never lands: its token is not the row's any more. Nothing that depends on the run (its history,
its reply) is written when the guarded change did not land.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from sqlalchemy import (
    BigInteger,
    Connection,
    Executable,
    Integer,
    String,
    Subquery,
    Text,
    and_,
    case,
    null,
    select,
    update,
)

from crossdock.model.outcome import Failure
from crossdock.model.run import JournalEntry
from crossdock.model.states import FINAL_RUN_STATES, RUN_MOVES, DeliveryState, RunMove, WaitingFor
from crossdock.model.time import Instant
from crossdock.model.value import value
from crossdock.store import schema
from crossdock.store.accept import Accept
from crossdock.store.journal import entry_row, insert_entries
from crossdock.store.outcomes import MESSAGE_CHARACTERS, EndedReply, EndedRun, leave_replies, leave_runs
from crossdock.store.statements import RowInsert, RowUpdate


@value
class NewReply:
    """A reply that is owed once the run has ended; `lease` is (node, token) when a sender is free for it."""

    id: str
    created_at: Instant
    expires_at: Instant | None
    lease: tuple[str, str] | None

    @property
    def is_over(self) -> bool:
        """Its time is over already: nobody sends it."""
        return self.expires_at is not None and self.created_at >= self.expires_at


@value
class Settle:
    """The end of one start of a run. Its answer says whether it landed.

    A run that somebody asked to stop, and that would start again (RETRY, DELAY, HAND_BACK), is canceled instead.
    `due_at` counts for RETRY and DELAY; `failure` is kept with FAIL, RETRY and BLOCK.
    """

    rank: ClassVar[int] = 20

    event_id: str
    integration_id: str
    lease_token: str
    move: RunMove
    now: Instant
    due_at: Instant | None = None
    failure: Failure | None = None
    entry: JournalEntry | None = None
    reply: NewReply | None = None

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[bool]:
        if len({change.event_id for change in changes}) < len(changes):
            # A stale worker and the run's holder end it in one commit: each change must meet the row by itself.
            return [landed for change in changes for landed in cls.record(connection, [change])]
        landed = {row.event_id for row in _settle_runs.execute(connection, [_settle_row(c) for c in changes])}
        kept = [change for change in changes if change.event_id in landed]
        _add_entries(connection, [(change.event_id, change.entry) for change in kept if change.entry is not None])
        insert_deliveries.execute(
            connection, [reply_row(c.event_id, c.integration_id, c.reply) for c in kept if c.reply is not None]
        )
        leave_runs(connection, [_ended_run(change) for change in kept if change.move in COUNTED])
        leave_replies(connection, [_ended_reply(c, c.reply) for c in kept if c.reply and c.reply.is_over])
        return [change.event_id in landed for change in changes]


@value
class Checkpoint:
    """Steps that have finished while the run goes on. Its answer says whether it landed."""

    rank: ClassVar[int] = 10

    event_id: str
    lease_token: str
    entry: JournalEntry

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[bool]:
        held = {tuple(row) for row in _held_runs.execute(connection, [(c.event_id, c.lease_token) for c in changes])}
        landed = [(change.event_id, change.lease_token) in held for change in changes]
        kept = [change for change, has_landed in zip(changes, landed, strict=True) if has_landed]
        _add_entries(connection, [(change.event_id, change.entry) for change in kept])
        return landed


def _add_entries(connection: Connection, entries: Sequence[tuple[str, JournalEntry]]) -> None:
    """Keep the entries, and record the events that their steps made."""
    added = insert_entries.execute(connection, [entry_row(event_id, entry) for event_id, entry in entries])
    if not any(entry.emissions for _, entry in entries):
        return
    new = {(row.event_id, row.position) for row in added}
    made = [e for event_id, entry in entries if (event_id, entry.position) in new for e in entry.emissions]
    Accept.record(connection, [Accept(one.event, one.workflow_number, lane_key=one.lane_key) for one in made])


def _settle_row(change: Settle) -> tuple[Any, ...]:
    state = RUN_MOVES[change.move][1]
    failure = change.failure
    return (
        change.event_id,
        change.lease_token,
        state.value,
        WAITING_FOR.get(change.move),
        change.due_at if change.due_at is not None else change.now,
        change.now if state in FINAL_RUN_STATES else None,
        change.now if change.move in STARTS_AGAIN else None,
        -1 if change.move in UNCOUNTED else 0,
        clean(failure.kind) if failure else None,
        clean(failure.message) if failure else None,
        clean(failure.step) if failure and failure.step else None,
    )


COUNTED = frozenset({RunMove.SUCCEED, RunMove.FAIL, RunMove.BLOCK})
"""Ends that tell something of the integration's health."""
UNTOLD = Failure("failed", "no reason was given")


def _ended_run(change: Settle) -> EndedRun:
    why = None
    if change.move is not RunMove.SUCCEED:
        failure = change.failure or UNTOLD
        step = clean(failure.step) if failure.step else None
        why = (clean(failure.kind), step, clean(failure.message[:MESSAGE_CHARACTERS]))
    return EndedRun(change.integration_id, change.event_id, change.lease_token, why, change.now)


def _ended_reply(change: Settle, reply: NewReply) -> EndedReply:
    at = reply.created_at
    return EndedReply(change.integration_id, reply.id, change.event_id, DeliveryState.EXPIRED, HANDLED_TOO_LATE, at)


UNCOUNTED = (RunMove.HAND_BACK, RunMove.DELAY)
"""A start that ended so did not fail: it does not count as an attempt."""

WAITING_FOR = {
    RunMove.DELAY: WaitingFor.DELAY.value,
    RunMove.BLOCK: WaitingFor.OPERATOR.value,
    RunMove.PARK: WaitingFor.PARKED.value,
}


def clean(text: str) -> str:
    """Text that every database takes: PostgreSQL refuses NUL, both refuse lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


STARTS_AGAIN = frozenset({RunMove.RETRY, RunMove.DELAY, RunMove.HAND_BACK})
"""Ends after which a run goes on by itself."""


def _build_settle(v: Subquery) -> Executable:
    run = schema.run
    is_stopped = and_(run.c.cancel_requested, v.c.stopped_at.is_not(None))
    return (
        update(run)
        .where(run.c.event_id == v.c.event_id, run.c.lease_token == v.c.lease_token, run.c.state == "running")
        .values(
            state=case((is_stopped, RUN_MOVES[RunMove.CANCEL][1].value), else_=v.c.state),
            waiting_for=case((is_stopped, null()), else_=v.c.waiting_for),
            due_at=v.c.due_at,
            finished_at=case((is_stopped, v.c.stopped_at), else_=v.c.finished_at),
            attempts=run.c.attempts + v.c.uncounted,
            error_kind=v.c.error_kind,
            error_message=v.c.error_message,
            error_step=v.c.error_step,
            lease_node=null(),
            lease_token=null(),
        )
        .returning(run.c.event_id)
    )


_settle_runs = RowUpdate(
    {
        "event_id": String(),
        "lease_token": String(),
        "state": String(),
        "waiting_for": String(),
        "due_at": BigInteger(),
        "finished_at": BigInteger(),
        "stopped_at": BigInteger(),
        "uncounted": Integer(),
        "error_kind": String(),
        "error_message": Text(),
        "error_step": String(),
    },
    _build_settle,
)


def _build_held(v: Subquery) -> Executable:
    run = schema.run
    held = select(run.c.event_id, run.c.lease_token).join(
        v, (run.c.event_id == v.c.event_id) & (run.c.lease_token == v.c.lease_token) & (run.c.state == "running")
    )
    # Differs: on PostgreSQL another node could rescue the run between this read and the commit.
    return held.with_for_update(of=run, key_share=True)


_held_runs = RowUpdate({"event_id": String(), "lease_token": String()}, _build_held)

# --- replies ---------------------------------------------------------------------------------------------------------

insert_deliveries = RowInsert(schema.delivery)


def reply_row(event_id: str, integration_id: str, reply: NewReply) -> tuple[Any, ...]:
    """The delivery of a reply: leased when a sender is free, expired at once when its time is over already."""
    if reply.is_over:
        state, finished_at, lease = DeliveryState.EXPIRED, reply.created_at, None
    elif reply.lease is not None:
        state, finished_at, lease = DeliveryState.SENDING, None, reply.lease
    else:
        state, finished_at, lease = DeliveryState.QUEUED, None, None
    return (
        reply.id,
        "reply",
        integration_id,
        event_id,
        state.value,
        reply.created_at,
        reply.created_at,
        reply.expires_at,
        finished_at,
        1 if lease else 0,
        lease[0] if lease else None,
        lease[1] if lease else None,
        HANDLED_TOO_LATE if finished_at is not None else None,
    )


HANDLED_TOO_LATE = "the time for the reply ran out before the event was handled"
