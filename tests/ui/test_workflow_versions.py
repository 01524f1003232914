"""Publishing drafts, versions and what differs between them, and asking what another workflow would have done."""

from __future__ import annotations

import re

import pytest

from crossdock.model.outcome import Json
from tests.ui.conftest import Site
from tests.ui.test_workflow_editor import STEPS, do, draft, id_of, ids, make, seen

CHANGED: Json = {"steps": [{"id": "order", "transform": {"number": 7}}, {"id": "new", "transform": 1}]}


async def with_draft(site: Site) -> str:
    path = await make(site)
    await site.cases.drafts.save(site.actor(), id_of(path), CHANGED)
    return path


async def published(site: Site, path: str) -> Json:
    return await site.cases.workflows.current(site.actor(), id_of(path))


async def test_publishing_shows_what_differs_first(site: Site):
    path = await with_draft(site)

    page = await site.open(f"{path}/publish")
    done = await do(site, path, "publish", seen=seen(page))

    for words in ("Changed order transform : transform.number", "Added new", "Removed answer"):
        assert words in page.words
    assert (done.status, done.location) == (303, path)
    assert (await published(site, path))["number"] == 2
    assert "Version 2 Published" in (await site.open(path)).words


async def test_a_draft_with_problems_is_not_published(site: Site):
    path = await make(site)
    await site.cases.drafts.save(site.actor(), id_of(path), {"steps": [{"transform": 1}]})

    page = await site.open(f"{path}/publish")
    refused = await do(site, path, "publish", seen=seen(page))

    assert "1 problem keeps it from being published" in page.words
    assert refused.status == 422
    assert (await published(site, path))["number"] == 1


async def test_what_was_published_meanwhile_is_told_before(site: Site):
    path = await with_draft(site)
    await site.cases.workflows.put(site.actor(), id_of(path), {"steps": [{"id": "theirs", "transform": 1}]})

    page = await site.open(f"{path}/publish")
    refused = await do(site, path, "publish", seen=seen(page))
    forced = await do(site, path, "publish", seen=seen(page), force="on")

    assert "Version 2 was published since this draft was begun from version 1" in page.words
    assert (refused.status, forced.status) == (409, 303)
    assert (await published(site, path))["number"] == 3


async def test_a_draft_that_was_changed_is_looked_at_again(site: Site):
    path = await with_draft(site)
    page = await site.open(f"{path}/publish")
    await site.cases.drafts.save(site.actor(), id_of(path), {"steps": []})

    refused = await do(site, path, "publish", seen=seen(page))
    dropped = await do(site, path, "drop", seen=seen(page))

    assert (refused.status, dropped.status) == (409, 409)
    assert "was changed meanwhile" in refused.words


async def test_dropping_a_draft_shows_what_is_lost(site: Site):
    path = await with_draft(site)

    page = await site.open(f"{path}/drop")
    dropped = await do(site, path, "drop", seen=seen(page))

    assert "Added new" in page.words
    assert dropped.status == 303
    assert "Version 1 Published" in (await site.open(path)).words
    assert (await site.open(f"{path}/drop")).status == 404
    assert (await site.open(f"{path}/publish")).status == 404


async def test_versions_are_told_with_who_and_when(site: Site):
    path = await make(site)
    await site.cases.workflows.put(site.actor(), id_of(path), CHANGED)

    shown = await site.open(f"{path}/versions", who="charlie")

    assert re.search(r"Version 2 Published \d{4}-.* alice", shown.words)
    assert "Go back to the one before" not in shown.words
    assert "Go back to the one before" in (await site.open(f"{path}/versions")).words


async def test_an_older_version_is_published_and_gone_back_to(site: Site):
    path = await make(site)
    await site.cases.workflows.put(site.actor(), id_of(path), CHANGED)

    await do(site, path, "rollback")
    back = (await published(site, path))["number"]
    await do(site, path, "versions/2/publish")

    assert (back, (await published(site, path))["number"]) == (1, 2)
    assert (await do(site, path, "versions/9/publish")).status == 404
    assert (await do(site, path, "versions/x/publish")).status == 404


async def test_a_draft_begins_from_an_older_version(site: Site):
    path = await make(site)
    await site.cases.workflows.put(site.actor(), id_of(path), CHANGED)

    await do(site, path, "versions/1/edit")
    again = await do(site, path, "versions/1/edit")

    assert (await draft(site, path))["steps"] == STEPS
    assert again.status == 409


@pytest.mark.parametrize("view", ["side", "unified"])
@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
async def test_differences_are_shown_side_by_side_and_in_one(site: Site, view: str, who: str):
    path = await with_draft(site)

    shown = await site.open(f"{path}/differences?from=1&to=draft&view={view}", who=who)

    assert shown.status == 200
    assert "number: 7" in shown.words
    assert "Added new" in shown.words


@pytest.mark.parametrize("query", ["from=9", "from=x", "to=draft", "from=-1", "to=99999999999999"])
async def test_a_version_that_is_not_there_is_told(site: Site, query: str):
    path = await make(site)

    shown = await site.open(f"{path}/differences?{query}")

    assert shown.status == 404
    assert "Differences" in shown.words


async def test_the_same_is_told(site: Site):
    path = await make(site)

    assert "They are the same." in (await site.open(f"{path}/differences?from=1&to=published")).words


@pytest.mark.parametrize("deed", ["publish", "drop", "rollback", "versions/1/publish", "versions/1/edit", "yaml"])
@pytest.mark.parametrize("who", ["bob", "charlie", "dora"])
async def test_only_admins_publish_and_drop(site: Site, deed: str, who: str):
    path = await with_draft(site)

    refused = await do(site, path, deed, who, seen="0-1", yaml="steps: []")

    assert refused.status == (404 if who == "dora" else 403)
    assert (await published(site, path))["number"] == 1
    assert await ids(site, path) == ["order", "new"]


# --- what if ---------------------------------------------------------------------------------------------------------


async def test_past_events_are_tried_with_the_draft(site: Site):
    path = await with_draft(site)

    page = await site.open(f"{path}/what-if", who="bob")
    begun = await do(site, path, "what-if", "bob", version="draft", last="20")

    assert "The draft" in page.words
    assert begun.status == 303
    assert begun.location.startswith("/w/default/bulk-jobs/job_")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": "draft", "last": "many"}, "must be a whole number"),
        ({"version": "draft", "last": "0"}, "must be 1 or more"),
        ({"version": "", "last": "5"}, "must be a whole number"),
        ({"version": "77", "last": "5"}, "no version 77"),
    ],
)
async def test_a_question_that_makes_no_sense_is_told(site: Site, fields: dict[str, str], words: str):
    path = await with_draft(site)

    shown = await do(site, path, "what-if", **fields)

    assert shown.status == 422
    assert words in shown.words


async def test_viewers_do_not_ask(site: Site):
    path = await with_draft(site)

    assert (await site.open(f"{path}/what-if", who="charlie")).status == 403
    assert (await do(site, path, "what-if", "charlie", version="draft")).status == 403
