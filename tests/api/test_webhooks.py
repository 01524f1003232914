"""Notification webhooks over the API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crossdock.model.time import format_instant
from tests.api.conftest import Api
from tests.support.held import HeldClock
from tests.support.webhooks import SIGNING_SECRET, webhook_document

WEBHOOKS = "/api/v1/notification-webhooks"
BEARER = {"type": "bearer_token", "token": "hunter2-token"}


async def test_a_webhook_is_made_shown_changed_tried_and_deleted(api: Api) -> None:
    document = webhook_document(
        authentication=BEARER, secrets={"routing_key": "hunter2-key"}, signing_secret=SIGNING_SECRET
    )
    made = await api.call("POST", WEBHOOKS, document)
    place = made.headers["location"]
    assert (made.status, place) == (201, f"{WEBHOOKS}/{made.json['id']}")

    changed = await api.call("PATCH", place, {"timeout_seconds": 5, "revision": 1})
    assert (changed.status, changed.json["timeout_seconds"]) == (200, 5)
    shown = await api.call("GET", place, who="charlie")
    assert shown.json == changed.json
    assert not [one for one in (b"hunter2", SIGNING_SECRET.encode()) if one in made.body + changed.body + shown.body]

    tried = await api.call("POST", f"{place}/test", who="bob")
    assert (tried.status, tried.json["outcome"]) == (200, "successful")
    assert tried.json["invocation"]["response"]["body"] == '{"status": "ok"}'
    assert (await api.call("DELETE", place)).status == 204
    assert (await api.call("GET", place)).status == 404


async def test_an_unsaved_webhook_is_tried(api: Api) -> None:
    tried = await api.call("POST", f"{WEBHOOKS}/test", webhook_document(body_template='{"text": "{{ data.name }}"}'))

    assert json.loads(tried.json["invocation"]["request"]["body"]) == {"text": "Test of this webhook"}
    assert (await api.call("GET", WEBHOOKS)).json == {"items": [], "next": None}


async def test_webhooks_are_filtered_and_paged(api: Api) -> None:
    for name, active in (("B", False), ("A", True), ("On call", True)):
        await api.call("POST", WEBHOOKS, webhook_document(name, active=active))

    async def names(query: str) -> list[str]:
        return [item["name"] for item in (await api.call("GET", f"{WEBHOOKS}?{query}")).json["items"]]

    assert await names("active=true") == ["A", "On call"]
    assert await names("active=false") == ["B"]
    assert await names("q=CALL") == ["On call"]
    first = (await api.call("GET", f"{WEBHOOKS}?limit=2")).json
    assert await names(f"cursor={first['next']}") == ["On call"]
    assert (await api.call("GET", f"{WEBHOOKS}?active=perhaps")).status == 422


async def test_roles_and_workspaces_hold(api: Api) -> None:
    place = (await api.call("POST", WEBHOOKS, webhook_document())).headers["location"]

    for who in ("bob", "charlie"):
        assert (await api.call("POST", WEBHOOKS, webhook_document("B"), who=who)).status == 403
        assert (await api.call("POST", f"{WEBHOOKS}/test", webhook_document("B"), who=who)).status == 403
        assert (await api.call("PATCH", place, {"active": False}, who=who)).status == 403
        assert (await api.call("DELETE", place, who=who)).status == 403
    assert (await api.call("POST", f"{place}/test", who="charlie")).status == 403
    assert (await api.call("POST", f"{place}/test", {"url": "https://x.example"}, who="bob")).status == 403
    for method, path in (("GET", place), ("DELETE", place), ("POST", f"{place}/test")):
        assert (await api.call(method, path, who="dora")).status == 404
    assert (await api.call("GET", f"{WEBHOOKS}/payload-schema", who="charlie")).status == 200


async def test_the_payload_schema_comes_with_examples(api: Api) -> None:
    told = (await api.call("GET", f"{WEBHOOKS}/payload-schema")).json

    assert told["schema"]["properties"]["data"]["properties"].keys() == told["examples"]["change"]["data"].keys()
    assert told["examples"].keys() == {"change", "recovery", "digest"}


async def test_wrong_fields_are_told_with_their_paths(api: Api) -> None:
    document = webhook_document(
        url="http://alerts.example/hook",
        authentication={"type": "oauth", "client_id": "x", "token_endpoint_url": "https://u:p@login.example/token"},
        filters={"integrations": ["int_nobody"]},
    )

    answer = await api.call("POST", WEBHOOKS, document)

    assert answer.status == 422
    assert {error["field"] for error in answer.json["errors"]} == {
        "url",
        "authentication.token_endpoint_url",
        "filters.integrations[0]",
    }


async def test_a_name_is_taken_and_a_revision_is_old(api: Api) -> None:
    place = (await api.call("POST", WEBHOOKS, webhook_document())).headers["location"]
    await api.call("PATCH", place, {"active": False})

    twice = await api.call("POST", WEBHOOKS, webhook_document())
    late = await api.call("PATCH", place, {"active": True, "revision": 1})

    assert (twice.status, twice.json["errors"][0]["message"]) == (
        422,
        "is taken by another notification webhook: Alerts",
    )
    assert (late.status, "revision 1" in late.json["detail"]) == (409, True)


# --- what it was told ------------------------------------------------------------------------------------------------


async def made_and_broken(api: Api, **more: Any) -> tuple[str, Any]:
    """A webhook, and an integration whose first run has failed; the webhook's place and the integration."""
    made = await api.call("POST", WEBHOOKS, webhook_document(**more))
    orders = await api.make()
    await api.story.fail(orders["id"])
    await api.story.judge(orders)
    return made.headers["location"], orders


async def test_deliveries_tell_what_was_told_and_how_it_went(api: Api) -> None:
    place, orders = await made_and_broken(api)
    webhook_id = place.rpartition("/")[2]

    sent = await api.story.notify(webhook_id, 500)

    [line] = (await api.call("GET", f"{place}/deliveries", who="charlie")).json["items"]
    assert (line["id"], line["status"], line["attempts"]) == (sent, "failed", 1)
    assert line["error"] == "the target answered 500"
    [change] = line["changes"]
    assert (change["integration"], change["status"]) == ({"id": orders["id"], "name": "Orders"}, "warning")
    whole = (await api.call("GET", f"/api/v1/deliveries/{sent}", who="charlie")).json
    assert (whole["kind"], whole["webhook_id"], whole["changes"]) == ("notification", webhook_id, [change])
    assert whole["attempts"][0]["request"] == {"headers": {"webhook-id": sent}, "body": '{"a":1}'}
    assert (await api.call("GET", f"/api/v1/deliveries/{sent}", who="dora")).status == 404


async def test_a_notification_is_resent_as_a_new_one(api: Api) -> None:
    place, _ = await made_and_broken(api)
    sent = await api.story.notify(place.rpartition("/")[2], 410)

    again = await api.call("POST", f"/api/v1/deliveries/{sent}/resend", who="bob")

    assert (again.status, again.json["status"]) == (201, "queued")
    lines = (await api.call("GET", f"{place}/deliveries")).json["items"]
    assert [line["id"] for line in lines] == [again.json["id"], sent]
    assert lines[0]["changes"] == lines[1]["changes"]
    page = (await api.call("GET", f"{place}/deliveries?limit=1")).json
    rest = (await api.call("GET", f"{place}/deliveries?limit=1&cursor={page['next']}")).json
    assert ([line["id"] for line in rest["items"]], rest["next"]) == ([sent], None)


async def test_a_webhook_that_fails_warns_of_itself_until_it_does_not(api: Api, clock: HeldClock) -> None:
    place, orders = await made_and_broken(api)
    webhook_id = place.rpartition("/")[2]
    await api.story.notify(webhook_id, 500)

    failing = (await api.call("GET", place)).json
    for _ in range(5):
        await api.story.fail(orders["id"])
    await api.story.judge(orders)
    await api.story.notify(webhook_id, 200)
    well = (await api.call("GET", place)).json

    assert failing["status"].items() >= {"state": "failing", "failures": 1}.items()
    assert "the target answered 500" in failing["warnings"][0]
    assert (well["status"]["state"], well["status"]["delivered_at"]) == ("ok", format_instant(clock.now))
    assert well["warnings"] == []


async def test_what_is_held_is_shown_with_its_reason(api: Api) -> None:
    night = {"from": "00:00", "until": "23:59", "time_zone": "UTC", "days": ["mon"]}

    place, _ = await made_and_broken(api, quiet_hours=night)

    assert (await api.call("GET", f"{place}/deliveries")).json["items"] == []
    [held] = (await api.call("GET", place)).json["held"]
    assert (held["integration"]["name"], held["status"], held["reason"]) == ("Orders", "warning", "quiet_hours")
    assert held["until"] == "2026-09-21T23:59:00.000Z"


@pytest.mark.parametrize("end", ["switched off", "deleted"])
async def test_what_waits_is_canceled_when_the_webhook_ends(api: Api, end: str) -> None:
    place, _ = await made_and_broken(api)
    [waiting] = (await api.call("GET", f"{place}/deliveries")).json["items"]

    if end == "deleted":
        await api.call("DELETE", place)
    else:
        await api.call("PATCH", place, {"active": False})
        [line] = (await api.call("GET", f"{place}/deliveries")).json["items"]
        assert (line["status"], line["error"]) == ("canceled", "the notification webhook was switched off")

    assert await api.story.is_canceled(waiting["id"])


async def test_ready_made_webhooks_can_be_saved_once_their_secrets_are_there(api: Api) -> None:
    offered = (await api.call("GET", f"{WEBHOOKS}/templates", who="charlie")).json["items"]

    assert {"slack", "pagerduty"} <= {one["name"].lower() for one in offered}
    for one in offered:
        document = {"name": f"From {one['name']}", **one["document"]}
        for secret in one["secrets"]:
            fill(document, secret["field"], "a-secret-of-some-length")
        made = await api.call("POST", WEBHOOKS, document)
        assert made.status == 201, (one["name"], made.json)


def fill(document: Any, field: str, value: str) -> None:
    *parents, name = field.split(".")
    for parent in parents:
        document = document[parent]
    document[name] = value
