"""Users and members: alice administers the installation, bob is an operator, charlie a viewer; dora is an admin of
another workspace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from crossdock.manage.actor import Actor
from crossdock.manage.passwords import Passwords
from crossdock.manage.sessions import Begun, Sessions
from crossdock.manage.users import UserPorts, Users
from crossdock.model.errors import Conflict, Forbidden, Invalid, NotFound
from crossdock.store.audit import AuditFilter, audit_page
from tests.manage.conftest import Desk
from tests.support.held import HeldClock

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class People:
    desk: Desk
    users: Users
    sessions: Sessions

    async def make(self, login: str, *, password: bool = False, **memberships: str) -> Any:
        """A user with roles, by the slugs of workspaces; with a password where it is asked for."""
        made = await self.users.create(self.desk.alice, {"login": login, "memberships": memberships})
        if password:
            assert await self.begin(made["link"]["url"]) is not None
        return made

    async def begin(self, url: str) -> Begun | None:
        link = url.partition("?token=")[2]
        return await self.sessions.begin_with_link(link, password=PASSWORD, source_ip="192.0.2.1")

    async def told(self, workspace_id: str) -> list[tuple[str, str, Any, Any]]:
        """The audit log of a workspace, the oldest first."""
        entries = await self.desk.store.read(audit_page, workspace_id, AuditFilter(), limit=50)
        return [(one.action, one.subject_name, one.before, one.after) for one in reversed(entries)]


@pytest.fixture
def people(desk: Desk, clock: HeldClock) -> People:
    sessions = Sessions(desk.store, Passwords(memory_kib=64, passes=1), clock)
    return People(desk, Users(UserPorts(desk.store, sessions, clock, "https://hooks.example")), sessions)


# --- administrators ------------------------------------------------------------------------------------------------


async def test_a_user_is_made_with_a_link_shown_changed_and_deleted(people: People) -> None:
    alice = people.desk.alice
    made = await people.users.create(
        alice, {"login": "Erin@Example.com", "name": "Erin", "memberships": {"default": "viewer"}}
    )
    assert made["link"]["url"].startswith("https://hooks.example/sign-in?token=")
    assert (made["login"], made["password_set"], made["memberships"]) == (
        "erin@example.com",
        False,
        {"default": "viewer"},
    )

    changed = await people.users.change(
        alice, made["id"], {"name": "Erin E.", "memberships": {"away": "admin", "default": None}}
    )
    assert (changed["name"], changed["memberships"]) == ("Erin E.", {"away": "admin"})
    assert await people.users.show(alice, made["id"]) == changed
    assert [one["login"] for one in (await people.users.page(alice)).items] == ["erin@example.com"]

    await people.users.delete(alice, made["id"])
    with pytest.raises(NotFound):
        await people.users.show(alice, made["id"])


async def test_each_change_is_told_where_it_belongs(people: People) -> None:
    alice = people.desk.alice
    made = await people.make("erin", default="viewer")
    await people.users.change(alice, made["id"], {"name": "Erin", "memberships": {"away": "operator"}})
    await people.users.change(alice, made["id"], {"disabled": True, "memberships": {"away": "viewer"}})
    await people.users.delete(alice, made["id"])

    fields = {"login": "erin", "name": "Erin", "disabled": True}
    assert await people.told("wsp_home") == [
        ("user.created", "erin", None, {"login": "erin", "name": "erin", "disabled": False}),
        ("member.added", "erin", None, {"role": "viewer"}),
        ("user.changed", "erin", {"name": "erin"}, {"name": "Erin"}),
        ("user.changed", "erin", {"disabled": False}, {"disabled": True}),
        ("user.deleted", "erin", fields, None),
        ("member.removed", "erin", {"role": "viewer"}, None),
    ]
    assert await people.told("wsp_away") == [
        ("member.added", "erin", None, {"role": "operator"}),
        ("member.changed", "erin", {"role": "operator"}, {"role": "viewer"}),
        ("member.removed", "erin", {"role": "viewer"}, None),
    ]


async def test_what_a_user_does_to_the_password_is_told_too(people: People) -> None:
    made = await people.make("erin", default="viewer", password=True)
    begun = await people.begin((await people.users.link(people.desk.alice, made["id"]))["url"])
    assert begun is not None
    who = await people.sessions.recognise(begun.text)
    assert who is not None
    await people.sessions.change_password(who, PASSWORD, "another good one", source_ip="192.0.2.1")

    told = [(action, after) for action, _, _, after in await people.told("wsp_home")]

    assert [action for action, _ in told][2:] == [
        "user.password_set",
        "user.link_made",
        "user.password_set",
        "user.password_set",
    ]
    assert told[-1] == ("user.password_set", {"by": "the user"})
    assert PASSWORD not in str(told)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "login"),
        ({"login": ""}, "login"),
        ({"login": "a b"}, "login"),
        ({"login": 5}, "login"),
        ({"login": "erin", "name": "a\nb"}, "name"),
        ({"login": "erin", "password": "x"}, "password"),
        ({"login": "erin", "memberships": {"default": "root"}}, "memberships.default"),
        ({"login": "erin", "memberships": {"nowhere": "viewer"}}, "memberships.nowhere"),
        ({"login": "bob"}, "login"),
    ],
)
async def test_a_wrong_user_is_refused(people: People, document: Any, field: str) -> None:
    await people.make("bob")

    with pytest.raises(Invalid) as error:
        await people.users.create(people.desk.alice, document)

    assert {one.field for one in error.value.errors} == {field}


async def test_users_are_searched_and_paged(people: People) -> None:
    for login in ("anna", "berta", "carla"):
        await people.make(login, default="viewer")

    first = await people.users.page(people.desk.alice, limit=2)
    second = await people.users.page(people.desk.alice, limit=2, cursor=first.next)
    found = await people.users.page(people.desk.alice, q="ERT")

    assert [one["login"] for one in first.items + second.items] == ["anna", "berta", "carla"]
    assert [one["login"] for one in found.items] == ["berta"]


async def test_disabling_and_deleting_sign_out_at_once(people: People) -> None:
    for login in ("anna", "berta"):
        await people.make(login, default="viewer")
    alice = people.desk.alice
    anna, berta = (await people.users.page(alice)).items
    texts = []
    for one in (anna, berta):
        begun = await people.begin((await people.users.link(alice, one["id"]))["url"])
        assert begun is not None
        texts.append(begun.text)

    await people.users.change(alice, anna["id"], {"disabled": True})
    await people.users.delete(alice, berta["id"])

    assert [await people.sessions.recognise(text) for text in texts] == [None, None]
    with pytest.raises(Invalid, match="enable"):
        await people.users.link(alice, anna["id"])


async def test_sessions_of_users_are_listed_and_ended(people: People) -> None:
    alice = people.desk.alice
    made = await people.make("erin", default="viewer", password=True)
    for _ in range(2):
        assert await people.sessions.sign_in("erin", PASSWORD, source_ip="192.0.2.9")
    listed = (await people.users.sessions(alice, made["id"])).items
    assert len(listed) == 3

    await people.users.end_session(alice, made["id"], listed[0]["id"])
    assert len((await people.users.sessions(alice, made["id"])).items) == 2
    await people.users.end_sessions(alice, made["id"])
    assert (await people.users.sessions(alice, made["id"])).items == []
    with pytest.raises(NotFound):
        await people.users.end_session(alice, made["id"], listed[0]["id"])


# --- never without an administrator --------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [{"disabled": True}, {"memberships": {"default": "operator"}}, None])
async def test_the_last_administrator_stays(people: People, patch: Any) -> None:
    alice = people.desk.alice
    last = await people.make("erin", default="admin", password=True)
    await people.make("without-password", default="admin")
    await people.make("elsewhere", away="admin", password=True)

    with pytest.raises(Conflict, match="somebody else"):
        await (
            people.users.delete(alice, last["id"]) if patch is None else people.users.change(alice, last["id"], patch)
        )

    assert (await people.users.show(alice, last["id"]))["memberships"] == {"default": "admin"}
    await people.make("second", default="admin", password=True)
    await (people.users.delete(alice, last["id"]) if patch is None else people.users.change(alice, last["id"], patch))


async def test_the_last_two_can_not_remove_one_another_at_once(people: People) -> None:
    both = [await people.make(login, default="admin", password=True) for login in ("one", "two")]

    answers = await asyncio.gather(
        *(people.users.delete(people.desk.alice, user["id"]) for user in both), return_exceptions=True
    )

    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "NoneType"]


# --- admins of a workspace -----------------------------------------------------------------------------------------


async def test_an_admin_of_a_workspace_sees_its_members_and_nothing_else_of_them(people: People) -> None:
    erin = await people.make("erin", away="viewer", default="operator")
    frank = await people.make("frank", default="viewer")
    dora = people.desk.dora

    assert [(one["login"], one["memberships"]) for one in (await people.users.page(dora)).items] == [
        ("erin", {"away": "viewer"})
    ]
    assert (await people.users.show(dora, erin["id"]))["memberships"] == {"away": "viewer"}
    with pytest.raises(NotFound):
        await people.users.show(dora, frank["id"])


async def test_an_admin_of_a_workspace_decides_about_its_members(people: People) -> None:
    dora = people.desk.dora
    frank = await people.make("frank", default="viewer")

    added = await people.users.set_member(dora, "away", "FRANK", {"role": "viewer"})
    assert added["memberships"] == {"away": "viewer"}
    changed = await people.users.change(dora, frank["id"], {"memberships": {"away": "admin"}})
    assert changed["memberships"] == {"away": "admin"}
    assert (await people.users.show(people.desk.alice, frank["id"]))["memberships"] == {
        "away": "admin",
        "default": "viewer",
    }
    await people.users.remove_member(dora, "away", "frank")
    with pytest.raises(NotFound):
        await people.users.remove_member(dora, "away", "frank")


@pytest.mark.parametrize("slug", ["default", "never-made"])
async def test_an_admin_of_a_workspace_decides_about_no_other(people: People, slug: str) -> None:
    dora = people.desk.dora
    erin = await people.make("erin", away="viewer")

    for attempt in (
        people.users.set_member(dora, slug, "erin", {"role": "admin"}),
        people.users.remove_member(dora, slug, "erin"),
        people.users.change(dora, erin["id"], {"memberships": {slug: "admin"}}),
    ):
        with pytest.raises(Forbidden, match="away only"):
            await attempt


async def test_only_administrators_change_what_users_are(people: People) -> None:
    dora = people.desk.dora
    erin = await people.make("erin", away="viewer")

    for attempt in (
        people.users.create(dora, {"login": "frank"}),
        people.users.change(dora, erin["id"], {"name": "E"}),
        people.users.change(dora, erin["id"], {"disabled": True}),
        people.users.delete(dora, erin["id"]),
        people.users.link(dora, erin["id"]),
        people.users.sessions(dora, erin["id"]),
        people.users.end_session(dora, erin["id"], "ses_1"),
        people.users.end_sessions(dora, erin["id"]),
    ):
        with pytest.raises(Forbidden, match="administrators"):
            await attempt


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_operators_and_viewers_may_nothing_of_it(people: People, who: str) -> None:
    actor: Actor = getattr(people.desk, who)
    erin = await people.make("erin", default="viewer")

    for attempt in (
        people.users.page(actor),
        people.users.show(actor, erin["id"]),
        people.users.create(actor, {"login": "frank"}),
        people.users.change(actor, erin["id"], {"memberships": {"default": "admin"}}),
        people.users.delete(actor, erin["id"]),
        people.users.link(actor, erin["id"]),
        people.users.set_member(actor, "default", "erin", {"role": "admin"}),
        people.users.remove_member(actor, "default", "erin"),
        people.users.sessions(actor, erin["id"]),
        people.users.end_sessions(actor, erin["id"]),
    ):
        with pytest.raises(Forbidden):
            await attempt


# --- oneself -------------------------------------------------------------------------------------------------------


async def test_everybody_is_told_who_they_are(people: People) -> None:
    made = await people.make("erin", away="viewer", default="operator", password=True)
    erin = Actor("erin", "wsp_away", "away", "viewer", made["id"])

    told = await people.users.me(erin)
    assert (told["name"], told["role"], told["workspace"], told["administrator"]) == ("erin", "viewer", "away", False)
    assert told["user"]["memberships"] == {"away": "viewer", "default": "operator"}
    told = await people.users.me(people.desk.alice)
    assert (told["administrator"], told["user"]) == (True, None)
