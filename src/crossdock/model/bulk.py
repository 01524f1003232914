"""Bulk jobs: one thing that is done to many events, one after another, at a limited speed.

The table of moves is the law, as in `model.states`: the store's guarded updates take their `from` states from it, CHECK
constraints take their words from here, and `docs/states.md` is drawn from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from crossdock.model.errors import WrongTransition
from crossdock.model.outcome import Json
from crossdock.model.value import value


class BulkKind(StrEnum):
    REPLAY = "replay"
    """Each event is handled once more, as a new event."""
    CANCEL = "cancel"
    """Each event's run is stopped, unless it has ended."""
    WHAT_IF = "what_if"
    """Each event is tried with another workflow, and what would change is told. Nothing outside is called."""


class BulkState(StrEnum):
    RUNNING = "running"
    """A node works on it, or the next free one will."""
    PAUSED = "paused"
    """Somebody has stopped it for a while; it goes on where it was."""
    FINISHED = "finished"
    """Every event was dealt with. Final."""
    CANCELED = "canceled"
    """Somebody has stopped it for good; what was done stays done. Final."""
    FAILED = "failed"
    """It met something that it can't go on from; its error tells what. Final."""


class BulkMove(StrEnum):
    PAUSE = "pause"
    """Somebody stops it for a while. The node that works on it loses its lease at once."""
    RESUME = "resume"
    """Somebody lets it go on."""
    FINISH = "finish"
    """No event is left."""
    CANCEL = "cancel"
    """Somebody stops it for good. The node that works on it loses its lease at once."""
    FAIL = "fail"
    """The program met a fault of its own; trying again would meet it again."""


_RUNNING = frozenset({BulkState.RUNNING})

BULK_MOVES: dict[BulkMove, tuple[frozenset[BulkState], BulkState]] = {
    BulkMove.PAUSE: (_RUNNING, BulkState.PAUSED),
    BulkMove.RESUME: (frozenset({BulkState.PAUSED}), BulkState.RUNNING),
    BulkMove.FINISH: (_RUNNING, BulkState.FINISHED),
    BulkMove.CANCEL: (frozenset({BulkState.RUNNING, BulkState.PAUSED}), BulkState.CANCELED),
    BulkMove.FAIL: (_RUNNING, BulkState.FAILED),
}

FINAL_BULK_STATES = frozenset({BulkState.FINISHED, BulkState.CANCELED, BulkState.FAILED})


def bulk_after(move: BulkMove, state: BulkState) -> BulkState:
    """The state that `move` leads to from `state`; WrongTransition when the table has no such change."""
    allowed, target = BULK_MOVES[move]
    if state not in allowed:
        raise WrongTransition(f"a bulk job that is {state} can't {move}")
    return target


class BulkOutcome(StrEnum):
    """What an event of a job came to."""

    REPLAYED = "replayed"
    """There is a new event."""
    CANCELED = "canceled"
    """The run was stopped, or will be at its next step."""
    SKIPPED = "skipped"
    """There was nothing to do: the reason is told."""
    FAILED = "failed"
    """It could not be done: the reason is told."""
    UNCHANGED = "unchanged"
    """The other workflow would come to the same."""
    CHANGED = "changed"
    """The other workflow would come to another result, or take other steps."""
    NEW_FAILURE = "new_failure"
    """The event succeeded and would fail."""
    FIXED_FAILURE = "fixed_failure"
    """The event failed and would succeed."""
    UNKNOWN = "unknown"
    """The other workflow makes a call that nothing was recorded for."""


COMPARED = (
    BulkOutcome.UNCHANGED,
    BulkOutcome.CHANGED,
    BulkOutcome.NEW_FAILURE,
    BulkOutcome.FIXED_FAILURE,
    BulkOutcome.UNKNOWN,
)
"""What comparing an event can give; a what-if job counts each."""


@value
class BulkItem:
    """What a job has to tell of one event."""

    event_id: str
    outcome: BulkOutcome
    document: Json
    """`new_event_id`, `reason` or `comparison`, as the outcome has one."""


DEFAULT_RATE = 50.0
WHAT_IF_RATE = 250.0
"""Trying an event takes a millisecond or two of a core; others are to have the rest."""
MAX_RATE = 1_000.0
"""Events per second."""
MAX_BATCH = 100
"""Events that are dealt with in one transaction."""
BATCH_SECONDS = 0.5
"""How much of its time a job puts into one batch: its progress is durable this often."""


def batch_size(rate: float) -> int:
    """How many events a job of `rate` events per second takes at a time."""
    return max(1, min(MAX_BATCH, int(rate * BATCH_SECONDS)))


def next_batch_due(due: float, now: float, count: int, rate: float) -> float:
    """When the batch after one of `count` events, that was due at `due`, is due itself; seconds of any clock.

    Of lost time no more is caught up with than a batch has: a job that stood still does not storm afterwards.
    """
    return max(due + count / rate, now - BATCH_SECONDS)


def progress(dealt_with: int, total: int | None) -> float:
    """From 0 to 1. Events may vanish or begin to match while a job goes on, so the count is held to its total."""
    if total is None:
        return 0.0
    return min(1.0, dealt_with / total) if total > 0 else 1.0


def in_lane_order(events: Sequence[tuple[str, str | None, int]]) -> list[str]:
    """Ids of events (id, lane, place in the lane), which come by id, put in the order of their lanes.

    Nodes give out ids by their own clocks, so that ids of one lane may lie in another order than the lane's own. Only
    the places that a lane's events hold are exchanged among them.
    """
    in_order: dict[str, list[tuple[int, str]]] = {}
    for event_id, lane, place in events:
        if lane is not None:
            in_order.setdefault(lane, []).append((place, event_id))
    takers = {lane: iter(sorted(places)) for lane, places in in_order.items()}
    return [event_id if lane is None else next(takers[lane])[1] for event_id, lane, _ in events]
