"""An integration as YAML: read, kept as a file, and changed with a look at the difference first."""

from __future__ import annotations

import pytest

from tests.ui.conftest import Site
from tests.ui.test_integration import make, page_of


async def test_the_yaml_is_shown_and_downloaded(site: Site):
    made = await make(site, path="shop/orders")

    shown = await site.open(f"{page_of(made)}/code", "charlie")
    file = await site.open(f"{page_of(made)}/code/file", "charlie")

    assert "kind: Integration" in shown.words
    assert "Change it as YAML" not in shown.words
    assert file.text.startswith("kind: Integration\n")
    assert file.headers["content-disposition"] == 'attachment; filename="shop-orders.yaml"'


async def test_a_difference_is_shown_before_it_is_saved(site: Site):
    made = await make(site, path="orders")
    path = f"{page_of(made)}/code"
    typed = (await site.open(f"{path}/file")).text.replace("path: orders", "path: renamed")

    compared = await site.send(path, {"yaml": typed})
    before = await site.cases.integrations.show(site.actor(), made["id"])
    saved = await site.send(f"{path}/apply", {"yaml": typed, "revision": made["revision"]})

    assert "What would change Field Now Then path orders renamed" in compared.words
    assert before["path"] == "orders"
    assert saved.location == path
    assert (await site.cases.integrations.show(site.actor(), made["id"]))["path"] == "renamed"


async def test_what_was_changed_in_the_meantime_is_not_overwritten_unseen(site: Site):
    made = await make(site, path="orders")
    path = f"{page_of(made)}/code"
    typed = (await site.open(f"{path}/file")).text
    await site.cases.integrations.change(site.actor(), made["id"], {"path": "theirs"})

    answered = await site.send(f"{path}/apply", {"yaml": typed, "revision": made["revision"]})

    assert answered.status == 409
    assert "path theirs orders" in answered.words
    assert (await site.cases.integrations.show(site.actor(), made["id"]))["path"] == "theirs"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("a: [", "is no YAML"),
        ("kind: Connection\nspec: {}", "must be one document of the kind Integration"),
        ("kind: Integration\nspec: {name: Another, type: webhook-trigger}", "must keep the name Orders"),
        ("kind: Integration\nspec: {name: Orders, type: webhook-trigger, colour: red}", "colour"),
        ("", "must be one document"),
    ],
)
async def test_a_text_that_can_not_be_applied_is_told_and_kept(site: Site, typed: str, told: str):
    made = await make(site)

    answered = await site.send(f"{page_of(made)}/code", {"yaml": typed})

    assert answered.status == 422
    assert told in answered.words


@pytest.mark.parametrize("who", ["bob", "charlie"])
@pytest.mark.parametrize("deed", ["code", "code/apply"])
async def test_only_admins_apply(site: Site, who: str, deed: str):
    made = await make(site)

    assert (await site.send(f"{page_of(made)}/{deed}", {"yaml": "a: 1"}, who)).status == 403
    assert (await site.open(f"{page_of(made)}/code", "dora")).status == 404
