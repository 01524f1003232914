"""The audit log over the API: every change writes its rows in its own transaction, without secrets; admins read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from crossdock.clock import system_now
from crossdock.model.time import format_instant
from crossdock.store import Store, schema
from tests.api.conftest import Api
from tests.api.deeds import API, DEEDS, INTEGRATIONS, OTHER_STEPS, SECRETS, STEPS, Deed
from tests.support.filled import contents
from tests.support.held import HeldClock

AUDIT = f"{API}/audit"
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "audit.md"
ELSEWHERE = {
    f"DELETE {API}/users/{{user_id}}/sessions/{{session_id}}",  # needs somebody who has signed in
    f"POST {INTEGRATIONS}/{{integration_id}}/workflow/preview",  # change nothing, and send nothing
    f"POST {API}/notification-webhooks/preview",
}
IN_ANOTHER = {"a_workspace_renamed", "a_token_of_another_workspace"}
"""Deeds that are told in the workspace that they are about."""

every_deed = pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)


@pytest.fixture
def clock() -> HeldClock:
    """Held at the time of this test: the ids of entries tell the real time."""
    return HeldClock(system_now())


def rows(store: Store) -> list[Any]:
    """The audit log as it is stored, oldest first."""
    return sorted(contents(store.database, schema.audit))


async def lines(api: Api, query: str = "", who: str = "alice") -> list[Any]:
    answer = await api.call("GET", f"{AUDIT}{query}", who=who)
    assert answer.status == 200, answer.json
    items: list[Any] = answer.json["items"]
    return items


async def told_of(api: Api, action: str) -> Any:
    """The newest entry of an action, whole."""
    line = (await lines(api, f"?action={action}"))[0]
    return (await api.call("GET", f"{AUDIT}/{line['id']}")).json


# --- what every change does ---


async def test_every_route_that_changes_something_is_tried_here(api: Api) -> None:
    description = (await api.call("GET", "/api/openapi.json")).json

    changing = {
        f"{method.upper()} {path}"
        for path, operations in description["paths"].items()
        for method in operations
        if method != "get"
    }

    assert changing - {deed.operation for deed in DEEDS} == ELSEWHERE


@every_deed
async def test_a_change_writes_its_rows(api: Api, store: Store, deed: Deed) -> None:
    path, document = await deed.prepare(api)
    before = rows(store)

    answer = await api.call(deed.method, path, document)

    assert answer.status < 300, answer.json
    written = [row for row in rows(store) if row not in before]
    assert sorted(row.action for row in _named(written)) == sorted(deed.actions)
    assert {row.actor_name for row in _named(written)} == {"alice"}
    assert {row.workspace_id == "wsp_home" for row in _named(written)} == {deed.name not in IN_ANOTHER}
    assert all(row.actor_id.startswith("tok_") for row in _named(written))


@every_deed
async def test_a_refused_change_writes_no_row(api: Api, store: Store, deed: Deed) -> None:
    path, document = await deed.prepare(api)
    before = rows(store)

    assert (await api.call(deed.method, path, document, who="charlie")).status in (403, 404)
    assert rows(store) == before
    answer = await api.call(deed.method, path, document, who="dora")
    assert (answer.status < 300) == deed.is_own
    written = _named([row for row in rows(store) if row not in before])
    assert {row.workspace_id for row in written} <= ({"wsp_away"} if deed.is_own else set())


@every_deed
async def test_without_its_row_there_is_no_change(api: Api, store: Store, deed: Deed) -> None:
    path, document = await deed.prepare(api)
    tables = [table for table in schema.metadata.sorted_tables if table is not schema.audit]
    before = {table.name: contents(store.database, table) for table in tables}
    await store.write(lambda connection: connection.execute(text("DROP TABLE audit")))

    answer = await api.call(deed.method, path, document)

    assert answer.status >= 400
    assert {table.name: contents(store.database, table) for table in tables} == before


async def test_no_secret_is_in_the_log_after_all_of_this(api: Api, store: Store) -> None:
    shown = [*SECRETS, *api.tokens.values()]
    for deed in DEEDS:
        if deed.name == "a_configuration_applied":
            continue  # it deletes what the others have made
        await _clear(api)
        path, document = await deed.prepare(api)
        answer = await api.call(deed.method, path, document)
        found = answer.json if isinstance(answer.json, dict) else {}
        shown += [found[name] for name in ("key", "token", "signing_secret") if str(found.get(name)).startswith("xd")]
        shown += [found["signing_secret"]] if str(found.get("signing_secret")).startswith("whsec_") else []

    log = repr(rows(store))
    assert len(shown) > len(SECRETS) + 4
    assert [secret for secret in shown if secret in log or json.dumps(secret)[1:-1] in log] == []


def test_the_guide_names_every_action() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    told = {
        action
        for line in guide.splitlines()
        if line.startswith("| `")
        for action in re.findall(r"`([a-z_]+\.[a-z_]+)`", line.split("|")[1])
    }
    others = {"integration.enabled", "workflow.removed", "user.password_set"}
    others |= {"user.session_ended", "user.identity_linked"}

    assert told == {action for deed in DEEDS for action in deed.actions} | others


# --- what a row tells ---


async def test_a_change_tells_only_what_differs(api: Api) -> None:
    made = await api.make(platform_token="one-platform-token", trigger={"authentication": {"mode": "platform_token"}})
    await api.call("PATCH", f"{INTEGRATIONS}/{made['id']}", {"name": "Shop", "platform_token": "another-token-text"})

    told = await told_of(api, "integration.changed")

    assert told["subject"] == {"id": made["id"], "name": "Shop"}
    assert told["before"] == {"name": "Orders", "platform_token": "[set]"}
    assert told["after"] == {"name": "Shop", "platform_token": "[changed]"}
    assert told["changes"] == [
        {"field": "name", "before": "Orders", "after": "Shop"},
        {"field": "platform_token", "before": "[set]", "after": "[changed]"},
    ]


async def test_of_a_workflow_the_steps_that_differ_are_told_with_both_versions(api: Api) -> None:
    made = await api.make(workflow={"steps": [*STEPS["steps"], {"id": "same", "transform": {}}]})
    document = {"steps": [*OTHER_STEPS["steps"], {"id": "same", "transform": {}}]}
    await api.call("PUT", f"{INTEGRATIONS}/{made['id']}/workflow", document)

    told = await told_of(api, "workflow.published")

    assert told["before"] == {"workflow.steps": STEPS["steps"], "workflow_version": 1}
    assert told["after"] == {"workflow.steps": OTHER_STEPS["steps"], "workflow_version": 2}


async def test_what_is_made_and_what_is_deleted_is_told_whole(api: Api) -> None:
    made = await api.make(workflow=STEPS)
    await api.call("DELETE", f"{INTEGRATIONS}/{made['id']}")

    created, deleted = await told_of(api, "integration.created"), await told_of(api, "integration.deleted")

    assert created["before"] is None
    assert created["after"] == deleted["before"]
    assert created["after"]["workflow"] == STEPS
    assert created["after"]["signing_secret"] == "[set]"
    assert deleted["after"] is None


async def test_a_key_is_told_by_its_id_and_what_changed_of_it(api: Api) -> None:
    made = await api.make()
    key = (await api.call("POST", f"{INTEGRATIONS}/{made['id']}/keys", {"label": "till 7"})).json
    await api.call("PATCH", f"{INTEGRATIONS}/{made['id']}/keys/{key['id']}", {"label": "till 8"})

    told = await told_of(api, "key.changed")

    assert told["subject"] == {"id": made["id"], "name": "Orders"}
    assert (told["before"]["key_id"], told["after"]["key_id"]) == (key["id"], key["id"])
    assert told["changes"] == [{"field": "label", "before": "till 7", "after": "till 8"}]
    assert (await told_of(api, "key.added"))["after"]["generated"] is True


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("the_head_of_a_lane_skipped", "asked by the shop"),
        ("an_issue_resolved", "the warehouse is back"),
        ("many_events_canceled", "a test went wrong"),
        ("a_configuration_applied", "apply"),
        ("an_event_canceled", None),
    ],
)
async def test_a_note_is_kept(api: Api, name: str, note: str | None) -> None:
    (deed,) = (deed for deed in DEEDS if deed.name == name)
    path, document = await deed.prepare(api)
    await api.call(deed.method, path, document)

    assert (await lines(api))[0]["note"] == note


async def test_the_reason_of_a_bulk_job_is_kept_with_it(api: Api) -> None:
    asked = {"filter": {"status": "failed"}, "reason": "the warehouse was away"}
    made = await api.call("POST", f"{API}/events/replay", asked)

    assert (made.status, made.json["reason"]) == (201, "the warehouse was away")


async def test_a_change_that_changes_nothing_writes_no_row(api: Api, store: Store) -> None:
    made = await api.make(workflow=STEPS)
    before = rows(store)

    await api.call("PATCH", f"{INTEGRATIONS}/{made['id']}", {"name": "Orders"})
    await api.call("PUT", f"{INTEGRATIONS}/{made['id']}/workflow", STEPS)
    await api.call("POST", f"{INTEGRATIONS}/{made['id']}/workflow/test", {"mode": "dry_run"})

    assert rows(store) == before


# --- reading ---


@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 403), ("charlie", 403), ("dora", 200)])
async def test_only_admins_read_the_log_of_their_workspace(api: Api, who: str, status: int) -> None:
    made = await api.make()
    (line,) = await lines(api, f"?subject={made['id']}")

    listed = await api.call("GET", AUDIT, who=who)
    shown = await api.call("GET", f"{AUDIT}/{line['id']}", who=who)

    assert listed.status == status
    assert shown.status == {"dora": 404}.get(who, status)
    assert who != "dora" or made["id"] not in listed.body.decode()


async def test_the_log_is_narrowed(api: Api, clock: HeldClock) -> None:
    orders = await api.make()
    alice = (await lines(api))[0]["actor"]
    since = format_instant(clock.advance(2))
    await api.call("POST", f"{INTEGRATIONS}/{orders['id']}/keys", {"label": "Größe 7"})
    stock = await api.make("Stock")

    async def found(query: str) -> list[str]:
        return [line["action"] for line in await lines(api, query)]

    assert await found(f"?subject={orders['id']}") == ["key.added", "integration.created"]
    assert await found(f"?actor={alice['id']}&limit=2") == ["integration.created", "key.added"]
    assert await found(f"?actor={orders['id']}") == []
    assert await found("?action=key") == ["key.added"]
    assert await found("?q=stock") == ["integration.created"]
    assert await found("?q=Größe") == ["key.added"]
    assert await found(f"?since={since}") == ["integration.created", "key.added"]
    assert await found(f"?since={since}&subject={stock['id']}&until=2020-01-01T00:00:00Z") == []


async def test_the_log_is_read_page_by_page(api: Api) -> None:
    for name in ("One", "Two", "Three"):
        await api.make(name)

    first = (await api.call("GET", f"{AUDIT}?action=integration&limit=2")).json
    rest = (await api.call("GET", f"{AUDIT}?action=integration&limit=2&cursor={first['next']}")).json

    names = [line["subject"]["name"] for line in first["items"] + rest["items"]]
    assert (names, rest["next"]) == (["Three", "Two", "One"], None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("action=Integration", "action"),
        ("since=yesterday", "since"),
        ("until=1", "until"),
        ("q=%00", "q"),
        ("x=1", "x"),
    ],
)
async def test_a_wrong_filter_is_refused(api: Api, query: str, field: str) -> None:
    answer = await api.call("GET", f"{AUDIT}?{query}")

    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (422, [field])


@pytest.mark.parametrize("entry_id", ["aud_nobody", "%00", "a" * 500])
async def test_an_unknown_entry_is_not_there(api: Api, entry_id: str) -> None:
    assert (await api.call("GET", f"{AUDIT}/{entry_id}")).status == 404


async def _clear(api: Api) -> None:
    """Delete what would be in the way of the next deed."""
    for kind in ("integrations", "connections", "notification-webhooks", "tokens"):
        for item in (await api.call("GET", f"{API}/{kind}")).json["items"]:
            if item["name"] not in ("alice", "bob", "charlie"):
                await api.call("DELETE", f"{API}/{kind}/{item['id']}")
    for item in (await api.call("GET", f"{API}/users")).json["items"]:
        await api.call("DELETE", f"{API}/users/{item['id']}")
    await api.call("DELETE", f"{API}/workspaces/shop")
    for item in (await api.call("GET", f"{API}/bulk-jobs")).json["items"]:
        await api.call("POST", f"{API}/bulk-jobs/{item['id']}/cancel")


def _named(found: list[Any]) -> list[Any]:
    """Rows with the names of their columns."""
    names = [column.name for column in schema.audit.columns]
    return [type("Row", (), dict(zip(names, row, strict=True))) for row in found]
