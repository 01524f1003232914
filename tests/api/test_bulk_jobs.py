"""Bulk jobs over the API: who may ask for what, what is refused in which words, what is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crossdock.catalog import Catalog
from crossdock.clock import system_now
from crossdock.manage.bulk_jobs import MOST_UNFINISHED
from crossdock.manage.ports import Stages
from crossdock.model.bulk import BulkKind
from crossdock.model.time import format_instant
from crossdock.store import Store
from crossdock.vault import Vault
from crossdock.watch.bulk import BulkWork
from crossdock.watch.bulk_deeds import Canceling, Comparing, Replaying
from tests.api.conftest import Api
from tests.support.held import HeldClock, held_sources

JOBS = "/api/v1/bulk-jobs"
REPLAY = "/api/v1/events/replay"
CANCEL = "/api/v1/events/cancel"
STEPS = {"steps": [{"id": "one", "transform": {"a": 1}}]}


@pytest.fixture
def clock() -> HeldClock:
    """Held at the time of this test: the ids of new events tell the real time."""
    return HeldClock(system_now())


async def compare(workspace_id: str, event_id: str, target: Any) -> Any:
    """Every event would change: what is told is what was asked."""
    return {"verdict": "changed", "differences": [target]}


async def work(store: Store, clock: HeldClock) -> None:
    """Let a node carry out what is to be done."""
    catalog = Catalog(store, Vault([bytes(32)]))
    await catalog.reload()
    deeds: Any = {
        BulkKind.REPLAY: Replaying(store, catalog, Stages(), clock=clock, backlog_limit=100),
        BulkKind.CANCEL: Canceling(store, Stages(), clock=clock),
        BulkKind.WHAT_IF: Comparing(store, compare),
    }
    worker = BulkWork(store, deeds, sources=held_sources(clock, "node_1"))
    await worker.look()
    await asyncio.wait_for(worker.settle(), 20)


async def replaying(api: Api, clock: HeldClock, **filter_: Any) -> Any:
    """A new job that replays what is there; its document."""
    clock.advance(1)
    wanted = filter_ or {"received_before": format_instant(clock())}
    answer = await api.call("POST", REPLAY, {"filter": wanted, "rate": 1000}, who="bob")
    assert answer.status == 201, answer.json
    return answer.json


async def test_a_bulk_replay_tells_how_far_it_is_and_what_came_of_it(api: Api, store: Store, clock: HeldClock) -> None:
    made = await api.make()
    events = [await api.story.fail(made["id"]) for _ in range(3)]
    await api.story.receive(made["id"])
    clock.advance(1)

    answer = await api.call("POST", REPLAY, {"filter": {"status": "failed"}, "rate": 1000}, who="bob")
    begun = answer.json
    await work(store, clock)
    ended = (await api.call("GET", f"{JOBS}/{begun['id']}", who="charlie")).json
    items = (await api.call("GET", f"{JOBS}/{begun['id']}/items", who="charlie")).json["items"]

    assert (answer.status, answer.headers["location"]) == (201, f"{JOBS}/{begun['id']}")
    assert (begun["state"], begun["total"], begun["progress"], begun["created_by"]) == ("running", None, 0.0, "bob")
    assert (ended["state"], ended["total"], ended["done"], ended["progress"]) == ("finished", 3, 3, 1.0)
    assert (ended["filter"], ended["summary"]) == ({"status": "failed"}, {"replayed": 3})
    assert ended["finished_at"] == format_instant(clock())
    assert [item["event_id"] for item in items] == events
    shown = (await api.call("GET", f"/api/v1/events/{items[0]['new_event_id']}")).json
    assert shown["replay_of"] == events[0]


async def test_a_bulk_cancel_stops_what_waits(api: Api, store: Store, clock: HeldClock) -> None:
    made = await api.make()
    waiting = await api.story.receive(made["id"])
    clock.advance(1)

    answer = await api.call("POST", CANCEL, {"filter": {"integration": made["id"], "status": "queued"}}, who="bob")
    await work(store, clock)

    assert (answer.status, answer.json["kind"], answer.json["rate"]) == (201, "cancel", 50.0)
    assert (await api.call("GET", f"/api/v1/events/{waiting}")).json["status"] == "canceled"


async def test_a_paused_job_goes_on_when_it_is_resumed(api: Api, store: Store, clock: HeldClock) -> None:
    await api.story.receive((await api.make())["id"])
    job = await replaying(api, clock)

    paused = await api.call("POST", f"{JOBS}/{job['id']}/pause", who="bob")
    await work(store, clock)
    still = (await api.call("GET", f"{JOBS}/{job['id']}")).json
    again = await api.call("POST", f"{JOBS}/{job['id']}/pause", who="bob")
    await api.call("POST", f"{JOBS}/{job['id']}/resume", who="bob")
    await work(store, clock)

    assert (paused.status, paused.json["state"]) == (200, "paused")
    assert (still["state"], still["done"], still["remaining_seconds"]) == ("paused", 0, None)
    assert (again.status, again.json["detail"]) == (409, "the job is paused; it can't pause")
    assert (await api.call("GET", f"{JOBS}/{job['id']}")).json["state"] == "finished"


async def test_a_canceled_job_is_over(api: Api, store: Store, clock: HeldClock) -> None:
    await api.story.receive((await api.make())["id"])
    job = await replaying(api, clock)

    canceled = await api.call("POST", f"{JOBS}/{job['id']}/cancel", who="bob")
    await work(store, clock)
    resumed = await api.call("POST", f"{JOBS}/{job['id']}/resume", who="bob")

    assert (canceled.json["state"], canceled.json["finished_at"]) == ("canceled", format_instant(clock()))
    assert resumed.status == 409
    assert (await api.call("GET", f"{JOBS}/{job['id']}/items")).json == {"items": [], "next": None}


async def test_jobs_are_listed_newest_first_by_state_and_kind(api: Api, clock: HeldClock) -> None:
    first, second = [(await replaying(api, clock))["id"] for _ in range(2)]
    third = (await api.call("POST", CANCEL, {"filter": {"status": "queued"}})).json["id"]
    await api.call("POST", f"{JOBS}/{first}/pause")

    async def listed(query: str) -> list[str]:
        page = await api.call("GET", f"{JOBS}{query}", who="charlie")
        return [job["id"] for job in page.json["items"]]

    assert await listed("") == [third, second, first]
    assert await listed("?kind=replay") == [second, first]
    assert await listed("?state=paused,canceled") == [first]
    page = (await api.call("GET", f"{JOBS}?limit=2")).json
    assert await listed(f"?limit=2&cursor={page['next']}") == [first]


async def test_items_are_listed_by_outcome_page_by_page(api: Api, store: Store, clock: HeldClock) -> None:
    made = await api.make()
    ended = await api.story.succeed(made["id"])
    waiting = [await api.story.receive(made["id"]) for _ in range(3)]
    clock.advance(1)
    job = (await api.call("POST", CANCEL, {"filter": {"integration": made["id"]}, "rate": 1000})).json
    await work(store, clock)

    first = (await api.call("GET", f"{JOBS}/{job['id']}/items?outcome=canceled&limit=2")).json
    second = (await api.call("GET", f"{JOBS}/{job['id']}/items?outcome=canceled&cursor={first['next']}")).json
    skipped = (await api.call("GET", f"{JOBS}/{job['id']}/items?outcome=skipped")).json["items"]

    assert [item["event_id"] for item in first["items"] + second["items"]] == waiting
    assert skipped == [
        {
            "event_id": ended,
            "outcome": "skipped",
            "new_event_id": None,
            "reason": "it had ended already",
            "comparison": None,
        }
    ]


# --- what-if ---


async def test_a_what_if_keeps_the_workflow_as_it_was_when_it_was_asked(
    api: Api, store: Store, clock: HeldClock
) -> None:
    made = await api.make()
    events = [await api.story.succeed(made["id"]) for _ in range(3)]
    clock.advance(1)
    asked = {"last": 2, "workflow": STEPS}

    answer = await api.call("POST", f"/api/v1/integrations/{made['id']}/what-if", asked, who="bob")
    await work(store, clock)
    job = (await api.call("GET", f"{JOBS}/{answer.json['id']}")).json
    items = (await api.call("GET", f"{JOBS}/{job['id']}/items")).json["items"]

    assert (answer.status, answer.json["options"]) == (201, {"last": 2, "workflow": True})
    assert (job["state"], job["total"], job["done"]) == ("finished", 2, 2)
    assert job["summary"] == {"unchanged": 0, "changed": 2, "new_failure": 0, "fixed_failure": 0, "unknown": 0}
    assert [item["event_id"] for item in items] == events[1:]
    assert items[0]["comparison"]["differences"] == [{"integration_id": made["id"], "document": STEPS}]


async def test_a_what_if_takes_versions_and_filters(api: Api, store: Store, clock: HeldClock) -> None:
    made = await api.make(workflow=STEPS)
    await api.story.succeed(made["id"])
    failed = await api.story.fail(made["id"])
    clock.advance(1)
    asked = {"filter": {"status": "failed"}, "version": 1}

    job = (await api.call("POST", f"/api/v1/integrations/{made['id']}/what-if", asked)).json
    await work(store, clock)

    items = (await api.call("GET", f"{JOBS}/{job['id']}/items")).json["items"]
    assert job["filter"] == {"integration": made["id"], "status": "failed"}
    assert [item["event_id"] for item in items] == [failed]


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({}, "draft", "has no draft"),
        ({"draft": True}, "draft", "has no draft"),
        ({"draft": False}, "draft", "must be"),
        ({"version": 3}, "version", "no version 3"),
        ({"version": 1, "workflow": STEPS}, "workflow", "goes without version"),
        ({"workflow": {"steps": [{}]}}, "workflow.steps[0].id", "is required"),
        ({"last": 0, "version": 1}, "last", "1 or more"),
        ({"last": 5, "filter": {"status": "failed"}, "version": 1}, "last", "goes without filter"),
        ({"filter": {"integration": "int_other"}, "version": 1}, "filter.integration", "in the address"),
        ({"filter": {"status": "done"}, "version": 1}, "filter.status", "must be one or several of"),
        ({"lasst": 5}, "lasst", "did you mean last?"),
    ],
)
async def test_a_wrong_what_if_is_refused_by_its_field(api: Api, asked: Any, field: str, words: str) -> None:
    made = await api.make()

    answer = await api.call("POST", f"/api/v1/integrations/{made['id']}/what-if", asked)

    assert answer.status == 422
    assert [(each["field"], words in each["message"]) for each in answer.json["errors"]] == [(field, True)]


async def test_a_what_if_with_a_draft_that_does_not_compile_is_refused_at_once(api: Api) -> None:
    made = await api.make()
    place = f"/api/v1/integrations/{made['id']}"
    await api.call("PUT", f"{place}/workflow/draft", {"document": {"steps": [{}]}})

    answer = await api.call("POST", f"{place}/what-if", {"draft": True})

    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "workflow.steps[0].id")


# --- refusals ---


async def test_other_methods_are_not_for_events_of_that_name(api: Api) -> None:
    answer = await api.call("DELETE", REPLAY)

    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", [REPLAY, CANCEL])
@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "filter"),
        ({"filter": {}}, "filter"),
        ({"filter": "all"}, "filter"),
        ({"filter": {"state": "failed"}}, "filter.state"),
        ({"filter": {"integration": "int_unknown"}}, "filter.integration"),
        ({"filter": {"integration": 7}}, "filter.integration"),
        ({"filter": {"status": "done"}}, "filter.status"),
        ({"filter": {"received_after": "yesterday"}}, "filter.received_after"),
        ({"filter": {"q": "a\x00b"}}, "filter.q"),
        ({"filter": {"q": "x" * 201}}, "filter.q"),
        ({"filter": {"status": "failed"}, "rate": 0}, "rate"),
        ({"filter": {"status": "failed"}, "rate": 1001}, "rate"),
        ({"filter": {"status": "failed"}, "rate": "fast"}, "rate"),
    ],
)
async def test_a_wrong_request_is_refused_by_its_field(api: Api, path: str, asked: Any, field: str) -> None:
    answer = await api.call("POST", path, asked)

    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (422, [field])


@pytest.mark.parametrize(
    ("more", "words"), [({}, "needs filter.integration"), ({"integration": "own"}, "there is no version 4")]
)
async def test_a_version_belongs_to_one_integration(api: Api, more: Any, words: str) -> None:
    made = await api.make(workflow=STEPS)
    chosen = {"status": "failed", **({"integration": made["id"]} if more else {})}

    answer = await api.call("POST", REPLAY, {"filter": chosen, "workflow_version": 4})

    assert answer.status == 422
    assert words in answer.json["errors"][0]["message"]


async def test_a_workspace_has_a_few_unfinished_jobs_at_most(api: Api, clock: HeldClock) -> None:
    jobs = [await replaying(api, clock) for _ in range(MOST_UNFINISHED)]
    wanted = {"filter": {"status": "failed"}}

    refused = await api.call("POST", REPLAY, wanted)
    elsewhere = await api.call("POST", REPLAY, wanted, who="dora")
    await api.call("POST", f"{JOBS}/{jobs[0]['id']}/cancel")

    assert (refused.status, "10 unfinished bulk jobs" in refused.json["detail"]) == (409, True)
    assert elsewhere.status == 201
    assert (await api.call("POST", REPLAY, wanted)).status == 201


async def test_a_viewer_looks_on(api: Api, clock: HeldClock) -> None:
    made, job = await api.make(workflow=STEPS), await replaying(api, clock)
    asked = [
        (REPLAY, {"filter": {"status": "failed"}}),
        (CANCEL, {"filter": {"status": "failed"}}),
        (f"/api/v1/integrations/{made['id']}/what-if", {"version": 1}),
        *((f"{JOBS}/{job['id']}/{move}", None) for move in ("pause", "resume", "cancel")),
    ]

    answers = [(await api.call("POST", path, document, who="charlie")).status for path, document in asked]

    assert answers == [403] * 6
    assert (await api.call("GET", f"{JOBS}/{job['id']}", who="charlie")).status == 200


async def test_jobs_of_another_workspace_are_not_there(api: Api, clock: HeldClock) -> None:
    made, job = await api.make(workflow=STEPS), await replaying(api, clock)

    answers = [
        await api.call("GET", f"{JOBS}/{job['id']}", who="dora"),
        await api.call("GET", f"{JOBS}/{job['id']}/items", who="dora"),
        await api.call("POST", f"{JOBS}/{job['id']}/cancel", who="dora"),
        await api.call("POST", f"/api/v1/integrations/{made['id']}/what-if", {"version": 1}, who="dora"),
    ]
    foreign = await api.call("POST", REPLAY, {"filter": {"integration": made["id"]}}, who="dora")

    assert [answer.status for answer in answers] == [404] * 4
    assert (await api.call("GET", JOBS, who="dora")).json["items"] == []
    assert foreign.status == 422


async def test_a_job_does_not_touch_events_of_another_workspace(api: Api, store: Store, clock: HeldClock) -> None:
    await api.story.receive((await api.make())["id"])
    clock.advance(1)
    wanted = {"filter": {"received_before": format_instant(clock())}}

    job = (await api.call("POST", REPLAY, wanted, who="dora")).json
    await work(store, clock)

    assert (await api.call("GET", f"{JOBS}/{job['id']}", who="dora")).json["total"] == 0
