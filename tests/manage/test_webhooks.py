"""Notification webhooks: what a document may say, what becomes of its secrets, and trying one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crossdock.catalog import Catalog
from crossdock.model.delivery import SendReport
from crossdock.model.errors import Conflict, Forbidden, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.outbound.connection import BearerToken, CustomHeaders, OAuthClient
from crossdock.store.configuration import configuration_number
from crossdock.store.secrets import all_secrets
from crossdock.vault import Vault
from tests.manage.conftest import Desk, trigger, wrong
from tests.support.held import HeldClock
from tests.support.webhooks import SIGNING_SECRET, URL, webhook_document, webhooks_of

pytestmark = pytest.mark.anyio

BEARER = {"type": "bearer_token", "token": "hunter2-token"}
OAUTH = {
    "type": "oauth",
    "client_id": "crossdock",
    "client_secret": "hunter2-secret",
    "token_endpoint_url": "https://login.example/token",
    "scopes": ["alerts.write"],
}
DATADOG = {"type": "custom", "headers": {"DD-API-KEY": "hunter2-dd", "DD-APPLICATION-KEY": "hunter2-app"}}
NIGHT = {"from": "22:00", "until": "06:00", "time_zone": "Europe/Berlin"}


async def make(desk: Desk, document: Json | None = None) -> Json:
    return await desk.webhooks.create(desk.alice, document or webhook_document(authentication=BEARER))


async def change(desk: Desk, made: Json, **patch: Json) -> Json:
    return await desk.webhooks.change(desk.alice, made["id"], patch)


async def secret_names(desk: Desk, made: Json) -> list[str]:
    return [row.name for row in await desk.store.read(all_secrets) if row.owner_id == made["id"]]


async def test_a_webhook_shows_its_defaults_and_no_secret(desk: Desk) -> None:
    made = await make(desk)

    assert (
        made.items()
        >= {
            "name": "Alerts",
            "active": True,
            "type": "http_webhook",
            "method": "POST",
            "url": URL,
            "body_template": None,
            "authentication": {"type": "bearer_token", "token": "[set]"},
            "headers": {},
            "secrets": {},
            "signing_secret": None,
            "filters": {"integrations": [], "types": [], "statuses": ["warning", "error"]},
            "timeout_seconds": 10,
            "response_validators": [],
            "notify_recovery": False,
            "digest": None,
            "quiet_hours": None,
            "filtered_integrations": [],
            "status": {
                "state": "unused",
                "delivered_at": None,
                "failing_since": None,
                "failures": 0,
                "last_error": None,
            },
            "held": [],
            "warnings": [],
            "revision": 1,
            "created_at": made["updated_at"],
        }.items()
    )
    assert made["id"].startswith("nwh_")


@pytest.mark.parametrize(
    ("written", "shown", "opened"),
    [
        (BEARER, {**BEARER, "token": "[set]"}, BearerToken("hunter2-token")),
        (
            OAUTH,
            {**OAUTH, "client_secret": "[set]"},
            OAuthClient("crossdock", "hunter2-secret", "https://login.example/token", ("alerts.write",)),
        ),
        (
            DATADOG,
            {"type": "custom", "headers": {"DD-API-KEY": "[set]", "DD-APPLICATION-KEY": "[set]"}},
            CustomHeaders((("DD-API-KEY", "hunter2-dd"), ("DD-APPLICATION-KEY", "hunter2-app"))),
        ),
    ],
    ids=["bearer_token", "oauth", "custom"],
)
async def test_every_authentication_keeps_its_secrets(desk: Desk, written: Json, shown: Json, opened: object) -> None:
    made = await make(desk, webhook_document(authentication=written))

    await desk.webhooks.test(desk.bob, made["id"])

    assert made["authentication"] == shown
    assert desk.calls.made[-1][1].authentication == opened
    assert "hunter2" not in json.dumps(made)


async def test_everything_that_can_be_set_is_kept(desk: Desk) -> None:
    orders = await desk.integrations.create(desk.alice, trigger())
    document = webhook_document(
        "On-call 2.0_night",
        active=False,
        method="PUT",
        body_template='{"text": "{{ data.name }}", "key": "{{ secrets.routing_key }}"}',
        authentication=DATADOG,
        headers={"X-Team": "integrations", "X-Api-Key": "hunter2-header"},
        secrets={"routing_key": "hunter2-routing"},
        signing_secret=SIGNING_SECRET,
        filters={"integrations": [orders["id"]], "types": ["webhook-trigger"], "statuses": ["error", "active"]},
        timeout_seconds=60,
        response_validators=[{"json_path": "$.data.status", "expected_values": ["ok", 1, True, None]}],
        notify_recovery=True,
        digest="PT15M",
        quiet_hours={**NIGHT, "days": ["sat", "sun"], "except_statuses": ["error"]},
    )

    made = await make(desk, document)

    seen = {
        **document,
        "authentication": {"type": "custom", "headers": dict.fromkeys(DATADOG["headers"], "[set]")},
        "headers": {"X-Team": "integrations", "X-Api-Key": "[set]"},
        "secrets": {"routing_key": "[set]"},
        "signing_secret": "[set]",
    }
    assert made.items() >= seen.items()
    assert made["filtered_integrations"] == [{"id": orders["id"], "name": "Orders"}]


# --- changing --------------------------------------------------------------------------------------------------------


async def test_the_document_as_it_is_shown_changes_nothing_when_it_is_sent_back(desk: Desk) -> None:
    made = await make(desk, webhook_document(authentication=OAUTH, secrets={"key": "hunter2"}, quiet_hours=NIGHT))

    assert await desk.webhooks.change(desk.alice, made["id"], made) == made


async def test_a_change_keeps_secrets_and_is_told_to_other_nodes(desk: Desk) -> None:
    made = await make(desk)
    other = Catalog(desk.store, desk.vault)
    await other.reload()

    changed = await change(desk, made, timeout_seconds=5, quiet_hours=NIGHT)
    await desk.webhooks.test(desk.bob, made["id"])

    assert (changed["revision"], changed["quiet_hours"]) == (
        2,
        {**NIGHT, "days": [], "except_statuses": []},
    )
    assert desk.calls.made[-1][1].authentication == BearerToken("hunter2-token")
    assert desk.calls.made[-1][1].timeout == 5.0
    assert await other.reload_if_changed()


async def test_null_takes_a_setting_out(desk: Desk) -> None:
    made = await make(
        desk, webhook_document(secrets={"a": "1", "b": "2"}, signing_secret=SIGNING_SECRET, digest="PT5M")
    )

    changed = await change(desk, made, secrets={"a": None}, signing_secret=None, digest=None)

    assert (changed["secrets"], changed["signing_secret"], changed["digest"]) == ({"b": "[set]"}, None, None)
    await change(desk, made, secrets=None)
    assert await secret_names(desk, made) == []


async def test_another_type_of_authentication_forgets_the_secrets_before(desk: Desk) -> None:
    made = await make(desk)

    await change(desk, made, authentication={"type": "none"})

    assert await secret_names(desk, made) == []
    with pytest.raises(Invalid) as error:
        await change(desk, made, authentication={"type": "bearer_token"})
    assert wrong(error) == {"authentication.token": "is required; there is no value to keep"}


async def test_an_old_revision_is_a_conflict(desk: Desk) -> None:
    made = await make(desk)
    await change(desk, made, timeout_seconds=5, revision=1)

    with pytest.raises(Conflict, match="revision 1"):
        await change(desk, made, timeout_seconds=6, revision=1)


@pytest.mark.parametrize(
    ("document", "patch", "field"),
    [
        (webhook_document(authentication=BEARER), {"url": "https://mine.example/hook"}, "authentication.token"),
        (webhook_document(authentication=BEARER), {"url": "https://alerts.example:8443/"}, "authentication.token"),
        (webhook_document(headers={"X-Api-Key": "k"}), {"url": "https://mine.example"}, "headers.X-Api-Key"),
        (webhook_document(secrets={"key": "k"}), {"url": "https://mine.example"}, "secrets.key"),
        (
            webhook_document(authentication=OAUTH),
            {"authentication": {"token_endpoint_url": "https://mine.example/token"}},
            "authentication.client_secret",
        ),
    ],
    ids=["host", "port", "header", "body", "token endpoint"],
)
async def test_a_kept_secret_goes_to_no_other_place(desk: Desk, document: Json, patch: Json, field: str) -> None:
    made = await make(desk, document)

    with pytest.raises(Invalid) as error:
        await change(desk, made, **patch)
    with pytest.raises(Invalid):
        await desk.webhooks.test(desk.alice, made["id"], patch)

    assert "has to be written again" in wrong(error)[field]
    assert desk.calls.made == []


async def test_a_path_may_change_with_secrets_kept_and_signing_goes_on_anywhere(desk: Desk) -> None:
    made = await make(desk, webhook_document(authentication=BEARER, signing_secret=SIGNING_SECRET))

    await change(desk, made, url="https://alerts.example/v2")
    await change(desk, made, authentication={"type": "none"}, url="https://other.example/v2")
    await desk.webhooks.test(desk.bob, made["id"])

    assert "webhook-signature" in dict(desk.calls.made[-1][0].headers)


async def test_a_name_is_unique_in_its_workspace(desk: Desk) -> None:
    await make(desk)
    other = await make(desk, webhook_document("On call"))
    await desk.webhooks.create(desk.dora, webhook_document())

    for attempt in (make(desk), change(desk, other, name="Alerts")):
        with pytest.raises(Invalid) as error:
            await attempt
        assert wrong(error) == {"name": "is taken by another notification webhook: Alerts"}


async def test_a_filter_survives_its_integration_and_says_that_it_is_gone(desk: Desk) -> None:
    orders = await desk.integrations.create(desk.alice, trigger())
    made = await make(desk, webhook_document(filters={"integrations": [orders["id"]]}))

    await desk.integrations.delete(desk.alice, orders["id"])
    changed = await change(desk, made, timeout_seconds=5)

    assert changed["filtered_integrations"] == [{"id": orders["id"], "name": None}]
    assert orders["id"] in changed["warnings"][0]
    assert changed["warnings"][1].startswith("It is told nothing")
    with pytest.raises(Invalid):
        await make(desk, webhook_document("B", filters={"integrations": [orders["id"]]}))


async def test_filters_name_no_integration_of_another_workspace(desk: Desk) -> None:
    theirs = await desk.integrations.create(desk.dora, trigger())

    with pytest.raises(Invalid) as error:
        await make(desk, webhook_document(filters={"integrations": [theirs["id"]]}))

    assert "filters name integrations by their ids" in wrong(error)["filters.integrations[0]"]


async def test_a_secret_whose_master_key_is_lost_is_told_and_can_be_entered_again(desk: Desk, clock: HeldClock) -> None:
    made = await make(desk)
    other = webhooks_of(desk.store, Vault([bytes(31) + b"x"]), desk.catalog, clock)

    shown = await other.show(desk.charlie, made["id"])
    tested = await other.test(desk.bob, made["id"])
    with pytest.raises(Invalid) as error:
        await other.change(desk.alice, made["id"], {"timeout_seconds": 5})
    changed = await other.change(desk.alice, made["id"], {"authentication": {"token": "entered-again"}})

    assert "enter the secret again" in shown["warnings"][0]
    assert (tested["outcome"], "master key" in tested["error"]) == ("failed", True)
    assert "can't be kept" in wrong(error)["authentication.token"]
    assert changed["warnings"] == []


async def test_a_deleted_webhook_leaves_nothing(desk: Desk) -> None:
    made = await make(desk)
    before = await desk.store.read(configuration_number)

    await desk.webhooks.delete(desk.alice, made["id"])

    assert await desk.store.read(configuration_number) == before + 1
    assert await secret_names(desk, made) == []
    with pytest.raises(NotFound, match=made["id"]):
        await desk.webhooks.delete(desk.alice, made["id"])


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "field", "advice"),
    [
        ({"name": "Alerts"}, "url", "is required"),
        (webhook_document(" "), "name", "must not be empty"),
        (webhook_document("a/b"), "name", "letters, digits, spaces, dots, dashes and underscores only"),
        (webhook_document("a\nb"), "name", "one line"),
        (webhook_document("..."), "name", "a letter or a digit"),
        (webhook_document("x" * 101), "name", "100 characters at most"),
        (webhook_document(url="http://alerts.example/hook"), "url", "use https"),
        (webhook_document(url="https://user:word@alerts.example"), "url", "send them in a header"),
        (webhook_document(url="https://10.0.0.1/hook"), "url", "CROSSDOCK_ALLOWED_TARGETS"),
        (webhook_document(url="https://localhost/hook"), "url", "CROSSDOCK_ALLOWED_TARGETS"),
        (webhook_document(url="ftp://alerts.example"), "url", "https://"),
        (webhook_document(url="https://alerts.example/a b"), "url", "space"),
        (webhook_document(type="email"), "type", "must be one of http_webhook"),
        (webhook_document(method="GET"), "method", "must be one of POST, PUT"),
        (webhook_document(aktive=True), "aktive", "did you mean active?"),
        (webhook_document(active="yes"), "active", "must be true or false"),
        (webhook_document(timeout_seconds=0), "timeout_seconds", "1 or more"),
        (webhook_document(timeout_seconds=61), "timeout_seconds", "60 or less"),
        (webhook_document(timeout_seconds=1.5), "timeout_seconds", "whole number"),
        (webhook_document(headers={"X\nY": "1"}), "headers", "not a header name"),
        (webhook_document(headers={"X": "1\r\nHost: y"}), "headers", "without line breaks"),
        (webhook_document(headers={"Webhook-Id": "1"}), "headers", "is set by Crossdock"),
        (webhook_document(authentication={"type": "basic", "username": "u"}), "authentication.type", "oauth"),
        (webhook_document(authentication={"type": "bearer_token"}), "authentication.token", "is required"),
        (webhook_document(authentication={"type": "bearer_token", "token": "a\nb"}), "authentication.token", "visible"),
        (webhook_document(authentication={"type": "custom", "headers": {}}), "authentication.headers", "none"),
        (
            webhook_document(authentication={"type": "custom", "headers": {"X": "a\nb"}}),
            "authentication.headers",
            "without line breaks",
        ),
        (
            webhook_document(authentication={**OAUTH, "token_endpoint_url": "http://login.example"}),
            "authentication.token_endpoint_url",
            "use https",
        ),
        (webhook_document(secrets={"routing-key": "x"}), "secrets", "not a name for templates"),
        (webhook_document(secrets={"key": "[set]"}), "secrets.key", "there is no value to keep"),
        (webhook_document(signing_secret="hunter2"), "signing_secret", "openssl rand"),
        (webhook_document(signing_secret="whsec_c2hvcnQ="), "signing_secret", "24 to 64 random bytes"),
        (webhook_document(filters={"statuses": ["disabled"]}), "filters.statuses[0]", "warning, error, active"),
        (webhook_document(filters={"types": ["github"]}), "filters.types[0]", "webhook-trigger"),
        (webhook_document(filters={"integration": []}), "filters.integration", "did you mean integrations?"),
        (webhook_document(digest="PT30S"), "digest", "PT60S at least"),
        (webhook_document(digest="P2D"), "digest", "P1D at most"),
        (webhook_document(digest="P1M"), "digest", "months"),
        (webhook_document(quiet_hours={"until": "06:00", "time_zone": "UTC"}), "quiet_hours.from", "is required"),
        (webhook_document(quiet_hours={**NIGHT, "until": "6"}), "quiet_hours.until", "06:30"),
        (webhook_document(quiet_hours={**NIGHT, "time_zone": "Berlin"}), "quiet_hours.time_zone", "Europe/Berlin"),
        (webhook_document(quiet_hours={**NIGHT, "days": ["Monday"]}), "quiet_hours.days[0]", "mon, tue"),
        (webhook_document(quiet_hours={**NIGHT, "form": "22:00"}), "quiet_hours.form", "did you mean from?"),
        (webhook_document(quiet_hours={**NIGHT, "from": "06:00"}), "quiet_hours", "never end"),
        (webhook_document(id="nwh_1"), "id", "leave it out"),
    ],
)
async def test_a_wrong_document_is_refused_at_its_field(desk: Desk, document: Json, field: str, advice: str) -> None:
    with pytest.raises(Invalid) as error:
        await make(desk, document)

    assert advice in wrong(error)[field]
    assert (await desk.webhooks.page(desk.alice)).items == []


@pytest.mark.parametrize(
    ("template", "advice"),
    [
        ("{", "JSON"),
        ("not json", "JSON"),
        ('{"a": "{{ data.nam }}"}', "did you mean"),
        ('{"a": "{{ data.issues.status }}"}', "list"),
        ('{"a": "{{ secrets.key }}"}', "secrets"),
        ('{"a": "{{ data.name "}', "body_template"),
        ('{"a": "' + "x" * 70_000 + '"}', "64 KiB"),
        ('{"a": "{% for i in range(99999999) %}x{% endfor %}"}', ""),
    ],
    ids=["cut off", "no JSON", "unknown field", "a list", "unknown secret", "broken", "huge", "endless"],
)
async def test_a_template_that_could_not_be_sent_is_refused(desk: Desk, template: str, advice: str) -> None:
    with pytest.raises(Invalid) as error:
        await make(desk, webhook_document(body_template=template))

    assert wrong(error).keys() == {"body_template"}
    assert advice in f"body_template {wrong(error)['body_template']}"


@pytest.mark.parametrize(
    ("path", "advice"),
    [("data.status", "such as $.data.status"), ("$..a..b", "one .. only"), ("$[?match(@.a, 'x')]", "match()")],
)
async def test_a_path_that_is_none_is_refused(desk: Desk, path: str, advice: str) -> None:
    with pytest.raises(Invalid) as error:
        await make(desk, webhook_document(response_validators=[{"json_path": path, "expected_values": ["ok"]}]))

    assert advice in wrong(error)["response_validators[0].json_path"]


async def test_only_admins_write_and_operators_try(desk: Desk) -> None:
    made = await make(desk)

    for actor in (desk.bob, desk.charlie):
        with pytest.raises(Forbidden, match="admin"):
            await desk.webhooks.create(actor, webhook_document("B"))
        with pytest.raises(Forbidden, match="admin"):
            await desk.webhooks.test(actor, made["id"], {"url": "https://mine.example"})
        with pytest.raises(Forbidden, match="admin"):
            await desk.webhooks.delete(actor, made["id"])
    with pytest.raises(Forbidden, match="operator"):
        await desk.webhooks.test(desk.charlie, made["id"])
    with pytest.raises(NotFound):
        await desk.webhooks.show(desk.dora, made["id"])


# --- trying ----------------------------------------------------------------------------------------------------------


async def test_a_test_tells_what_was_sent_answered_and_found(desk: Desk) -> None:
    made = await make(
        desk,
        webhook_document(
            authentication=BEARER,
            body_template='{"name": "{{ data.name }}", "key": "{{ secrets.key }}"}',
            secrets={"key": "hunter2-key"},
            response_validators=[{"json_path": "$.data.status", "expected_values": ["ok"]}],
        ),
    )

    told = await desk.webhooks.test(desk.bob, made["id"])

    assert told["outcome"] == "successful"
    invocation = told["invocation"]
    assert (invocation["request"]["method"], invocation["request"]["url"]) == ("POST", URL)
    assert json.loads(invocation["request"]["body"]) == {"name": "Test of this webhook", "key": "[redacted]"}
    assert (invocation["response"]["status"], invocation["response"]["duration_ms"]) == (200, 12.0)
    assert invocation["validators"] == [{"json_path": "$.data.status", "found": ["ok"], "passed": True}]
    assert json.loads(desk.calls.made[-1][0].body) == {"name": "Test of this webhook", "key": "hunter2-key"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": "the connection was refused"}, "the connection was refused"),
        ({"status": 500}, "answered 500"),
        ({"status": 410}, "410 Gone"),
        ({"status": 200, "response_body": b'{"status": "no"}'}, '"no" is found, and "ok" is expected'),
        ({"status": 200, "response_body": b"{}"}, "nothing is found there"),
        ({"status": 200, "response_body": b"<html>"}, "not JSON"),
    ],
    ids=["unreachable", "500", "410", "another value", "nothing", "no JSON"],
)
async def test_a_test_that_fails_says_why(desk: Desk, answer: dict[str, Any], words: str) -> None:
    validators = [{"json_path": "$.data.status", "expected_values": ["ok"]}]
    desk.calls.answer = SendReport(0, 1_000, (), **answer)

    told = await desk.webhooks.test_unsaved(desk.alice, webhook_document(response_validators=validators))

    assert told["outcome"] == "failed"
    assert words in told["error"]


async def test_a_test_with_a_patch_saves_nothing(desk: Desk) -> None:
    made = await make(desk)

    await desk.webhooks.test(desk.alice, made["id"], {"method": "PUT", "active": False})

    assert desk.calls.made[-1][0].method == "PUT"
    assert await desk.webhooks.show(desk.alice, made["id"]) == made
