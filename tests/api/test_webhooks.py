"""Notification webhooks over the API."""

from __future__ import annotations

import json

from tests.api.conftest import Api
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
