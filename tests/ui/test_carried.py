"""What pages tell each other by cookies: nothing is believed that this session did not send."""

from __future__ import annotations

import base64

import pytest

from tests.ui.conftest import Site
from tests.ui.test_event import add_integration

SAID = b'{"text":"Saved.","tone":"good","undo":"/w/default/settings/people/usr_bob/delete","fields":[]}'
ONCE = b'{"signing_secret":"whsec_of_somebody_else"}'


async def cookie_of(site: Site, path: str, fields: dict[str, str], who: str, name: str) -> str:
    """The cookie that a deed sent with its answer."""
    answered = await site.send(path, fields, who)
    [value] = [one for one in answered.headers.getall("set-cookie") if one.startswith(f"{name}=")]
    return str(value.partition(";")[0])


async def look(site: Site, path: str, cookie: str, who: str = "alice") -> str:
    return (await site._ask("GET", path, "", {"Cookie": f"crossdock={site.cookies[who]}; {cookie}"})).text


@pytest.mark.parametrize("mark", ["", "0" * 64 + "."])
async def test_planted_cookies_are_not_believed(site: Site, mark: str):
    integration_id = await add_integration(site)
    said, once = (mark + base64.urlsafe_b64encode(each).decode() for each in (SAID, ONCE))

    assert "usr_bob/delete" not in await look(site, "/w/default", f"crossdock-said={said}")
    place = f"/w/default/integrations/{integration_id}/access"
    assert "whsec_of_somebody_else" not in await look(site, place, f"crossdock-once={once}")


async def test_what_another_session_was_told_is_not_believed(site: Site):
    deed = "/w/default/settings/me/sessions/end-others"
    told = await cookie_of(site, deed, {}, "bob", "crossdock-said")

    assert "All other sessions have ended." in await look(site, "/w/default", told, "bob")
    assert "All other sessions have ended." not in await look(site, "/w/default", told, "alice")
