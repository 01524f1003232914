"""Workspaces: alice administers the installation, bob is an operator, charlie a viewer; dora is an admin of `away`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crossdock.catalog import Catalog
from crossdock.manage.actor import Actor
from crossdock.manage.workspaces import WorkspacePorts, Workspaces
from crossdock.model.errors import Conflict, Forbidden, Invalid, NotFound
from crossdock.store.audit import AuditFilter, audit_page
from crossdock.store.people import UserRow, add_user, set_role, user_by_id
from tests.manage.conftest import Desk, trigger
from tests.support.connections import http_document
from tests.support.held import HeldClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspaces(desk: Desk, clock: HeldClock) -> Workspaces:
    return Workspaces(WorkspacePorts(desk.store, desk.catalog, desk.tokens, clock))


async def test_a_workspace_is_made_shown_renamed_and_deleted(desk: Desk, workspaces: Workspaces) -> None:
    made = await workspaces.create(desk.alice, {"slug": "shop", "name": "The shop"})
    assert (made["slug"], made["name"], made["members"], made["integrations"]) == ("shop", "The shop", 0, 0)
    assert [one["slug"] for one in (await workspaces.page(desk.alice)).items] == ["away", "default", "shop"]

    renamed = await workspaces.change(desk.alice, "shop", {"name": "Shops", "slug": "shop"})
    assert (renamed["name"], renamed["slug"]) == ("Shops", "shop")

    await workspaces.delete(desk.alice, "shop")
    with pytest.raises(NotFound):
        await workspaces.show(desk.alice, "shop")
    entries = await desk.store.read(audit_page, "wsp_home", AuditFilter(), limit=9)
    assert [(one.action, one.subject_name) for one in entries] == [
        ("workspace.deleted", "shop"),
        ("workspace.created", "shop"),
    ]
    renaming = await desk.store.read(audit_page, made["id"], AuditFilter(), limit=9)
    assert [(one.action, one.before, one.after) for one in renaming] == [
        ("workspace.changed", {"name": "The shop"}, {"name": "Shops"})
    ]


async def test_a_workspace_made_at_run_time_works_on_every_node(desk: Desk, workspaces: Workspaces) -> None:
    other = Catalog(desk.store, desk.vault)
    await other.reload()
    made = await workspaces.create(desk.alice, {"slug": "shop"})
    token = await workspaces.create_token(desk.alice, "shop", "first", "admin")
    actor = desk.tokens.authenticate(token["token"])
    assert actor is not None
    assert (actor.workspace, actor.workspace_id, actor.role) == ("shop", made["id"], "admin")

    orders = await desk.integrations.create(actor, trigger(path="orders"))

    assert orders["url"] == "https://hooks.example/hooks/shop/orders"
    assert await other.reload_if_changed()
    assert other.snapshot.workspaces["shop"] == made["id"]
    assert other.snapshot.by_path["shop", "orders"].integration.id == orders["id"]
    assert (await desk.integrations.page(desk.alice)).items == []


async def test_who_makes_a_workspace_is_its_first_admin(desk: Desk, workspaces: Workspaces, clock: HeldClock) -> None:
    await desk.store.write(add_user, UserRow("usr_alice", "alice", "Alice", clock(), clock()))

    await workspaces.create(replace(desk.alice, id="usr_alice"), {"slug": "shop"})

    stored = await desk.store.read(user_by_id, "usr_alice")
    assert stored is not None
    assert [(one.slug, one.role) for one in stored.memberships] == [("shop", "admin")]


@pytest.mark.parametrize(
    "slug", ["", "A", "größe", "a b", "-a", "a-", "a/b", "a.b", "a_b", "..", "x" * 41, "default", 5, None]
)
async def test_a_slug_has_to_fit_into_addresses_and_be_free(desk: Desk, workspaces: Workspaces, slug: Any) -> None:
    with pytest.raises(Invalid) as error:
        await workspaces.create(desk.alice, {"slug": slug})

    assert {one.field for one in error.value.errors} == {"slug"}


async def test_a_slug_does_not_change(desk: Desk, workspaces: Workspaces) -> None:
    with pytest.raises(Invalid, match="can't be changed"):
        await workspaces.change(desk.alice, "away", {"slug": "elsewhere"})


async def test_a_workspace_with_something_in_it_stays(desk: Desk, workspaces: Workspaces) -> None:
    orders = await desk.integrations.create(desk.dora, trigger())
    await desk.integrations.create(desk.dora, trigger("Other"))
    erp = await desk.connections.create(desk.dora, http_document())

    with pytest.raises(Conflict, match="2 integrations, 1 connection;"):
        await workspaces.delete(desk.alice, "away")

    for integration in (await desk.integrations.page(desk.dora)).items:
        await desk.integrations.delete(desk.dora, integration["id"])
    await desk.connections.delete(desk.dora, erp["id"])
    await workspaces.delete(desk.alice, "away")
    assert orders["id"] not in desk.catalog.snapshot.by_id


async def test_tokens_and_memberships_go_with_their_workspace(
    desk: Desk, workspaces: Workspaces, clock: HeldClock
) -> None:
    token = (await desk.tokens.create(desk.dora, "deploy", "viewer"))["token"]
    await desk.store.write(add_user, UserRow("usr_dora", "dora", "Dora", clock(), clock()))
    await desk.store.write(set_role, "usr_dora", "wsp_away", "admin")

    await workspaces.delete(desk.alice, "away")

    stored = await desk.store.read(user_by_id, "usr_dora")
    assert stored is not None
    assert stored.memberships == ()
    assert desk.tokens.authenticate(token) is None


async def test_default_stays(desk: Desk, workspaces: Workspaces) -> None:
    with pytest.raises(Conflict, match="stays"):
        await workspaces.delete(desk.alice, "default")


async def test_others_see_their_own_workspace_only(desk: Desk, workspaces: Workspaces) -> None:
    for actor, own, foreign in ((desk.dora, "away", "default"), (desk.charlie, "default", "away")):
        assert [one["slug"] for one in (await workspaces.page(actor)).items] == [own]
        assert (await workspaces.show(actor, own))["slug"] == own
        for slug in (foreign, "never-made"):
            with pytest.raises(NotFound):
                await workspaces.show(actor, slug)
            with pytest.raises(NotFound):
                await workspaces.change(actor, slug, {"name": "x"})


async def test_an_admin_of_a_workspace_renames_it(desk: Desk, workspaces: Workspaces) -> None:
    assert (await workspaces.change(desk.dora, "away", {"name": "Far away"}))["name"] == "Far away"


@pytest.mark.parametrize("who", ["bob", "charlie", "dora"])
async def test_only_administrators_make_and_delete_workspaces(desk: Desk, workspaces: Workspaces, who: str) -> None:
    actor: Actor = getattr(desk, who)
    own = actor.workspace

    for attempt in (
        workspaces.create(actor, {"slug": "shop"}),
        workspaces.delete(actor, own),
        workspaces.create_token(actor, own, "mine", "admin"),
    ):
        with pytest.raises(Forbidden):
            await attempt


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_operators_and_viewers_rename_nothing(desk: Desk, workspaces: Workspaces, who: str) -> None:
    with pytest.raises(Forbidden):
        await workspaces.change(getattr(desk, who), "default", {"name": "x"})
