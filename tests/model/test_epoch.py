"""Who may act, and who is dead."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from crossdock.clock import Passage
from crossdock.model.epoch import ACTS_FOR, Epoch, Witness

TTL = 10.0
HEARTBEAT = 2.0


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def a_witness() -> Witness:
    return Witness(TTL, HEARTBEAT)


# --- the gate --------------------------------------------------------------------------------------------------------


async def test_whoever_comes_without_a_heartbeat_waits_for_the_next() -> None:
    seconds = Seconds()
    epoch = Epoch("node_a", seconds)
    gate = Passage(epoch)

    waiting = [asyncio.create_task(gate.passage()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(one.done() for one in waiting)
    epoch.confirm(seconds.now, TTL)

    await asyncio.wait_for(asyncio.gather(*waiting), 5)


async def test_a_heartbeat_that_is_too_old_already_lets_nobody_pass() -> None:
    seconds = Seconds()
    epoch = Epoch("node_a", seconds)
    gate = Passage(epoch)
    waiting = asyncio.create_task(gate.passage())
    await asyncio.sleep(0)

    seconds.now = 100.0
    epoch.confirm(100.0 - TTL, TTL)  # it took as long as the lease lasts
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert not waiting.done()
    waiting.cancel()


def test_a_new_epoch_may_not_act_before_it_is_known() -> None:
    epoch = Epoch("node_a", Seconds())
    epoch.confirm(0.0, TTL)

    epoch.renew("node_b")

    assert (epoch.node_id, epoch.may_act()) == ("node_b", False)


def test_a_process_that_is_alone_may_always_act() -> None:
    assert Epoch("node_a", Seconds(), is_alone=True).may_act()


# --- the witness -----------------------------------------------------------------------------------------------------


def looks(witness: Witness, heartbeats: list[int], every: float = HEARTBEAT) -> list[bool]:
    """For each look at one node's heartbeat, whether it is dead by it."""
    return [bool(witness.look({"n": beat}, number * every)) for number, beat in enumerate(heartbeats)]


def test_a_heartbeat_that_stands_still_for_the_time_to_live_is_death() -> None:
    assert looks(a_witness(), [1] * 7) == [False] * 5 + [True] * 2


def test_a_heartbeat_in_time_is_life() -> None:
    assert not any(looks(a_witness(), [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3]))


def test_a_clock_that_is_set_back_kills_nobody() -> None:
    assert not any(looks(a_witness(), [10**15, 10**15 + 2, 5, 7, 9, 11, 13, 15]))


def test_who_was_away_has_seen_nothing() -> None:
    witness = a_witness()
    witness.look({"n": 1}, 0.0)

    assert witness.look({"n": 1}, 3_600.0) == []
    assert witness.look({"n": 1}, 3_602.0) == []


def test_a_node_that_is_seen_for_the_first_time_is_given_its_time() -> None:
    witness = a_witness()
    for number in range(20):
        witness.look({}, number * HEARTBEAT)

    assert witness.look({"new": 1}, 40.0) == []


def test_a_node_is_judged_by_the_lease_that_it_has() -> None:
    witness = a_witness()

    deaths = [bool(witness.look({"n": 1}, number * HEARTBEAT, {"n": 3 * TTL})) for number in range(17)]

    assert deaths == [False] * 15 + [True] * 2


@given(st.lists(st.floats(0.1, 30.0), min_size=1, max_size=40), st.integers(0, 39))
def test_nobody_dies_before_its_own_lease_has_ended(pauses: list[float], stops_at: int) -> None:
    """However irregularly the witness looks: who last beat just before a look stops acting before it is dead."""
    witness, now, last_beat = a_witness(), 0.0, 0.0
    for number, pause in enumerate(pauses):
        now += pause
        if number <= stops_at:
            last_beat = now - min(pause, HEARTBEAT)
        if witness.look({"n": min(number, stops_at)}, now):
            assert now - last_beat >= TTL > TTL * ACTS_FOR
