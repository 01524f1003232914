"""The page of a delivery."""

from __future__ import annotations

from tests.ui.conftest import Site
from tests.ui.test_event import add_integration


async def test_a_reply_is_shown_with_its_tries_and_resent(site: Site):
    integration_id = await add_integration(site)
    await site.story.succeed(integration_id, reply="dlv_1")
    await site.story.end_reply(integration_id, "dlv_1")

    shown = await site.open("/w/default/deliveries/dlv_1", who="charlie")
    refused = await site.send("/w/default/deliveries/dlv_1/resend", {}, who="charlie")
    resent = await site.send("/w/default/deliveries/dlv_1/resend", {}, who="bob")

    assert "It was refused for good" in shown.words
    assert "Try 1: answered 410" in shown.words
    assert "gone" in shown.words
    assert "Resend" not in shown.words
    assert refused.status == 403
    assert "It waits for a free sender" in (await site.open(resent.location)).words


async def test_deliveries_of_others_have_no_page(site: Site):
    await site.story.succeed(await add_integration(site), reply="dlv_1")

    assert (await site.open("/w/away/deliveries/dlv_1", who="dora")).status == 404
    assert (await site.send("/w/away/deliveries/dlv_1/resend", {}, who="dora")).status == 404
