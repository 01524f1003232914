"""Whose turn it is to send, and how much of one integration is held."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from crossdock.deliver.queue import QueueLimits, SendQueue
from crossdock.model.delivery import HandledEvent, LeasedReply
from tests.support.held import START
from tests.support.replies import RESULT, an_event

LIMITS = QueueLimits(senders=8, own_senders=2, most_senders=4, room=6, all_room=12)
HANDLED = HandledEvent(an_event(START), True, RESULT, None, 1, START)
DELIVERY = LeasedReply("dlv_1", "a", START, None, 1, "token", HANDLED)


def lined_up(*counts: tuple[str, int]) -> SendQueue:
    queue = SendQueue(LIMITS)
    for integration_id, count in counts:
        assert queue.reserve(integration_id, count)
        for n in range(count):
            queue.put(replace(DELIVERY, id=f"{integration_id}{n}", integration_id=integration_id))
    return queue


def taken(queue: SendQueue) -> list[str]:
    found = []
    while (delivery := queue.take()) is not None:
        found.append(delivery.id)
    return found


def test_integrations_take_turns() -> None:
    assert taken(lined_up(("a", 3), ("b", 2)))[:4] == ["a0", "b0", "a1", "b1"]


def test_a_lone_integration_gets_more_than_its_own_senders() -> None:
    assert taken(lined_up(("a", 6))) == ["a0", "a1", "a2", "a3"]


def test_once_half_of_the_senders_are_busy_each_has_its_own_only() -> None:
    queue = lined_up(("a", 6))
    taken(queue)
    assert queue.reserve("b", 5)
    for n in range(5):
        queue.put(replace(DELIVERY, id=f"b{n}", integration_id="b"))

    assert taken(queue) == ["b0", "b1"]


def test_an_exchange_that_is_over_lets_the_next_one_begin() -> None:
    queue = lined_up(("a", 6))
    taken(queue)

    queue.done("a")

    assert taken(queue) == ["a4"]


def test_room_is_bounded_for_each_integration_and_in_all() -> None:
    queue = lined_up(("a", 6), ("b", 5))

    assert not queue.reserve("a")
    assert not queue.reserve("c", 2)
    assert queue.reserve("c")
    assert (queue.room("a"), queue.room("c")) == (0, 0)


def test_what_waits_can_be_taken_out() -> None:
    queue = lined_up(("a", 6))
    taken(queue)

    assert [delivery.id for delivery in queue.drain()] == ["a4", "a5"]
    assert taken(queue) == []
    assert queue.room("a") == 2


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["arrive", "finish"])), max_size=200))
def test_whatever_happens_nothing_is_lost_and_no_bound_is_broken(steps: list[tuple[str, str]]) -> None:
    queue = SendQueue(LIMITS)
    arrived = finished = 0
    busy: list[str] = []
    for integration_id, step in steps:
        if step == "arrive" and queue.reserve(integration_id):
            queue.put(replace(DELIVERY, integration_id=integration_id))
            arrived += 1
        elif step == "finish" and busy:
            queue.done(busy.pop(0))
            finished += 1
        while (delivery := queue.take()) is not None:
            busy.append(delivery.owner_id)
        assert len(busy) <= LIMITS.senders
        assert all(busy.count(one) <= LIMITS.most_senders for one in busy)
    while busy:
        queue.done(busy.pop())
        finished += 1
        while (delivery := queue.take()) is not None:
            busy.append(delivery.owner_id)
    assert finished == arrived
    assert queue.room("a") == LIMITS.room
