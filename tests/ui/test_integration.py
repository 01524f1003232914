"""One integration: its overview, what is wrong with it, and what people do about that."""

from __future__ import annotations

import re

import pytest

from crossdock.model.outcome import Json
from crossdock.model.time import SECOND
from crossdock.ui.pictures.band import stretches
from tests.ui.conftest import Site


async def make(site: Site, **changes: Json) -> Json:
    document = {"name": "Orders", "type": "webhook-trigger", "status": "enabled", **changes}
    return await site.cases.integrations.create(site.actor(), document)


async def make_failing(site: Site) -> tuple[Json, Json]:
    """An integration in trouble, and its issue."""
    made = await make(site, retry={"attempts": 1})
    await site.story.fail(made["id"])
    await site.story.judge(made)
    site.clock.advance(60.0)
    return made, (await site.cases.health.issues(site.actor(), made["id"])).items[0]


def page_of(document: Json) -> str:
    return f"/w/default/integrations/{document['id']}"


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
async def test_the_overview_tells_what_an_integration_is_and_how_it_is(site: Site, who: str):
    made = await make(site, path="shop/orders")
    await site.story.succeed(made["id"])
    await site.story.judge(made)

    shown = await site.open(page_of(made), who)

    assert shown.status == 200
    assert "Active: its runs go well." in shown.words
    assert 'data-copy="https://hooks.example/hooks/default/shop/orders"' in shown.text
    assert "curl -i" in shown.words
    assert "Nothing is wrong." in shown.words
    assert ("Type its name to delete it" in shown.words) == (who == "alice")


async def test_the_overview_of_another_workspace_does_not_exist(site: Site):
    made = await make(site)

    assert (await site.open(page_of(made), "dora")).status == 404
    assert (await site.open(f"/w/away/integrations/{made['id']}", "dora")).status == 404


async def test_an_issue_is_told_with_what_can_be_done(site: Site):
    made, issue = await make_failing(site)

    words = (await site.open(page_of(made), "bob")).words
    of_viewer = (await site.open(page_of(made), "charlie")).words

    assert issue["message"] in words
    assert "1 time since" in words
    assert "Do something about it" in words
    assert "Do something about it" not in of_viewer


async def test_health_over_time_is_a_band_with_a_table_behind(site: Site):
    made, _ = await make_failing(site)

    shown = await site.open(page_of(made) + "?span=P7D")

    assert re.search(r'<svg class="band"[^>]*aria-label="Health in the last 7 days: .*warning', shown.text)
    assert "From State For Because of" in shown.words


@pytest.mark.parametrize(
    ("deed", "fields", "told"),
    [
        ("acknowledge", {"note": "we know"}, "Seen by bob"),
        ("snooze", {"for": "PT4H", "note": "at night"}, "snoozed by bob"),
        ("snooze", {"for": "custom", "custom": "90 min"}, "snoozed by bob"),
        ("snooze", {"for": "tomorrow"}, "06:00:00"),
        ("resolve", {"note": "repaired"}, "resolved by bob"),
    ],
)
async def test_an_operator_acts_on_an_issue(site: Site, deed: str, fields: dict[str, str], told: str):
    made, issue = await make_failing(site)

    answered = await site.send(f"{page_of(made)}/issues/{issue['id']}/{deed}", fields, "bob")

    assert (answered.status, answered.location) == (303, page_of(made))
    words = (await site.open(page_of(made))).words
    assert told in words
    assert fields.get("note", "") in words


async def test_a_snoozed_issue_is_woken(site: Site):
    made, issue = await make_failing(site)
    await site.send(f"{page_of(made)}/issues/{issue['id']}/snooze", {"for": "PT1H"}, "bob")

    await site.send(f"{page_of(made)}/issues/{issue['id']}/wake", {}, "bob")

    assert "Does not count until" not in (await site.open(page_of(made))).words


async def test_a_snooze_that_can_not_be_read_is_told_at_its_issue(site: Site):
    made, issue = await make_failing(site)

    answered = await site.send(
        f"{page_of(made)}/issues/{issue['id']}/snooze", {"for": "custom", "custom": "a while"}, "bob"
    )

    assert answered.status == 422
    assert f'id="wrong-{issue["id"]}"' in answered.text


@pytest.mark.parametrize("deed", ["acknowledge", "snooze", "wake", "resolve"])
async def test_a_viewer_acts_on_no_issue(site: Site, deed: str):
    made, issue = await make_failing(site)

    answered = await site.send(f"{page_of(made)}/issues/{issue['id']}/{deed}", {"for": "PT1H"}, "charlie")

    assert answered.status == 403


async def test_an_admin_disables_and_takes_it_back(site: Site):
    made = await make(site)

    answered = await site.send(f"{page_of(made)}/status", {"status": "disabled", "tab": "access"})
    undone = await site.send(f"{page_of(made)}/status", {"status": "enabled"})

    assert answered.location == f"{page_of(made)}/access"
    assert undone.location == page_of(made)
    assert (await site.cases.integrations.show(site.actor(), made["id"]))["status"] == "enabled"


@pytest.mark.parametrize("who", ["bob", "charlie", "dora"])
@pytest.mark.parametrize("deed", ["status", "delete"])
async def test_nobody_else_disables_or_deletes(site: Site, who: str, deed: str):
    made = await make(site)

    answered = await site.send(f"{page_of(made)}/{deed}", {"status": "disabled", "name": "Orders"}, who)

    assert answered.status == (404 if who == "dora" else 403)


async def test_deleting_wants_the_name(site: Site):
    made = await make(site)

    refused = await site.send(f"{page_of(made)}/delete", {"name": "Order"})
    done = await site.send(f"{page_of(made)}/delete", {"name": "Orders"})

    assert refused.status == 422
    assert "nothing was deleted" in refused.words
    assert done.location == "/w/default/integrations"
    assert (await site.open(page_of(made))).status == 404


async def test_what_others_wrote_is_inert(site: Site):
    made = await make(site, name="<script>alert(1)</script>\u202e")

    shown = await site.open(page_of(made))

    assert "<script>alert" not in shown.text
    assert "U+202E" in shown.words


async def test_the_webhooks_that_watch_it_are_named(site: Site):
    made = await make(site)
    common = {"type": "http_webhook", "url": "https://pager.example/x"}
    await site.cases.webhooks.create(site.actor(), {**common, "name": "Everything"})
    other = {"name": "Others only", "filters": {"types": ["event-webhook-async"]}}
    await site.cases.webhooks.create(site.actor(), {**common, **other})

    words = (await site.open(page_of(made))).words

    assert "Everything" in words
    assert "Others only" not in words


def test_before_the_oldest_change_that_is_told_nothing_is_known():
    change = {"at": "2026-01-01T12:00:00Z", "status": "error", "previous_status": "active", "issues": []}
    health = {"status": "error", "since": change["at"], "history": [change], "next": "more"}
    noon = 1_767_268_800 * SECOND

    shown = stretches(health, "2025-01-01T00:00:00Z", noon - 3_600 * SECOND, noon + 60 * SECOND)

    assert [(one.state, one.end - one.start) for one in shown] == [
        ("unknown", 3_600 * SECOND),
        ("error", 60 * SECOND),
    ]
