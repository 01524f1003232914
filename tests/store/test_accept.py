"""Accepting calls: the event as it came, duplicates, places in lanes, leases, events that need no run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from crossdock.model.outcome import Result
from crossdock.model.run import Lane
from crossdock.model.time import later
from crossdock.store import Store
from crossdock.store.accept import Accepted, DedupeKey, Duplicate
from crossdock.store.claims import read_leased
from tests.support.held import HeldClock
from tests.support.runs import NODE, OTHER_NODE, Batch, Runs, a_step, an_entry, an_event, count

DAY = 86_400.0


@pytest.fixture
def runs(store: Store, clock: HeldClock) -> Runs:
    return Runs(store, clock.now)


async def together(store: Store, *changes: Any) -> list[Any]:
    """The answers of changes that share a commit."""
    async with Batch(store):
        futures = [store.submit(change) for change in changes]
    return list(await asyncio.gather(*futures))


async def test_an_event_comes_back_as_it_was_accepted(store: Store, runs: Runs) -> None:
    event = an_event(
        runs.now,
        body=b"\x00\xff",
        method="PUT",
        path="/hooks/default/ü/a b",
        query=(("a", "1"), ("a", ""), ("ü", "\x00")),
        headers=(("x-a", "1"), ("x-a", "ÿ"), ("authorization", "[redacted]")),
        content_type="text/plain; charset=latin-1",
        key_id="key_1",
        source_ip="::1",
    )

    await store.submit(runs.change(event, leased=True))

    (run,) = await store.read(read_leased, [event.id])
    assert run.event == event


async def test_an_event_with_a_free_slot_is_leased_as_it_is_recorded(runs: Runs) -> None:
    run = await runs.leased()

    row = await runs.row(run.event.id)
    assert (row.state, row.lease_node, row.lease_token) == ("running", NODE, run.lease_token)
    assert (row.attempts, row.started_at, row.finished_at) == (1, runs.now, None)


async def test_an_event_without_a_slot_waits_from_now_on(runs: Runs) -> None:
    row = await runs.row(await runs.queued())

    assert (row.state, row.due_at, row.attempts, row.lease_token) == ("queued", runs.now, 0, None)


async def test_a_run_may_begin_with_what_another_one_finished(store: Store, runs: Runs) -> None:
    entry = an_entry(0, a_step("one"), a_step("two"), result=Result(201, (), b"made"))
    changes = [
        replace(runs.change(an_event(runs.now), leased=leased, lane=lane), journal=entry)
        for leased, lane in ((False, None), (True, None), (True, "k"))
    ]

    queued, leased, in_lane = await together(store, *changes)

    assert [await runs.journal(change.event.id) for change in changes] == [(entry,)] * 3
    assert (queued.journal, leased.run.journal, in_lane.journal) == ((entry,), (entry,), (entry,))


async def test_an_event_without_anything_to_do_has_succeeded_as_it_is_recorded(runs: Runs) -> None:
    answer = await runs.accept(finished=True)

    row = await runs.row(answer.event.id)  # type: ignore[union-attr]
    assert answer == Accepted(answer.event, 1)  # type: ignore[union-attr]
    assert (row.state, row.attempts, row.started_at, row.finished_at) == ("succeeded", 1, runs.now, runs.now)


# --- duplicates ------------------------------------------------------------------------------------------------------


async def test_a_key_seen_before_gives_the_first_event(store: Store, runs: Runs) -> None:
    first = await runs.queued(dedupe=DedupeKey("k", DAY))

    assert await runs.accept(dedupe=DedupeKey("k", DAY), leased=True) == Duplicate(first)
    assert await store.read(count, "event") == 1
    assert await store.read(count, "run") == 1


async def test_duplicates_in_one_commit_give_the_first_of_them(store: Store, runs: Runs) -> None:
    events = [an_event(runs.now) for _ in range(4)]
    keys = ["a", "b", "a", "a"]

    answers = await together(
        store, *(runs.change(event, dedupe=DedupeKey(key, DAY)) for event, key in zip(events, keys, strict=True))
    )

    assert [type(answer) for answer in answers] == [Accepted, Accepted, Duplicate, Duplicate]
    assert {answer.event_id for answer in answers[2:]} == {events[0].id}
    assert await store.read(count, "event") == 2


async def test_a_key_is_forgotten_when_its_window_is_over(runs: Runs, clock: HeldClock) -> None:
    await runs.queued(dedupe=DedupeKey("k", 60))

    runs.now = clock.advance(59.999)
    assert isinstance(await runs.accept(dedupe=DedupeKey("k", 60)), Duplicate)
    runs.now = clock.advance(0.001)
    second = await runs.accept(dedupe=DedupeKey("k", 60))
    third = await runs.accept(dedupe=DedupeKey("k", 60))

    assert isinstance(second, Accepted)
    assert third == Duplicate(second.event.id)


async def test_integrations_have_keys_of_their_own(runs: Runs) -> None:
    await runs.queued("int_a", dedupe=DedupeKey("k", DAY))

    assert isinstance(await runs.accept("int_b", dedupe=DedupeKey("k", DAY)), Accepted)


async def test_a_duplicate_takes_no_place_in_a_lane(store: Store, runs: Runs) -> None:
    key = DedupeKey("k", DAY)
    changes = [runs.change(an_event(runs.now), lane="l", dedupe=key if n < 2 else None, leased=True) for n in range(3)]

    answers = await together(store, *changes)

    assert isinstance(answers[1], Duplicate)
    assert [answers[0].lane.sequence, answers[2].lane.sequence] == [1, 2]


# --- lanes -----------------------------------------------------------------------------------------------------------


async def test_places_follow_the_order_of_submission_in_each_lane(store: Store, runs: Runs) -> None:
    lanes = ["a", "b", "a", "", "a", "b"]

    answers = await together(store, *(runs.change(an_event(runs.now), lane=lane, leased=True) for lane in lanes))
    late = await runs.accept(lane="a", leased=True)

    places = [(answer.lane.id.removeprefix("int_a:"), answer.lane.sequence) for answer in answers]
    assert places == [("a", 1), ("b", 1), ("a", 2), ("", 1), ("a", 3), ("b", 2)]
    assert late.lane == Lane("int_a:a", 4)  # type: ignore[union-attr]


async def test_a_run_in_a_lane_is_queued_though_a_slot_is_free(runs: Runs) -> None:
    answer = await runs.accept(lane="a", leased=True)

    assert isinstance(answer, Accepted)
    assert answer.run is None
    assert await runs.state(answer.event.id) == "queued"


async def test_a_lane_that_nobody_owns_becomes_this_nodes_and_stays_it(store: Store, runs: Runs) -> None:
    answers = await together(store, *(runs.change(an_event(runs.now), lane="a", leased=True) for _ in range(3)))
    late = await runs.accept(lane="a", leased=True)

    tokens = {answer.lane_token for answer in (*answers, late)}
    assert len(tokens) == 1
    assert None not in tokens


async def test_a_lane_of_another_node_stays_its(runs: Runs) -> None:
    first = await runs.accept(lane="a", leased=True, node=OTHER_NODE)
    second = await runs.accept(lane="a", leased=True)

    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.lane_token is not None
    assert second.lane_token is None
    assert second.lane == Lane("int_a:a", 2)


async def test_a_lane_is_left_without_an_owner_when_nobody_offers(runs: Runs) -> None:
    first = await runs.accept(lane="a")
    second = await runs.accept(lane="a", leased=True)

    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.lane_token is None
    assert second.lane_token is not None


async def test_many_keys_and_events_share_a_commit(store: Store, runs: Runs) -> None:
    changes = [
        runs.change(
            an_event(later(runs.now, n)),
            lane=f"ü{n % 7}" if n % 2 else None,
            dedupe=DedupeKey(f"k{n % 50}", DAY) if n % 3 == 0 else None,
            leased=n % 5 != 0,
        )
        for n in range(200)
    ]

    answers = await together(store, *changes)

    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    assert await store.read(count, "event") == len(accepted)
    by_lane: dict[str, list[int]] = {}
    for answer in accepted:
        if answer.lane is not None:
            by_lane.setdefault(answer.lane.id, []).append(answer.lane.sequence)
    assert all(places == list(range(1, len(places) + 1)) for places in by_lane.values())
