"""Who may do what: every page and every deed of all screens, as each role and as the admin of another workspace.

Whoever adds a route writes it into the table below: nothing is open to anybody by being forgotten.
"""

from __future__ import annotations

import base64
import re
import zlib
from typing import Any

import pytest

from crossdock.manage.audit import AuditQuery
from crossdock.ui.screens import SCREENS
from tests.ui.conftest import Site
from tests.ui.test_connections import make as make_connection
from tests.ui.test_event import add_integration
from tests.ui.test_webhooks import made as make_webhook

VIEWER = """
GET
GET /live
GET /integrations
GET /integrations/new
POST /integrations/new/preview
GET /integrations/{integration_id}
GET /integrations/{integration_id}/access
GET /integrations/{integration_id}/code
GET /integrations/{integration_id}/code/file
GET /integrations/{integration_id}/events
GET /integrations/{integration_id}/lanes
GET /integrations/{integration_id}/settings
GET /integrations/{integration_id}/workflow
GET /integrations/{integration_id}/workflow/differences
POST /integrations/{integration_id}/workflow/preview
GET /integrations/{integration_id}/workflow/versions
GET /integrations/{integration_id}/workflow/yaml
GET /events
GET /events/export
GET /events/refused
GET /events/{event_id}
GET /events/{event_id}/body
GET /events/{event_id}/steps
GET /events/{event_id}/steps/{step_id:path}
GET /deliveries/{delivery_id}
GET /connections
GET /connections/{connection_id}
GET /bulk-jobs
GET /bulk-jobs/{job_id}
GET /notification-webhooks
POST /notification-webhooks/preview
GET /notification-webhooks/{webhook_id}
GET /notification-webhooks/{webhook_id}/deliveries
GET /settings
GET /settings/about
GET /settings/me
POST /settings/me/password
POST /settings/me/sessions/end-others
POST /settings/me/sessions/{session_id}/end
"""
OPERATOR = """
POST /integrations/{integration_id}/issues/{issue_id}/{deed}
POST /events/chosen
POST /events/{event_id}/cancel
GET /events/{event_id}/replay
POST /events/{event_id}/replay
POST /events/{event_id}/retry
GET /events/{event_id}/what-if
POST /deliveries/{delivery_id}/resend
POST /connections/{connection_id}/test-saved
GET /bulk-jobs/new/{kind}
POST /bulk-jobs/new/{kind}
POST /bulk-jobs/{job_id}/{move}
POST /notification-webhooks/{webhook_id}/deliveries/{delivery_id}/resend
POST /notification-webhooks/{webhook_id}/test-saved
POST /integrations/{integration_id}/lanes/{decision}
GET /integrations/{integration_id}/workflow/test
POST /integrations/{integration_id}/workflow/test
GET /integrations/{integration_id}/workflow/what-if
POST /integrations/{integration_id}/workflow/what-if
"""
ADMIN = """
POST /integrations/example
POST /integrations/new
POST /integrations/new/type
POST /integrations/switch
POST /integrations/{integration_id}/access/keys
POST /integrations/{integration_id}/access/keys/{key_id}
POST /integrations/{integration_id}/access/keys/{key_id}/delete
POST /integrations/{integration_id}/access/keys/{key_id}/switch
POST /integrations/{integration_id}/access/signing-secret
POST /integrations/{integration_id}/access/signing-secret/rotate
POST /integrations/{integration_id}/code
POST /integrations/{integration_id}/code/apply
POST /integrations/{integration_id}/delete
POST /integrations/{integration_id}/settings
POST /integrations/{integration_id}/status
GET /integrations/{integration_id}/workflow/drop
POST /integrations/{integration_id}/workflow/drop
GET /integrations/{integration_id}/workflow/publish
POST /integrations/{integration_id}/workflow/publish
POST /integrations/{integration_id}/workflow/rollback
POST /integrations/{integration_id}/workflow/steps/add
POST /integrations/{integration_id}/workflow/steps/delete
POST /integrations/{integration_id}/workflow/steps/duplicate
POST /integrations/{integration_id}/workflow/steps/move
POST /integrations/{integration_id}/workflow/steps/put
POST /integrations/{integration_id}/workflow/steps/restore
POST /integrations/{integration_id}/workflow/steps/save
POST /integrations/{integration_id}/workflow/versions/{number}/edit
POST /integrations/{integration_id}/workflow/versions/{number}/publish
POST /integrations/{integration_id}/workflow/yaml
GET /connections/new
POST /connections
POST /connections/test
POST /connections/{connection_id}
POST /connections/{connection_id}/delete
POST /connections/{connection_id}/test
POST /notification-webhooks
GET /notification-webhooks/new
POST /notification-webhooks/test
POST /notification-webhooks/{webhook_id}
POST /notification-webhooks/{webhook_id}/delete
POST /notification-webhooks/{webhook_id}/switch
POST /notification-webhooks/{webhook_id}/test
GET /settings/audit
GET /settings/audit/{entry_id}
GET /settings/people
POST /settings/people/members
GET /settings/people/{user_id}
POST /settings/people/{user_id}
GET /settings/tokens
POST /settings/tokens
POST /settings/tokens/{token_id}/revoke
GET /settings/workspaces
POST /settings/workspaces/{slug}/rename
"""
ADMINISTRATOR = """
GET /settings/installation
POST /settings/people
POST /settings/people/{user_id}/delete
POST /settings/people/{user_id}/link
POST /settings/people/{user_id}/sessions/end
POST /settings/people/{user_id}/sessions/{session_id}/end
POST /settings/workspaces
POST /settings/workspaces/{slug}/delete
"""
LEAST = {
    route: role
    for role, routes in (
        ("viewer", VIEWER),
        ("operator", OPERATOR),
        ("admin", ADMIN),
        ("administrator", ADMINISTRATOR),
    )
    for route in routes.strip().splitlines()
}
BELOW = {"viewer": (), "operator": ("charlie",), "admin": ("charlie", "bob"), "administrator": ("charlie", "bob")}
FIRST = {"viewer": "charlie", "operator": "bob", "admin": "alice", "administrator": "alice"}
STREAM = "GET /live"
"""It does not end; tests/ui/test_live.py opens it."""

_STEP = {"at": "steps/0", "was": "map", "into": "steps"}
_PACKED = base64.urlsafe_b64encode(zlib.compress(b'{"id": "there", "transform": {}}')).decode()
FIELDS: dict[str, dict[str, str]] = {
    "POST /connections": {"kind": "http"},
    "POST /connections/test": {"kind": "http"},
    "POST /events/chosen": {"deed": "cancel", "event_id": "evt_0"},
    "POST /integrations/new": {"type": "webhook-trigger"},
    "POST /integrations/switch": {"status": "disabled"},
    "POST /integrations/{integration_id}/issues/{issue_id}/{deed}": {"for": "PT1H"},
    "POST /integrations/{integration_id}/status": {"status": "disabled"},
    "POST /integrations/{integration_id}/workflow/steps/add": {**_STEP, "kind": "delay"},
    "POST /integrations/{integration_id}/workflow/steps/delete": _STEP,
    "POST /integrations/{integration_id}/workflow/steps/duplicate": _STEP,
    "POST /integrations/{integration_id}/workflow/steps/move": _STEP,
    "POST /integrations/{integration_id}/workflow/steps/put": {**_STEP, "position": "0"},
    "POST /integrations/{integration_id}/workflow/steps/restore": {**_STEP, "step": _PACKED},
    "POST /integrations/{integration_id}/workflow/steps/save": _STEP,
}
"""What a deed has to be sent to get as far as being refused for the role."""

only_once = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Roles are judged before the store is asked."""


async def fill(site: Site) -> dict[str, str]:
    """One of each thing in the workspace `default`, by the names of the parameters of paths."""
    integration_id = await add_integration(site, retry={"attempts": 1})
    event_id = await site.story.succeed(integration_id, reply="dlv_1")
    await site.story.end_reply(integration_id, "dlv_1")
    await site.story.fail(integration_id)
    await site.story.judge(await site.cases.integrations.show(site.actor(), integration_id))
    [issue, *_] = (await site.cases.health.issues(site.actor(), integration_id)).items
    [entry, *_] = (await site.cases.audit.page(site.actor(), AuditQuery())).items
    [session] = (await site.cases.users.sessions(site.actor(), "usr_bob")).items
    job = await site.send("/w/default/bulk-jobs/new/replay", {"reason": "The carrier was down"})
    workflow = {"steps": [{"id": "map", "transform": {"a": 1}}]}
    draft = await site.cases.drafts.save(site.actor(), integration_id, workflow, revision=0)
    return {
        "connection_id": (await make_connection(site))["id"],
        "decision": "retry",
        "deed": "snooze",
        "delivery_id": "dlv_1",
        "entry_id": entry["id"],
        "event_id": event_id,
        "integration_id": integration_id,
        "issue_id": issue["id"],
        "job_id": job.location.rpartition("/")[2],
        "key_id": (await site.cases.keys.add(site.actor(), integration_id, "Orders"))["id"],
        "kind": "replay",
        "move": "pause",
        "number": "1",
        "session_id": session["id"],
        "seen": f"{draft['revision']}-1",
        "slug": "default",
        "step_id:path": "map",
        "token_id": (await site.cases.tokens.create(site.actor(), "ci", "viewer"))["id"],
        "user_id": "usr_bob",
        "webhook_id": (await make_webhook(site))["id"],
    }


async def ask(site: Site, route: str, who: str, things: dict[str, str], workspace: str = "default") -> int:
    """The status that a page or a deed answers with."""
    method, _, path = route.partition(" ")
    url = f"/w/{workspace}" + re.sub(r"{([^}]*)}", lambda found: things[found[1]], path)
    fields = {**FIELDS.get(route, {}), "seen": things["seen"]}
    shown = await (site.open(url, who) if method == "GET" else site.send(url, fields, who))
    return shown.status


def test_every_route_has_its_least_role():
    routes = [f"{route.method} {route.path}".strip() for screen in SCREENS for route in screen]

    assert sorted(routes) == sorted(LEAST)


@only_once
async def test_whoever_has_a_lower_role_is_refused(site: Site):
    things = await fill(site)
    let_in: list[Any] = []
    for route, role in LEAST.items():
        for who in BELOW[role]:
            status = await ask(site, route, who, things)
            let_in += [] if status == 403 else [(route, who, status)]
        nobody = await ask(site, route, "", things)
        let_in += [] if nobody == (303 if route.startswith("GET") else 401) else [(route, "nobody", nobody)]

    assert let_in == []


@only_once
async def test_whoever_has_the_role_is_let_in(site: Site):
    things = await fill(site)
    refused: list[Any] = []
    # what ends things, or somebody's sessions, comes last
    for route in sorted(LEAST.keys() - {STREAM}, key=lambda each: ("/delete" in each or "/end" in each, each)):
        who = FIRST[LEAST[route]]
        status = await ask(site, route, who, things)
        refused += [(route, who, status)] if status in (401, 403) or status >= 500 else []

    assert refused == []


@only_once
async def test_an_admin_of_another_workspace_finds_nothing(site: Site):
    things = await fill(site)
    found: list[Any] = []
    for route, role in LEAST.items():
        if await ask(site, route, "dora", things) != 404:
            found.append(("its path", route))
        if "_id" in route or "{slug}" in route:
            status = await ask(site, route, "dora", things, workspace="away")
            is_hidden = status == 404 or (role == "administrator" and status == 403)
            found += [] if is_hidden else [("its things in a path of one's own", route, status)]

    assert found == []
