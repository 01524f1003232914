"""Notification webhooks as files: integrations by their names, secrets from outside, and the same documents back."""

from __future__ import annotations

import pytest

from crossdock.manage.placeholders import placeholder_names
from crossdock.model.errors import Invalid
from crossdock.model.outcome import Json
from tests.manage.conftest import Desk, trigger, wrong
from tests.support.webhooks import SIGNING_SECRET, URL, webhook_document

pytestmark = pytest.mark.anyio

ORDERS: Json = {"kind": "Integration", "spec": trigger()}
FULL: Json = {
    "kind": "NotificationWebhook",
    "spec": {
        "name": "On call",
        "active": False,
        "url": "https://alerts.example/${SITE}",
        "body_template": '{"text": "{{ data.name }}: $${x}", "key": "{{ secrets.routing_key }}"}',
        "authentication": {"type": "custom", "headers": {"DD-API-KEY": "${DD_API_KEY}"}},
        "headers": {"X-Token": "${TOKEN}", "X-Team": "erp"},
        "secrets": {"routing_key": "${ROUTING_KEY}"},
        "signing_secret": "${SIGNING}",
        "filters": {"integrations": ["Orders"], "statuses": ["error"]},
        "digest": "PT15M",
        "quiet_hours": {"from": "22:00", "until": "06:00", "time_zone": "Europe/Berlin"},
        "response_validators": [{"json_path": "$.data.status", "expected_values": ["ok"]}],
    },
}
VALUES = {
    "SITE": "north",
    "DD_API_KEY": "hunter2-dd",
    "TOKEN": "hunter2-token",
    "ROUTING_KEY": "hunter2-routing",
    "SIGNING": SIGNING_SECRET,
}


async def apply(desk: Desk, *documents: Json, values: dict[str, str] | None = None, prune: bool = False) -> list[str]:
    """What was done, in order."""
    plan = await desk.apply.plan(desk.alice, documents, values or {}, prune=prune)
    done = await desk.apply.carry_out(desk.alice, plan)
    return [f"{step['action']} {step['name']}" for step in done["steps"]]


async def shown(desk: Desk, name: str = "On call") -> Json:
    [found] = (await desk.webhooks.page(desk.charlie, q=name)).items
    return found


def filtering(*names: str) -> Json:
    return {"kind": "NotificationWebhook", "spec": webhook_document(filters={"integrations": list(names)})}


async def test_a_webhook_and_its_integration_come_from_one_file(desk: Desk) -> None:
    assert await apply(desk, FULL, ORDERS, values=VALUES) == ["create Orders", "create On call"]

    made = await shown(desk)
    assert made["filtered_integrations"][0]["name"] == "Orders"
    assert (made["url"], made["active"]) == ("https://alerts.example/north", False)
    await desk.webhooks.test(desk.bob, made["id"])
    assert b'"key":"hunter2-routing"' in desk.calls.made[-1][0].body
    assert b"${x}" in desk.calls.made[-1][0].body
    assert await apply(desk, FULL, ORDERS, values=VALUES) == ["none Orders", "none On call"]


async def test_applying_an_export_changes_nothing(desk: Desk) -> None:
    plain = {"kind": "NotificationWebhook", "spec": webhook_document()}
    await apply(desk, FULL, ORDERS, plain, values=VALUES)
    exported = await desk.apply.export(desk.charlie)

    assert await apply(desk, *exported, prune=True) == ["none Orders", "none Alerts", "none On call"]
    assert await desk.apply.export(desk.charlie) == exported
    assert "hunter2" not in str(exported)
    assert exported[1] == {"kind": "NotificationWebhook", "spec": {"name": "Alerts", "url": URL}}
    assert exported[2]["spec"]["filters"] == {"integrations": ["Orders"], "statuses": ["error"]}
    assert exported[2]["spec"]["signing_secret"] == "${ON_CALL_SIGNING_SECRET}"


async def test_an_export_makes_the_same_webhook_elsewhere(desk: Desk) -> None:
    await apply(desk, FULL, ORDERS, values=VALUES)
    exported = await desk.apply.export(desk.alice)
    values = dict.fromkeys(placeholder_names(exported), SIGNING_SECRET)

    plan = await desk.apply.plan(desk.dora, exported, values)
    await desk.apply.carry_out(desk.dora, plan)

    assert placeholder_names(exported) == {
        "ON_CALL_DD_API_KEY",
        "ON_CALL_X_TOKEN",
        "ON_CALL_ROUTING_KEY",
        "ON_CALL_SIGNING_SECRET",
    }
    assert await desk.apply.export(desk.dora) == exported


async def test_a_plan_tells_names_and_no_secret(desk: Desk) -> None:
    await apply(desk, FULL, ORDERS, {"kind": "Integration", "spec": trigger("Stock")}, values=VALUES)
    changed = {**FULL, "spec": {**FULL["spec"], "filters": {"integrations": ["Stock"]}}}

    plan = await desk.apply.plan(desk.alice, [changed], {**VALUES, "ROUTING_KEY": "hunter3"})

    [step] = plan.document()["steps"]
    assert {"field": "filters.integrations", "before": ["Orders"], "after": ["Stock"]} in step["differences"]
    assert {"field": "secrets.routing_key", "before": "[set]", "after": "[set]"} in step["differences"]
    assert "hunter" not in str(step)


async def test_a_name_that_means_nothing_is_refused_with_a_guess(desk: Desk) -> None:
    with pytest.raises(Invalid) as error:
        await apply(desk, ORDERS, filtering("Order"))
    with pytest.raises(Invalid) as alone:
        await apply(desk, filtering("Order"))

    assert wrong(error) == {
        "[1].filters.integrations[0]": "there is no integration called 'Order'; did you mean 'Orders'?"
    }
    assert "no other either" in wrong(alone)["[0].filters.integrations[0]"]


async def test_a_filter_by_what_is_pruned_is_refused(desk: Desk) -> None:
    await apply(desk, ORDERS)

    with pytest.raises(Invalid, match="no integration called 'Orders'"):
        await apply(desk, filtering("Orders"), prune=True)

    assert await apply(desk, filtering("Orders")) == ["create Alerts"]


async def test_prune_deletes_webhooks_without_a_document(desk: Desk) -> None:
    await apply(desk, FULL, ORDERS, values=VALUES)

    assert await apply(desk, ORDERS, prune=True) == ["prune On call", "none Orders"]

    assert (await desk.webhooks.page(desk.charlie)).items == []


async def test_a_filter_whose_integration_is_gone_survives_an_export(desk: Desk) -> None:
    await apply(desk, FULL, ORDERS, values=VALUES)
    gone = (await shown(desk))["filters"]["integrations"]
    await desk.integrations.delete(desk.alice, gone[0])

    exported = await desk.apply.export(desk.charlie)

    assert exported[0]["spec"]["filters"]["integrations"] == gone
    assert await apply(desk, *exported) == ["none On call"]


async def test_what_a_document_leaves_out_returns_to_its_default(desk: Desk) -> None:
    await apply(desk, FULL, ORDERS, values=VALUES)

    assert await apply(desk, {"kind": "NotificationWebhook", "spec": webhook_document("On call")}) == ["change On call"]

    made = await shown(desk)
    assert (made["signing_secret"], made["secrets"], made["digest"], made["active"]) == (None, {}, None, True)


async def test_fields_may_stand_beside_the_kind_and_errors_name_the_document(desk: Desk) -> None:
    assert await apply(desk, {"kind": "NotificationWebhook", **webhook_document()}) == ["create Alerts"]

    with pytest.raises(Invalid) as error:
        await apply(desk, FULL, filtering(), filtering(), ORDERS)

    assert wrong(error).keys() == {
        "[0].url",
        "[0].authentication.headers.DD-API-KEY",
        "[0].headers.X-Token",
        "[0].secrets.routing_key",
        "[0].signing_secret",
    }
