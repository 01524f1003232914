"""The list of integrations by need of attention, and the overview of a workspace."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.manage.overview import Overview
from crossdock.manage.traffic import Traffic
from crossdock.model.errors import Invalid
from crossdock.model.states import RunMove
from tests.manage.conftest import Desk, trigger
from tests.support.held import HeldClock
from tests.support.story import FAILURE, Story

pytestmark = pytest.mark.anyio


@pytest.fixture
def overview(desk: Desk, clock: HeldClock) -> Overview:
    return Overview(desk.store, desk.integrations, Traffic(desk.store, clock), clock)


@pytest.fixture
def story(desk: Desk, clock: HeldClock) -> Story:
    return Story(desk.store, clock)


async def made(desk: Desk, *names: str, **more: Any) -> list[Any]:
    return [await desk.integrations.create(desk.alice, trigger(name, **more)) for name in names]


async def test_integrations_stand_by_need_of_attention(
    desk: Desk, overview: Overview, story: Story, clock: HeldClock
) -> None:
    failing, blocked, slow, fine, _ = await made(desk, "Failing", "Blocked", "Slow", "Fine", "A new one")
    await made(desk, "Off", status="disabled")
    for _ in range(5):
        await story.fail(failing["id"])
    await story.judge(failing)
    await story.succeed(fine["id"])
    await story.judge(fine)
    await story.receive(slow["id"])
    await story.fail(blocked["id"], RunMove.BLOCK)
    clock.advance(120)

    page = await overview.integrations(desk.charlie)

    assert [(one["name"], one["attention"]) for one in page.items] == [
        ("Failing", "error"),
        ("Blocked", "blocked"),
        ("Slow", "backlog"),
        ("A new one", "initializing"),
        ("Fine", "active"),
        ("Off", "disabled"),
    ]


async def test_a_line_tells_reason_traffic_queue_and_last_event(
    desk: Desk, overview: Overview, story: Story, clock: HeldClock
) -> None:
    [integration] = await made(desk, "Orders")
    own = integration["id"]
    await story.succeed(own)
    await story.fail(own)
    await story.judge(integration)
    waiting = await story.receive(own)
    clock.advance(3)

    [line] = (await overview.integrations(desk.charlie)).items

    assert line["current_health"]["status"] == "warning"
    assert FAILURE.message in line["current_health"]["reason"]
    assert (line["traffic"]["accepted"][-1], line["traffic"]["succeeded"][-1], line["traffic"]["failed"][-1]) == (
        3,
        1,
        1,
    )
    assert len(line["traffic"]["accepted"]) == 24
    assert line["duration_ms"]["p50"] == pytest.approx(250, rel=0.35)
    assert (line["queue"]["waiting"], line["queue"]["oldest_seconds"]) == (1, 3.0)
    assert line["last_event_at"] is not None
    assert waiting
    assert line["url"] == "https://hooks.example/hooks/default/orders"


async def test_pages_go_on_where_the_last_one_ended(desk: Desk, overview: Overview) -> None:
    await made(desk, *(f"Flow {n}" for n in range(5)))
    await made(desk, "Off", status="disabled")

    seen, cursor = [], None
    while True:
        page = await overview.integrations(desk.charlie, limit=2, cursor=cursor)
        seen += [one["name"] for one in page.items]
        cursor = page.next
        if cursor is None:
            break

    assert seen == [*(f"Flow {n}" for n in range(5)), "Off"]


async def test_the_filters_are_those_of_the_list(desk: Desk, overview: Overview) -> None:
    await made(desk, "Orders", "Returns")
    await made(desk, "Old orders", status="disabled")

    page = await overview.integrations(desk.charlie, q="orders", status="enabled", health="initializing")

    assert [one["name"] for one in page.items] == ["Orders"]


async def test_a_foreign_cursor_is_refused(desk: Desk, overview: Overview) -> None:
    with pytest.raises(Invalid, match="cursor"):
        await overview.integrations(desk.charlie, cursor="Im5vIg")


async def test_the_overview_tells_what_needs_attention(
    desk: Desk, overview: Overview, story: Story, clock: HeldClock
) -> None:
    failing, ordered = [
        await desk.integrations.create(desk.alice, trigger(name, trigger={"ordered_delivery": name == "Ordered"}))
        for name in ("Failing", "Ordered")
    ]
    for _ in range(5):
        await story.fail(failing["id"])
    await story.judge(failing)
    head = await story.receive(ordered["id"], lane="k")
    clock.advance(1)

    shown = await overview.show(desk.charlie)

    assert shown["integrations"]["total"] == 2
    assert shown["integrations"]["error"] == 1
    assert [one["integration"]["name"] for one in shown["troubled"]] == ["Failing"]
    assert [(one["integration"]["name"], one["waiting"]) for one in shown["backlogs"]] == [("Ordered", 1)]
    assert shown["traffic"]["total"]["accepted"] == 6
    assert shown["busiest"][0]["failed"] == 5
    assert head


async def test_others_see_nothing_of_it(desk: Desk, overview: Overview, story: Story) -> None:
    [integration] = await made(desk, "Orders")
    await story.succeed(integration["id"])

    shown = await overview.show(desk.dora)

    assert (shown["integrations"]["total"], shown["traffic"]["total"]["accepted"]) == (0, 0)
    assert (await overview.integrations(desk.dora)).items == []
