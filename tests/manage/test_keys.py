"""API keys through their use cases."""

from __future__ import annotations

import pytest

from crossdock.manage.actor import Actor
from crossdock.model.errors import Forbidden, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant, later
from tests.manage.conftest import Desk, trigger, wrong
from tests.support.held import HeldClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def orders(desk: Desk) -> str:
    created = await desk.integrations.create(desk.alice, trigger(trigger={"authentication": {"mode": "api_keys"}}))
    return str(created["id"])


async def test_a_generated_key_is_told_once_and_opens_the_integration(desk: Desk, orders: str) -> None:
    added = await desk.keys.add(desk.alice, orders, "ERP")

    assert added["key"].startswith("xdk_")
    assert added["hint"] == added["key"][-4:]
    found = desk.catalog.snapshot.by_id[orders].find_key(added["key"].encode())
    assert found is not None
    assert (found.id, found.label) == (added["id"], "ERP")
    shown = (await desk.keys.page(desk.charlie, orders)).items
    assert shown == [{key: value for key, value in added.items() if key != "key"}]


async def test_one_value_may_open_several_integrations_but_not_one_twice(desk: Desk, orders: str) -> None:
    prices = await desk.integrations.create(desk.alice, trigger("Prices"))
    text = "a-key-that-the-consumer-has"

    await desk.keys.add(desk.alice, orders, "shop", text)
    await desk.keys.add(desk.alice, prices["id"], "shop", text)
    with pytest.raises(Invalid) as error:
        await desk.keys.add(desk.alice, orders, "again", text)

    assert wrong(error) == {"key": "is already there, labelled shop"}
    assert all(live.find_key(text.encode()) for live in desk.catalog.snapshot.by_id.values())


@pytest.mark.parametrize(
    "text", ["", "too-short", "x" * 257, "with a space in it", "with-an-ümlaut-in-it", "line\nbreak-in-it"]
)
async def test_a_pasted_key_that_can_not_be_sent_is_refused(desk: Desk, orders: str, text: str) -> None:
    with pytest.raises(Invalid) as error:
        await desk.keys.add(desk.alice, orders, "shop", text)

    assert "key" in wrong(error)


@pytest.mark.parametrize("label", ["", " ", "x" * 81, "a\nb", 7, None])
async def test_a_label_that_tells_nothing_is_refused(desk: Desk, orders: str, label: Json) -> None:
    with pytest.raises(Invalid) as error:
        await desk.keys.add(desk.alice, orders, label)

    assert "label" in wrong(error)


async def test_a_key_is_relabelled_and_disabled(desk: Desk, orders: str) -> None:
    added = await desk.keys.add(desk.alice, orders, "ERP")

    changed = await desk.keys.change(desk.alice, orders, added["id"], {"label": "ERP 2", "disabled": True})

    assert (changed["label"], changed["disabled"]) == ("ERP 2", True)
    found = desk.catalog.snapshot.by_id[orders].find_key(added["key"].encode())
    assert found is not None
    assert not found.is_usable(0)


async def test_a_key_expires_at_its_time_until_that_is_lifted(desk: Desk, orders: str, clock: HeldClock) -> None:
    end = later(clock(), 60)
    added = await desk.keys.add(desk.alice, orders, "ERP", expires_at=format_instant(end))

    def usable() -> bool:
        found = desk.catalog.snapshot.by_id[orders].find_key(added["key"].encode())
        return found is not None and found.is_usable(end)

    assert not usable()
    await desk.keys.change(desk.alice, orders, added["id"], {"expires_at": None})
    assert usable()


@pytest.mark.parametrize(
    "patch", [{"lable": "x"}, {"disabled": "yes"}, {"expires_at": "tomorrow"}, {"key": "x" * 20}, []]
)
async def test_a_wrong_change_is_refused(desk: Desk, orders: str, patch: Json) -> None:
    added = await desk.keys.add(desk.alice, orders, "ERP")

    with pytest.raises(Invalid):
        await desk.keys.change(desk.alice, orders, added["id"], patch)


async def test_a_deleted_key_opens_nothing(desk: Desk, orders: str) -> None:
    added = await desk.keys.add(desk.alice, orders, "ERP")

    await desk.keys.delete(desk.alice, orders, added["id"])

    assert desk.catalog.snapshot.by_id[orders].find_key(added["key"].encode()) is None
    with pytest.raises(NotFound):
        await desk.keys.delete(desk.alice, orders, added["id"])


async def test_keys_come_in_pages(desk: Desk, orders: str) -> None:
    for number in range(3):
        await desk.keys.add(desk.alice, orders, f"key {number}")

    first = await desk.keys.page(desk.charlie, orders, limit=2)
    second = await desk.keys.page(desk.charlie, orders, limit=2, cursor=first.next)

    assert [key["label"] for key in (*first.items, *second.items)] == ["key 0", "key 1", "key 2"]
    assert second.next is None


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_an_admin_may_change_keys(desk: Desk, orders: str, who: str) -> None:
    actor: Actor = getattr(desk, who)
    added = await desk.keys.add(desk.alice, orders, "ERP")

    for attempt in (
        desk.keys.add(actor, orders, "x"),
        desk.keys.change(actor, orders, added["id"], {"disabled": True}),
        desk.keys.delete(actor, orders, added["id"]),
    ):
        with pytest.raises(Forbidden):
            await attempt

    assert [key["disabled"] for key in (await desk.keys.page(actor, orders)).items] == [False]
    assert (await desk.keys.show(actor, orders, added["id"]))["label"] == "ERP"


async def test_keys_of_another_workspace_do_not_exist(desk: Desk, orders: str) -> None:
    added = await desk.keys.add(desk.alice, orders, "ERP")

    for attempt in (
        desk.keys.page(desk.dora, orders),
        desk.keys.show(desk.dora, orders, added["id"]),
        desk.keys.add(desk.dora, orders, "x"),
        desk.keys.change(desk.dora, orders, added["id"], {"disabled": True}),
        desk.keys.delete(desk.dora, orders, added["id"]),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_a_key_of_another_integration_does_not_exist(desk: Desk, orders: str) -> None:
    prices = await desk.integrations.create(desk.alice, trigger("Prices"))
    added = await desk.keys.add(desk.alice, orders, "ERP")

    with pytest.raises(NotFound):
        await desk.keys.change(desk.alice, prices["id"], added["id"], {"disabled": True})
    with pytest.raises(NotFound):
        await desk.keys.delete(desk.alice, prices["id"], added["id"])
