"""Replays with changes, and what another workflow would make of an event."""

from __future__ import annotations

from tests.ui.conftest import Site
from tests.ui.test_event import add_integration


async def test_the_same_call_comes_once_more_by_one_button(site: Site):
    event_id = await site.story.succeed(await add_integration(site))

    shown = await site.send(f"/w/default/events/{event_id}/replay", {}, who="bob")

    made = await site.cases.events.show(site.actor(), shown.location.rpartition("/")[2])
    assert made["replay_of"] == event_id


async def test_the_form_begins_with_the_recorded_request(site: Site):
    event_id = await site.story.receive(await add_integration(site), b'{"a": "<b>"}')

    shown = await site.open(f"/w/default/events/{event_id}/replay", who="bob")

    assert shown.status == 200
    assert "{&#34;a&#34;: &#34;&lt;b&gt;&#34;}" in shown.text
    assert 'value="x-site"' in shown.text
    assert (await site.open(f"/w/default/events/{event_id}/replay", who="charlie")).status == 403


async def test_only_what_was_changed_is_edited(site: Site):
    event_id = await site.story.receive(await add_integration(site))
    fields = [("method", "POST"), ("body", '{"a": 2}'), ("headers.key", "x-site"), ("headers.value", "12")]
    query = [("query.key", "a"), ("query.value", "1"), ("query.key", "a"), ("query.value", "2")]

    shown = await site.send(f"/w/default/events/{event_id}/replay", fields + query, who="bob")

    made = await site.cases.events.show(site.actor(), shown.location.rpartition("/")[2])
    assert made["request"]["body"] == '{"a": 2}'
    assert made["request"]["query"] == {"a": ["1", "2"]}


async def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(site: Site):
    event_id = await site.story.receive(await add_integration(site))
    fields = {"method": "DELETE", "body": "mine", "workflow_version": "99"}
    header = {"method": "POST", "headers.key": "x\u202e", "headers.value": "1"}

    unknown = await site.send(f"/w/default/events/{event_id}/replay", fields, who="bob")
    refused = await site.send(f"/w/default/events/{event_id}/replay", {**fields, "workflow_version": ""}, who="bob")
    odd = await site.send(f"/w/default/events/{event_id}/replay", header, who="bob")

    assert (unknown.status, refused.status, odd.status) == (422, 422, 422)
    assert "there is no version 99" in unknown.words
    assert "is not accepted by the integration" in refused.words
    assert ">\nmine</textarea>" in refused.text
    assert "visible characters" in odd.words


async def test_a_version_longer_than_any_is_none(site: Site):
    event_id = await site.story.receive(await add_integration(site))
    fields = {"method": "POST", "workflow_version": "0" * 10 + "1" * 5_000}

    shown = await site.send(f"/w/default/events/{event_id}/replay", fields, who="bob")

    assert shown.status == 422
    assert "must be the number of a version" in shown.words


async def test_another_version_is_tried_without_calling_anything(site: Site):
    event_id = await site.story.succeed(await add_integration(site))

    blank = await site.open(f"/w/default/events/{event_id}/what-if", who="bob")
    wrong = await site.open(f"/w/default/events/{event_id}/what-if?version=7", who="bob")
    viewer = await site.open(f"/w/default/events/{event_id}/what-if", who="charlie")

    assert (blank.status, wrong.status, viewer.status) == (200, 422, 403)
    assert "version 1, published" in blank.words
    assert "no workflow version 7" in wrong.words
