"""Bulk jobs: asked for with a count and a reason, watched, paused, stopped."""

from __future__ import annotations

import pytest

from tests.ui.conftest import Site
from tests.ui.test_event import add_integration

PLACE = "/w/default/bulk-jobs"


async def begin(site: Site, query: dict[str, str] | None = None, kind: str = "replay") -> str:
    """A job of bob's; its id."""
    shown = await site.send(f"{PLACE}/new/{kind}", {"reason": "The carrier was down", **(query or {})}, who="bob")
    assert shown.status == 303, shown.words
    return shown.location.rpartition("/")[2]


async def test_how_many_match_is_told_before(site: Site):
    integration_id = await add_integration(site)
    for _ in range(3):
        await site.story.fail(integration_id)

    shown = await site.open(f"{PLACE}/new/replay?status=failed&integration={integration_id}", who="bob")

    assert "3 events match." in shown.words
    assert "Replay 3 events" in shown.words
    assert "Integration Orders" in shown.words
    assert "version 1, published" in shown.words


async def test_a_job_keeps_its_filter_and_its_reason(site: Site):
    integration_id = await add_integration(site)
    await site.story.fail(integration_id)

    job_id = await begin(site, {"status": "failed", "last": "PT1H", "rate": "2.5"})

    job = await site.cases.bulk_jobs.show(site.actor(), job_id)
    assert job["filter"] == {"status": "failed", "received_after": "2026-09-21T13:13:21.000Z"}
    assert (job["reason"], job["rate"], job["created_by"]) == ("The carrier was down", 2.5, "bob")


async def test_a_job_without_conditions_is_about_all_up_to_now(site: Site):
    job = await site.cases.bulk_jobs.show(site.actor(), await begin(site, kind="cancel"))

    assert job["filter"] == {"received_before": "2026-09-21T14:13:20.000Z"}


async def test_a_job_is_watched_paused_resumed_and_canceled(site: Site):
    job_id = await begin(site, {"status": "failed"})

    shown = await site.open(f"{PLACE}/{job_id}", who="charlie")
    assert "Running" in shown.words
    assert "The carrier was down" in shown.words
    assert "Pause" not in shown.words
    for move, state in (("pause", "paused"), ("resume", "running"), ("cancel", "canceled")):
        assert (await site.send(f"{PLACE}/{job_id}/{move}", {}, who="charlie")).status == 403
        assert (await site.send(f"{PLACE}/{job_id}/{move}", {}, who="bob")).status == 303
        assert (await site.cases.bulk_jobs.show(site.actor(), job_id))["state"] == state
    assert (await site.send(f"{PLACE}/{job_id}/pause", {}, who="bob")).status == 409
    assert (await site.send(f"{PLACE}/{job_id}/explode", {}, who="bob")).status == 404


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rate": "fast"}, "must be a number"),
        ({"workflow_version": "1.5"}, "must be"),
        ({"workflow_version": "inf"}, "must be"),
        ({"workflow_version": "1e30"}, "must be"),
        ({"rate": "0"}, "must be more than 0"),
        ({"rate": "100000"}, "must be 1000.0 or less"),
        ({"reason": "x" * 600}, "500"),
        ({"status": "lost"}, "must be one or several of"),
    ],
)
async def test_what_is_wrong_stands_at_its_field(site: Site, fields: dict[str, str], words: str):
    shown = await site.send(f"{PLACE}/new/replay", fields, who="bob")

    assert shown.status == 422
    assert words in shown.words
    assert (await site.cases.bulk_jobs.page(site.actor())).items == []


async def test_jobs_are_listed(site: Site):
    assert "No bulk jobs yet" in (await site.open(PLACE, who="charlie")).words
    await begin(site)

    assert "The carrier was down" in (await site.open(PLACE)).words
    assert "No bulk jobs in this state" in (await site.open(f"{PLACE}?state=failed")).words
    assert (await site.open(f"{PLACE}?state=odd")).status == 422


async def test_viewers_and_strangers_begin_nothing(site: Site):
    job_id = await begin(site)

    assert (await site.open(f"{PLACE}/new/replay", who="charlie")).status == 403
    assert (await site.send(f"{PLACE}/new/cancel", {}, who="charlie")).status == 403
    assert (await site.open(f"/w/away/bulk-jobs/{job_id}", who="dora")).status == 404
    assert (await site.open(f"{PLACE}/new/burn", who="bob")).status == 404
