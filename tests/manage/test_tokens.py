"""API tokens: made, recognised, expired, revoked."""

from __future__ import annotations

import pytest

from crossdock.manage.actor import Actor, Role
from crossdock.manage.tokens import Tokens
from crossdock.model.errors import Forbidden, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant, later
from tests.manage.conftest import ADMIN_TOKEN, Desk, wrong
from tests.support.held import HeldClock


@pytest.mark.anyio
async def test_a_created_token_is_told_once_and_recognised(desk: Desk) -> None:
    created = await desk.tokens.create(desk.alice, "deploy", "operator")

    assert created["token"].startswith("xdt_")
    assert desk.tokens.authenticate(created["token"]) == Actor(
        "deploy", desk.alice.workspace_id, "default", "operator", created["id"]
    )
    listed = (await desk.tokens.page(desk.alice)).items
    assert [(item["name"], item["role"], item["hint"]) for item in listed] == [
        ("deploy", "operator", created["token"][-4:])
    ]
    assert created["token"] not in str(listed)


@pytest.mark.parametrize("text", ["", "xdt_", "xdt_wrong", ADMIN_TOKEN[:-1], "\ud800", "ü"])
@pytest.mark.anyio
async def test_an_unknown_token_is_nobody(desk: Desk, text: str) -> None:
    await desk.tokens.create(desk.alice, "deploy", "admin")

    assert desk.tokens.authenticate(text) is None


@pytest.mark.anyio
async def test_the_token_of_the_settings_is_an_admin(desk: Desk) -> None:
    actor = desk.tokens.authenticate(ADMIN_TOKEN)

    assert actor == Actor("admin token", desk.alice.workspace_id, "default", "admin")


@pytest.mark.anyio
async def test_a_token_is_nobody_from_its_end_on(desk: Desk, clock: HeldClock) -> None:
    end = format_instant(later(clock(), 60))
    created = await desk.tokens.create(desk.alice, "deploy", "viewer", end)

    assert desk.tokens.authenticate(created["token"]) is not None
    clock.advance(60)
    assert desk.tokens.authenticate(created["token"]) is None


@pytest.mark.anyio
async def test_a_revoked_token_is_nobody(desk: Desk) -> None:
    created = await desk.tokens.create(desk.alice, "deploy", "viewer")

    await desk.tokens.revoke(desk.alice, created["id"])

    assert desk.tokens.authenticate(created["token"]) is None
    with pytest.raises(NotFound):
        await desk.tokens.revoke(desk.alice, created["id"])


@pytest.mark.anyio
async def test_another_node_recognises_the_token_after_its_next_look(desk: Desk, clock: HeldClock) -> None:
    created = await desk.tokens.create(desk.alice, "deploy", "viewer")
    other = Tokens(desk.store, clock)
    await other.reload()
    later_one = await desk.tokens.create(desk.alice, "later", "viewer")

    assert other.authenticate(created["token"]) is not None
    assert other.authenticate(later_one["token"]) is None
    assert await other.reload_if_changed()
    assert other.authenticate(later_one["token"]) is not None
    assert not await other.reload_if_changed()


@pytest.mark.anyio
async def test_the_last_use_is_written_down(desk: Desk, clock: HeldClock) -> None:
    created = await desk.tokens.create(desk.alice, "deploy", "viewer")
    clock.advance(5)

    desk.tokens.authenticate(created["token"])
    await desk.tokens.record_uses()

    assert [item["last_used_at"] for item in (await desk.tokens.page(desk.alice)).items] == [format_instant(clock())]


@pytest.mark.parametrize(
    ("name", "role", "end", "field"),
    [
        ("", "viewer", None, "name"),
        ("a\nb", "viewer", None, "name"),
        ("deploy", "root", None, "role"),
        ("deploy", "viewer", "2020-01-01T00:00:00Z", "expires_at"),
        ("deploy", "viewer", "soon", "expires_at"),
    ],
)
@pytest.mark.anyio
async def test_a_wrong_token_is_refused(desk: Desk, name: str, role: str, end: Json, field: str) -> None:
    with pytest.raises(Invalid) as error:
        await desk.tokens.create(desk.alice, name, role, end)

    assert wrong(error).keys() == {field}


@pytest.mark.anyio
async def test_a_taken_name_is_refused(desk: Desk) -> None:
    await desk.tokens.create(desk.alice, "deploy", "viewer")

    with pytest.raises(Invalid, match="taken"):
        await desk.tokens.create(desk.alice, "deploy", "viewer")
    await desk.tokens.create(desk.dora, "deploy", "viewer")


@pytest.mark.parametrize("who", ["bob", "charlie"])
@pytest.mark.anyio
async def test_only_an_admin_may_see_and_change_tokens(desk: Desk, who: str) -> None:
    actor = getattr(desk, who)
    created = await desk.tokens.create(desk.alice, "deploy", "viewer")

    for attempt in (
        desk.tokens.create(actor, "mine", "admin"),
        desk.tokens.page(actor),
        desk.tokens.revoke(actor, created["id"]),
    ):
        with pytest.raises(Forbidden):
            await attempt


@pytest.mark.anyio
async def test_tokens_of_another_workspace_do_not_exist(desk: Desk) -> None:
    created = await desk.tokens.create(desk.alice, "deploy", "viewer")

    assert (await desk.tokens.page(desk.dora)).items == []
    with pytest.raises(NotFound):
        await desk.tokens.revoke(desk.dora, created["id"])


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("viewer", {"viewer"}), ("operator", {"viewer", "operator"}), ("admin", {"viewer", "operator", "admin"})],
)
def test_a_role_contains_the_lower_ones(role: Role, allowed: set[str]) -> None:
    actor = Actor("x", "wsp_1", "default", role)
    roles: tuple[Role, ...] = ("viewer", "operator", "admin")

    def may(wanted: Role) -> bool:
        try:
            actor.require(wanted)
        except Forbidden:
            return False
        return True

    assert {wanted for wanted in roles if may(wanted)} == allowed
