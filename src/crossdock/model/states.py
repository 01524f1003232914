"""The states of runs, deliveries and lanes, and the only changes between them.

The tables below are the law: the store's guarded updates take their `from` states from here, CHECK constraints take
their words from here, and `docs/states.md` is generated from here.
"""

from __future__ import annotations

from enum import StrEnum

from crossdock.model.errors import WrongTransition


class RunState(StrEnum):
    QUEUED = "queued"
    """Recorded and waiting for a free slot, or for its turn in its lane."""
    RUNNING = "running"
    """Leased to a node that is working on it."""
    WAITING = "waiting"
    """Held: by a delay step until a time, or by an operator's decision (a blocked or parked run)."""
    RETRYING = "retrying"
    """Its last attempt failed; the next one starts at `due_at`."""
    SUCCEEDED = "succeeded"
    """Its workflow came to its end. Final."""
    FAILED = "failed"
    """Its attempts are used up, it failed for good, or it was skipped. Final."""
    CANCELED = "canceled"
    """Someone stopped it. Final."""


class RunMove(StrEnum):
    CLAIM = "claim"
    HAND_BACK = "hand back"
    RESCUE = "rescue"
    SUCCEED = "succeed"
    FAIL = "fail"
    RETRY = "retry"
    DELAY = "delay"
    BLOCK = "block"
    RELEASE = "release"
    PARK = "park"
    SKIP = "skip"
    CANCEL = "cancel"


class WaitingFor(StrEnum):
    """Why a run is in `waiting`."""

    DELAY = "delay"
    """A delay step; goes on at `due_at`."""
    OPERATOR = "operator"
    """The head of a blocked lane; somebody has to retry, skip or park it."""
    PARKED = "parked"
    """Taken out of its lane; somebody has to retry or cancel it."""


RUN_MOVES: dict[RunMove, tuple[frozenset[RunState], RunState]] = {
    RunMove.CLAIM: (frozenset({RunState.QUEUED, RunState.RETRYING, RunState.WAITING}), RunState.RUNNING),
    RunMove.HAND_BACK: (frozenset({RunState.RUNNING}), RunState.QUEUED),
    RunMove.RESCUE: (frozenset({RunState.RUNNING}), RunState.QUEUED),
    RunMove.SUCCEED: (frozenset({RunState.RUNNING}), RunState.SUCCEEDED),
    RunMove.FAIL: (frozenset({RunState.RUNNING}), RunState.FAILED),
    RunMove.RETRY: (frozenset({RunState.RUNNING}), RunState.RETRYING),
    RunMove.DELAY: (frozenset({RunState.RUNNING}), RunState.WAITING),
    RunMove.BLOCK: (frozenset({RunState.RUNNING}), RunState.WAITING),
    RunMove.RELEASE: (frozenset({RunState.WAITING, RunState.RETRYING}), RunState.QUEUED),
    RunMove.PARK: (frozenset({RunState.QUEUED, RunState.RETRYING, RunState.WAITING}), RunState.WAITING),
    RunMove.SKIP: (frozenset({RunState.QUEUED, RunState.RETRYING, RunState.WAITING}), RunState.FAILED),
    RunMove.CANCEL: (
        frozenset({RunState.QUEUED, RunState.RETRYING, RunState.WAITING, RunState.RUNNING}),
        RunState.CANCELED,
    ),
}

FINAL_RUN_STATES = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED})


class DeliveryState(StrEnum):
    QUEUED = "queued"
    """Recorded, waiting for a free sender."""
    SENDING = "sending"
    """Leased to a node that is sending it."""
    RETRYING = "retrying"
    """Its last attempt failed in passing; the next one starts at `due_at`."""
    DELIVERED = "delivered"
    """The target answered 2xx. Final."""
    FAILED = "failed"
    """The target refused it, or the attempts are used up. Final."""
    EXPIRED = "expired"
    """Its time ran out before it could be delivered. Final."""
    CANCELED = "canceled"
    """Its target was removed while it waited. Final."""


class DeliveryMove(StrEnum):
    CLAIM = "claim"
    HAND_BACK = "hand back"
    RESCUE = "rescue"
    DELIVER = "deliver"
    FAIL = "fail"
    RETRY = "retry"
    EXPIRE = "expire"
    CANCEL = "cancel"


_WAITING_DELIVERY = frozenset({DeliveryState.QUEUED, DeliveryState.RETRYING})
_SENDING = frozenset({DeliveryState.SENDING})

DELIVERY_MOVES: dict[DeliveryMove, tuple[frozenset[DeliveryState], DeliveryState]] = {
    DeliveryMove.CLAIM: (_WAITING_DELIVERY, DeliveryState.SENDING),
    DeliveryMove.HAND_BACK: (_SENDING, DeliveryState.QUEUED),
    DeliveryMove.RESCUE: (_SENDING, DeliveryState.QUEUED),
    DeliveryMove.DELIVER: (_SENDING, DeliveryState.DELIVERED),
    DeliveryMove.FAIL: (_SENDING, DeliveryState.FAILED),
    DeliveryMove.RETRY: (_SENDING, DeliveryState.RETRYING),
    DeliveryMove.EXPIRE: (_SENDING | _WAITING_DELIVERY, DeliveryState.EXPIRED),
    DeliveryMove.CANCEL: (_WAITING_DELIVERY, DeliveryState.CANCELED),
}

FINAL_DELIVERY_STATES = frozenset(
    {DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.EXPIRED, DeliveryState.CANCELED}
)


class ReplyState(StrEnum):
    """What callers and operators see of a reply."""

    NONE = "none"
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"


def reply_state(state: DeliveryState | None) -> ReplyState:
    """The public word for a reply whose delivery is in `state` (None: there is no delivery)."""
    if state is None or state is DeliveryState.CANCELED:
        return ReplyState.NONE
    if state in FINAL_DELIVERY_STATES:
        return ReplyState(state.value)
    return ReplyState.PENDING


def run_after(move: RunMove, state: RunState) -> RunState:
    """The state that `move` leads to from `state`; WrongTransition when the table has no such change."""
    allowed, target = RUN_MOVES[move]
    if state not in allowed:
        raise WrongTransition(f"a run that is {state} can't {move}")
    return target


def delivery_after(move: DeliveryMove, state: DeliveryState) -> DeliveryState:
    """The state that `move` leads to from `state`; WrongTransition when the table has no such change."""
    allowed, target = DELIVERY_MOVES[move]
    if state not in allowed:
        raise WrongTransition(f"a delivery that is {state} can't {move}")
    return target
