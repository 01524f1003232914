"""Settings in the workspace: one's account, people, workspaces, tokens, the audit log, the installation."""

from __future__ import annotations

import re
from typing import Any

import pytest

from crossdock.ui.rendering import environment
from tests.ui.conftest import Site

SETTINGS = "/w/default/settings"
PASSWORD = "correct horse staple"


async def the_user(site: Site, login: str) -> Any:
    found = await site.cases.users.page(site.actor(), q=login)
    return next(one for one in found.items if one["login"] == login)


async def give_password(site: Site, login: str) -> str:
    """Sign somebody in for real; the cookie's text."""
    user = await the_user(site, login)
    link = (await site.cases.users.link(site.actor(), user["id"]))["url"].partition("token=")[2]
    begun = await site.sessions.begin_with_link(link, password=PASSWORD, source_ip="127.0.0.1")
    assert begun is not None
    site.cookies[login] = begun.text
    return begun.text


async def test_a_new_user_gets_a_link_that_is_shown_once(site: Site):
    shown = await site.send(f"{SETTINGS}/people", {"login": "eve@example.com", "name": "Eve", "role": "operator"})
    user = await the_user(site, "eve@example.com")
    again = await site.open(f"{SETTINGS}/people/{user['id']}")

    assert shown.status == 201
    assert "sign-in?token=" in shown.text
    assert "sign-in?token=" not in again.text
    assert user["memberships"] == {"default": "operator"}


async def test_roles_and_signing_in_are_changed(site: Site):
    user = await the_user(site, "bob")
    fields = [("name", "Bobby"), ("role.workspace", "default"), ("role.role", "viewer"), ("role.workspace", "away")]

    await site.send(f"{SETTINGS}/people/{user['id']}", [*fields, ("role.role", "admin")])

    changed = await the_user(site, "bob")
    assert changed["memberships"] == {"away": "admin", "default": "viewer"}
    assert (changed["name"], changed["disabled"]) == ("Bobby", True)
    assert (await site.open("/w/default", who="bob")).status == 303


async def test_an_administrator_who_acts_elsewhere_changes_roles_there(site: Site):
    await site.cases.users.set_member(site.actor(), "away", "alice", {"role": "admin"})
    user = await the_user(site, "dora")
    fields = {"role.workspace": "away", "role.role": "viewer"}

    shown = await site.open(f"/w/away/settings/people/{user['id']}")
    saved = await site.send(f"/w/away/settings/people/{user['id']}", fields)

    assert "May sign in" not in shown.words
    assert saved.status == 303
    assert (await the_user(site, "dora"))["memberships"] == {"away": "viewer"}


async def test_the_last_administrator_stays(site: Site):
    user = await the_user(site, "alice")

    shown = await site.send(f"{SETTINGS}/people/{user['id']}/delete", {})

    assert shown.status == 409
    assert (await site.open("/w/default")).status == 200


async def test_somebody_unknown_is_no_member(site: Site):
    shown = await site.send(f"{SETTINGS}/people/members", {"login": "nobody", "role": "viewer"})

    assert shown.status == 422
    assert "nobody has this login" in shown.words


async def test_a_token_is_shown_once_and_revoked(site: Site):
    shown = await site.send(f"{SETTINGS}/tokens", {"name": "ci", "role": "viewer", "days": "30"})
    [token] = (await site.cases.tokens.page(site.actor())).items

    text = re.search(r"xdt_[A-Za-z0-9_-]{30,}", shown.text)
    assert text is not None
    assert text.group() not in (await site.open(f"{SETTINGS}/tokens")).text
    assert token["expires_at"] is not None
    assert (await site.send(f"{SETTINGS}/tokens/{token['id']}/revoke", {})).status == 303
    assert site.cases.tokens.authenticate(text.group()) is None


async def test_errors_of_a_token_stand_at_its_name(site: Site):
    shown = await site.send(f"{SETTINGS}/tokens", {"name": "", "role": "viewer", "days": ""})

    assert shown.status == 422
    assert 'id="field-name-error"' in shown.text


async def test_a_workspace_is_made_renamed_and_deleted(site: Site):
    made = await site.send(f"{SETTINGS}/workspaces", {"slug": "logistics", "name": "Logistics"})
    await site.send(f"{SETTINGS}/workspaces/logistics/rename", {"name": "Logistics <b>"})
    shown = await site.open(f"{SETTINGS}/workspaces")
    deleted = await site.send(f"{SETTINGS}/workspaces/logistics/delete", {})

    assert made.location == "/w/logistics"
    assert 'value="Logistics &lt;b&gt;"' in shown.text
    assert deleted.status == 303


async def test_changes_stand_in_the_audit_log(site: Site):
    document = {"name": "Orders", "type": "webhook-trigger", "status": "enabled"}
    made = await site.cases.integrations.create(site.actor(), document)
    await site.cases.integrations.change(site.actor(), made["id"], {"name": "Orders <script>"})

    shown = await site.open(f"{SETTINGS}/audit?subject={made['id']}")
    entry = re.search(r"settings/audit/(aud_\w+)", shown.text)
    assert entry is not None
    page = await site.open(f"{SETTINGS}/audit/{entry.group(1)}")

    assert "Integration changed" in shown.words
    assert "<script>" not in page.text.partition("<main")[2]
    assert "Orders &lt;script&gt;" in page.text


async def test_a_wrong_filter_of_the_audit_log_is_told(site: Site):
    shown = await site.open(f"{SETTINGS}/audit?since=yesterday")

    assert shown.status == 422
    assert "since" in shown.words


async def test_ones_own_password_and_sessions(site: Site):
    await give_password(site, "charlie")
    begun = await site.sessions.begin_for((await the_user(site, "charlie"))["id"], source_ip="10.0.0.7")
    assert begun is not None

    wrong = {"current": "no", "password": "another good password", "again": "another good password"}
    refused = await site.send(f"{SETTINGS}/me/password", wrong, who="charlie")
    unlike = await site.send(f"{SETTINGS}/me/password", {**wrong, "again": "x"}, who="charlie")
    done = await site.send(f"{SETTINGS}/me/password", {**wrong, "current": PASSWORD}, who="charlie")

    assert (refused.status, unlike.status, done.status) == (422, 422, 303)
    assert await site.sessions.recognise(begun.text) is None
    assert (await site.open(f"{SETTINGS}/me", who="charlie")).status == 200


ADMIN_PAGES = ("people", "workspaces", "tokens", "audit", "installation")


@pytest.mark.parametrize("page", ADMIN_PAGES)
@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 403), ("charlie", 403), ("dora", 404), ("", 303)])
async def test_who_sees_the_pages_of_admins(site: Site, page: str, who: str, status: int):
    assert (await site.open(f"{SETTINGS}/{page}", who=who)).status == status


async def test_all_of_ones_sessions_can_be_ended(site: Site):
    for _ in range(60):
        await site.sessions.begin_for("usr_bob", source_ip="10.0.0.7")

    shown = await site.open(f"{SETTINGS}/me", who="bob")

    assert len(re.findall(r'action="[^"]*/settings/me/sessions/ses_\w+/end"', shown.text)) == 60


@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 200), ("dora", 404)])
async def test_everybody_has_an_account_and_sees_what_runs(site: Site, who: str, status: int):
    assert (await site.open(f"{SETTINGS}/me", who=who)).status == status
    assert (await site.open(f"{SETTINGS}/about", who=who)).status == status


@pytest.mark.parametrize("who", ["bob", "charlie", "dora"])
async def test_others_change_nothing(site: Site, who: str):
    user = await the_user(site, "charlie")
    deeds = {
        "people": {"login": "mallory", "role": "admin"},
        "people/members": {"login": "dora", "role": "admin"},
        f"people/{user['id']}": {"role.workspace": "default", "role.role": "admin"},
        f"people/{user['id']}/link": {},
        f"people/{user['id']}/delete": {},
        f"people/{user['id']}/sessions/end": {},
        "workspaces": {"slug": "mine"},
        "workspaces/away/delete": {},
        "tokens": {"name": "mine", "role": "admin", "days": ""},
    }

    statuses = {path: (await site.send(f"{SETTINGS}/{path}", fields, who=who)).status for path, fields in deeds.items()}

    assert set(statuses.values()) <= {403, 404}
    assert (await the_user(site, "charlie"))["memberships"] == {"default": "viewer"}


async def test_the_installation_is_for_its_administrators(site: Site):
    shown = await site.open("/w/away/settings/installation", who="dora")
    elsewhere = await site.open("/w/away/settings/me", who="dora")

    assert shown.status == 403
    assert "Targets and retention" not in elsewhere.words


async def test_an_admin_of_another_workspace_gets_no_power_here(site: Site):
    away = "/w/away/settings"
    user = await the_user(site, "alice")

    link = await site.send(f"{away}/people/{user['id']}/link", {}, who="dora")
    make = await site.send(f"{away}/workspaces", {"slug": "mine"}, who="dora")
    roles = [("role.workspace", "default"), ("role.role", "admin")]
    own = (await site.cases.users.page(site.actor("dora"))).items[0]
    climb = await site.send(f"{away}/people/{own['id']}", roles, who="dora")

    assert (link.status, make.status, climb.status) == (403, 403, 403)


def test_every_template_compiles():
    for name in environment().list_templates():
        environment().get_template(name)
