"""Users and workspaces over the API. alice administers, bob is an operator, charlie a viewer; dora an admin of away."""

from __future__ import annotations

import pytest

from tests.api.conftest import Api

USERS = "/api/v1/users"
WORKSPACES = "/api/v1/workspaces"


async def test_a_user_is_made_changed_given_a_link_and_deleted(api: Api) -> None:
    made = await api.call("POST", USERS, {"login": "erin", "memberships": {"default": "viewer"}})
    place = made.headers["location"]
    assert (made.status, place) == (201, f"{USERS}/{made.json['id']}")
    assert made.json["link"]["url"].startswith("https://hooks.example/sign-in?token=")

    changed = await api.call("PATCH", place, {"name": "Erin", "memberships": {"away": "operator"}})
    assert (changed.status, changed.json["memberships"]) == (200, {"away": "operator", "default": "viewer"})
    assert (await api.call("GET", place)).json == changed.json
    assert [one["login"] for one in (await api.call("GET", f"{USERS}?q=ERI")).json["items"]] == ["erin"]
    link = await api.call("POST", f"{place}/link")
    assert (link.status, link.json.keys()) == (200, {"url", "expires_at"})
    assert link.json["url"] != made.json["link"]["url"]

    assert (await api.call("DELETE", place)).status == 204
    assert (await api.call("GET", place)).status == 404


async def test_sessions_are_listed_and_ended(api: Api) -> None:
    made = (await api.call("POST", USERS, {"login": "erin", "memberships": {"default": "viewer"}})).json
    place = f"{USERS}/{made['id']}/sessions"
    assert (await api.call("GET", place)).json == {"items": [], "next": None}

    assert (await api.call("DELETE", f"{place}/ses_0")).status == 404
    assert (await api.call("DELETE", place)).status == 204


async def test_a_workspace_is_made_used_renamed_and_deleted(api: Api) -> None:
    made = await api.call("POST", WORKSPACES, {"slug": "shop", "name": "Shop"})
    place = made.headers["location"]
    assert (made.status, place) == (201, f"{WORKSPACES}/shop")
    token = await api.call("POST", f"{place}/tokens", {"name": "first", "role": "admin"})
    assert token.status == 201
    api.tokens["erin"] = token.json["token"]

    orders = await api.call("POST", "/api/v1/integrations", {"name": "Orders", "type": "webhook-trigger"}, who="erin")
    assert (orders.status, orders.json["url"]) == (201, "https://hooks.example/hooks/shop/orders")
    assert (await api.call("PATCH", place, {"name": "Shops"}, who="erin")).json["name"] == "Shops"

    refused = await api.call("DELETE", place)
    assert (refused.status, "1 integration;" in refused.json["detail"]) == (409, True)
    await api.call("DELETE", f"/api/v1/integrations/{orders.json['id']}", who="erin")
    assert (await api.call("DELETE", place)).status == 204
    assert (await api.call("GET", "/api/v1/integrations", who="erin")).status == 401


async def test_members_are_set_and_removed_by_the_admin_of_their_workspace(api: Api) -> None:
    await api.call("POST", USERS, {"login": "erin@example.com"})
    member = f"{WORKSPACES}/away/members/erin@example.com"

    assert (await api.call("PUT", member, {"role": "viewer"}, who="dora")).json["memberships"] == {"away": "viewer"}
    assert (await api.call("PUT", member, {"role": "root"}, who="dora")).status == 422
    assert (await api.call("PUT", f"{WORKSPACES}/away/members/nobody", {"role": "viewer"}, who="dora")).status == 404
    assert (await api.call("DELETE", member, who="dora")).status == 204
    assert (await api.call("DELETE", member, who="dora")).status == 404


@pytest.mark.parametrize(
    ("who", "role", "workspace", "administrator"),
    [
        ("alice", "admin", "default", True),
        ("bob", "operator", "default", False),
        ("charlie", "viewer", "default", False),
        ("dora", "admin", "away", False),
    ],
)
async def test_everybody_is_told_who_they_are(
    api: Api, who: str, role: str, workspace: str, administrator: bool
) -> None:
    told = (await api.call("GET", "/api/v1/me", who=who)).json

    assert (told["name"], told["role"], told["workspace"]) == (who, role, workspace)
    assert (told["administrator"], told["user"]) == (administrator, None)


@pytest.mark.parametrize(("who", "seen"), [("bob", 403), ("charlie", 403), ("dora", 404)])
async def test_users_and_workspaces_of_others_are_out_of_reach(api: Api, who: str, seen: int) -> None:
    made = (await api.call("POST", USERS, {"login": "erin", "memberships": {"default": "viewer"}})).json
    place = f"{USERS}/{made['id']}"
    foreign = "default" if who == "dora" else "away"

    assert (await api.call("GET", place, who=who)).status == seen
    assert (await api.call("PATCH", place, {"memberships": {"default": "admin"}}, who=who)).status == seen
    assert (await api.call("GET", f"{WORKSPACES}/{foreign}", who=who)).status == 404
    for method, path, document in (
        ("POST", USERS, {"login": "frank"}),
        ("DELETE", place, None),
        ("POST", f"{place}/link", None),
        ("GET", f"{place}/sessions", None),
        ("DELETE", f"{place}/sessions", None),
        ("DELETE", f"{place}/sessions/ses_0", None),
        ("POST", WORKSPACES, {"slug": "shop"}),
        ("DELETE", f"{WORKSPACES}/{foreign}", None),
        ("POST", f"{WORKSPACES}/{foreign}/tokens", {"name": "x", "role": "admin"}),
        ("PUT", f"{WORKSPACES}/default/members/erin", {"role": "admin"}),
        ("DELETE", f"{WORKSPACES}/default/members/erin", None),
    ):
        assert (await api.call(method, path, document, who=who)).status == 403, (method, path)
