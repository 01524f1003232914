"""The health of integrations over the API."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.model.time import format_instant, later
from tests.api.conftest import Api
from tests.support.held import HeldClock


async def broken(api: Api, name: str = "Orders", failures: int = 1) -> Any:
    """An integration whose runs have failed; its document."""
    made = await api.make(name)
    for _ in range(failures):
        await api.story.fail(made["id"])
    await api.story.judge(made)
    return made


async def health(api: Api, made: Any, query: str = "") -> Any:
    answer = await api.call("GET", f"/api/v1/integrations/{made['id']}/health{query}", who="charlie")
    assert answer.status == 200, answer.json
    return answer.json


async def act(api: Api, made: Any, deed: str, document: Any = None, who: str = "bob") -> Any:
    """Do something about the integration's only issue."""
    [issue] = (await health(api, made))["issues"]
    place = f"/api/v1/integrations/{made['id']}/health/issues/{issue['id']}/{deed}"
    return await api.call("POST", place, document, who=who)


async def test_a_new_integration_is_initializing_since_it_was_made(api: Api) -> None:
    made = await api.make()

    assert await health(api, made) == {
        "status": "initializing",
        "since": made["created_at"],
        "issues": [],
        "history": [],
        "next": None,
    }
    assert made["current_health"] == {"status": "initializing", "since": made["created_at"], "issues": 0}


async def test_what_is_wrong_is_told_with_an_event_that_met_it(api: Api, clock: HeldClock) -> None:
    made = await broken(api)

    told = await health(api, made)

    [issue] = told["issues"]
    assert (told["status"], told["since"]) == ("warning", format_instant(clock.now))
    assert (
        issue.items()
        >= {
            "status": "warning",
            "count": 1,
            "first_seen": format_instant(clock.now),
            "acknowledged": None,
            "snoozed_until": None,
            "resolved": None,
        }.items()
    )
    assert "refused at step call: the warehouse said no" in issue["message"]
    assert (await api.call("GET", f"/api/v1/events/{issue['sample_event']}")).status == 200
    assert [(one["previous_status"], one["status"]) for one in told["history"]] == [("initializing", "warning")]
    assert told["history"][0]["issues"] == [{"status": "warning", "message": issue["message"]}]


async def test_the_history_comes_in_pages(api: Api) -> None:
    made = await broken(api)
    await act(api, made, "resolve")
    await api.story.fail(made["id"])
    await api.story.judge(made)

    first = await health(api, made, "?limit=2")
    rest = await health(api, made, f"?limit=2&cursor={first['next']}")

    statuses = [one["status"] for one in (*first["history"], *rest["history"])]
    assert statuses[-1] == "warning"
    assert (len(first["history"]), rest["next"]) == (2, None)
    assert len({one["id"] for one in (*first["history"], *rest["history"])}) == len(statuses)


async def test_integrations_are_listed_by_their_health(api: Api) -> None:
    await broken(api, "Warned")
    await broken(api, "Broken", failures=5)
    await api.make("New")
    await api.make("Off", status="disabled")

    async def names(query: str) -> list[str]:
        answer = await api.call("GET", f"/api/v1/integrations?health={query}", who="charlie")
        return [item["name"] for item in answer.json["items"]]

    assert await names("warning,error") == ["Broken", "Warned"]
    assert await names("error") == ["Broken"]
    assert await names("initializing") == ["New"]
    assert await names("disabled") == ["Off"]
    listed = (await api.call("GET", "/api/v1/integrations?q=Broken")).json["items"][0]["current_health"]
    assert (listed["status"], listed["issues"]) == ("error", 1)
    refused = await api.call("GET", "/api/v1/integrations?health=ill")
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "health")
    assert "initializing, active, warning, error, disabled" in refused.json["detail"]


async def test_switching_off_and_on_again_shows_at_once(api: Api) -> None:
    made = await broken(api)
    place = f"/api/v1/integrations/{made['id']}"

    off = await api.call("PATCH", place, {"status": "disabled"})
    assert (off.json["current_health"]["status"], (await health(api, made))["status"]) == ("disabled", "disabled")
    await api.story.judge(off.json)
    on = await api.call("PATCH", place, {"status": "enabled"})

    assert (on.json["current_health"]["status"], (await health(api, made))["status"]) == (
        "initializing",
        "initializing",
    )


async def test_an_issue_is_acknowledged_with_a_note(api: Api, clock: HeldClock) -> None:
    made = await broken(api)

    seen = await act(api, made, "acknowledge", {"note": "The warehouse is looking at it."})

    assert seen.status == 200
    assert seen.json["acknowledged"] == {
        "at": format_instant(clock.now),
        "by": "bob",
        "note": "The warehouse is looking at it.",
    }
    assert (await health(api, made))["status"] == "warning"


async def test_a_snoozed_issue_does_not_count_until_it_is_woken(api: Api, clock: HeldClock) -> None:
    made = await broken(api)

    asleep = await act(api, made, "snooze", {"for": "PT8H", "note": "Maintenance"})

    assert asleep.json["snoozed_until"] == format_instant(later(clock.now, 8 * 3600))
    assert asleep.json["snoozed"]["note"] == "Maintenance"
    assert (await health(api, made))["status"] == "active"
    awake = await act(api, made, "wake")
    assert (awake.json["snoozed_until"], (await health(api, made))["status"]) == (None, "warning")


async def test_a_snooze_may_name_its_end(api: Api, clock: HeldClock) -> None:
    made = await broken(api)
    until = format_instant(later(clock.now, 60))

    assert (await act(api, made, "snooze", {"until": until})).json["snoozed_until"] == until


@pytest.mark.parametrize(
    ("document", "field", "advice"),
    [
        ({}, "for", "such as PT8H"),
        ({"for": "PT1H", "until": "2026-11-22T18:00:00Z"}, "for", "not both"),
        ({"for": "an hour"}, "for", "ISO 8601"),
        ({"for": "P1M"}, "for", "months"),
        ({"for": "PT0S"}, "for", "in the future"),
        ({"for": "P400D"}, "for", "within a year"),
        ({"until": "2020-01-01T00:00:00Z"}, "until", "in the future"),
        ({"until": "tomorrow"}, "until", "RFC 3339"),
        ({"until": "2026-11-22T18:00:00"}, "until", "offset"),
        ({"length": "PT1H"}, "length", "unknown field"),
        ({"for": "PT1H", "note": "a\nb"}, "note", "one line"),
    ],
)
async def test_a_snooze_that_makes_no_sense_is_refused(api: Api, document: Any, field: str, advice: str) -> None:
    made = await broken(api)

    refused = await act(api, made, "snooze", document)

    assert refused.status == 422
    assert [error["field"] for error in refused.json["errors"]] == [field]
    assert advice in refused.json["errors"][0]["message"]


async def test_a_resolved_issue_is_over_and_kept(api: Api) -> None:
    made = await broken(api)

    ended = await act(api, made, "resolve", {"note": "The address was wrong."})

    assert (ended.json["resolved"]["by"], ended.json["resolved"]["note"]) == ("bob", "The address was wrong.")
    assert (await health(api, made))["issues"] == []
    place = f"/api/v1/integrations/{made['id']}/health/issues"
    assert (await api.call("GET", place)).json == {"items": [], "next": None}
    assert (await api.call("GET", f"{place}?status=resolved")).json["items"] == [ended.json]
    again = await api.call("POST", f"{place}/{ended.json['id']}/resolve", who="bob")
    assert (again.status, "may be over by now" in again.json["detail"]) == (404, True)


async def test_roles_and_workspaces_hold(api: Api) -> None:
    made = await broken(api)
    place = f"/api/v1/integrations/{made['id']}/health"
    [issue] = (await health(api, made))["issues"]

    for deed, document in (("acknowledge", None), ("snooze", {"for": "PT1H"}), ("wake", None), ("resolve", None)):
        path = f"{place}/issues/{issue['id']}/{deed}"
        assert (await api.call("POST", path, document, who="charlie")).status == 403
        assert (await api.call("POST", path, document, who="dora")).status == 404
    assert (await api.call("GET", place, who="dora")).status == 404
    assert (await api.call("GET", f"{place}/issues", who="dora")).status == 404
