"""The lanes of an ordered integration, and what an operator decides about their heads."""

from __future__ import annotations

import pytest

from crossdock.model.outcome import Json
from tests.ui.conftest import Shown, Site
from tests.ui.test_integration import make, page_of

ORDERED: Json = {"ordered_delivery": True, "ordering_key": "{{ body.customer }}"}


async def make_blocked(site: Site, *lanes: str) -> Json:
    """An integration whose lanes wait for an operator, each with a call behind its head."""
    made = await make(site, trigger=ORDERED)
    for lane in lanes:
        await site.story.block(made["id"], lane)
        await site.story.receive(made["id"], lane=lane)
    return made


async def lanes_of(site: Site, made: Json) -> dict[str, str]:
    page = await site.cases.lanes.page(site.actor(), made["id"])
    return {lane["key"]: lane["status"] for lane in page.items}


async def told_by(site: Site, answered: Shown, who: str) -> str:
    """What the page after a deed says of it."""
    said = answered.headers["set-cookie"].partition(";")[0]
    return (await site.open(answered.location, "", Cookie=f"crossdock={site.cookies[who]}; {said}")).words


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
async def test_a_blocked_lane_tells_why_it_waits(site: Site, who: str):
    made = await make_blocked(site, "C-4")

    shown = await site.open(f"{page_of(made)}/lanes", who)

    assert "C-4 Blocked Its head failed for good." in shown.words
    assert "the warehouse said no" in shown.words
    assert ("Retry chosen" in shown.words) == (who != "charlie")


async def test_an_integration_without_order_is_explained(site: Site):
    made = await make(site)

    words = (await site.open(f"{page_of(made)}/lanes")).words

    assert "This integration is not ordered" in words
    assert "Nothing waits" in words


@pytest.mark.parametrize("decision", ["retry", "skip", "park"])
async def test_an_operator_decides_about_one_lane(site: Site, decision: str):
    made = await make_blocked(site, "C-4", "C-5")

    answered = await site.send(f"{page_of(made)}/lanes/{decision}", {"only": "C-4", "note": "as agreed"}, "bob")

    assert answered.location == f"{page_of(made)}/lanes"
    assert await lanes_of(site, made) == {"C-4": "queued", "C-5": "blocked"}


async def test_chosen_lanes_are_decided_together(site: Site):
    made = await make_blocked(site, "C-4", "C-5")

    await site.send(f"{page_of(made)}/lanes/skip", [("lanes", "C-4"), ("lanes", "C-5"), ("lanes", "gone")], "bob")

    assert await lanes_of(site, made) == {"C-4": "queued", "C-5": "queued"}


@pytest.mark.parametrize("field", ["only", "lanes"])
async def test_a_second_decision_does_not_hit_the_next_head(site: Site, field: str):
    made = await make_blocked(site, "C-4")
    place = f"{page_of(made)}/lanes"
    head = (await site.cases.lanes.page(site.actor(), made["id"])).items[0]["head"]["id"]
    assert f'name="{field}" value="C-4:{head}"' in (await site.open(place, "bob")).text

    first = await site.send(f"{place}/skip", {field: f"C-4:{head}"}, "alice")
    second = await site.send(f"{place}/skip", {field: f"C-4:{head}"}, "bob")

    assert "The head of one lane is skipped." in await told_by(site, first, "alice")
    assert f"Not done for 1: {head} is not the head of the lane C-4 now" in await told_by(site, second, "bob")
    assert await lanes_of(site, made) == {"C-4": "queued"}


async def test_nobody_else_decides(site: Site):
    made = await make_blocked(site, "C-4")

    of_viewer = await site.send(f"{page_of(made)}/lanes/retry", {"only": "C-4"}, "charlie")
    unknown = await site.send(f"{page_of(made)}/lanes/burn", {"only": "C-4"}, "bob")

    assert (of_viewer.status, unknown.status) == (403, 422)
    assert (await site.open(f"{page_of(made)}/lanes", "dora")).status == 404
    assert await lanes_of(site, made) == {"C-4": "blocked"}


async def test_a_lane_with_markup_in_its_key_is_inert(site: Site):
    made = await make_blocked(site, "<b>x</b>\u202e")

    shown = await site.open(f"{page_of(made)}/lanes")

    assert "<b>x" not in shown.text
    assert "U+202E" in shown.words
