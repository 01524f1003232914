"""Everything that the API can change, once each: what is asked, and which rows of the audit log come of it.

`DEEDS` is compared with the OpenAPI document: a route that changes something can't be missing here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from crossdock.model.states import RunMove
from tests.api.conftest import Api
from tests.support.connections import http_document, sql_document
from tests.support.webhooks import SIGNING_SECRET, webhook_document

API = "/api/v1"
INTEGRATIONS = f"{API}/integrations"
ONE = f"{INTEGRATIONS}/{{integration_id}}"
STEPS = {"steps": [{"id": "one", "transform": {"a": 1}}]}
OTHER_STEPS = {"steps": [{"id": "one", "transform": {"a": 2}}]}

SECRETS = (
    "hunter2-platform",
    "hunter2-basic",
    "hunter2-reply",
    "hunter2-pasted-key-text",
    "hunter2-bearer",
    "hunter2-oauth",
    "hunter2-sql",
    SIGNING_SECRET,
)
"""What must never stand in the audit log, whatever is done."""

Asked = tuple[str, Any]
"""The address, and the document that is sent."""


@dataclass(frozen=True)
class Deed:
    """`prepare` brings about what the deed needs, and gives what is asked. `dora`, of another workspace, is refused
    unless `is_own`: then it happens in her own one."""

    name: str
    operation: str
    actions: tuple[str, ...]
    prepare: Callable[[Api], Awaitable[Asked]]
    is_own: bool = False

    @property
    def method(self) -> str:
        return self.operation.partition(" ")[0]


DEEDS: list[Deed] = []


def deed(operation: str, *actions: str, is_own: bool = False) -> Callable[[Any], Any]:
    def keep(prepare: Callable[[Api], Awaitable[Asked]]) -> Any:
        name = prepare.__name__
        DEEDS.append(Deed(name, operation, actions, prepare, is_own))
        return prepare

    return keep


async def ask(api: Api, method: str, path: str, document: Any = None) -> Any:
    """Do something that a deed needs; what was answered."""
    answer = await api.call(method, path, document)
    assert answer.status < 300, answer.json
    return answer.json


def guarded(mode: str, **more: Any) -> dict[str, Any]:
    return {"trigger": {"authentication": {"mode": mode, **more}}}


# --- integrations ---


@deed(f"POST {INTEGRATIONS}", "integration.created", is_own=True)
async def a_new_integration(api: Api) -> Asked:
    reply = {"url": "https://erp.example/reply", "headers": {"X-Api-Key": "hunter2-reply"}}
    given = {"platform_token": "hunter2-platform", "reply": reply, "workflow": STEPS, **guarded("platform_token")}
    return INTEGRATIONS, {"name": "Shop", "type": "webhook-trigger", "status": "enabled", **given}


@deed(f"PATCH {ONE}", "integration.changed")
async def another_name_and_password(api: Api) -> Asked:
    made = await api.make(**guarded("basic", username="erp", password="hunter2-basic"))
    return f"{INTEGRATIONS}/{made['id']}", {
        "name": "Other",
        **guarded("basic", username="erp", password="hunter2-basic!"),
    }


@deed(f"PATCH {ONE}", "integration.disabled")
async def an_integration_switched_off(api: Api) -> Asked:
    made = await api.make()
    return f"{INTEGRATIONS}/{made['id']}", {"status": "disabled"}


@deed(f"DELETE {ONE}", "integration.deleted")
async def an_integration_deleted(api: Api) -> Asked:
    made = await api.make(platform_token="hunter2-platform", **guarded("platform_token"), workflow=STEPS)
    return f"{INTEGRATIONS}/{made['id']}", None


@deed(f"GET {ONE}/signing-secret", "integration.signing_secret_shown")
async def a_signing_secret_shown(api: Api) -> Asked:
    return f"{INTEGRATIONS}/{(await api.make())['id']}/signing-secret", None


@deed(f"POST {ONE}/signing-secret/rotate", "integration.signing_secret_rotated")
async def a_signing_secret_rotated(api: Api) -> Asked:
    return f"{INTEGRATIONS}/{(await api.make())['id']}/signing-secret/rotate", None


# --- keys ---


@deed(f"POST {ONE}/keys", "key.added")
async def a_generated_key(api: Api) -> Asked:
    return f"{INTEGRATIONS}/{(await api.make())['id']}/keys", {"label": "till 7"}


@deed(f"POST {ONE}/keys", "key.added")
async def a_pasted_key(api: Api) -> Asked:
    return f"{INTEGRATIONS}/{(await api.make())['id']}/keys", {"label": "till 7", "key": "hunter2-pasted-key-text"}


async def keyed(api: Api) -> str:
    made = await api.make()
    key = await ask(api, "POST", f"{INTEGRATIONS}/{made['id']}/keys", {"label": "till 7"})
    return f"{INTEGRATIONS}/{made['id']}/keys/{key['id']}"


@deed(f"PATCH {ONE}/keys/{{key_id}}", "key.changed")
async def a_key_relabelled_and_ended(api: Api) -> Asked:
    return await keyed(api), {"label": "till 8", "disabled": True, "expires_at": "2030-01-01T00:00:00Z"}


@deed(f"DELETE {ONE}/keys/{{key_id}}", "key.deleted")
async def a_key_deleted(api: Api) -> Asked:
    return await keyed(api), None


# --- workflows ---


@deed(f"PUT {ONE}/workflow", "workflow.published")
async def a_workflow_put(api: Api) -> Asked:
    return f"{INTEGRATIONS}/{(await api.make(workflow=STEPS))['id']}/workflow", OTHER_STEPS


async def two_versions(api: Api) -> str:
    made = await api.make(workflow=STEPS)
    await ask(api, "PUT", f"{INTEGRATIONS}/{made['id']}/workflow", OTHER_STEPS)
    return f"{INTEGRATIONS}/{made['id']}/workflow"


@deed(f"POST {ONE}/workflow/versions/{{number}}/publish", "workflow.published")
async def an_older_version_published(api: Api) -> Asked:
    return f"{await two_versions(api)}/versions/1/publish", None


@deed(f"POST {ONE}/workflow/rollback", "workflow.rolled_back")
async def a_workflow_rolled_back(api: Api) -> Asked:
    return f"{await two_versions(api)}/rollback", None


@deed(f"POST {ONE}/workflow/test", "workflow.tested_live")
async def a_workflow_tested_live(api: Api) -> Asked:
    return f"{INTEGRATIONS}/{(await api.make(workflow=STEPS))['id']}/workflow/test", {"mode": "live"}


@deed(f"PUT {ONE}/workflow/draft", "draft.saved")
async def a_draft_saved(api: Api) -> Asked:
    return f"{INTEGRATIONS}/{(await api.make(workflow=STEPS))['id']}/workflow/draft", {"document": OTHER_STEPS}


async def drafted(api: Api) -> str:
    made = await api.make(workflow=STEPS)
    await ask(api, "PUT", f"{INTEGRATIONS}/{made['id']}/workflow/draft", {"document": OTHER_STEPS})
    return f"{INTEGRATIONS}/{made['id']}/workflow/draft"


@deed(f"DELETE {ONE}/workflow/draft", "draft.discarded")
async def a_draft_discarded(api: Api) -> Asked:
    return await drafted(api), None


@deed(f"POST {ONE}/workflow/draft/publish", "workflow.published")
async def a_draft_published(api: Api) -> Asked:
    return f"{await drafted(api)}/publish", None


# --- connections ---


@deed(f"POST {API}/connections", "connection.created", is_own=True)
async def a_new_connection(api: Api) -> Asked:
    return f"{API}/connections", http_document(authentication={"type": "bearer_token", "token": "hunter2-bearer"})


async def connected(api: Api) -> str:
    made = await ask(
        api, "POST", f"{API}/connections", sql_document(url="postgresql://erp:hunter2-sql@db.example/stock")
    )
    return f"{API}/connections/{made['id']}"


@deed(f"PATCH {API}/connections/{{connection_id}}", "connection.changed")
async def another_password_of_a_database(api: Api) -> Asked:
    return await connected(api), {"url": "postgresql://erp:hunter2-sql-too@db.example/stock"}


@deed(f"DELETE {API}/connections/{{connection_id}}", "connection.deleted")
async def a_connection_deleted(api: Api) -> Asked:
    return await connected(api), None


@deed(f"POST {API}/connections/{{connection_id}}/test", "connection.tested")
async def a_connection_tested(api: Api) -> Asked:
    return f"{await connected(api)}/test", None


@deed(f"POST {API}/connections/test", "connection.tested", is_own=True)
async def a_connection_tested_before_it_is_saved(api: Api) -> Asked:
    return f"{API}/connections/test", http_document()


# --- notification webhooks ---

WEBHOOKS = f"{API}/notification-webhooks"
OAUTH = {
    "type": "oauth",
    "client_id": "crossdock",
    "client_secret": "hunter2-oauth",
    "token_endpoint_url": "https://login.example/token",
    "scopes": [],
}


@deed(f"POST {WEBHOOKS}", "notification_webhook.created", is_own=True)
async def a_new_webhook(api: Api) -> Asked:
    return WEBHOOKS, webhook_document(authentication=OAUTH, signing_secret=SIGNING_SECRET)


async def hooked(api: Api) -> str:
    made = await ask(api, "POST", WEBHOOKS, webhook_document(authentication=OAUTH))
    return f"{WEBHOOKS}/{made['id']}"


@deed(f"PATCH {WEBHOOKS}/{{webhook_id}}", "notification_webhook.changed")
async def another_secret_of_a_webhook(api: Api) -> Asked:
    return await hooked(api), {"authentication": {**OAUTH, "client_secret": "hunter2-oauth-too"}}


@deed(f"DELETE {WEBHOOKS}/{{webhook_id}}", "notification_webhook.deleted")
async def a_webhook_deleted(api: Api) -> Asked:
    return await hooked(api), None


@deed(f"POST {WEBHOOKS}/{{webhook_id}}/test", "notification_webhook.tested")
async def a_webhook_tested(api: Api) -> Asked:
    made = await ask(api, "POST", WEBHOOKS, webhook_document())
    return f"{WEBHOOKS}/{made['id']}/test", None


@deed(f"POST {WEBHOOKS}/test", "notification_webhook.tested", is_own=True)
async def a_webhook_tested_before_it_is_saved(api: Api) -> Asked:
    return f"{WEBHOOKS}/test", webhook_document()


# --- tokens, the whole configuration, the master key ---


@deed(f"POST {API}/tokens", "token.created", is_own=True)
async def a_new_token(api: Api) -> Asked:
    return f"{API}/tokens", {"name": "deploy", "role": "operator"}


@deed(f"DELETE {API}/tokens/{{token_id}}", "token.revoked")
async def a_token_revoked(api: Api) -> Asked:
    made = await ask(api, "POST", f"{API}/tokens", {"name": "deploy", "role": "operator"})
    return f"{API}/tokens/{made['id']}", None


@deed(
    f"POST {API}/apply",
    "connection.created",
    "integration.deleted",
    "integration.created",
    "notification_webhook.created",
    is_own=True,
)
async def a_configuration_applied(api: Api) -> Asked:
    await api.make("Gone")
    documents = [
        {"kind": "Connection", "spec": http_document(authentication={"type": "bearer_token", "token": "${TOKEN}"})},
        {"kind": "Integration", "spec": {"name": "Shop", "type": "webhook-trigger"}},
        {"kind": "NotificationWebhook", "spec": webhook_document()},
    ]
    return f"{API}/apply", {"documents": documents, "values": {"TOKEN": "hunter2-bearer"}, "prune": True}


@deed(f"POST {API}/rotate-key", "master_key.rotated", is_own=True)
async def a_master_key_rotated(api: Api) -> Asked:
    await api.make()
    return f"{API}/rotate-key", None


# --- events, lanes, deliveries, bulk jobs ---

EVENTS = f"{API}/events"


@deed(f"POST {EVENTS}/{{event_id}}/replay", "event.replayed")
async def an_event_replayed(api: Api) -> Asked:
    event_id = await api.story.fail((await api.make())["id"])
    return f"{EVENTS}/{event_id}/replay", {"request": {"body": "hunter2-reply"}}


@deed(f"POST {EVENTS}/{{event_id}}/cancel", "event.canceled")
async def an_event_canceled(api: Api) -> Asked:
    return f"{EVENTS}/{await api.story.receive((await api.make())['id'])}/cancel", None


@deed(f"POST {EVENTS}/{{event_id}}/retry", "event.retried")
async def an_event_retried(api: Api) -> Asked:
    return f"{EVENTS}/{await api.story.fail((await api.make())['id'], RunMove.RETRY)}/retry", None


async def lane_of(api: Api) -> str:
    made = await api.make(trigger={"ordered_delivery": True, "ordering_key": "{{ body.a }}"})
    await api.story.block(made["id"], "1")
    return f"{INTEGRATIONS}/{made['id']}/lanes/1"


@deed(f"POST {ONE}/lanes/{{lane}}/retry", "lane.retried")
async def the_head_of_a_lane_retried(api: Api) -> Asked:
    return f"{await lane_of(api)}/retry", {"note": "the shop is back"}


@deed(f"POST {ONE}/lanes/{{lane}}/skip", "lane.skipped")
async def the_head_of_a_lane_skipped(api: Api) -> Asked:
    return f"{await lane_of(api)}/skip", {"note": "asked by the shop"}


@deed(f"POST {ONE}/lanes/{{lane}}/park", "lane.parked")
async def the_head_of_a_lane_parked(api: Api) -> Asked:
    return f"{await lane_of(api)}/park", None


@deed(f"POST {API}/deliveries/{{delivery_id}}/resend", "delivery.resent")
async def a_delivery_resent(api: Api) -> Asked:
    made = await api.make()
    await api.story.succeed(made["id"], reply="dlv_0")
    await api.story.end_reply(made["id"], "dlv_0")
    return f"{API}/deliveries/dlv_0/resend", None


@deed(f"POST {EVENTS}/replay", "bulk_job.created", is_own=True)
async def many_events_replayed(api: Api) -> Asked:
    return f"{EVENTS}/replay", {"filter": {"status": "failed"}, "reason": "the warehouse was away"}


@deed(f"POST {EVENTS}/cancel", "bulk_job.created", is_own=True)
async def many_events_canceled(api: Api) -> Asked:
    return f"{EVENTS}/cancel", {"filter": {"status": "queued"}, "reason": "a test went wrong"}


@deed(f"POST {ONE}/what-if", "bulk_job.created")
async def a_question_what_if(api: Api) -> Asked:
    made = await api.make(workflow=STEPS)
    return f"{INTEGRATIONS}/{made['id']}/what-if", {"workflow": OTHER_STEPS, "last": 5}


async def job_of(api: Api) -> str:
    made = await ask(api, "POST", f"{EVENTS}/replay", {"filter": {"status": "failed"}})
    return f"{API}/bulk-jobs/{made['id']}"


@deed(f"POST {API}/bulk-jobs/{{job_id}}/pause", "bulk_job.paused")
async def a_bulk_job_paused(api: Api) -> Asked:
    return f"{await job_of(api)}/pause", None


@deed(f"POST {API}/bulk-jobs/{{job_id}}/resume", "bulk_job.resumed")
async def a_bulk_job_resumed(api: Api) -> Asked:
    place = await job_of(api)
    await ask(api, "POST", f"{place}/pause")
    return f"{place}/resume", None


@deed(f"POST {API}/bulk-jobs/{{job_id}}/cancel", "bulk_job.canceled")
async def a_bulk_job_canceled(api: Api) -> Asked:
    return f"{await job_of(api)}/cancel", None


# --- health ---

ISSUE = f"{ONE}/health/issues/{{issue_id}}"


async def issue_of(api: Api) -> str:
    made = await api.make()
    await api.story.fail(made["id"])
    await api.story.judge(made)
    health = f"{INTEGRATIONS}/{made['id']}/health"
    return f"{health}/issues/{(await ask(api, 'GET', health))['issues'][0]['id']}"


@deed(f"POST {ISSUE}/acknowledge", "issue.acknowledged")
async def an_issue_acknowledged(api: Api) -> Asked:
    return f"{await issue_of(api)}/acknowledge", {"note": "on it"}


@deed(f"POST {ISSUE}/snooze", "issue.snoozed")
async def an_issue_snoozed(api: Api) -> Asked:
    return f"{await issue_of(api)}/snooze", {"for": "PT8H", "note": "after the night"}


@deed(f"POST {ISSUE}/wake", "issue.woken")
async def an_issue_woken(api: Api) -> Asked:
    place = await issue_of(api)
    await ask(api, "POST", f"{place}/snooze", {"for": "PT8H"})
    return f"{place}/wake", None


@deed(f"POST {ISSUE}/resolve", "issue.resolved")
async def an_issue_resolved(api: Api) -> Asked:
    return f"{await issue_of(api)}/resolve", {"note": "the warehouse is back"}


# --- people ---

USERS = f"{API}/users"
WORKSPACES = f"{API}/workspaces"


@deed(f"POST {USERS}", "user.created", "member.added")
async def a_new_user(api: Api) -> Asked:
    return USERS, {"login": "erin", "memberships": {"default": "viewer"}}


async def erin(api: Api) -> str:
    made = await ask(api, "POST", USERS, {"login": "erin", "memberships": {"default": "viewer"}})
    return f"{USERS}/{made['id']}"


@deed(f"PATCH {USERS}/{{user_id}}", "user.changed", "member.changed")
async def a_user_with_another_name_and_role(api: Api) -> Asked:
    return await erin(api), {"name": "Erin", "memberships": {"default": "operator"}}


@deed(f"DELETE {USERS}/{{user_id}}", "user.deleted", "member.removed")
async def a_user_deleted(api: Api) -> Asked:
    return await erin(api), None


@deed(f"POST {USERS}/{{user_id}}/link", "user.link_made")
async def a_link_for_a_user(api: Api) -> Asked:
    return f"{await erin(api)}/link", None


@deed(f"DELETE {USERS}/{{user_id}}/sessions", "user.signed_out")
async def a_user_signed_out(api: Api) -> Asked:
    return f"{await erin(api)}/sessions", None


@deed(f"PUT {WORKSPACES}/{{slug}}/members/{{login}}", "member.changed")
async def a_member_with_another_role(api: Api) -> Asked:
    await erin(api)
    return f"{WORKSPACES}/default/members/erin", {"role": "admin"}


@deed(f"DELETE {WORKSPACES}/{{slug}}/members/{{login}}", "member.removed")
async def a_member_removed(api: Api) -> Asked:
    await erin(api)
    return f"{WORKSPACES}/default/members/erin", None


@deed(f"POST {WORKSPACES}", "workspace.created")
async def a_new_workspace(api: Api) -> Asked:
    return WORKSPACES, {"slug": "shop", "name": "Shop"}


async def shop(api: Api) -> str:
    await ask(api, "POST", WORKSPACES, {"slug": "shop", "name": "Shop"})
    return f"{WORKSPACES}/shop"


@deed(f"PATCH {WORKSPACES}/{{slug}}", "workspace.changed")
async def a_workspace_renamed(api: Api) -> Asked:
    return await shop(api), {"name": "Shops"}


@deed(f"DELETE {WORKSPACES}/{{slug}}", "workspace.deleted")
async def a_workspace_deleted(api: Api) -> Asked:
    return await shop(api), None


@deed(f"POST {WORKSPACES}/{{slug}}/tokens", "token.created")
async def a_token_of_another_workspace(api: Api) -> Asked:
    return f"{await shop(api)}/tokens", {"name": "first", "role": "admin"}
