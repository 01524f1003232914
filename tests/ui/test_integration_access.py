"""Who may call an integration: keys that are shown once, and the secret of its replies."""

from __future__ import annotations

import re

import pytest

from crossdock.model.outcome import Json
from tests.ui.conftest import Shown, Site
from tests.ui.test_integration import make, page_of

KEYS: Json = {"authentication": {"mode": "api_keys"}}


async def open_once(site: Site, answered: Shown, path: str) -> Shown:
    """The page that a form led to, with the cookie that it was given."""
    [kept] = [one for one in answered.headers.getall("set-cookie") if one.startswith("crossdock-once=")]
    assert "HttpOnly" in kept
    assert f"Path={path}" in kept
    own = {"Cookie": f"crossdock={site.cookies['alice']}; {kept.partition(';')[0]}"}
    async with site.session.get(site.url + path, headers=own) as answer:
        return Shown(answer.status, await answer.text(), answer.headers)


async def test_a_generated_key_is_shown_once_with_the_call_that_uses_it(site: Site):
    made = await make(site, trigger=KEYS)
    path = f"{page_of(made)}/access"

    answered = await site.send(f"{path}/keys", {"label": "Shop", "way": "generate"})
    shown = await open_once(site, answered, path)
    again = await site.open(path)

    assert (answered.status, answered.location) == (303, path)
    [key] = set(re.findall(r"xdk_[\w-]+", shown.words))
    assert f"X-API-Key: {key}" in shown.words
    assert shown.headers["cache-control"] == "no-store"
    assert any(one.startswith('crossdock-once=""') for one in shown.headers.getall("set-cookie"))
    assert key not in again.text
    assert "Shop" in again.words


async def test_a_pasted_key_is_taken_as_it_is(site: Site):
    made = await make(site, trigger=KEYS)
    path = f"{page_of(made)}/access"

    answered = await site.send(f"{path}/keys", {"label": "Shop", "way": "paste", "key": "a-key-of-one-consumer"})

    assert "a-key-of-one-consumer" in (await open_once(site, answered, path)).words


async def test_a_key_that_is_too_short_is_told_at_its_field(site: Site):
    made = await make(site, trigger=KEYS)

    answered = await site.send(
        f"{page_of(made)}/access/keys",
        {"label": "Shop", "way": "paste", "key": "short", "expires_at": "2030-01-01T10:00"},
    )

    assert answered.status == 422
    assert 'id="new-pasted-error"' in answered.text
    assert 'value="2030-01-01T10:00"' in answered.text
    assert (await site.cases.keys.page(site.actor(), made["id"])).items == []


async def test_a_key_is_relabelled_expires_and_is_switched_off_and_deleted(site: Site):
    made = await make(site, trigger=KEYS)
    key = await site.cases.keys.add(site.actor(), made["id"], "Shop")
    own = f"{page_of(made)}/access/keys/{key['id']}"

    await site.send(own, {"label": "Agency", "expires_at": "2030-01-01T10:00"})
    await site.send(f"{own}/switch", {"disabled": "on"})

    changed = await site.cases.keys.show(site.actor(), made["id"], key["id"])
    assert (changed["label"], changed["disabled"]) == ("Agency", True)
    assert changed["expires_at"].startswith("2030-01-01T10:00:00")
    await site.send(f"{own}/delete", {})
    assert (await site.cases.keys.page(site.actor(), made["id"])).items == []


async def test_a_change_that_is_refused_keeps_what_was_typed(site: Site):
    made = await make(site, trigger=KEYS)
    key = await site.cases.keys.add(site.actor(), made["id"], "Shop")

    answered = await site.send(f"{page_of(made)}/access/keys/{key['id']}", {"label": "x" * 200})

    assert answered.status == 422
    assert "x" * 200 in answered.text
    assert f'id="label-{key["id"]}-error"' in answered.text


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_admins_change_who_may_call(site: Site, who: str):
    made = await make(site, trigger=KEYS)
    key = await site.cases.keys.add(site.actor(), made["id"], "Shop")
    path = f"{page_of(made)}/access"

    shown = await site.open(path, who)
    answers = [
        await site.send(f"{path}/{deed}", {"label": "x"}, who)
        for deed in ("keys", f"keys/{key['id']}", f"keys/{key['id']}/delete", "signing-secret", "signing-secret/rotate")
    ]

    assert "Shop" in shown.words
    assert "Add New Key" not in shown.words
    assert [each.status for each in answers] == [403] * 5
    assert (await site.open(path, "dora")).status == 404


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ({"mode": "none"}, "This endpoint is open."),
        ({"mode": "platform_token"}, "None is set yet, so every call is refused."),
        ({"mode": "basic", "username": "erp", "password": "a-password-of-the-erp"}, "the user name erp"),
    ],
)
async def test_every_way_of_proving_who_calls_is_explained(site: Site, mode: Json, told: str):
    made = await make(site, status="disabled", trigger={"authentication": mode})

    assert told in (await site.open(f"{page_of(made)}/access")).words


async def test_the_signing_secret_is_shown_on_demand_and_rotated(site: Site):
    made = await make(site)
    path = f"{page_of(made)}/access"

    first = await open_once(site, await site.send(f"{path}/signing-secret", {}), path)
    second = await open_once(site, await site.send(f"{path}/signing-secret/rotate", {}), path)

    secrets = [re.findall(r"whsec_[\w+/=]+", shown.words)[0] for shown in (first, second)]
    assert secrets[0] != secrets[1]
    assert "whsec_" not in (await site.open(path)).text


async def test_a_made_up_cookie_shows_nothing(site: Site):
    made = await make(site)
    own = {"Cookie": f"crossdock={site.cookies['alice']}; crossdock-once=!!!"}

    async with site.session.get(f"{site.url}{page_of(made)}/access", headers=own) as answer:
        assert answer.status == 200
