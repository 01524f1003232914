"""Ready-made webhooks: what they send is what each service says that it takes, whatever the payload holds.

The schemas are ours, written from what the services publish; where a rule is meant, a comment says which.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from crossdock.model.health import HealthChange, HealthStatus, ToldIssue
from crossdock.notices.payload import MAX_ISSUES, About, mock_digest, mock_payload, mock_recovery, payload_of
from crossdock.notices.ready_made import READY_MADE, ReadyMade
from crossdock.notices.template import compile_template

NOW = 1_790_000_000_000_000
BY_NAME = {made.name: made for made in READY_MADE}


def text(most: int, least: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most, **more}


def one_of(*values: Any) -> dict[str, Any]:
    return {"enum": list(values)}


def whole(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    properties = required | optional
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


URL = text(2_048, pattern="^https://")
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
STATUS = one_of("warning", "error", "active")

JSON = whole(
    {
        "event_type": one_of("integration.status_changed", "integration.digest"),
        "event_time": TIME,
        "data": whole(
            {
                "id": text(100),
                "name": text(500),
                "type": text(100),
                "status": STATUS,
                "previous_status": STATUS,
                "url": URL,
                "issues": {"type": "array", "items": whole({"status": STATUS, "message": text(2_600)})},
            }
        ),
    }
)

# Block Kit: a plain text of a header has up to 150 characters, texts of sections 1 to 3,000; a context has up to 10
# elements, a message up to 50 blocks. Beside blocks, `text` is the fallback of notifications.
SLACK_PLAIN = whole({"type": one_of("plain_text"), "text": text(3_000)})
SLACK_LINK = whole({"type": one_of("mrkdwn"), "text": text(3_000, pattern=r"^<https://[^|>]+\|[^|>]+>$")})
SLACK = whole(
    {
        "text": text(40_000, pattern="^[^<>]*$"),
        "blocks": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "oneOf": [
                    whole({"type": one_of("header"), "text": whole({"type": one_of("plain_text"), "text": text(150)})}),
                    whole({"type": one_of("section"), "text": SLACK_PLAIN}),
                    whole(
                        {
                            "type": one_of("context"),
                            "elements": {
                                "type": "array",
                                "maxItems": 10,
                                "items": {"oneOf": [SLACK_PLAIN, SLACK_LINK]},
                            },
                        }
                    ),
                ]
            },
        },
    }
)

# A message with one attachment, whose content is an Adaptive Card; colours are a closed set of words.
TEAMS_BLOCK = whole(
    {"type": one_of("TextBlock"), "text": text(20_000), "wrap": one_of(True)},
    size=one_of("Small", "Default", "Medium", "Large", "ExtraLarge"),
    weight=one_of("Lighter", "Default", "Bolder"),
    color=one_of("Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"),
)
TEAMS_FACTS = whole(
    {
        "type": one_of("FactSet"),
        "facts": {"type": "array", "items": whole({"title": text(100), "value": text(1_000)})},
    }
)
TEAMS_CARD = whole(
    {
        "$schema": one_of("http://adaptivecards.io/schemas/adaptive-card.json"),
        "type": one_of("AdaptiveCard"),
        "version": one_of("1.0", "1.1", "1.2", "1.3", "1.4", "1.5"),
        "body": {"type": "array", "minItems": 1, "items": {"oneOf": [TEAMS_BLOCK, TEAMS_FACTS]}},
        "actions": {
            "type": "array",
            "items": whole({"type": one_of("Action.OpenUrl"), "title": text(100), "url": URL}),
        },
    }
)
TEAMS = whole(
    {
        "type": one_of("message"),
        "attachments": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": whole(
                {
                    "contentType": one_of("application/vnd.microsoft.card.adaptive"),
                    "contentUrl": {"type": "null"},
                    "content": TEAMS_CARD,
                }
            ),
        },
    }
)

# Events API v2: the routing key has 32 characters; summary, source and severity are required for a trigger.
PAGERDUTY = whole(
    {
        "routing_key": text(32, 32),
        "event_action": one_of("trigger", "acknowledge", "resolve"),
        "dedup_key": text(255),
        "payload": whole(
            {
                "summary": text(1_024),
                "source": text(255),
                "severity": one_of("critical", "error", "warning", "info"),
            },
            **{
                "timestamp": TIME,
                "component": text(255),
                "group": text(255),
                "class": text(255),
                "custom_details": {"type": "object"},
            },
        ),
    },
    client=text(255),
    client_url=URL,
    links={"type": "array", "items": whole({"href": URL}, text=text(255))},
    images={"type": "array"},
)

# Events API v1: title and text are required; tags are `key:value` words.
DATADOG = whole(
    {"title": text(100), "text": text(4_000)},
    alert_type=one_of("error", "warning", "info", "success", "user_update", "recommendation", "snapshot"),
    aggregation_key=text(100),
    source_type_name=text(100),
    priority=one_of("normal", "low"),
    tags={"type": "array", "items": text(200, pattern="^[a-z][a-z0-9_]*:[a-zA-Z0-9_./-]+$")},
)

# Alert API: only the message is required; 20 tags of 50 characters, details are texts.
OPSGENIE = whole(
    {"message": text(130)},
    alias=text(512),
    description=text(15_000),
    entity=text(512),
    source=text(100),
    priority=one_of("P1", "P2", "P3", "P4", "P5"),
    tags={"type": "array", "maxItems": 20, "items": text(50)},
    details={"type": "object", "additionalProperties": text(8_000)},
)

SCHEMAS = {
    "json": JSON,
    "slack": SLACK,
    "teams": TEAMS,
    "pagerduty": PAGERDUTY,
    "datadog": DATADOG,
    "opsgenie": OPSGENIE,
}


def flood(character: str) -> dict[str, Any]:
    """As much as a payload can hold."""
    issues = tuple(ToldIssue(HealthStatus.ERROR, character * 5_000) for _ in range(MAX_ISSUES + 1))
    change = HealthChange("hch_1", "int_1", NOW, HealthStatus.ERROR, HealthStatus.WARNING, issues)
    return payload_of([change], lambda _: About(character * 800, "webhook-trigger", "https://c.example/" + "x" * 1_000))


PAYLOADS = {
    "an error": mock_payload(NOW),
    "a recovery": mock_recovery(NOW),
    "a digest": mock_digest(NOW),
    "a flood": flood("x"),
    "a flood of markup": flood("<"),
    "a flood of emoji": flood("😀"),
    "a flood of quotes": flood('"'),
}


def sent(made: ReadyMade, payload: dict[str, Any]) -> tuple[Any, bytes]:
    names = made.document["secrets"]
    body = compile_template(made.template, names).render(payload, dict.fromkeys(names, "k" * 32))
    return json.loads(body), body


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
@pytest.mark.parametrize("made", READY_MADE, ids=lambda made: made.name)
def test_what_is_sent_is_what_the_service_takes(made: ReadyMade, payload: dict[str, Any]) -> None:
    body, _ = sent(made, payload)

    validator = jsonschema_rs.validator_for(SCHEMAS[made.name])
    assert [f"{error.instance_path}: {error.message[:200]}" for error in validator.iter_errors(body)] == []


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_a_card_for_teams_stays_below_its_limit(payload: dict[str, Any]) -> None:
    _, body = sent(BY_NAME["teams"], payload)

    assert len(body) < 28 * 1_000


def test_pagerduty_opens_and_closes_one_alert_for_an_integration() -> None:
    opened, _ = sent(BY_NAME["pagerduty"], mock_payload(NOW))
    closed, _ = sent(
        BY_NAME["pagerduty"], mock_payload(NOW) | {"data": {**mock_payload(NOW)["data"], "status": "active"}}
    )

    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"]


def test_a_message_calls_nobody_in_slack() -> None:
    payload = mock_payload(NOW)
    payload["data"]["name"] = "<!channel> & co"

    body, _ = sent(BY_NAME["slack"], payload)

    assert body["text"] == "&lt;!channel&gt; &amp; co: error"


@pytest.mark.parametrize("made", READY_MADE, ids=lambda made: made.name)
def test_it_says_which_secrets_it_needs(made: ReadyMade) -> None:
    document = made.document
    custom = document["authentication"].get("headers", {})
    places = [f"secrets.{name}" for name in document["secrets"]]
    places += [f"authentication.headers.{name.lower()}" for name in custom]

    assert document["url"].startswith("https://")
    assert sorted(made.secrets) == sorted(places)
    assert made.help.endswith(".")
