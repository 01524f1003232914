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
    """A node takes it to work on it, and leases it under a new token."""
    HAND_BACK = "hand back"
    """Its node stops in order and returns it unfinished; the start does not count as an attempt."""
    RESCUE = "rescue"
    """Its node is dead; another one takes it back. Lost so for the third time, it fails instead."""
    SUCCEED = "succeed"
    """The last step is done."""
    FAIL = "fail"
    """A failure that trying again can't help, or the last attempt failed and no lane holds it."""
    RETRY = "retry"
    """A failure that may pass, and there are attempts left."""
    DELAY = "delay"
    """It has nothing to do before a time, and gives its slot back."""
    BLOCK = "block"
    """It failed for good as the head of a lane that waits for an operator then."""
    RELEASE = "release"
    """Its time has come, or an operator lets it try again, with all its attempts."""
    PARK = "park"
    """An operator takes it out of its lane, so that the lane goes on."""
    SKIP = "skip"
    """An operator gives it up, so that its lane goes on."""
    CANCEL = "cancel"
    """Someone stops it, or its integration was removed. Work in progress is broken off."""


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
    """The target answered 2xx; a notification webhook, what its response validators want, too. Final."""
    FAILED = "failed"
    """The target refused it, or the attempts are used up. Final."""
    EXPIRED = "expired"
    """Its time ran out before it could be delivered. Final."""
    CANCELED = "canceled"
    """Whose it is was removed, or switched off, while it waited. Final."""


class DeliveryMove(StrEnum):
    CLAIM = "claim"
    """A node takes it to send it, and leases it under a new token."""
    HAND_BACK = "hand back"
    """Its node stops in order before it was sent."""
    RESCUE = "rescue"
    """Its node is dead; it is sent again, with the same idempotency key."""
    DELIVER = "deliver"
    """The target answered 2xx; a notification webhook, what its response validators want, too."""
    FAIL = "fail"
    """The target refused it, its address is forbidden, or the last attempt failed."""
    RETRY = "retry"
    """No answer, or one that says that the same message may succeed later."""
    EXPIRE = "expire"
    """Its time is over, whether it waits or is being sent."""
    CANCEL = "cancel"
    """Its integration, or notification webhook, was removed or switched off while it waited."""


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
