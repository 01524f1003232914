"""Events, lanes, deliveries and counts over the API."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.model.states import RunMove
from crossdock.model.time import format_instant
from tests.api.conftest import Api

EVENTS = "/api/v1/events"


async def ids(api: Api, query: str = "") -> list[str]:
    """The ids of all events that a list gives, page after page."""
    found: list[str] = []
    cursor = ""
    while True:
        page = await api.call("GET", f"{EVENTS}?{query}&limit=2".replace("?&", "?") + cursor)
        assert page.status == 200, page.json
        found += [item["id"] for item in page.json["items"]]
        if page.json["next"] is None:
            return found
        cursor = f"&cursor={page.json['next']}"


async def show(api: Api, event_id: str) -> Any:
    answer = await api.call("GET", f"{EVENTS}/{event_id}", who="charlie")
    assert answer.status == 200
    return answer.json


# --- looking ---


async def test_events_are_listed_newest_first_page_by_page(api: Api, clock) -> None:
    made = await api.make()
    told = []
    for _ in range(5):
        told.append(await api.story.receive(made["id"]))
        clock.advance(1)

    assert await ids(api) == told[::-1]


async def test_filters_find_what_they_say(api: Api, clock) -> None:
    orders, stock = await api.make("Orders"), await api.make("Stock")
    key = (await api.call("POST", f"/api/v1/integrations/{stock['id']}/keys", {"label": "till 7"})).json
    failed = await api.story.fail(orders["id"])
    before = format_instant(clock.advance(10))
    waiting = await api.story.receive(stock["id"], b"needle in a haystack", key_id=key["id"], path="/hooks/default/x")
    after = format_instant(clock.advance(10))
    handled = await api.story.succeed(orders["id"], reply="dlv_0")

    assert await ids(api, f"integration={orders['id']}") == [handled, failed]
    assert await ids(api, "status=failed") == [failed]
    assert await ids(api, "status=failed,queued") == [waiting, failed]
    assert await ids(api, "q=needle") == [waiting]
    assert await ids(api, "q=NEEDLE") == []
    assert await ids(api, f"q={failed[-12:]}") == [failed]
    assert await ids(api, "q=default/x") == [waiting]
    assert await ids(api, "key=till%207") == [waiting]
    assert await ids(api, f"key={key['id']}") == [waiting]
    assert await ids(api, "key=") == []
    assert await ids(api, "replay_of=") == []
    assert await ids(api, f"received_after={before}") == [handled, waiting]
    assert await ids(api, f"received_before={after}") == [waiting, failed]
    assert await ids(api, "has_failed_reply=true") == []
    assert await ids(api, "has_failed_reply=false&status=succeeded") == [handled]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=done", "status"),
        ("received_after=yesterday", "received_after"),
        ("received_before=2026-11-22T10:00:00", "received_before"),
        ("has_failed_reply=perhaps", "has_failed_reply"),
        ("q=" + "x" * 201, "q"),
    ],
)
async def test_a_wrong_filter_is_named(api: Api, query: str, field: str) -> None:
    answer = await api.call("GET", f"{EVENTS}?{query}")

    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (422, [field])


async def test_an_event_tells_its_whole_story(api: Api) -> None:
    made = await api.make()
    event = await show(api, await api.story.succeed(made["id"], reply="dlv_0"))

    assert event["integration"] == {"id": made["id"], "name": "Orders"}
    assert (event["status"], event["attempts"], event["error"]) == ("succeeded", 1, None)
    assert event["result"] == {"status": 201, "headers": {"content-type": "application/json"}, "body": {"b": 2}}
    assert event["steps"][0]["output"] == {"b": 10**30}
    assert (event["reply"]["status"], event["reply"]["delivery_id"]) == ("pending", "dlv_0")
    assert (event["waiting_for"], event["steps_total"]) == (None, 1)


async def test_all_steps_of_a_run_come_in_pages(api: Api) -> None:
    made = await api.make()
    event_id = await api.story.succeed(made["id"])

    page = await api.call("GET", f"{EVENTS}/{event_id}/steps?prefix=m", who="charlie")

    assert [(step["id"], step["output"], step["reused"]) for step in page.json["items"]] == [
        ("map", {"b": 10**30}, False)
    ]
    assert (await api.call("GET", f"{EVENTS}/{event_id}/steps?prefix=x")).json == {"items": [], "next": None}
    assert (await api.call("GET", f"{EVENTS}/{event_id}/steps", who="dora")).status == 404


async def test_a_request_is_shown_as_it_was(api: Api) -> None:
    made = await api.make()
    text = (await show(api, await api.story.receive(made["id"], "grüß".encode())))["request"]
    binary = (await show(api, await api.story.receive(made["id"], b"\xff\x00")))["request"]

    assert (text["body"], text["body_encoding"], text["size"]) == ("grüß", "utf-8", 6)
    assert text["query"] == {"a": ["1", "2"]}
    assert text["headers"]["x-site"] == "12"
    assert (binary["body"], binary["body_encoding"]) == ("/wA=", "base64")


async def test_a_body_comes_back_byte_for_byte_and_never_as_a_page(api: Api) -> None:
    made = await api.make()
    body = b"<script>alert(1)</script>\xff\x00"
    event_id = await api.story.receive(made["id"], body, content_type="text/html")

    answer = await api.call("GET", f"{EVENTS}/{event_id}/body")

    assert answer.body == body
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")


async def test_why_an_event_waits_is_said(api: Api) -> None:
    made = await api.make()
    queued = await show(api, await api.story.receive(made["id"]))
    in_lane = await show(api, await api.story.receive(made["id"], lane="7"))
    retrying = await show(api, await api.story.fail(made["id"], RunMove.RETRY))
    blocked = await show(api, await api.story.fail(made["id"], RunMove.BLOCK))

    assert (queued["waiting_for"]["reason"], queued["lane"]) == ("slot", None)
    assert (in_lane["waiting_for"]["reason"], in_lane["lane"]) == ("lane", "7")
    assert retrying["next_attempt_at"] == retrying["waiting_for"]["until"]
    assert retrying["next_attempt_at"] in retrying["waiting_for"]["words"]
    assert retrying["error"] == {"kind": "refused", "message": "the warehouse said no", "step": "call"}
    assert (blocked["waiting_for"]["reason"], blocked["waiting_for"]["step"]) == ("operator", "call")


# --- acting ---


async def test_a_replay_is_a_new_event_with_the_same_request(api: Api) -> None:
    made = await api.make()
    old = await api.story.fail(made["id"])

    answer = await api.call("POST", f"{EVENTS}/{old}/replay", who="bob")

    assert answer.status == 201
    assert answer.headers["location"] == f"{EVENTS}/{answer.json['id']}"
    event = await show(api, answer.json["id"])
    assert (event["replay_of"], event["status"], event["request"]["body"]) == (old, "queued", "{}")


async def test_a_replay_may_change_the_request_and_the_workflow(api: Api) -> None:
    made = await api.make(workflow={"steps": [{"id": "one", "transform": {}}]})
    old = await api.story.fail(made["id"])
    changes = {"request": {"body": '{"a": 2}', "query": {"b": "3"}, "headers": {"X-Site": "13"}}, "workflow_version": 1}

    answer = await api.call("POST", f"{EVENTS}/{old}/replay", changes)

    event = await show(api, answer.json["id"])
    assert event["request"]["body"] == '{"a": 2}'
    assert event["request"]["query"] == {"b": "3"}
    assert event["request"]["headers"] == {"x-site": "13", "content-type": "application/json"}
    assert event["workflow_version"] == 1


async def test_a_replay_of_an_ordered_event_takes_its_turn(api: Api) -> None:
    trigger = {"ordered_delivery": True, "ordering_key": "{{ body.customer }}"}
    made = await api.make(trigger=trigger)
    old = await api.story.receive(made["id"], b'{"customer": 7}', lane="7")

    answer = await api.call("POST", f"{EVENTS}/{old}/replay")
    assert (await show(api, answer.json["id"]))["lane"] == "7"

    refused = await api.call("POST", f"{EVENTS}/{old}/replay", {"request": {"body": "{}"}})
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "ordering_key")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"workflow_version": 9}, "workflow_version"),
        ({"workflow_version": "1"}, "workflow_version"),
        ({"request": {"body": "~", "body_encoding": "base64"}}, "request.body"),
        ({"request": {"headers": {"a": "b\r\nc: d"}}}, "request.headers"),
        ({"request": {"headers": {"a": ["b", "c\n"]}}}, "request.headers"),
        ({"request": {"headers": {"a": 5}}}, "request.headers.a"),
        ({"request": {"query": {"a": ["b", 5]}}}, "request.query.a"),
        ({"request": {"method": "BREW"}}, "request.method"),
        ({"from_step": "nowhere"}, "from_step"),
        ({"from": "one"}, "from"),
    ],
)
async def test_a_wrong_replay_is_refused(api: Api, changes: Any, field: str) -> None:
    made = await api.make()
    old = await api.story.fail(made["id"])

    answer = await api.call("POST", f"{EVENTS}/{old}/replay", changes)

    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (422, [field])
    assert await ids(api) == [old]


async def test_an_event_that_waits_is_canceled_at_once(api: Api) -> None:
    made = await api.make()
    event_id = await api.story.receive(made["id"])

    answer = await api.call("POST", f"{EVENTS}/{event_id}/cancel", who="bob")

    assert (answer.status, answer.json["status"]) == (200, "canceled")
    assert (await api.call("POST", f"{EVENTS}/{event_id}/cancel")).status == 409


async def test_an_event_that_waits_for_its_next_attempt_is_retried_now(api: Api) -> None:
    made = await api.make()
    event_id = await api.story.fail(made["id"], RunMove.RETRY)

    answer = await api.call("POST", f"{EVENTS}/{event_id}/retry", who="bob")

    assert (answer.status, answer.json["status"], answer.json["attempts"]) == (200, "queued", 0)
    handled = await api.story.succeed(made["id"])
    assert (await api.call("POST", f"{EVENTS}/{handled}/retry")).status == 409


async def test_a_viewer_changes_nothing(api: Api) -> None:
    made = await api.make()
    event_id = await api.story.succeed(made["id"], reply="dlv_0")

    for path in ("replay", "retry", "cancel"):
        assert (await api.call("POST", f"{EVENTS}/{event_id}/{path}", who="charlie")).status == 403
    assert (await api.call("POST", "/api/v1/deliveries/dlv_0/resend", who="charlie")).status == 403


async def test_a_delivery_is_resent_as_a_new_one_once_it_has_ended(api: Api, clock) -> None:
    made = await api.make()
    event_id = await api.story.succeed(made["id"], reply="dlv_0")
    assert (await api.call("GET", "/api/v1/deliveries/dlv_0")).json["status"] == "queued"
    assert (await api.call("POST", "/api/v1/deliveries/dlv_0/resend")).status == 409

    await api.story.end_reply(made["id"], "dlv_0")
    answer = await api.call("POST", "/api/v1/deliveries/dlv_0/resend", who="bob")

    assert answer.status == 201
    assert (answer.json["event_id"], answer.json["status"]) == (event_id, "queued")
    assert (await show(api, event_id))["reply"]["delivery_id"] == answer.json["id"]
    tried = (await api.call("GET", "/api/v1/deliveries/dlv_0")).json["attempts"][0]
    assert (tried["response"]["status"], tried["response"]["body"]) == (410, "gone")


# --- lanes ---


async def test_the_head_of_a_lane_is_skipped_parked_or_retried(api: Api) -> None:
    made = await api.make(trigger={"ordered_delivery": True, "ordering_key": "{{ body.a }}"})
    place = f"/api/v1/integrations/{made['id']}/lanes"
    heads = [await api.story.receive(made["id"], lane="a/b") for _ in range(3)]

    lane = (await api.call("GET", place)).json["items"][0]
    assert (lane["key"], lane["waiting"], lane["head"]["id"]) == ("a/b", 2, heads[0])
    skipped = await api.call("POST", f"{place}/{lane['id']}/skip", {"note": "asked by the shop"}, who="bob")
    assert skipped.json["event_id"] == heads[0]
    assert "asked by the shop" in (await show(api, heads[0]))["error"]["message"]
    parked = await api.call("POST", f"{place}/{lane['id']}/park", who="bob")
    assert parked.json["event_id"] == heads[1]
    assert (await show(api, heads[1]))["waiting_for"]["reason"] == "parked"
    assert (await api.call("POST", f"{place}/{lane['id']}/retry", who="bob")).status == 409


async def test_a_decision_about_another_head_than_the_lanes_is_refused(api: Api) -> None:
    made = await api.make(trigger={"ordered_delivery": True, "ordering_key": "{{ body.a }}"})
    lane = f"/api/v1/integrations/{made['id']}/lanes/1"
    heads = [await api.story.block(made["id"], "1"), await api.story.receive(made["id"], lane="1")]
    meant = {"event_id": heads[0]}

    first = await api.call("POST", f"{lane}/skip", meant, who="bob")
    late = [await api.call("POST", f"{lane}/{deed}", meant, who="bob") for deed in ("skip", "park", "retry")]

    assert (first.status, first.json["event_id"]) == (200, heads[0])
    assert [answer.status for answer in late] == [409, 409, 409]
    assert f"{heads[0]} is not the head of the lane 1 now: its head is {heads[1]}" in late[0].json["detail"]
    assert (await show(api, heads[1]))["status"] == "queued"
    assert (await api.call("POST", f"{lane}/skip", {"event_id": heads[1]}, who="bob")).status == 200


async def test_an_unordered_integration_has_no_lanes(api: Api) -> None:
    made = await api.make()
    place = f"/api/v1/integrations/{made['id']}/lanes"

    assert (await api.call("GET", place)).json == {"items": [], "next": None}
    for lane in ("7", "~", "~!"):
        assert (await api.call("POST", f"{place}/{lane}/skip")).status == 404


# --- counts ---


async def test_counts_are_told_by_interval(api: Api, clock) -> None:
    made = await api.make()
    start = format_instant(clock())
    await api.story.succeed(made["id"])
    await api.story.fail(made["id"])
    clock.advance(60)
    await api.story.receive(made["id"])
    end = format_instant(clock.advance(60))

    stats = (
        await api.call("GET", f"/api/v1/integrations/{made['id']}/stats?start={start}&end={end}&interval=PT60S")
    ).json

    assert [each["accepted"] for each in stats["intervals"]] == [2, 1, 0]
    total = stats["total"]
    assert (total["succeeded"], total["failed"], total["unfinished"]) == (1, 1, 1)
    assert total["duration_ms"] == {"p50": 250.0, "p95": 1000.0, "p99": 1000.0}
    assert (stats["complete"], stats["rejected"]) == (True, [])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("interval=P1M", "interval"),
        ("interval=PT1S", "interval"),
        ("interval=PT0S", "interval"),
        ("start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z", "start"),
        ("end=now", "end"),
    ],
)
async def test_a_wrong_time_span_is_named(api: Api, query: str, field: str) -> None:
    made = await api.make()

    answer = await api.call("GET", f"/api/v1/integrations/{made['id']}/stats?{query}")

    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (422, [field])
