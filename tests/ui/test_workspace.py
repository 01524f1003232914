"""Who sees which page, and what the application does around all of them."""

from __future__ import annotations

import pytest

from crossdock.ui.static import static_path
from tests.ui.conftest import Site, on_both_databases

pytestmark = on_both_databases


async def test_nobody_is_asked_to_sign_in_and_led_back(site: Site):
    shown = await site.open("/w/default/events?status=failed", who="")

    assert shown.status == 303
    assert shown.location == "/sign-in?next=%2Fw%2Fdefault%2Fevents%3Fstatus%3Dfailed"


async def test_a_workspace_of_others_does_not_exist(site: Site):
    shown = await site.open("/w/away", who="alice")
    unknown = await site.open("/w/nowhere", who="alice")

    assert shown.status == unknown.status == 404


async def test_a_path_without_workspace_leads_on(site: Site):
    shown = await site.open("/integrations?q=a", who="dora")

    assert (shown.status, shown.location) == (303, "/w/away/integrations?q=a")


async def test_a_slash_too_many_is_taken_away(site: Site):
    shown = await site.open("/w/default/events/?status=failed")

    assert (shown.status, shown.location) == (303, "/w/default/events?status=failed")


async def test_a_form_of_another_site_is_refused(site: Site):
    shown = await site.send("/sign-out", {}, **{"Sec-Fetch-Site": "cross-site"})

    assert shown.status == 403
    assert (await site.open("/w/default")).status == 200


async def test_a_form_from_nowhere_needs_the_page_token(site: Site):
    page = await site.open("/w/default")
    token = page.text.split('name="page-token" content="')[1].split('"')[0]

    refused = await site._ask("POST", "/sign-out", "alice", {}, data={"page_token": "wrong"})
    taken = await site._ask("POST", "/sign-out", "alice", {}, data={"page_token": token})

    assert (refused.status, taken.status) == (403, 303)
    assert (await site.open("/w/default")).status == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "null"},
        {"Origin": "null", "Host": ""},
        {"Origin": "http://[x"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://another.example"},
        {"X-Page-Token": "\u00e9"},
    ],
)
async def test_what_says_nothing_that_can_be_believed_is_refused(site: Site, headers: dict[str, str]):
    shown = await site._ask("POST", "/sign-out", "alice", headers, data={"page_token": "\u00e9"})

    assert shown.status == 403


async def test_pages_allow_nothing_but_their_own_scripts_and_styles(site: Site):
    shown = await site.open("/w/default")

    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert shown.headers["cache-control"] == "no-store"


async def test_static_files_stay_for_ever_under_their_version(site: Site):
    current = await site.open(static_path("app.css"), who="")
    older = await site.open("/static/000000000000/app.css", who="")

    assert "immutable" in current.headers["cache-control"]
    assert (older.status, older.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("path", ["/static/x/../../secret", "/static/x/%2e%2e/workspace.py", "/static/x/nothing.js"])
async def test_nothing_outside_the_folder_is_a_static_file(site: Site, path: str):
    shown = await site.open(path, who="")

    assert shown.status in (303, 404)


@pytest.mark.parametrize("then", ["//evil.example", "/\\evil.example", "https://evil.example", "/\tx", "javascript:1"])
async def test_no_sign_in_leads_to_another_site(site: Site, then: str):
    shown = await site.session.get(
        site.url + "/sign-in",
        params={"next": then},
        headers={"Cookie": f"crossdock={site.cookies['alice']}"},
        allow_redirects=False,
    )

    assert shown.headers["location"] == "/"
