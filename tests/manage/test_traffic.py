"""Traffic over time, of one integration and of a workspace: what was counted in slots, and what came since."""

from __future__ import annotations

import pytest

from crossdock.manage.traffic import Traffic
from crossdock.model.errors import Invalid, NotFound
from crossdock.model.traffic import SLOT
from crossdock.store.claims import cancel_waiting
from crossdock.store.traffic import add_refused
from crossdock.watch.traffic import TrafficCount
from tests.manage.conftest import Desk, trigger
from tests.support.held import HeldClock
from tests.support.story import Story

pytestmark = pytest.mark.anyio


@pytest.fixture
async def own(desk: Desk) -> str:
    made = await desk.integrations.create(desk.alice, trigger())
    return str(made["id"])


@pytest.fixture
def story(desk: Desk, clock: HeldClock) -> Story:
    return Story(desk.store, clock)


def fresh(desk: Desk, clock: HeldClock) -> Traffic:
    """As another node would be: with nothing in memory."""
    return Traffic(desk.store, clock)


async def test_calls_stand_where_they_were_accepted(desk: Desk, own: str, story: Story, clock: HeldClock) -> None:
    clock.now = clock.now // SLOT * SLOT
    await story.succeed(own)
    clock.advance(600)
    await story.fail(own)

    shown = await fresh(desk, clock).of_integration(desk.charlie, own, "PT1H")

    assert shown["accepted"] == [0] * 9 + [1, 0, 1]
    assert (shown["succeeded"][-3], shown["failed"][-1]) == (1, 1)
    assert (shown["interval"], len(shown["duration_ms"]["p95"])) == ("PT5M", 12)
    assert shown["duration_ms"]["p95"][-1] == pytest.approx(1_000, rel=0.5)


@pytest.mark.parametrize("span", ["PT1H", "PT24H", "P7D", "P30D"])
async def test_nothing_counts_twice_and_nothing_is_missing(
    desk: Desk, own: str, story: Story, clock: HeldClock, span: str
) -> None:
    for _ in range(4):
        await story.succeed(own)
        clock.advance(240)
        await TrafficCount(desk.store, clock).count()

        traffic = fresh(desk, clock)
        mine = await traffic.of_integration(desk.charlie, own, span)
        ours = await traffic.of_workspace(desk.charlie, span)

        assert mine["accepted"] == ours["accepted"]
        assert mine["total"]["accepted"] == mine["total"]["succeeded"]
    assert mine["total"]["accepted"] == 4


async def test_what_memory_keeps_agrees_with_a_fresh_look(desk: Desk, own: str, story: Story, clock: HeldClock) -> None:
    traffic = fresh(desk, clock)
    for _ in range(12):
        await story.succeed(own)
        waiting = await story.receive(own)
        clock.advance(70)
        await TrafficCount(desk.store, clock).count()
        traffic.open.expire()

        kept = await traffic.of_integration(desk.charlie, own)

        assert kept == await fresh(desk, clock).of_integration(desk.charlie, own)
    assert waiting
    assert kept["total"]["unfinished"] == 12


async def test_what_is_remembered_of_a_workspace_agrees_with_a_fresh_look(
    desk: Desk, own: str, story: Story, clock: HeldClock
) -> None:
    traffic = fresh(desk, clock)
    for _ in range(8):
        await story.succeed(own)
        clock.advance(1_100)
        await TrafficCount(desk.store, clock).count()
        traffic.open.expire()

        remembered = await traffic.of_workspace(desk.charlie)

        assert remembered == await fresh(desk, clock).of_workspace(desk.charlie)
    assert remembered["total"]["succeeded"] == 8


async def test_an_end_long_after_its_call_is_seen_with_the_next_reading_of_the_past(
    desk: Desk, own: str, story: Story, clock: HeldClock
) -> None:
    traffic = fresh(desk, clock)
    waiting = await story.receive(own)
    clock.advance(3 * 3_600)
    await TrafficCount(desk.store, clock).count()
    assert (await traffic.of_workspace(desk.charlie))["total"]["unfinished"] == 1
    assert await desk.store.write(cancel_waiting, waiting, clock.now)
    await TrafficCount(desk.store, clock).count()
    assert (await traffic.of_workspace(desk.charlie))["total"]["unfinished"] == 1

    traffic.past.expire()

    assert (await traffic.of_workspace(desk.charlie))["total"]["unfinished"] == 0


async def test_refused_calls_are_shown(desk: Desk, own: str, clock: HeldClock) -> None:
    await desk.store.write(add_refused, {(own, clock.now): 7})

    shown = await fresh(desk, clock).of_integration(desk.charlie, own)

    assert (shown["rejected"][-1], shown["total"]["rejected"], shown["total"]["accepted"]) == (7, 7, 0)


async def test_another_workspace_knows_nothing_of_it(desk: Desk, own: str, story: Story, clock: HeldClock) -> None:
    await story.succeed(own)

    with pytest.raises(NotFound):
        await fresh(desk, clock).of_integration(desk.dora, own)

    assert (await fresh(desk, clock).of_workspace(desk.dora))["total"]["accepted"] == 0


async def test_other_spans_are_refused(desk: Desk, own: str, clock: HeldClock) -> None:
    with pytest.raises(Invalid, match="PT1H, PT24H, P7D, P30D"):
        await fresh(desk, clock).of_integration(desk.charlie, own, "P1Y")
