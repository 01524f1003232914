"""The list of events: filters in the URL, how far was looked, what can be done to many."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from crossdock.model.states import RunMove
from tests.ui.conftest import Site
from tests.ui.test_event import add_integration

PLACE = "/w/default/events"


def listed(text: str) -> list[str]:
    """The ids of the events in the order of the rows."""
    return re.findall(r'data-event="(evt_\w+)"', text)


async def test_what_came_last_stands_first(site: Site):
    integration_id = await add_integration(site)
    first = await site.story.succeed(integration_id)
    second = await site.story.fail(integration_id)

    shown = await site.open(PLACE, who="charlie")

    assert listed(shown.text) == [second, first]
    assert "the warehouse said no" in shown.words
    assert "Replay" not in shown.words


async def test_an_empty_list_says_how_to_begin(site: Site):
    assert "Every call that an integration accepts stands here" in (await site.open(PLACE)).words
    assert "Nothing that is kept fits" in (await site.open(f"{PLACE}?status=failed")).words


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=failed", ["failed"]),
        ("status=failed,succeeded", ["failed", "ok"]),
        ("q=needle", ["queued"]),
        ("method=post", ["failed", "queued", "ok"]),
        ("method=GET", []),
        ("last=PT1H", ["failed", "queued", "ok"]),
        ("until=2026-09-21T14:13", []),
        ("from=2026-09-21T14:13&until=2026-09-21T15:00Z", ["failed", "queued", "ok"]),
        ("reply=failed", []),
        ("key=nobody", []),
        ("integration=int_nothing", []),
    ],
)
async def test_the_url_says_what_is_shown(site: Site, query: str, found: list[str]):
    integration_id = await add_integration(site)
    ids = {"ok": await site.story.succeed(integration_id)}
    ids["queued"] = await site.story.receive(integration_id, b'{"a": "needle"}')
    ids["failed"] = await site.story.fail(integration_id)

    shown = await site.open(f"{PLACE}?{query}")

    assert listed(shown.text) == [ids[name] for name in found]


async def test_rows_lead_to_events_that_know_their_neighbours_in_the_list(site: Site):
    integration_id = await add_integration(site)
    ids = [await site.story.fail(integration_id) for _ in range(2)]
    await site.story.succeed(integration_id)

    shown = await site.open(f"{PLACE}/{ids[1]}?status=failed")

    assert f'href="{PLACE}/{ids[0]}?status=failed"' in shown.text
    assert 'rel="prev"' not in shown.text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("status=lost", "must be one or several of"),
        ("last=soon", "is not an ISO 8601 duration"),
        ("from=yesterday", "is not an RFC 3339 time"),
        ("cursor=mine", "begin again without it"),
        ("q=" + "x" * 300, "200 characters at most"),
        ("from=2026-09-21T14:13Z&until=2026-09-20T14:13Z", "must be after received_after"),
    ],
)
async def test_a_filter_that_can_not_be_used_says_why_and_keeps_its_fields(site: Site, query: str, words: str):
    await add_integration(site)

    shown = await site.open(f"{PLACE}?{query}")

    assert shown.status == 422
    assert words in shown.words


async def test_hostile_filters_are_inert(site: Site):
    shown = await site.open(f"{PLACE}?q=%22%3E%3Cscript%3E1%3C/script%3E&key=%E2%80%AE&integration=%3Cb%3E")

    assert shown.status == 200
    assert "<script>1" not in shown.text


async def test_pages_follow_one_another(site: Site):
    integration_id = await add_integration(site)
    ids = [await site.story.receive(integration_id) for _ in range(60)]

    first = await site.open(PLACE)
    cursor = re.search(r"cursor=([\w-]+)", first.text)
    assert cursor is not None
    second = await site.open(f"{PLACE}?cursor={cursor[1]}")

    assert listed(first.text) + listed(second.text) == ids[::-1]
    assert "First page" in second.words


async def test_the_picture_has_its_numbers_in_a_table(site: Site):
    integration_id = await add_integration(site)
    await site.story.succeed(integration_id)
    await site.story.fail(integration_id)

    shown = await site.open(PLACE)
    narrowed = await site.open(f"{PLACE}?status=failed")

    assert "Succeeded Not ended yet" not in narrowed.words
    assert re.search(r"As a table From .* Failed .* 2026-09-21 14:\d\d:00 1 0 0 1 0", shown.words)
    assert re.search(r"As a table From Failed 2026-09-21 14:\d\d:00 1", narrowed.words)


async def test_a_part_of_the_page_is_given_to_scripts(site: Site):
    event_id = await site.story.succeed(await add_integration(site))

    shown = await site.open(PLACE, **{"HX-Request": "true", "HX-Request-Type": "partial"})

    assert shown.text.lstrip().startswith('<div id="list"')
    assert listed(shown.text) == [event_id]


async def test_other_workspaces_see_nothing(site: Site):
    await site.story.succeed(await add_integration(site))

    assert listed((await site.open("/w/away/events", who="dora")).text) == []
    assert (await site.open(PLACE, who="dora")).status in (403, 404)


# --- files -----------------------------------------------------------------------------------------------------------


async def test_what_matches_is_given_as_files(site: Site):
    integration_id = await add_integration(site, name="=cmd()")
    failed = await site.story.fail(integration_id)
    await site.story.succeed(integration_id)

    as_csv = await site.open(f"{PLACE}/export?status=failed&format=csv", who="charlie")
    as_lines = await site.open(f"{PLACE}/export?status=failed&format=jsonl")

    [row] = csv.DictReader(io.StringIO(as_csv.text))
    assert (row["id"], row["integration"], row["error"]) == (failed, "'=cmd()", "the warehouse said no")
    assert [json.loads(line)["id"] for line in as_lines.text.splitlines()] == [failed]
    assert as_csv.headers["content-disposition"] == 'attachment; filename="events.csv"'
    assert (await site.open(f"{PLACE}/export?format=exe")).status == 422
    assert (await site.open(f"{PLACE}/export?status=lost")).status == 422


# --- deeds -----------------------------------------------------------------------------------------------------------


async def test_chosen_events_are_replayed_and_the_rest_is_told(site: Site):
    event_id = await site.story.succeed(await add_integration(site))
    fields = [("deed", "replay"), ("event_id", event_id), ("event_id", "evt_gone"), ("back", f"{PLACE}?status=failed")]

    shown = await site.send(f"{PLACE}/chosen", fields, who="bob")

    assert shown.location == f"{PLACE}?status=failed"
    assert (await site.cases.events.show(site.actor(), event_id))["replays_total"] == 1


async def test_chosen_events_are_canceled(site: Site):
    integration_id = await add_integration(site)
    ids = [await site.story.fail(integration_id, RunMove.RETRY) for _ in range(2)]

    await site.send(f"{PLACE}/chosen", [("deed", "cancel"), *(("event_id", one) for one in ids)], who="bob")

    assert [(await site.cases.events.show(site.actor(), one))["status"] for one in ids] == ["canceled", "canceled"]


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/w/away/events", ""])
async def test_no_deed_leads_to_another_place(site: Site, back: str):
    event_id = await site.story.succeed(await add_integration(site))

    shown = await site.send(f"{PLACE}/chosen", {"deed": "replay", "event_id": event_id, "back": back})

    assert shown.location == PLACE


async def test_viewers_do_nothing_and_nonsense_is_refused(site: Site):
    event_id = await site.story.succeed(await add_integration(site))

    assert (await site.send(f"{PLACE}/chosen", {"deed": "replay", "event_id": event_id}, who="charlie")).status == 403
    assert (await site.send(f"{PLACE}/chosen", {"deed": "burn", "event_id": event_id})).status == 422
    assert (await site.send(f"{PLACE}/chosen", {"deed": "replay"})).status == 422


# --- refused calls ---------------------------------------------------------------------------------------------------


async def test_refused_calls_are_told_by_reason(site: Site):
    assert "would be counted here" in (await site.open(f"{PLACE}/refused", who="charlie")).words


async def test_an_integration_has_a_list_of_its_own(site: Site):
    mine = await site.story.succeed(await add_integration(site))
    other_id = await add_integration(site, name="Others", path="others")
    await site.story.succeed(other_id)

    integration_id = (await site.cases.events.show(site.actor(), mine))["integration"]["id"]
    shown = await site.open(f"/w/default/integrations/{integration_id}/events", who="charlie")

    assert listed(shown.text) == [mine]
    assert f"{PLACE}/{mine}?integration={integration_id}" in shown.text
    assert (await site.open(f"/w/away/integrations/{integration_id}/events", who="dora")).status == 404
