"""The page of an event: its story, what can be done, and payloads that do nothing."""

from __future__ import annotations

import pytest

from crossdock.model.states import RunMove
from tests.ui.conftest import Site

SCRIPT = b'{"a": "<script>alert(1)</script>", "b": "\xe2\x80\xae"}'


async def add_integration(site: Site, **more: object) -> str:
    document = {
        "name": "Orders",
        "type": "webhook-trigger",
        "status": "enabled",
        "workflow": {"steps": [{"id": "map", "transform": {"a": 1}}]},
        **more,
    }
    return str((await site.cases.integrations.create(site.actor(), document))["id"])


async def test_the_story_stands_in_a_line(site: Site):
    event_id = await site.story.succeed(await add_integration(site), reply="dlv_1")

    shown = await site.open(f"/w/default/events/{event_id}", who="charlie")

    assert shown.status == 200
    assert "Succeeded accepted 2026-09-21 14:13:20.000" in shown.words
    assert "reply pending" in shown.words
    assert "map transform" in shown.words
    assert "Replay" not in shown.words


@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 200), ("dora", 404)])
async def test_events_are_shown_to_members_of_their_workspace(site: Site, who: str, status: int):
    event_id = await site.story.succeed(await add_integration(site))

    place = "away" if who == "dora" else "default"
    for path in ("", "/steps", "/body", "/steps/map?value=output"):
        assert (await site.open(f"/w/{place}/events/{event_id}{path}", who=who)).status == status


async def test_why_it_waits_and_what_happens_next_is_said(site: Site):
    event_id = await site.story.fail(await add_integration(site), RunMove.RETRY)

    shown = await site.open(f"/w/default/events/{event_id}")

    assert "Attempt 1 failed. It is tried again at 2026-09-21 14:13:26" in shown.words
    assert "the warehouse said no" in shown.words
    assert "Start now" in shown.words


async def test_payloads_are_inert_text(site: Site):
    event_id = await site.story.receive(await add_integration(site), SCRIPT, path="/hooks/default/<img src=x>\u202e")

    shown = await site.open(f"/w/default/events/{event_id}")

    assert "<script>alert" not in shown.text
    assert "<img src=x" not in shown.text
    assert "\u202e" not in shown.text
    assert "U+202E" in shown.words


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b'{"a":1,"a":2}',
        b"[" * 5_000,
        b'{"a":"' + b"x" * 1_100_000 + b'"}',
        '"\u05e9\u05dc\u05d5\u05dd"'.encode(),
        b'"\\ud800"',
    ],
)
async def test_any_body_can_be_looked_at(site: Site, body: bytes):
    event_id = await site.story.receive(await add_integration(site), body)

    for view in ("pretty", "raw", "hex"):
        shown = await site.open(f"/w/default/events/{event_id}?view={view}")
        assert shown.status == 200
        assert len(shown.text) < 400_000


async def test_a_body_is_a_download_whatever_it_says_it_is(site: Site):
    event_id = await site.story.receive(await add_integration(site), b"<script>1</script>", content_type="text/html")

    shown = await site.open(f"/w/default/events/{event_id}/body")

    assert shown.text == "<script>1</script>"
    assert shown.headers["content-type"] == "application/octet-stream"
    assert shown.headers["content-disposition"] == f'attachment; filename="{event_id}.bin"'
    assert shown.headers["x-content-type-options"] == "nosniff"


async def test_the_output_of_a_step_is_a_download(site: Site):
    event_id = await site.story.succeed(await add_integration(site))

    shown = await site.open(f"/w/default/events/{event_id}/steps/map?value=output")
    unknown = await site.open(f"/w/default/events/{event_id}/steps/nothing")

    assert shown.text == '{\n  "b": 1000000000000000000000000000000\n}'
    assert unknown.status == 404


async def test_an_operator_cancels_and_starts_events(site: Site):
    integration_id = await add_integration(site)
    waits = await site.story.fail(integration_id, RunMove.RETRY)
    goes = await site.story.receive(integration_id)

    retried = await site.send(f"/w/default/events/{waits}/retry", {}, who="bob")
    canceled = await site.send(f"/w/default/events/{goes}/cancel", {}, who="bob")
    again = await site.send(f"/w/default/events/{goes}/cancel", {}, who="bob")

    assert (retried.status, canceled.status, again.status) == (303, 303, 409)
    assert (await site.cases.events.show(site.actor(), goes))["status"] == "canceled"
    assert (await site.cases.events.show(site.actor(), waits))["status"] == "queued"


@pytest.mark.parametrize("deed", ["cancel", "retry", "replay"])
async def test_viewers_and_strangers_change_nothing(site: Site, deed: str):
    event_id = await site.story.fail(await add_integration(site), RunMove.RETRY)

    assert (await site.send(f"/w/default/events/{event_id}/{deed}", {}, who="charlie")).status == 403
    assert (await site.send(f"/w/away/events/{event_id}/{deed}", {}, who="dora")).status == 404
    assert (await site.cases.events.show(site.actor(), event_id))["status"] == "retrying"


async def test_an_unknown_event_has_no_page(site: Site):
    assert (await site.open("/w/default/events/evt_nothing")).status == 404


async def test_a_page_that_watches_an_event_is_loaded_anew_at_its_end(site: Site):
    integration_id = await add_integration(site)
    goes, ended = await site.story.receive(integration_id), await site.story.succeed(integration_id)
    watching = {"HX-Request": "true", "HX-Request-Type": "partial"}

    part = await site.open(f"/w/default/events/{goes}", **watching)
    over = await site.open(f"/w/default/events/{ended}", **watching)

    assert part.text.lstrip().startswith('<section id="now"')
    assert (over.status, over.headers["hx-refresh"]) == (204, "true")
