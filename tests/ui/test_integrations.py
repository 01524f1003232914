"""The list of integrations, the catalog beside it, and what is done to several at once."""

from __future__ import annotations

import pytest

from crossdock.manage.paging import write_cursor
from crossdock.model.outcome import Json
from tests.ui.conftest import Site

LIST = "/w/default/integrations"


async def make(site: Site, name: str, **changes: Json) -> Json:
    document = {"name": name, "type": "webhook-trigger", "status": "enabled", **changes}
    return await site.cases.integrations.create(site.actor(), document)


async def status_of(site: Site, name: str) -> str:
    return str((await named(site, name))["status"])


async def named(site: Site, name: str) -> Json:
    found = await site.cases.integrations.by_name(site.actor(), name)
    assert found is not None
    return found


async def test_the_list_tells_of_each_integration_what_matters(site: Site):
    made = await make(site, "Orders", path="shop/orders", trigger={"response_mode": "sync", "ordered_delivery": True})
    await site.story.succeed(made["id"])
    await site.story.judge(made)

    shown = await site.open(LIST)

    assert "Orders Webhook Trigger · Request-Response · ordered · open" in shown.words
    assert 'data-copy="https://hooks.example/hooks/default/shop/orders"' in shown.text
    assert "Active" in shown.words
    assert "1 call" in shown.words
    assert 'class="sparkline traffic-bars"' in shown.text


async def test_what_needs_attention_stands_first_with_its_reason(site: Site):
    await make(site, "A is well")
    failing = await make(site, "B fails", retry={"attempts": 1})
    await site.story.fail(failing["id"])
    await site.story.judge(failing)

    words = (await site.open(LIST)).words

    assert words.index("B fails") < words.index("A is well")
    assert "Warning" in words


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
async def test_every_member_sees_the_list(site: Site, who: str):
    await make(site, "Orders")

    shown = await site.open(LIST, who)

    assert "Orders" in shown.words
    assert ("New Integration" in shown.words) == (who == "alice")
    assert ('name="ids"' in shown.text) == (who == "alice")


async def test_others_do_not_see_it(site: Site):
    await make(site, "Orders")

    assert (await site.open(LIST, "dora")).status == 404
    assert "Orders" not in (await site.open("/w/away/integrations", "dora")).words


async def test_search_and_chips_narrow_the_list_by_its_url(site: Site):
    await make(site, "Orders")
    await make(site, "Invoices", type="event-webhook-async", platform_token="a-token-of-tests", status="disabled")

    found = await site.open(f"{LIST}?q=invo")
    disabled = await site.open(f"{LIST}?status=disabled")
    typed = await site.open(f"{LIST}?type=webhook-trigger&health=initializing,error")

    assert "Invoices" in found.words
    assert "Orders" not in found.words
    assert "Invoices" in disabled.words
    assert "Orders" not in disabled.words
    assert "Orders" in typed.words
    assert "Invoices" not in typed.words


@pytest.mark.parametrize("query", ["health=great", "status=maybe", "type=telex", "q=%00", "q=%F0%9F%92%A9"])
async def test_a_query_that_nobody_wrote_narrows_or_finds_nothing(site: Site, query: str):
    assert (await site.open(f"{LIST}?{query}")).status == 200


@pytest.mark.parametrize("cursor", ["x", write_cursor("9" * 5_000 + " Orders"), write_cursor("\u0663 Orders")])
async def test_a_cursor_of_another_list_is_refused(site: Site, cursor: str):
    assert (await site.open(f"{LIST}?cursor={cursor}")).status == 422


async def test_a_part_of_the_page_is_the_list_alone(site: Site):
    await make(site, "Orders")

    shown = await site.open(LIST, **{"HX-Request": "true", "HX-Request-Type": "partial"})

    assert shown.text.strip().startswith('<section id="list"')
    assert "Orders" in shown.words


# --- the catalog -----------------------------------------------------------------------------------------------------


async def test_the_panel_offers_every_external_system_without_scripts(site: Site):
    shown = await site.open(f"{LIST}?panel=external-systems")

    assert "Select External System" in shown.words
    for title in ("Event Webhook Async", "Event Webhook Sync", "Webhook Trigger"):
        assert title in shown.words
    assert "popover" not in shown.text.split('id="external-systems"')[1].split(">")[0]


async def test_the_catalog_is_searched_by_words(site: Site):
    shown = await site.open(f"{LIST}?panel=external-systems&system=caller+waits")

    panel = shown.text.split('id="external-systems"')[1]
    assert "Event Webhook Sync" in panel
    assert "Webhook Trigger" not in panel


# --- several at once -------------------------------------------------------------------------------------------------


async def test_several_are_disabled_at_once_and_that_is_undone(site: Site):
    made = [await make(site, name) for name in ("One", "Two")]

    done = await site.send(f"{LIST}/switch", [("status", "disabled"), ("query", "q=o"), *_ids(made)])
    both = [await status_of(site, name) for name in ("One", "Two")]
    said = await site.session.get(site.url + LIST, headers={"Cookie": _cookies(site, done)})
    undo = await said.text()
    await site.send(f"{LIST}/switch", {"status": "enabled", "ids": " ".join(one["id"] for one in made)})

    assert (done.status, done.location) == (303, f"{LIST}?q=o")
    assert both == ["disabled", "disabled"]
    assert "Disabled 2 integrations." in undo
    assert f'action="{LIST}/switch"' in undo
    assert await status_of(site, "One") == "enabled"


async def test_one_that_can_not_be_enabled_is_told_by_name(site: Site):
    made = await make(site, "Locked", type="event-webhook-async", status="disabled")

    done = await site.send(f"{LIST}/switch", [("status", "enabled"), *_ids([made])])
    said = await site.session.get(site.url + LIST, headers={"Cookie": _cookies(site, done)})

    assert "Not changed: Locked" in await said.text()
    assert await status_of(site, "Locked") == "disabled"


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_admins_switch_integrations(site: Site, who: str):
    made = await make(site, "Orders")

    shown = await site.send(f"{LIST}/switch", [("status", "disabled"), *_ids([made])], who)

    assert shown.status == 403
    assert await status_of(site, "Orders") == "enabled"


async def test_those_of_other_workspaces_are_left_alone(site: Site):
    made = await make(site, "Orders")

    await site.send("/w/away/integrations/switch", [("status", "disabled"), *_ids([made])], "dora")

    assert await status_of(site, "Orders") == "enabled"


async def test_nothing_chosen_changes_nothing(site: Site):
    assert (await site.send(f"{LIST}/switch", {"status": "disabled"})).status == 303
    assert (await site.send(f"{LIST}/switch", {"status": "gone", "ids": "int_x"})).status == 422


# --- the example -----------------------------------------------------------------------------------------------------


async def test_an_empty_list_makes_a_working_example_by_one_click(site: Site):
    empty = await site.open(LIST)

    shown = await site.send(f"{LIST}/example", {})
    again = await site.send(f"{LIST}/example", {})

    made = await named(site, "Hello")
    assert "Make a working example" in empty.words
    assert shown.status == again.status == 201
    assert "https://hooks.example/hooks/default/hello" in shown.words
    assert made["status"] == "enabled"
    assert await status_of(site, "Hello 2") == "enabled"


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_admins_make_the_example(site: Site, who: str):
    assert "Make a working example" not in (await site.open(LIST, who)).words
    assert (await site.send(f"{LIST}/example", {}, who)).status == 403


def _ids(made: list[Json]) -> list[tuple[str, str]]:
    return [("ids", one["id"]) for one in made]


def _cookies(site: Site, shown) -> str:
    said = shown.headers["set-cookie"].partition(";")[0]
    return f"crossdock={site.cookies['alice']}; {said}"
