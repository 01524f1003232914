"""Configuration as files: plan, apply, prune, export."""

from __future__ import annotations

import pytest

from crossdock.manage.placeholders import placeholder_names
from crossdock.model.errors import Conflict, Forbidden, Invalid, NotFound
from crossdock.model.outcome import Json
from tests.manage.conftest import Desk, steps, trigger, wrong

pytestmark = pytest.mark.anyio


def document(name: str = "Orders", **more: Json) -> Json:
    return {"kind": "Integration", "spec": trigger(name, **more)}


FULL = document(
    "Größe & Preis",
    path="erp/price",
    platform_token="${ERP_TOKEN}",
    trigger={
        "authentication": {"mode": "basic", "username": "erp", "password": "${ERP_PASSWORD}"},
        "query_parameters": [{"name": "item", "required": True}],
        "body_schema": {"properties": {"a": {"const": None}}},
    },
    reply={"url": "https://erp.example/${SITE}", "headers": {"X-Token": "Bearer ${REPLY_TOKEN}", "X-Site": "12"}},
    workflow={"steps": [{"id": "total", "transform": {"text": "costs $${amount}", "price": "{{ body.price }}"}}]},
)
VALUES = {"ERP_TOKEN": "platform-token", "ERP_PASSWORD": "pass word", "SITE": "north", "REPLY_TOKEN": "abc"}


async def apply(desk: Desk, *documents: Json, values: dict[str, str] | None = None, prune: bool = False) -> list[str]:
    """The actions that were done, in order."""
    plan = await desk.apply.plan(desk.alice, documents, values or {}, prune=prune)
    return [step["action"] for step in (await desk.apply.carry_out(desk.alice, plan))["steps"]]


async def test_a_plan_writes_nothing(desk: Desk) -> None:
    plan = await desk.apply.plan(desk.alice, [document()], {})

    assert plan.document() == {
        "steps": [{"kind": "Integration", "name": "Orders", "action": "create", "differences": []}],
        "changes_something": True,
    }
    assert (await desk.integrations.page(desk.alice)).items == []


async def test_applying_creates_and_applying_again_changes_nothing(desk: Desk) -> None:
    assert await apply(desk, FULL, values=VALUES) == ["create"]

    made = await desk.integrations.by_name(desk.alice, "Größe & Preis")
    assert made is not None
    assert made["reply"]["url"] == "https://erp.example/north"
    assert made["workflow"]["steps"][0]["transform"]["text"] == "costs ${amount}"
    live = desk.catalog.snapshot.by_id[made["id"]]
    assert live.accepts_token(b"platform-token")
    assert live.accepts_basic(b"erp", b"pass word")
    assert live.reply is not None
    assert ("X-Token", "Bearer abc") in live.reply.headers
    assert await apply(desk, FULL, values=VALUES) == ["none"]


async def test_a_change_tells_what_differs_but_no_secret(desk: Desk) -> None:
    await apply(desk, FULL, values=VALUES)
    changed = {"kind": "Integration", "spec": {**FULL["spec"], "retention": "P1D", "workflow": None}}

    plan = await desk.apply.plan(desk.alice, [changed], {**VALUES, "ERP_TOKEN": "another-token"})

    step = plan.document()["steps"][0]
    assert step["action"] == "change"
    assert {difference["field"] for difference in step["differences"]} == {"retention", "workflow", "platform_token"}
    assert {"field": "retention", "before": "P30D", "after": "P1D"} in step["differences"]
    assert "another-token" not in str(step)


async def test_what_a_document_leaves_out_returns_to_its_default(desk: Desk) -> None:
    await apply(desk, document(retention="P1D", workflow=steps("a")))

    assert await apply(desk, document()) == ["change"]

    shown = await desk.integrations.by_name(desk.alice, "Orders")
    assert shown is not None
    assert (shown["retention"], shown["workflow"], shown["workflow_version"]) == ("P30D", None, 0)


async def test_applying_an_export_changes_nothing(desk: Desk) -> None:
    documents = [FULL, document("Plain"), {"kind": "Integration", "name": "Alarms", "type": "event-webhook-async"}]
    await apply(desk, *documents, values=VALUES)
    exported = await desk.apply.export(desk.charlie)

    assert await apply(desk, *exported, prune=True) == ["none"] * 3
    assert await desk.apply.export(desk.charlie) == exported
    assert not [secret for secret in ("platform-token", "pass word", "abc") if secret in str(exported)]
    assert exported[0] == {
        "kind": "Integration",
        "spec": {"name": "Alarms", "type": "event-webhook-async", "status": "disabled", "path": "alarms"},
    }


async def test_an_export_makes_the_same_integration_elsewhere(desk: Desk) -> None:
    await apply(desk, FULL, values=VALUES)
    exported = await desk.apply.export(desk.alice)
    names = placeholder_names(exported)

    plan = await desk.apply.plan(desk.dora, exported, dict.fromkeys(names, "some-value"))
    await desk.apply.carry_out(desk.dora, plan)

    assert names == {"ERP_PRICE_PLATFORM_TOKEN", "ERP_PRICE_PASSWORD", "ERP_PRICE_REPLY_X_TOKEN"}
    copy = await desk.apply.export(desk.dora)
    assert copy == exported


async def test_a_placeholder_without_a_value_is_refused_by_name(desk: Desk) -> None:
    with pytest.raises(Invalid) as error:
        await apply(desk, FULL)

    assert wrong(error) == {
        "[0].platform_token": "needs ERP_TOKEN, which is not set",
        "[0].trigger.authentication.password": "needs ERP_PASSWORD, which is not set",
        "[0].reply.url": "needs SITE, which is not set",
        "[0].reply.headers.X-Token": "needs REPLY_TOKEN, which is not set",
    }


async def test_a_secret_without_a_value_keeps_the_stored_one(desk: Desk) -> None:
    await apply(desk, FULL, values=VALUES)

    assert await apply(desk, FULL, values={"SITE": "north"}) == ["none"]
    assert await apply(desk, FULL, values={"SITE": "south"}) == ["change"]

    live = desk.catalog.snapshot.by_path["default", "erp/price"]
    assert live.accepts_token(b"platform-token")
    assert live.reply is not None
    assert ("X-Token", "Bearer abc") in live.reply.headers


async def test_pruning_deletes_what_has_no_document_first(desk: Desk) -> None:
    await apply(desk, document("Old", path="orders"), document("Kept"))

    assert await apply(desk, document("Kept"), document("New", path="orders"), prune=True) == [
        "prune",
        "none",
        "create",
    ]
    assert [item["name"] for item in (await desk.integrations.page(desk.alice)).items] == ["Kept", "New"]


async def test_one_wrong_document_stops_all(desk: Desk) -> None:
    with pytest.raises(Invalid) as error:
        await apply(desk, document("A"), document("B", retention="P1Y"), document("C", colour="red"))

    assert wrong(error).keys() == {"[1].retention", "[2].colour"}
    assert (await desk.integrations.page(desk.alice)).items == []


@pytest.mark.parametrize(
    ("documents", "field"),
    [
        ([{"kind": "Webhook", "spec": {}}], "[0].kind"),
        ([{"name": "A"}], "[0].kind"),
        (["Integration"], "[0].kind"),
        ([{"kind": "Integration", "spec": []}], "[0].spec"),
        ([{"kind": "Integration", "spec": trigger(), "metadata": {}}], "[0].spec"),
        ([document(), document()], "[1].name"),
        ([document("A", path="x"), document("B", path="x")], "[1].path"),
        ([document(id="int_1")], "[0].id"),
    ],
    ids=["other kind", "no kind", "text", "list", "beside", "same name", "same path", "read-only"],
)
async def test_wrong_documents_are_refused(desk: Desk, documents: list[Json], field: str) -> None:
    with pytest.raises(Invalid) as error:
        await desk.apply.plan(desk.alice, documents, {})

    assert wrong(error).keys() == {field}


async def test_a_plan_that_was_overtaken_is_a_conflict(desk: Desk) -> None:
    await apply(desk, document())
    plan = await desk.apply.plan(desk.alice, [document(retention="P1D")], {})
    made = await desk.integrations.by_name(desk.alice, "Orders")
    assert made is not None
    await desk.integrations.change(desk.alice, made["id"], {"retention": "P2D"})

    with pytest.raises(Conflict):
        await desk.apply.carry_out(desk.alice, plan)


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_an_admin_may_apply(desk: Desk, who: str) -> None:
    plan = await desk.apply.plan(desk.alice, [document()], {})

    with pytest.raises(Forbidden):
        await desk.apply.plan(getattr(desk, who), [document()], {})
    with pytest.raises(Forbidden):
        await desk.apply.carry_out(getattr(desk, who), plan)


async def test_pruning_stays_in_its_workspace(desk: Desk) -> None:
    await apply(desk, document())

    plan = await desk.apply.plan(desk.dora, [], {}, prune=True)

    assert plan.steps == ()
    theirs = await desk.apply.plan(desk.alice, [], {}, prune=True)
    with pytest.raises(NotFound):
        await desk.apply.carry_out(desk.dora, theirs)
