"""New integrations and their settings, as people fill them in."""

from __future__ import annotations

import re

import pytest

from crossdock.manage.documents import default_document
from crossdock.model.outcome import Json
from crossdock.ui.forms import Form
from crossdock.ui.integration_form.filling import fill, fill_new
from crossdock.ui.integration_form.writing import read_document
from tests.ui.conftest import Site

NEW = "/w/default/integrations/new"
TOKEN = "a-platform-token-0001"
FULL: Json = {
    "name": "Orders",
    "type": "webhook-trigger",
    "status": "enabled",
    "path": "shop/orders",
    "trigger": {
        "methods": ["GET", "POST"],
        "authentication": {"mode": "basic", "username": "erp", "password": "a-password"},
        "query_parameters": [{"name": "id", "required": True}, {"name": "region", "default": " EU "}],
        "response_mode": "sync",
        "request_timeout": "PT30S",
        "on_timeout": "accept",
        "ordered_delivery": True,
        "ordering_key": "{{ body.id }}",
        "on_exhausted": "skip",
        "concurrency": 3,
        "rate_limit": {"requests": 10, "per": "PT5S"},
        "max_body_bytes": 1000,
        "require_json": True,
        "deduplicate": {"key": "{{ body.id }}", "within": "PT1H"},
        "body_schema": {"type": "object", "required": ["id"]},
        "cors": {"origins": ["https://a.example", "https://b.example"]},
    },
    "reply": {"url": "https://erp.example/callback", "method": "PUT", "headers": {"X-Site": "12"}},
    "retry": {"attempts": 3, "delay": "PT1S", "factor": 1.5, "max_delay": "PT1M"},
    "health": {
        "window": 10,
        "warning_failures": 2,
        "error_failures": 4,
        "silence": "PT1H",
        "backlog": "PT5M",
        "rejected_calls": {"calls": 7, "per": "PT1M"},
    },
    "retention": "P7D",
}


def fields(type_: str = "webhook-trigger", **changes: str) -> list[tuple[str, str]]:
    """What a browser sends of the form for a new integration, with some fields filled in differently."""
    names = {name.replace("__", "."): value for name, value in changes.items()}
    kept = [(name, value) for name, value in fill_new(type_).fields if name not in names]
    return [("type", type_), *kept, *names.items()]


async def make(site: Site, **changes: Json) -> Json:
    return await site.cases.integrations.create(site.actor(), {"name": "Orders", "type": "webhook-trigger", **changes})


async def stored(site: Site, name: str) -> Json:
    return await site.cases.integrations.by_name(site.actor(), name)


# --- as documents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["webhook-trigger", "event-webhook-async", "event-webhook-sync"])
def test_the_form_of_a_new_integration_says_its_defaults(type_: str):
    document = read_document(fill_new(type_))

    defaults = default_document(type_)
    assert document["trigger"]["methods"] == defaults["trigger"]["methods"]
    assert document["trigger"]["authentication"]["mode"] == defaults["trigger"]["authentication"]["mode"]
    assert document["trigger"]["response_mode"] == defaults["trigger"]["response_mode"]
    assert document["status"] == "disabled"


async def test_every_field_comes_back_from_the_form_as_it_is_stored(site: Site):
    made = await make(site, **FULL)

    form = fill(await site.cases.integrations.show(site.actor(), made["id"]))
    await site.cases.integrations.change(site.actor(), made["id"], read_document(form))

    now = await stored(site, "Orders")
    assert now["revision"] == made["revision"]
    assert {name: now[name] for name in FULL} == {name: made[name] for name in FULL}


def test_a_number_that_is_none_is_left_to_the_check():
    document = read_document(Form([("health.window", "many"), ("retention", "soon"), ("retry.factor", "twice")]))

    assert document["health"]["window"] == "many"
    assert document["retention"] == "soon"
    assert document["retry"]["factor"] == "twice"


# --- making one ------------------------------------------------------------------------------------------------------


async def test_an_async_event_webhook_is_made_as_it_was_filled_in(site: Site):
    sent = fields(
        "event-webhook-async",
        name="Alarms",
        status="enabled",
        platform_token=TOKEN,
        trigger__request_timeout="60 s",
        reply__url="https://erp.example/callback",
        reply__method="PUT",
    )

    shown = await site.send(NEW, [*sent, ("reply.headers.key", "X-Site"), ("reply.headers.value", "12")])

    made = await stored(site, "Alarms")
    assert (shown.status, shown.location) == (303, f"/w/default/integrations/{made['id']}")
    assert (made["type"], made["status"], made["platform_token_set"]) == ("event-webhook-async", "enabled", True)
    assert made["trigger"]["request_timeout"] == "PT60S"
    assert made["reply"] == {"url": "https://erp.example/callback", "method": "PUT", "headers": {"X-Site": "12"}}


async def test_keys_are_made_with_the_integration_and_shown_once(site: Site):
    sent = fields(name="Orders", trigger__authentication__mode="api_keys")
    keys = [("new_keys.label", "Shop"), ("new_keys.key", ""), ("new_keys.label", "ERP"), ("new_keys.key", "k" * 16)]

    shown = await site.send(NEW, [*sent, *keys])

    made = await stored(site, "Orders")
    page = await site.cases.keys.page(site.actor(), made["id"])
    assert shown.status == 201
    assert [key["label"] for key in page.items] == ["Shop", "ERP"]
    assert "k" * 16 in shown.text
    assert re.search(r'-H "X-API-Key: xdk_[\w-]{40,}"', shown.words)


async def test_errors_stand_at_their_fields_and_nothing_typed_is_lost(site: Site):
    sent = fields(
        "event-webhook-async",
        name="",
        status="enabled",
        platform_token="short",
        reply__url="ftp://x",
        retention="soon",
        trigger__max_body_bytes="much",
    )

    shown = await site.send(NEW, sent)

    assert shown.status == 422
    assert 'id="field-name-error"' in shown.text
    assert "must be 8 to 1024 characters long, not 5" in shown.words
    assert 'value="short"' in shown.text
    assert 'value="ftp://x"' in shown.text
    assert "is not an ISO 8601 duration" in shown.words
    assert "must be a whole number" in shown.words


async def test_errors_of_rows_tell_which_row_it_is(site: Site):
    rows = [("query.name", "id"), ("query.required", "no"), ("query.default", "")]
    empty = [("query.name", ""), ("query.required", "no"), ("query.default", "")]
    wrong = [("query.name", ""), ("query.required", "no"), ("query.default", "x")]

    shown = await site.send(NEW, [*fields(name="Orders"), *empty, *rows, *wrong])

    assert shown.status == 422
    assert "Row 2: name must be 1 to 100 characters long" in shown.words
    assert "Look again at: Query parameters." in shown.words


async def test_a_key_that_can_not_be_made_makes_no_integration(site: Site):
    sent = fields(name="Orders", trigger__authentication__mode="api_keys")

    shown = await site.send(NEW, [*sent, ("new_keys.label", ""), ("new_keys.key", "short-one")])

    assert shown.status == 422
    assert "must not be empty" in shown.words
    assert 'value="short-one"' in shown.text
    assert await stored(site, "Orders") is None


async def test_a_schema_that_is_no_json_is_told_at_its_field(site: Site):
    shown = await site.send(NEW, fields(name="Orders", trigger__body_schema='{"type": '))

    assert shown.status == 422
    assert 'id="field-trigger-body_schema-error"' in shown.text
    assert await stored(site, "Orders") is None


async def test_a_type_that_there_is_not_leads_to_the_panel(site: Site):
    shown = await site.open(f"{NEW}?type=telex")

    assert (shown.status, shown.location) == (303, "/w/default/integrations?panel=external-systems")
    assert (await site.send(NEW, {"type": "telex"})).status == 422


async def test_another_type_keeps_what_was_typed(site: Site):
    sent = [("former_type", "webhook-trigger"), *fields("event-webhook-async", name="Alarms")]

    shown = await site.send(f"{NEW}/type", sent)

    assert shown.status == 200
    assert 'value="Alarms"' in shown.text
    assert '<option value="event-webhook-async" selected>' in shown.text


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\u202eevil\u202c", "نظام الطلبات", "x" * 120])
async def test_names_are_shown_as_inert_text(site: Site, name: str):
    made = await make(site, name=name, path="p")

    for shown in (
        await site.open("/w/default/integrations"),
        await site.open(f"/w/default/integrations/{made['id']}/settings"),
    ):
        assert shown.status == 200
        assert "<script>alert" not in shown.text


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_admins_make_and_change_integrations(site: Site, who: str):
    made = await make(site)
    path = f"/w/default/integrations/{made['id']}/settings"

    assert (await site.open(f"{NEW}?type=webhook-trigger", who)).status == 403
    assert (await site.send(NEW, fields(name="Mine"), who)).status == 403
    assert (await site.send(path, fields(name="Mine", revision="1"), who)).status == 403
    shown = await site.open(path, who)
    assert shown.status == 200
    assert '<fieldset class="form-whole" disabled>' in shown.text
    assert (await stored(site, "Orders"))["revision"] == made["revision"]


async def test_integrations_of_other_workspaces_do_not_exist(site: Site):
    made = await make(site)

    assert (await site.open(f"/w/away/integrations/{made['id']}/settings", "dora")).status == 404
    sent = fields(name="Mine", revision="1")
    assert (await site.send(f"/w/away/integrations/{made['id']}/settings", sent, "dora")).status == 404
    assert (await site.open(f"/w/default/integrations/{made['id']}/settings", "dora")).status == 404


async def test_what_was_typed_when_the_session_was_over_is_kept(site: Site):
    shown = await site.send(NEW, fields(name="Typed for an hour"), who="")

    assert shown.status == 401
    assert "Typed for an hour" in shown.text
    assert f'action="{NEW}"' in shown.text


# --- settings --------------------------------------------------------------------------------------------------------


async def test_settings_are_saved_over_the_revision_that_was_read(site: Site):
    made = await make(site, **FULL)
    path = f"/w/default/integrations/{made['id']}/settings"
    kept = [each for each in fill(made).fields if each[0] not in ("name", "reply.headers.key", "reply.headers.value")]

    shown = await site.send(path, [*kept, ("name", "Orders"), ("revision", str(made["revision"])), ("path", "new")])

    now = await stored(site, "Orders")
    assert (shown.status, shown.location) == (303, f"/w/default/integrations/{made['id']}")
    assert now["path"] == "new"
    assert now["reply"]["headers"] == {}
    assert now["trigger"]["body_schema"] == FULL["trigger"]["body_schema"]


async def test_an_empty_token_is_kept_and_another_way_of_access_forgets_it(site: Site):
    made = await make(site, type="event-webhook-async", platform_token=TOKEN, status="enabled")
    path = f"/w/default/integrations/{made['id']}/settings"
    form = [each for each in fill(made).fields if each[0] != "trigger.authentication.mode"]

    await site.send(path, [*form, ("trigger.authentication.mode", "platform_token"), ("revision", "1")])
    kept = await stored(site, "Orders")
    await site.send(path, [*form, ("trigger.authentication.mode", "none"), ("revision", str(kept["revision"]))])

    assert kept["platform_token_set"] is True
    assert (await stored(site, "Orders"))["platform_token_set"] is False


async def test_two_people_who_edit_the_same_see_what_differs(site: Site):
    made = await make(site, **FULL)
    path = f"/w/default/integrations/{made['id']}/settings"
    await site.cases.integrations.change(site.actor(), made["id"], {"path": "theirs"})
    form = [each for each in fill(made).fields if each[0] != "path"]

    second = await site.send(path, [*form, ("path", "mine"), ("revision", "1")])
    again = await site.send(path, [*form, ("path", "mine"), ("revision", "2")])

    assert second.status == 409
    assert "Path mine theirs" in second.words
    assert 'name="revision" value="2"' in second.text
    assert "Save mine over theirs" in second.words
    assert again.status == 303
    assert (await stored(site, "Orders"))["path"] == "mine"


async def test_a_key_that_is_there_already_is_told_and_others_are_made(site: Site):
    made = await make(site, trigger={"authentication": {"mode": "api_keys"}})
    await site.cases.keys.add(site.actor(), made["id"], "Shop", "k" * 16)
    keys = [("new_keys.label", "New"), ("new_keys.key", ""), ("new_keys.label", "Twin"), ("new_keys.key", "k" * 16)]
    sent = [*fill(made).fields, *keys, ("revision", str(made["revision"]))]

    shown = await site.send(f"/w/default/integrations/{made['id']}/settings", sent)

    assert shown.status == 200
    assert "Twin: the key is not acceptable: key is already there, labelled Shop" in shown.words
    assert "New xdk_" in shown.words


@pytest.mark.parametrize("revision", ["", "x", "9" * 5000])
async def test_a_revision_that_is_none_conflicts(site: Site, revision: str):
    made = await make(site)

    shown = await site.send(
        f"/w/default/integrations/{made['id']}/settings", [*fill(made).fields, ("revision", revision)]
    )

    assert shown.status == 409


async def test_a_conflict_shows_no_secret(site: Site):
    made = await make(site, type="event-webhook-async", platform_token=TOKEN)
    await site.cases.integrations.change(site.actor(), made["id"], {"path": "theirs"})
    secrets = [("platform_token", "mine-very-secret"), ("reply.headers.key", "X-Token")]
    sent = [*fill(made).fields, *secrets, ("reply.headers.value", "header-secret"), ("revision", "1")]

    shown = await site.send(f"/w/default/integrations/{made['id']}/settings", sent)

    assert shown.status == 409
    assert "a new value" in shown.words
    assert "very-secret" not in shown.words
    assert "header-secret" not in shown.words


# --- the summary -----------------------------------------------------------------------------------------------------


async def test_the_summary_tells_in_words_what_is_typed(site: Site):
    sent = fields(
        name="Stock at hand",
        trigger__response_mode="on",
        trigger__request_timeout="90",
        trigger__authentication__mode="api_keys",
        query__name="item",
        query__required="yes",
        query__default="",
    )

    shown = await site.send(f"{NEW}/preview", sent, **{"HX-Request": "true", "HX-Request-Type": "partial"})

    assert shown.status == 200
    assert "https://hooks.example/hooks/default/stock-at-hand?item=1" in shown.words
    assert "The caller waits for the result, up to 1 minute 30 seconds" in shown.words
    assert "1 minute 30 seconds (PT1M30S)" in shown.words
    assert "Without item in the query a call is refused." in shown.words
    assert "an API key, and there is none yet" in shown.words


async def test_half_a_form_has_a_summary_too(site: Site):
    shown = await site.send(f"{NEW}/preview", {"health.window": "x", "trigger.body_schema": "{", "key_count": "y"})

    assert shown.status == 200
    assert "No method yet" in shown.words


async def test_an_open_endpoint_is_warned_of(site: Site):
    shown = await site.open(f"{NEW}?type=webhook-trigger")

    assert "Open to anyone who knows the address." in shown.words
    assert "Add authentication" in shown.words
