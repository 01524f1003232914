"""The overview: what needs attention, the last 24 hours, and how to begin."""

from __future__ import annotations

import pytest

from crossdock.model.outcome import Json
from crossdock.model.time import format_instant
from crossdock.ui.pictures.sparkline import sparkline, totals_in_words
from crossdock.ui.pictures.traffic_chart import highest, traffic_chart, traffic_rows
from tests.ui.conftest import Site

OVERVIEW = "/w/default"


async def make(site: Site, name: str, **changes: Json) -> Json:
    document = {"name": name, "type": "webhook-trigger", "status": "enabled", **changes}
    return await site.cases.integrations.create(site.actor(), document)


async def failing(site: Site, name: str) -> str:
    """An integration in warning, and the event that failed."""
    made = await make(site, name)
    event_id = await site.story.fail(made["id"])
    await site.story.judge(made)
    return event_id


async def test_nothing_there_begins_in_three_steps(site: Site):
    shown = await site.open(OVERVIEW)

    assert "Begin in three steps" in shown.words
    assert "/w/default/integrations?panel=external-systems" in shown.text
    assert "Make a working example" in shown.words


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_admins_are_offered_what_they_may_do(site: Site, who: str):
    shown = await site.open(OVERVIEW, who)

    assert shown.status == 200
    assert "An admin of this workspace can make one." in shown.words
    assert "Make a working example" not in shown.words


async def test_what_fails_is_told_with_its_reason_and_an_event(site: Site):
    await make(site, "Calm")
    event_id = await failing(site, "Orders")

    shown = await site.open(OVERVIEW)

    assert "Warning Orders" in shown.words
    assert "the warehouse said no" in shown.words
    assert f'href="/w/default/events/{event_id}"' in shown.text
    assert "Calm" not in shown.words.partition("Last 24 hours")[0]


async def test_an_integration_stands_once_with_all_that_is_wrong(site: Site):
    made = await make(site, "Orders")
    await site.story.fail(made["id"])
    await site.story.judge(made)
    await site.story.receive(made["id"])
    site.clock.advance(120.0)

    shown = await site.open(OVERVIEW)

    assert shown.text.count('class="trouble-state"') == 1
    assert "1 call waits, the oldest for 2 min" in shown.words


async def test_when_all_is_well_it_says_so(site: Site):
    made = await make(site, "Orders")
    await site.story.succeed(made["id"])
    await site.story.judge(made)

    shown = await site.open(OVERVIEW)

    assert "Nothing needs attention. 1 of 1 integration is active." in shown.words
    assert "Last 24 hours accepted 1 succeeded 1 failed 0 refused 0" in shown.words


async def test_the_last_day_is_a_picture_with_its_numbers(site: Site):
    made = await make(site, "Orders")
    await site.story.succeed(made["id"])
    await failing(site, "Others")

    shown = await site.open(OVERVIEW)

    assert 'aria-label="Last 24 hours: 2 calls, 1 failed"' in shown.text
    assert shown.text.split('id="traffic-table"')[1].split("</table>")[0].count("<tr>") == 97
    assert "Busiest" in shown.words


async def test_others_see_nothing_of_it(site: Site):
    await failing(site, "Orders")

    assert (await site.open(OVERVIEW, "dora")).status == 404
    assert "Orders" not in (await site.open("/w/away", "dora")).words


async def test_names_and_reasons_are_inert(site: Site):
    await failing(site, "<script>alert(1)</script>")

    shown = await site.open(OVERVIEW)

    assert "<script>alert" not in shown.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown.text


async def test_a_part_of_the_page_is_what_changes(site: Site):
    shown = await site.open(OVERVIEW, **{"HX-Request": "true", "HX-Request-Type": "partial"})

    assert shown.text.strip().startswith('<div id="overview"')


# --- pictures --------------------------------------------------------------------------------------------------------


def traffic(**counts: list[int]) -> Json:
    points = {name: counts.get(name, [0, 0]) for name in ("accepted", "succeeded", "failed", "rejected")}
    total = {name: sum(numbers) for name, numbers in points.items()}
    return {"start": format_instant(0), "interval": "PT15M", **points, "total": total}


def test_a_bar_is_as_high_as_its_share():
    drawn = sparkline(traffic(accepted=[2, 4], succeeded=[2, 2], failed=[0, 1], rejected=[0, 0]))

    assert 'class="ok" d="M0 15.0h4v15.0h-4zM5 15.0h4v15.0h-4z"' in drawn
    assert 'class="open" d="M5 7.5h4v7.5h-4z"' in drawn
    assert 'class="failed" d="M5 0.0h4v7.5h-4z"' in drawn


def test_what_is_there_is_to_be_seen_however_little():
    drawn = traffic_chart(traffic(accepted=[100_000, 0], succeeded=[100_000, 0], rejected=[0, 1]), "Today")

    assert 'class="rejected" d="M5 198.5h4v1.5h-4z"' in drawn


def test_totals_are_told_in_words():
    assert totals_in_words({"accepted": 0, "failed": 0, "rejected": 0}) == "no calls"
    assert totals_in_words({"accepted": 1, "failed": 1, "rejected": 2}) == "1 call, 1 failed, 2 refused"


def test_the_numbers_behind_the_picture_tell_every_point():
    counted = traffic(accepted=[3, 1], succeeded=[1, 1], failed=[1, 0], rejected=[2, 0])

    first, second = traffic_rows(counted)

    assert (first.at, first.open, first.rejected) == ("1970-01-01T00:00:00Z", 1, 2)
    assert second.at == "1970-01-01T00:15:00Z"
    assert highest(counted) == 5
