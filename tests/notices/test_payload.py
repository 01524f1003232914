"""The payload: what is told of changes, and that it stays within bounds."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.health import HealthChange, HealthStatus, ToldIssue
from crossdock.model.time import SECOND
from crossdock.notices.payload import (
    MAX_CHANGES,
    MAX_ISSUES,
    MESSAGE_CHARACTERS,
    PAYLOAD_SCHEMA,
    About,
    mock_digest,
    mock_payload,
    mock_recovery,
    payload_of,
)

NOW = 1_790_000_000_000_000
ACTIVE, WARNING, ERROR = HealthStatus.ACTIVE, HealthStatus.WARNING, HealthStatus.ERROR
SCHEMA = jsonschema_rs.validator_for(PAYLOAD_SCHEMA)


def about(integration_id: str) -> About:
    return About(integration_id.removeprefix("int_").upper(), "webhook-trigger", f"https://c.example/{integration_id}")


def change(name: str, status: HealthStatus, *issues: str, at: int = NOW, before: HealthStatus = ACTIVE) -> HealthChange:
    told = tuple(ToldIssue(status, message) for message in issues)
    return HealthChange(f"hch_{name}{at}", f"int_{name}", at, status, before, told)


def test_a_change_is_told_with_what_is_known_of_its_integration() -> None:
    payload = payload_of([change("erp", ERROR, "5 runs failed", before=WARNING)], about)

    data = {
        "id": "int_erp",
        "name": "ERP",
        "type": "webhook-trigger",
        "status": "error",
        "previous_status": "warning",
        "url": "https://c.example/int_erp",
        "issues": [{"status": "error", "message": "5 runs failed"}],
    }
    assert payload == {
        "event_type": "integration.status_changed",
        "event_time": "2026-09-21T14:13:20.000Z",
        "data": data,
        "changes": [{"event_time": "2026-09-21T14:13:20.000Z", **data}],
        "changes_left_out": 0,
    }


def test_a_digest_is_about_who_is_worst_off_now_and_tells_the_issues_of_all() -> None:
    changes = [
        change("erp", ERROR, "5 runs failed", at=NOW - 3 * SECOND),
        change("shop", WARNING, "a reply expired", at=NOW - 2 * SECOND),
        change("erp", ACTIVE, at=NOW - SECOND, before=ERROR),
        change("crm", ACTIVE, at=NOW, before=WARNING),
    ]

    payload = payload_of(changes, about, is_digest=True)

    assert (payload["event_type"], payload["event_time"]) == ("integration.digest", "2026-09-21T14:13:20.000Z")
    assert (payload["data"]["name"], payload["data"]["status"]) == ("SHOP", "warning")
    assert payload["data"]["issues"] == [{"status": "warning", "message": "SHOP: a reply expired"}]
    assert [(one["name"], one["status"]) for one in payload["changes"]] == [
        ("ERP", "error"),
        ("SHOP", "warning"),
        ("ERP", "active"),
        ("CRM", "active"),
    ]


def test_a_digest_tells_errors_before_warnings() -> None:
    changes = [change("a", WARNING, "late"), change("b", ERROR, "down"), change("c", WARNING, "later")]

    payload = payload_of(changes, about, is_digest=True)

    assert [issue["message"] for issue in payload["data"]["issues"]] == ["B: down", "A: late", "C: later"]


def test_a_digest_about_one_integration_tells_its_issues_as_they_are() -> None:
    payload = payload_of([change("a", WARNING, "late"), change("a", ERROR, "down")], about, is_digest=True)

    assert payload["data"]["issues"] == [{"status": "error", "message": "down"}]


def test_a_large_digest_tells_the_newest_and_counts_the_rest() -> None:
    changes = [change(f"i{number}", ERROR, "down", at=NOW + number) for number in range(1_000)]

    payload = payload_of(changes, about, is_digest=True)

    assert len(payload["changes"]) == MAX_CHANGES
    assert payload["changes"][-1]["id"] == "int_i999"
    assert payload["changes_left_out"] == 1_000 - MAX_CHANGES
    assert len(payload["data"]["issues"]) == MAX_ISSUES


def test_long_messages_leave_room_in_a_digest() -> None:
    changes = [change(f"i{number}", ERROR, *["x" * 10_000] * 20, at=NOW + number) for number in range(200)]

    payload = payload_of(changes, about, is_digest=True)

    assert len(json.dumps(payload)) < 600_000
    assert len(payload["changes"]) + payload["changes_left_out"] == 200
    assert payload["changes"][-1]["id"] == "int_i199"


def test_one_change_is_told_however_much_it_says() -> None:
    payload = payload_of([change("a", ERROR, *["x" * 10_000] * 500)], about)

    assert (len(payload["changes"]), payload["changes_left_out"]) == (1, 0)
    assert len(payload["data"]["issues"]) == MAX_ISSUES


@given(name=st.text(st.characters(codec=None)), message=st.text(st.characters(codec=None)))
def test_what_is_told_can_be_read_by_everybody(name: str, message: str) -> None:
    payload = payload_of([change("a", ERROR, message)], lambda _: About(name, "webhook-trigger", "https://c.example"))

    assert SCHEMA.is_valid(payload)
    assert json.loads(json.dumps(payload, ensure_ascii=False).encode()) == payload


def test_a_long_message_is_cut() -> None:
    payload = payload_of([change("a", ERROR, "x" * 1_048_576)], about)

    message = payload["data"]["issues"][0]["message"]
    assert (len(message), message[-2:]) == (MESSAGE_CHARACTERS, "x…")


@pytest.mark.parametrize("payload", [mock_payload(NOW), mock_recovery(NOW), mock_digest(NOW)])
def test_the_schema_describes_every_payload(payload: dict[str, Any]) -> None:
    assert [error.message for error in SCHEMA.iter_errors(payload)] == []


def test_every_field_of_the_schema_is_explained() -> None:
    def fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
        below = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
        return [schema, *(found for one in below for found in fields(one))]

    assert all(field["description"] for field in fields(PAYLOAD_SCHEMA))


def test_a_test_says_that_it_is_one_and_when_it_was_made() -> None:
    payload = mock_payload(NOW)

    assert "Test" in payload["data"]["name"]
    assert all("This is a test" in issue["message"] for issue in payload["data"]["issues"])
    assert payload["event_time"] == "2026-09-21T14:13:20.000Z"
