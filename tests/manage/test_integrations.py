"""Integrations through their use cases, on both databases."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from crossdock.catalog import Catalog
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.secrets import seal
from crossdock.model.errors import Conflict, Forbidden, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.outbound.guard import Guard
from crossdock.store.secrets import all_secrets, put_secrets
from crossdock.vault import Vault
from tests.manage.conftest import RULES, Desk, steps, trigger, wrong

pytestmark = pytest.mark.anyio

REPLY: Json = {"url": "https://erp.example/callback", "headers": {"Authorization": "Bearer abc", "X-Site": "12"}}


async def test_a_created_integration_is_shown_with_all_its_defaults(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, {"name": " Alarms ", "type": "event-webhook-async"})

    assert created == await desk.integrations.show(desk.charlie, created["id"])
    assert created["name"] == "Alarms"
    assert created["status"] == "disabled"
    assert created["url"] == "https://hooks.example/hooks/default/alarms"
    assert created["trigger"]["authentication"] == {"mode": "platform_token", "username": None, "password_set": False}
    assert (created["retention"], created["revision"], created["workflow"]) == ("P30D", 1, None)
    assert created["id"].startswith("int_")


async def test_a_created_integration_is_live_at_once(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger(path="erp/orders"))

    assert desk.catalog.snapshot.by_path["default", "erp/orders"].integration.id == created["id"]


async def test_secrets_are_never_shown(desk: Desk) -> None:
    basic = {"mode": "basic", "username": "erp", "password": "a-password"}

    created = await desk.integrations.create(
        desk.alice, trigger(platform_token="a-platform-token", trigger={"authentication": basic}, reply=REPLY)
    )

    assert created["platform_token_set"] is True
    assert created["trigger"]["authentication"] == {"mode": "basic", "username": "erp", "password_set": True}
    assert created["reply"]["headers"] == {"Authorization": "[set]", "X-Site": "12"}
    page = await desk.integrations.page(desk.alice)
    assert not [word for word in ("a-password", "a-platform-token", "Bearer abc") if word in f"{created}{page}"]


async def test_a_live_reply_has_its_complete_headers(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger(reply=REPLY))

    reply = desk.catalog.snapshot.by_id[created["id"]].reply
    assert reply is not None
    assert reply.headers == (("Authorization", "Bearer abc"), ("X-Site", "12"))


async def test_a_patch_merges_and_counts_the_revision_up(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger(trigger={"concurrency": 3}, reply=REPLY))

    changed = await desk.integrations.change(desk.alice, created["id"], {"trigger": {"on_timeout": "accept"}})

    assert changed["trigger"]["concurrency"] == 3
    assert changed["trigger"]["on_timeout"] == "accept"
    assert (changed["reply"], changed["revision"]) == (created["reply"], 2)


async def test_null_in_a_patch_brings_the_default_back(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger(retention="P1D", reply=REPLY))

    changed = await desk.integrations.change(desk.alice, created["id"], {"retention": None, "reply": None})

    assert (changed["retention"], changed["reply"]) == ("P30D", None)


async def test_a_schema_in_a_patch_is_replaced_whole(desk: Desk) -> None:
    schema = {"properties": {"a": {"type": "string"}}}
    created = await desk.integrations.create(desk.alice, trigger(trigger={"body_schema": schema}))

    patch = {"trigger": {"body_schema": {"properties": {"b": {"const": None}}}}}
    changed = await desk.integrations.change(desk.alice, created["id"], patch)

    assert changed["trigger"]["body_schema"] == {"properties": {"b": {"const": None}}}


async def test_what_a_get_gave_can_be_sent_back_and_changes_nothing(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger(reply=REPLY, workflow=steps("a")))

    changed = await desk.integrations.change(desk.alice, created["id"], created)

    assert changed == created
    live = desk.catalog.snapshot.by_id[created["id"]]
    assert live.reply is not None
    assert live.reply.headers[0] == ("Authorization", "Bearer abc")


async def test_a_secret_header_keeps_its_value_beside_a_new_one(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger(reply=REPLY))

    await desk.integrations.change(desk.alice, created["id"], {"reply": {"headers": {"X-Token": "new"}}})

    reply = desk.catalog.snapshot.by_id[created["id"]].reply
    assert reply is not None
    assert dict(reply.headers) == {"Authorization": "Bearer abc", "X-Site": "12", "X-Token": "new"}


@pytest.mark.parametrize("url", ["https://evil.example/reply", "https://erp.example:8443/"])
async def test_a_kept_secret_header_goes_nowhere_else(desk: Desk, url: str) -> None:
    reply = {"url": "https://erp.example/reply", "headers": {"Authorization": "Bearer abc"}}
    created = await desk.integrations.create(desk.alice, trigger(reply=reply))

    for patch in ({"url": url}, {"url": url, "headers": {"Authorization": "[set]"}}):
        with pytest.raises(Invalid) as error:
            await desk.integrations.change(desk.alice, created["id"], {"reply": patch})
        words = "has to be written again: it was kept for https://erp.example and goes nowhere else"
        assert wrong(error) == {"reply.headers.authorization": words}

    elsewhere = {"url": url, "headers": {"Authorization": "Bearer new"}}
    await desk.integrations.change(desk.alice, created["id"], {"reply": elsewhere})
    moved = desk.catalog.snapshot.by_id[created["id"]].reply
    assert moved is not None
    assert dict(moved.headers) == {"Authorization": "Bearer new"}
    await desk.integrations.change(desk.alice, created["id"], {"reply": {"url": f"{url}?same=place"}})


async def test_a_secret_header_without_a_value_to_keep_is_refused(desk: Desk) -> None:
    with pytest.raises(Invalid) as error:
        await desk.integrations.create(
            desk.alice, trigger(reply={"url": "https://erp.example", "headers": {"X-Token": "[set]"}})
        )

    assert wrong(error) == {"reply.headers.x-token": "has no value to keep; write it"}


async def test_a_stale_revision_is_a_conflict(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger())
    await desk.integrations.change(desk.alice, created["id"], {"retention": "P1D"}, revision=1)

    with pytest.raises(Conflict, match="read it again"):
        await desk.integrations.change(desk.alice, created["id"], {"retention": "P2D"}, revision=1)
    with pytest.raises(Conflict):
        await desk.integrations.change(desk.alice, created["id"], {"retention": "P2D", "revision": 1})


async def test_a_taken_name_or_path_is_refused_with_its_owner(desk: Desk) -> None:
    await desk.integrations.create(desk.alice, trigger("Orders"))

    with pytest.raises(Invalid) as error:
        await desk.integrations.create(desk.alice, trigger("Orders"))

    assert wrong(error) == {
        "name": "is taken by another integration: Orders",
        "path": "orders is taken by the integration Orders",
    }


async def test_another_workspace_may_use_the_same_name_and_path(desk: Desk) -> None:
    await desk.integrations.create(desk.alice, trigger("Orders"))
    await desk.integrations.create(desk.dora, trigger("Orders"))

    assert {("default", "orders"), ("away", "orders")} == desk.catalog.snapshot.by_path.keys()


async def test_renaming_onto_another_integration_is_refused_and_saves_nothing(desk: Desk) -> None:
    await desk.integrations.create(desk.alice, trigger("Orders"))
    prices = await desk.integrations.create(desk.alice, trigger("Prices"))

    with pytest.raises(Invalid, match="taken"):
        await desk.integrations.change(desk.alice, prices["id"], {"name": "Orders", "retention": "P1D"})

    assert await desk.integrations.show(desk.alice, prices["id"]) == prices


async def test_the_type_can_not_be_changed(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger())

    with pytest.raises(Invalid) as error:
        await desk.integrations.change(desk.alice, created["id"], {"type": "event-webhook-sync"})

    assert wrong(error) == {"type": "can't be changed; it is webhook-trigger"}


async def test_read_only_fields_are_refused_in_a_new_document(desk: Desk) -> None:
    with pytest.raises(Invalid) as error:
        await desk.integrations.create(desk.alice, trigger(id="int_1", revision=7))

    assert wrong(error).keys() == {"id", "revision"}


@pytest.mark.parametrize(
    ("authentication", "fields"),
    [
        ({"mode": "platform_token"}, {"platform_token"}),
        ({"mode": "basic"}, {"trigger.authentication.username", "trigger.authentication.password"}),
    ],
)
async def test_enabling_without_the_credential_of_the_mode_is_refused(
    desk: Desk, authentication: Json, fields: set[str]
) -> None:
    with pytest.raises(Invalid) as error:
        await desk.integrations.create(desk.alice, trigger(trigger={"authentication": authentication}))

    assert wrong(error).keys() == fields


async def test_dropping_the_token_of_an_enabled_integration_is_refused(desk: Desk) -> None:
    created = await desk.integrations.create(
        desk.alice, {"name": "A", "type": "event-webhook-sync", "status": "enabled", "platform_token": "12345678"}
    )

    with pytest.raises(Invalid, match="platform_token"):
        await desk.integrations.change(desk.alice, created["id"], {"platform_token": None})

    changed = await desk.integrations.change(desk.alice, created["id"], {"platform_token": None, "status": "disabled"})
    assert changed["platform_token_set"] is False


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (trigger(), "open"),
        (trigger(trigger={"authentication": {"mode": "api_keys"}}), "No API key"),
        (trigger(trigger={"response_mode": "sync"}, reply=REPLY), "reply URL gets it as well"),
        (trigger(trigger={"ordering_key": "{{ body.id }}"}), "no effect"),
        (trigger(status="disabled", trigger={"authentication": {"mode": "platform_token"}}), "No platform token"),
        (trigger(platform_token="12345678"), "does not use it"),
    ],
)
async def test_what_is_risky_is_warned_about(desk: Desk, document: Json, word: str) -> None:
    created = await desk.integrations.create(desk.alice, document)

    assert any(word in warning for warning in created["warnings"])


async def test_a_workflow_in_the_document_becomes_a_version_when_it_differs(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger(workflow=steps("a")))
    same = await desk.integrations.change(desk.alice, created["id"], {"workflow": steps("a")})
    other = await desk.integrations.change(desk.alice, created["id"], {"workflow": steps("b")})
    none = await desk.integrations.change(desk.alice, created["id"], {"workflow": None})
    again = await desk.integrations.change(desk.alice, created["id"], {"workflow": steps("a")})

    assert [one["workflow_version"] for one in (created, same, other, none, again)] == [1, 1, 2, 0, 3]
    assert desk.catalog.snapshot.by_id[created["id"]].integration.workflow_number == 3


async def test_what_was_allowed_when_it_was_saved_does_not_hinder_a_change(desk: Desk) -> None:
    reply = {"url": "http://10.0.0.7/callback"}
    open_rules = replace(RULES, check_url=Guard((ip_network("10.0.0.0/8"),)).check_url)
    ports = IntegrationPorts(desk.store, desk.vault, desk.catalog, open_rules, lambda: 0)
    created = await Integrations(ports).create(desk.alice, trigger(reply=reply))

    changed = await desk.integrations.change(desk.alice, created["id"], {"status": "disabled"})

    assert (changed["status"], changed["reply"]["url"]) == ("disabled", reply["url"])
    with pytest.raises(Invalid, match=r"reply\.url"):
        await desk.integrations.change(desk.alice, created["id"], {"reply": {"url": "http://10.0.0.8/"}})


async def test_a_deleted_integration_is_gone_with_its_path(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger(platform_token="12345678", reply=REPLY))
    await desk.keys.add(desk.alice, created["id"], "erp")

    await desk.integrations.delete(desk.alice, created["id"])

    with pytest.raises(NotFound):
        await desk.integrations.show(desk.alice, created["id"])
    assert not desk.catalog.snapshot.by_id
    assert (await desk.integrations.create(desk.alice, trigger()))["platform_token_set"] is False


async def test_the_signing_secret_can_be_read_and_rotated_by_an_admin(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger())
    first = await desk.integrations.signing_secret(desk.alice, created["id"])

    second = await desk.integrations.rotate_signing_secret(desk.alice, created["id"])

    assert first.startswith("whsec_")
    assert created["signing_secret_hint"] == "..." + first[-4:]
    assert second != first
    assert await desk.integrations.signing_secret(desk.alice, created["id"]) == second


async def lose_master_key(desk: Desk, integration_id: str) -> None:
    """Seal the integration's secrets with a key that nobody has."""
    stranger = Vault([b"x" * 32])
    rows = [row for row in await desk.store.read(all_secrets) if row.owner_id == integration_id]
    await desk.store.write(put_secrets, [seal(stranger, row.owner_id, row.name, b"lost") for row in rows], 0)


async def test_an_integration_that_lost_its_master_key_is_mended_by_entering_its_secrets_again(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger(platform_token="a-platform-token", reply=REPLY))
    await lose_master_key(desk, created["id"])
    catalog = Catalog(desk.store, desk.vault)
    await catalog.reload()

    shown = await desk.integrations.show(desk.alice, created["id"])
    assert any("can't be used" in warning for warning in shown["warnings"])
    with pytest.raises(Conflict, match="rotate"):
        await desk.integrations.signing_secret(desk.alice, created["id"])
    with pytest.raises(Invalid, match="can't be kept"):
        await desk.integrations.change(desk.alice, created["id"], {"retention": "P1D"})

    await desk.integrations.rotate_signing_secret(desk.alice, created["id"])
    await desk.integrations.change(desk.alice, created["id"], {"platform_token": "a-platform-token", "reply": REPLY})
    await catalog.reload()

    assert catalog.snapshot.by_id[created["id"]].accepts_token(b"a-platform-token")


async def test_a_list_comes_in_pages_by_name(desk: Desk) -> None:
    for name in ("c", "a", "b", "e", "d"):
        await desk.integrations.create(desk.alice, trigger(name))

    first = await desk.integrations.page(desk.charlie, limit=2)
    second = await desk.integrations.page(desk.charlie, limit=2, cursor=first.next)
    third = await desk.integrations.page(desk.charlie, limit=2, cursor=second.next)

    assert [item["name"] for page in (first, second, third) for item in page.items] == ["a", "b", "c", "d", "e"]
    assert third.next is None


async def test_a_list_is_filtered_by_text_type_and_status(desk: Desk) -> None:
    await desk.integrations.create(desk.alice, trigger("Orders 100%"))
    await desk.integrations.create(desk.alice, {"name": "Prices", "type": "event-webhook-sync"})

    async def names(**wanted: Json) -> list[str]:
        return [item["name"] for item in (await desk.integrations.page(desk.charlie, **wanted)).items]

    assert await names(q="ORDERS 100%") == ["Orders 100%"]
    assert await names(q="_") == []
    assert await names(type="event-webhook-sync") == ["Prices"]
    assert await names(status="enabled") == ["Orders 100%"]


@pytest.mark.parametrize("wanted", [{"limit": 0}, {"limit": 201}, {"cursor": "?"}, {"cursor": "MTI"}])
async def test_a_wrong_limit_or_cursor_is_refused(desk: Desk, wanted: Json) -> None:
    with pytest.raises(Invalid):
        await desk.integrations.page(desk.charlie, **wanted)


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
async def test_a_viewer_may_read(desk: Desk, who: str) -> None:
    actor = getattr(desk, who)
    created = await desk.integrations.create(desk.alice, trigger())

    assert await desk.integrations.show(actor, created["id"]) == created
    assert await desk.integrations.by_name(actor, "Orders") == created
    assert len((await desk.integrations.page(actor)).items) == 1


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_an_admin_may_change(desk: Desk, who: str) -> None:
    actor = getattr(desk, who)
    integration_id = (await desk.integrations.create(desk.alice, trigger()))["id"]

    for attempt in (
        desk.integrations.create(actor, trigger("Other")),
        desk.integrations.change(actor, integration_id, {"retention": "P1D"}),
        desk.integrations.delete(actor, integration_id),
        desk.integrations.signing_secret(actor, integration_id),
        desk.integrations.rotate_signing_secret(actor, integration_id),
    ):
        with pytest.raises(Forbidden, match="role admin"):
            await attempt

    assert len((await desk.integrations.page(actor)).items) == 1


async def test_an_integration_of_another_workspace_does_not_exist(desk: Desk) -> None:
    integration_id = (await desk.integrations.create(desk.alice, trigger()))["id"]

    for attempt in (
        desk.integrations.show(desk.dora, integration_id),
        desk.integrations.change(desk.dora, integration_id, {"retention": "P1D"}),
        desk.integrations.delete(desk.dora, integration_id),
        desk.integrations.signing_secret(desk.dora, integration_id),
        desk.integrations.rotate_signing_secret(desk.dora, integration_id),
    ):
        with pytest.raises(NotFound):
            await attempt

    assert await desk.integrations.by_name(desk.dora, "Orders") is None
    assert (await desk.integrations.page(desk.dora)).items == []
