"""Traffic, the overview, and how many events match, over the API."""

from __future__ import annotations

import pytest

from crossdock.model.time import later
from crossdock.store.backlog import add_rejections
from tests.api.conftest import Api
from tests.support.held import HeldClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def own(api: Api) -> str:
    """An integration with a call that succeeded and one that failed."""
    made = await api.make()
    await api.story.succeed(made["id"])
    await api.story.fail(made["id"])
    return str(made["id"])


async def test_traffic_is_shown_point_by_point(api: Api, own: str) -> None:
    mine = await api.call("GET", f"/api/v1/integrations/{own}/traffic?span=PT1H", who="charlie")
    ours = await api.call("GET", "/api/v1/traffic", who="charlie")

    assert (mine.json["accepted"][-1], mine.json["succeeded"][-1], mine.json["failed"][-1]) == (2, 1, 1)
    assert ours.json["total"]["accepted"] == 2
    assert mine.json["total"]["duration_ms"]["p95"] is not None


async def test_other_spans_are_refused(api: Api) -> None:
    answer = await api.call("GET", "/api/v1/traffic?span=P1Y")

    assert answer.status == 422
    assert answer.json["errors"][0]["field"] == "span"


async def test_the_overview_and_its_list(api: Api, own: str) -> None:
    shown = await api.call("GET", "/api/v1/overview", who="charlie")
    listed = await api.call("GET", "/api/v1/overview/integrations?limit=1", who="charlie")

    assert shown.json["busiest"][0]["integration"]["id"] == own
    assert [one["id"] for one in listed.json["items"]] == [own]


async def test_matches_are_counted(api: Api, own: str) -> None:
    counted = await api.call("GET", f"/api/v1/events/count?integration={own}&status=failed", who="charlie")

    assert counted.json == {"count": 1, "is_exact": True, "searched_until": None}


async def test_a_histogram_tells_what_it_leaves_out(api: Api, own: str) -> None:
    shown = await api.call("GET", f"/api/v1/events/histogram?integration={own}&q=nothing&status=failed")

    assert shown.json["left_out"] == ["q"]
    assert (shown.json["total"]["accepted"], shown.json["total"]["failed"]) == (2, 1)


async def test_a_histogram_goes_over_the_times_of_the_list(api: Api, own: str, clock: HeldClock) -> None:
    query = "received_after=2026-09-21T10:00:00Z&received_before=2026-09-21T13:00:00Z"
    shown = await api.call("GET", f"/api/v1/events/histogram?{query}")

    assert (shown.json["start"], shown.json["interval"]) == ("2026-09-21T10:00:00.000Z", "PT5M")
    assert shown.json["total"]["accepted"] == 0
    assert len(shown.json["accepted"]) == 36


async def test_times_the_wrong_way_round_are_refused(api: Api) -> None:
    query = "received_after=2026-09-21T13:00:00Z&received_before=2026-09-21T10:00:00Z"

    assert (await api.call("GET", f"/api/v1/events/histogram?{query}")).status == 422


async def test_refused_calls_are_told_by_reason(api: Api, own: str, clock: HeldClock) -> None:
    store = api.story._store
    await store.write(add_rejections, [(own, "wrong key", 312, later(clock.now, -5))])

    mine = await api.call("GET", "/api/v1/events/refused", who="charlie")
    theirs = await api.call("GET", "/api/v1/events/refused", who="dora")

    assert [(one["reason"], one["count"]) for one in mine.json["items"]] == [("wrong key", 312)]
    assert theirs.json["items"] == []


async def test_events_are_found_by_method_and_original(api: Api, own: str) -> None:
    by_method = await api.call("GET", "/api/v1/events?method=post")
    none = await api.call("GET", "/api/v1/events?method=DELETE")
    replays = await api.call("GET", "/api/v1/events?replay_of=evt_1")

    assert (len(by_method.json["items"]), none.json["items"], replays.json["items"]) == (2, [], [])


async def test_unknown_parameters_of_lists_are_refused(api: Api) -> None:
    answer = await api.call("GET", "/api/v1/events/count?colour=red")

    assert answer.status == 422
    assert "replay_of" in answer.json["errors"][0]["message"]


async def test_an_event_tells_its_story(api: Api, own: str) -> None:
    [event, *_] = (await api.call("GET", "/api/v1/events")).json["items"]

    story = (await api.call("GET", f"/api/v1/events/{event['id']}/story", who="charlie")).json

    assert story["summary"].startswith("accepted 2026-09-21T")
    assert [bar["kind"] for bar in story["bars"]] == ["queue"]
