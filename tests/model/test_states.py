"""The tables of states: what they allow, what they refuse, and what no table may ever say."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from crossdock.model.errors import WrongTransition
from crossdock.model.states import (
    DELIVERY_MOVES,
    FINAL_DELIVERY_STATES,
    FINAL_RUN_STATES,
    RUN_MOVES,
    DeliveryMove,
    DeliveryState,
    ReplyState,
    RunMove,
    RunState,
    delivery_after,
    reply_state,
    run_after,
)

RUN_LAW = {
    RunMove.CLAIM: ("queued retrying waiting", "running"),
    RunMove.HAND_BACK: ("running", "queued"),
    RunMove.RESCUE: ("running", "queued"),
    RunMove.SUCCEED: ("running", "succeeded"),
    RunMove.FAIL: ("running", "failed"),
    RunMove.RETRY: ("running", "retrying"),
    RunMove.DELAY: ("running", "waiting"),
    RunMove.BLOCK: ("running", "waiting"),
    RunMove.RELEASE: ("waiting retrying", "queued"),
    RunMove.PARK: ("queued retrying waiting", "waiting"),
    RunMove.SKIP: ("queued retrying waiting", "failed"),
    RunMove.CANCEL: ("queued retrying waiting running", "canceled"),
}
"""Written out a second time, so that a change of the table is a decision."""

DELIVERY_LAW = {
    DeliveryMove.CLAIM: ("queued retrying", "sending"),
    DeliveryMove.HAND_BACK: ("sending", "queued"),
    DeliveryMove.RESCUE: ("sending", "queued"),
    DeliveryMove.DELIVER: ("sending", "delivered"),
    DeliveryMove.FAIL: ("sending", "failed"),
    DeliveryMove.RETRY: ("sending", "retrying"),
    DeliveryMove.EXPIRE: ("queued retrying sending", "expired"),
    DeliveryMove.CANCEL: ("queued retrying", "canceled"),
}


def test_every_move_of_a_run_from_every_state_follows_the_table() -> None:
    for move, state in itertools.product(RunMove, RunState):
        allowed, target = RUN_LAW[move]
        if state in allowed.split():
            assert run_after(move, state) == target
        else:
            with pytest.raises(WrongTransition, match=str(state)):
                run_after(move, state)


def test_every_move_of_a_delivery_from_every_state_follows_the_table() -> None:
    for move, state in itertools.product(DeliveryMove, DeliveryState):
        allowed, target = DELIVERY_LAW[move]
        if state in allowed.split():
            assert delivery_after(move, state) == target
        else:
            with pytest.raises(WrongTransition, match=str(state)):
                delivery_after(move, state)


def test_nothing_leads_out_of_a_final_state() -> None:
    assert not [move for move, (allowed, _) in RUN_MOVES.items() if allowed & FINAL_RUN_STATES]
    assert not [move for move, (allowed, _) in DELIVERY_MOVES.items() if allowed & FINAL_DELIVERY_STATES]


def test_every_state_is_reached_from_the_first_and_reaches_an_end() -> None:
    run_steps = {(a, target) for allowed, target in RUN_MOVES.values() for a in allowed}
    delivery_steps = {(a, target) for allowed, target in DELIVERY_MOVES.values() for a in allowed}

    assert _reached(run_steps, {RunState.QUEUED}) == set(RunState)
    assert _reached(delivery_steps, {DeliveryState.QUEUED}) == set(DeliveryState)
    assert _reached({(b, a) for a, b in run_steps}, set(FINAL_RUN_STATES)) == set(RunState)
    assert _reached({(b, a) for a, b in delivery_steps}, set(FINAL_DELIVERY_STATES)) == set(DeliveryState)


def _reached(steps: set[tuple[Any, Any]], found: set[Any]) -> set[Any]:
    while more := {b for a, b in steps if a in found} - found:
        found = found | more
    return found


def test_people_see_a_delivery_as_a_reply() -> None:
    assert reply_state(None) is ReplyState.NONE
    assert {state: reply_state(state) for state in DeliveryState} == {
        DeliveryState.QUEUED: ReplyState.PENDING,
        DeliveryState.SENDING: ReplyState.PENDING,
        DeliveryState.RETRYING: ReplyState.PENDING,
        DeliveryState.DELIVERED: ReplyState.DELIVERED,
        DeliveryState.FAILED: ReplyState.FAILED,
        DeliveryState.EXPIRED: ReplyState.EXPIRED,
        DeliveryState.CANCELED: ReplyState.NONE,
    }
