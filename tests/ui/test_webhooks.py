"""Notification webhooks in the workspace: the list, the form, the test, the rendering, what was delivered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ui.conftest import Site

LIST = "/w/default/notification-webhooks"
FORM: list[tuple[str, str]] = [
    ("name", "On call"),
    ("active", "on"),
    ("type", "http_webhook"),
    ("method", "POST"),
    ("url", "https://alerts.example/hook"),
    ("body_template", '{"name": "{{ data.name }}", "issues": [{"text": "{{ data.issues.message }}"}]}'),
    ("authentication.type", "custom"),
    ("authentication.headers.key", "DD-API-KEY"),
    ("authentication.headers.value", "very-secret-key"),
    ("filters.statuses", "error"),
    ("timeout_seconds", "7"),
    ("validators.json_path", "$.data.status"),
    ("validators.values", "ok, queued"),
    ("notify_recovery", "on"),
]


def changed(**fields: str) -> list[tuple[str, str]]:
    names = {name.replace("__", "."): value for name, value in fields.items()}
    return [*((name, value) for name, value in FORM if name not in names), *names.items()]


async def made(site: Site) -> Any:
    shown = await site.send(LIST, FORM)
    assert (shown.status, shown.location) == (303, LIST)
    [webhook] = (await site.cases.webhooks.page(site.actor())).items
    return webhook


async def test_the_form_makes_what_it_says(site: Site):
    webhook = await made(site)

    assert webhook["authentication"] == {"type": "custom", "headers": {"DD-API-KEY": "[set]"}}
    assert webhook["filters"] == {"integrations": [], "types": [], "statuses": ["error"]}
    assert webhook["response_validators"] == [{"json_path": "$.data.status", "expected_values": ["ok", "queued"]}]
    assert (webhook["timeout_seconds"], webhook["notify_recovery"]) == (7, True)


async def test_saving_unchanged_changes_nothing_and_keeps_secrets(site: Site):
    webhook = await made(site)

    kept = changed(authentication__headers__value="", revision=str(webhook["revision"]))
    await site.send(f"{LIST}/{webhook['id']}", kept)

    assert await site.cases.webhooks.show(site.actor(), webhook["id"]) == webhook


async def test_errors_stand_at_their_fields_and_nothing_typed_is_lost(site: Site):
    shown = await site.send(LIST, changed(url="ftp://x", body_template='{"x": "{{ nothing.here }}"}'))

    assert shown.status == 422
    assert 'value="ftp://x"' in shown.text
    assert 'id="field-url-error"' in shown.text
    assert 'id="field-body_template-error"' in shown.text
    assert "nothing" in shown.words


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202eabc", "x" * 100_000]
)
async def test_whatever_is_typed_stays_text(site: Site, text: str):
    shown = await site.send(LIST, changed(name=text, url=text))

    assert shown.status == 422
    assert "<script>alert" not in shown.text
    assert "<img" not in shown.text


async def test_two_people_see_what_each_has(site: Site):
    webhook = await made(site)
    await site.cases.webhooks.change(site.actor(), webhook["id"], {"timeout_seconds": 30})

    shown = await site.send(f"{LIST}/{webhook['id']}", changed(timeout_seconds="9", revision=str(webhook["revision"])))

    assert shown.status == 409
    assert "Timeout in seconds" in shown.words
    assert f'name="revision" value="{webhook["revision"] + 1}"' in shown.text
    assert "very-secret-key" not in shown.words


async def test_what_differs_in_headers_and_secrets_is_told_without_secrets(site: Site):
    webhook = await made(site)
    theirs = {"headers": {"X-Site": "12", "X-Api-Key": "their-key"}, "secrets": {"room": "their-room"}}
    await site.cases.webhooks.change(site.actor(), webhook["id"], theirs)
    mine = changed(headers__key="X-Site", headers__value="13", signing_secret=f"whsec_{'A' * 32}")

    shown = await site.send(f"{LIST}/{webhook['id']}", [*mine, ("revision", str(webhook["revision"]))])

    assert "More headers: X-Site 13 12" in shown.words
    assert "More headers: X-Api-Key nothing [set]" in shown.words
    assert "Secrets for the template: room nothing [set]" in shown.words
    assert "Signing secret [set] nothing" in shown.words
    assert "their-" not in shown.text


async def test_a_form_that_is_tried_keeps_its_revision(site: Site):
    webhook = await made(site)
    await site.cases.webhooks.change(site.actor(), webhook["id"], {"timeout_seconds": 30})

    shown = await site.send(f"{LIST}/{webhook['id']}/test", changed(revision=str(webhook["revision"])))

    assert f'name="revision" value="{webhook["revision"]}"' in shown.text


async def test_a_test_of_an_unsaved_form_shows_its_invocation(site: Site):
    shown = await site.send(f"{LIST}/test", FORM, **{"HX-Request": "true", "HX-Request-Type": "partial"})

    assert shown.status == 200
    assert "Test failed" in shown.words or "Test successful" in shown.words
    assert "<html" not in shown.text
    assert "very-secret-key" not in shown.text


async def test_the_rendering_follows_the_template(site: Site):
    shown = await site.send(f"{LIST}/preview", changed(example="change"))
    wrong = await site.send(f"{LIST}/preview", changed(body_template='{"a": "{{ data.nam }}"}'))

    assert "Test of this webhook" in shown.words
    assert "data.nam" in wrong.words


async def test_switching_off_can_be_taken_back(site: Site):
    webhook = await made(site)

    await site.send(f"{LIST}/{webhook['id']}/switch", {"active": ""})
    off = await site.cases.webhooks.show(site.actor(), webhook["id"])
    await site.send(f"{LIST}/{webhook['id']}/switch", {"active": "on"})

    assert off["active"] is False
    assert (await site.cases.webhooks.show(site.actor(), webhook["id"]))["active"] is True


async def test_deliveries_are_listed_and_resent(site: Site):
    integration = await site.cases.integrations.create(
        site.actor(), {"name": "Orders", "type": "webhook-trigger", "status": "enabled"}
    )
    webhook = await made(site)
    await site.cases.webhooks.change(site.actor(), webhook["id"], {"filters": {"statuses": ["warning", "error"]}})
    await site.story.fail(integration["id"])
    await site.story.judge(integration)
    delivery_id = await site.story.notify(webhook["id"], 410)

    shown = await site.open(f"{LIST}/{webhook['id']}/deliveries")
    sent = await site.send(f"{LIST}/{webhook['id']}/deliveries/{delivery_id}/resend", {}, who="bob")

    assert "Orders : warning" in shown.words
    assert "Failed" in shown.words
    assert sent.status == 303


@pytest.mark.parametrize(("who", "status"), [("alice", 303), ("bob", 403), ("charlie", 403), ("dora", 404)])
async def test_only_admins_of_the_workspace_change_webhooks(site: Site, who: str, status: int):
    webhook = await made(site)

    assert (await site.send(f"{LIST}/{webhook['id']}/delete", {}, who=who)).status == status
    assert (await site.send(LIST, changed(name="Another"), who=who)).status == status


@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 200), ("dora", 404)])
async def test_members_look_and_others_see_nothing(site: Site, who: str, status: int):
    webhook = await made(site)

    for path in (LIST, f"{LIST}/{webhook['id']}", f"{LIST}/{webhook['id']}/deliveries"):
        shown = await site.open(path, who=who)
        assert shown.status == status
        assert "very-secret-key" not in shown.text


async def test_expected_values_come_back_as_they_were(site: Site):
    values = ["ok", 200, "200", "a,b", None, True]
    written = changed(validators__values=json.dumps(values)[1:-1])
    await site.send(LIST, written)
    [webhook] = (await site.cases.webhooks.page(site.actor())).items
    page = await site.open(f"{LIST}/{webhook['id']}")

    assert webhook["response_validators"][0]["expected_values"] == values
    assert "&#34;200&#34;" in page.text
