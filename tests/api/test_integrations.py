"""Integrations, keys, workflows, tokens and the installation over the API."""

from __future__ import annotations

import hashlib
from pathlib import Path

import crossdock.api
from tests.api.conftest import Api

INTEGRATIONS = "/api/v1/integrations"


async def test_an_integration_is_made_shown_changed_and_deleted(api: Api) -> None:
    made = await api.call("POST", INTEGRATIONS, {"name": "Orders", "type": "event-webhook-async"})
    place = made.headers["location"]
    assert (made.status, place) == (201, f"{INTEGRATIONS}/{made.json['id']}")

    changed = await api.call("PATCH", place, {"trigger": {"request_timeout": "PT5M"}})
    assert (changed.status, changed.json["trigger"]["request_timeout"]) == (200, "PT5M")
    assert (await api.call("GET", place)).json == changed.json

    assert (await api.call("DELETE", place)).status == 204
    assert (await api.call("GET", place)).status == 404


async def test_a_change_from_an_old_revision_is_refused(api: Api) -> None:
    made = await api.make()
    place = f"{INTEGRATIONS}/{made['id']}"
    assert (await api.call("PATCH", place, {"retention": "P3D", "revision": made["revision"]})).status == 200

    late = await api.call("PATCH", place, {"retention": "P9D", "revision": made["revision"]})

    assert (late.status, late.json["type"]) == (409, "/problems/conflict")


async def test_lists_are_filtered_and_paged(api: Api) -> None:
    for name in ("Orders", "Stock", "Shop"):
        await api.make(name)
    await api.make("Old orders", status="disabled", type="event-webhook-sync")

    async def names(query: str) -> list[str]:
        return [item["name"] for item in (await api.call("GET", f"{INTEGRATIONS}?{query}")).json["items"]]

    assert await names("q=ORDER") == ["Old orders", "Orders"]
    assert await names("status=disabled") == ["Old orders"]
    assert await names("type=event-webhook-sync") == ["Old orders"]
    first = (await api.call("GET", f"{INTEGRATIONS}?limit=2")).json
    assert [item["name"] for item in first["items"]] == ["Old orders", "Orders"]
    assert await names(f"limit=2&cursor={first['next']}") == ["Shop", "Stock"]


async def test_a_key_is_told_once(api: Api) -> None:
    made = await api.make()
    place = f"{INTEGRATIONS}/{made['id']}/keys"
    added = await api.call("POST", place, {"label": "till 7"})
    key = f"{place}/{added.json['id']}"

    assert added.json["key"].startswith("xdk_")
    assert added.headers["location"] == key
    assert added.json["key"].encode() not in (await api.call("GET", place)).body
    changed = await api.call("PATCH", key, {"disabled": True, "expires_at": "2030-01-01T00:00:00Z"})
    assert (changed.json["disabled"], changed.json["expires_at"]) == (True, "2030-01-01T00:00:00.000Z")
    assert (await api.call("DELETE", key)).status == 204
    assert (await api.call("GET", key)).status == 404


async def test_the_signing_secret_is_for_admins(api: Api) -> None:
    made = await api.make()
    place = f"{INTEGRATIONS}/{made['id']}/signing-secret"

    assert (await api.call("GET", place, who="bob")).status == 403
    before = (await api.call("GET", place)).json["signing_secret"]
    after = (await api.call("POST", f"{place}/rotate")).json["signing_secret"]
    assert before != after == (await api.call("GET", place)).json["signing_secret"]


async def test_workflow_versions_are_kept_and_published(api: Api) -> None:
    made = await api.make()
    place = f"{INTEGRATIONS}/{made['id']}/workflow"
    assert (await api.call("GET", place)).json["number"] == 0
    for name in ("one", "two"):
        assert (await api.call("PUT", place, {"steps": [{"id": name, "transform": {}}]})).status == 200

    assert [each["number"] for each in (await api.call("GET", f"{place}/versions")).json["items"]] == [2, 1]
    assert (await api.call("POST", f"{place}/versions/1/publish")).json["published"]
    assert (await api.call("GET", place)).json["document"]["steps"][0]["id"] == "one"
    assert (await api.call("GET", f"{place}/versions/99999999999999999999")).status == 404


async def test_a_wrong_workflow_is_refused_by_field_and_nothing_is_kept(api: Api) -> None:
    made = await api.make()
    place = f"{INTEGRATIONS}/{made['id']}/workflow"

    answer = await api.call("PUT", place, {"steps": [{"transform": {}}]})

    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "workflow.steps[0].id")
    assert (await api.call("GET", place)).json["number"] == 0


async def test_a_token_works_until_it_is_revoked(api: Api) -> None:
    made = await api.call("POST", "/api/v1/tokens", {"name": "deploy", "role": "viewer"})
    api.tokens["deploy"] = made.json["token"]
    assert (await api.call("GET", INTEGRATIONS, who="deploy")).status == 200
    assert made.json["token"].encode() not in (await api.call("GET", "/api/v1/tokens")).body

    assert (await api.call("DELETE", f"/api/v1/tokens/{made.json['id']}")).status == 204

    assert (await api.call("GET", INTEGRATIONS, who="deploy")).status == 401


async def test_the_installation_is_told_to_those_who_may_know(api: Api) -> None:
    assert (await api.call("GET", "/api/v1/settings")).status == 200
    assert (await api.call("GET", "/api/v1/settings", who="bob")).status == 403
    assert (await api.call("GET", "/api/v1/nodes", who="charlie")).status == 200
    types = [each["type"] for each in (await api.call("GET", "/api/v1/external-systems")).json["items"]]
    assert {"event-webhook-async", "event-webhook-sync", "webhook-trigger"} <= set(types)


async def test_what_is_exported_can_be_applied_again(api: Api) -> None:
    await api.make(workflow={"steps": [{"id": "one", "transform": {"a": "{{ body.a }}"}}]})
    documents = (await api.call("GET", "/api/v1/export")).json["documents"]

    plan = await api.call("POST", "/api/v1/apply", {"documents": documents})

    assert (plan.status, plan.json["changes_something"]) == (200, False)
    assert (await api.call("POST", "/api/v1/apply", {"documents": documents}, who="bob")).status == 403


def test_what_was_taken_over_is_what_was_published() -> None:
    folder = Path(crossdock.api.__file__).parent / "static" / "swagger-ui"
    lines = (line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines())
    sums = {name: digest for digest, name in lines}

    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    del found["SHA256SUMS"]
    assert found == sums
