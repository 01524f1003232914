"""Ready-made webhooks for well-known services: a template in the form that each takes, and what else it asks for.

Texts are cut where a service takes so many characters only, because it refuses the whole message otherwise, and nobody
would hear of the trouble. The limits are those that the services publish; they stand beside each template.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from crossdock.model.outcome import Json


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """A webhook to begin with.

    `url` is an example where each customer has an own one. `secrets` says, by their places in the document, which are
    needed and where people find them.
    """

    name: str
    title: str
    help: str
    url: str
    template: str
    authentication: Json = field(default_factory=lambda: {"type": "none"})
    secrets: Mapping[str, str] = field(default_factory=dict)
    notify_recovery: bool = True
    response_validators: tuple[Json, ...] = ()

    @property
    def document(self) -> dict[str, Json]:
        """What a new webhook begins with: everything but a name; empty texts stand where secrets go."""
        in_body = [place.removeprefix("secrets.") for place in self.secrets if place.startswith("secrets.")]
        return {
            "type": "http_webhook",
            "method": "POST",
            "url": self.url,
            "body_template": self.template,
            "authentication": self.authentication,
            "secrets": dict.fromkeys(in_body, ""),
            "filters": {"integrations": [], "types": [], "statuses": ["warning", "error"]},
            "notify_recovery": self.notify_recovery,
            "response_validators": list(self.response_validators),
        }


def _text(template: Json) -> str:
    return json.dumps(template, indent=2, ensure_ascii=False)


def _cut(expression: str, characters: int, *more: str) -> str:
    """The expression's text, no longer than that; `more` filters follow."""
    cut = f"{expression} | truncate(length={characters}, killwords=true, end='…', leeway=0)"
    return f"{{{{ {' | '.join([cut, *more])} }}}}"


_TITLE = "(data.name ~ ': ' ~ data.status)"
_ISSUES = "(data.issues | map(attribute='message') | join('\\n') or 'Nothing is wrong any more.')"
_PARAGRAPHS = _ISSUES.replace("\\n", "\\n\\n")
_FIRST = "(data.name ~ ': ' ~ (data.issues | map(attribute='message') | join('; ') or data.status))"
_CHANGED = (
    "{{ ((changes | length + changes_left_out) ~ ' changes') if event_type == 'integration.digest'"
    " else ('was ' ~ data.previous_status) }}"
)

PLAIN = ReadyMade(
    name="json",
    title="Plain JSON",
    help="For a system of your own. Without a template the whole payload is sent, with a list of the changes as well.",
    url="https://monitoring.example/crossdock",
    template=_text(
        {
            "event_type": "{{ event_type }}",
            "event_time": "{{ event_time }}",
            "data": {
                "id": "{{ data.id }}",
                "name": "{{ data.name }}",
                "type": "{{ data.type }}",
                "status": "{{ data.status }}",
                "previous_status": "{{ data.previous_status }}",
                "url": "{{ data.url }}",
                "issues": [{"status": "{{ data.issues.status }}", "message": "{{ data.issues.message }}"}],
            },
        }
    ),
)

# Slack, incoming webhooks with Block Kit: a header's text is plain and has 150 characters at most, a section's text has
# 1 to 3,000. `text` is what notifications show; & < > are markup there, with which a message could call everybody, so
# they are written as entities. Plain text is shown as it is.
SLACK = ReadyMade(
    name="slack",
    title="Slack",
    help="A message in a channel. Make an app with an incoming webhook in Slack and use its URL, which is a secret"
    " itself.",
    url="https://hooks.slack.com/services/T0000/B0000/XXXX",
    template=_text(
        {
            "text": _cut(_TITLE, 150, "replace('&', '&amp;')", "replace('<', '&lt;')", "replace('>', '&gt;')"),
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": _cut(_TITLE, 150)}},
                {"type": "section", "text": {"type": "plain_text", "text": _cut(_ISSUES, 3_000)}},
                {
                    "type": "context",
                    "elements": [
                        {"type": "plain_text", "text": f"{{{{ data.type }}}}, {_CHANGED}, {{{{ event_time }}}}"},
                        {"type": "mrkdwn", "text": "<{{ data.url }}|Open in Crossdock>"},
                    ],
                },
            ],
        }
    ),
)

# Microsoft Teams, Workflows: Adaptive Cards only, in an attachment of a message, which may have about 28 KB. A text
# block begins a new line after an empty one only.
TEAMS = ReadyMade(
    name="teams",
    title="Microsoft Teams",
    help="A card in a channel or chat. Make a workflow that posts what a webhook receives, and use its URL, which is a"
    " secret itself.",
    url="https://prod-00.westeurope.logic.azure.com/workflows/0000/triggers/manual/paths/invoke?sig=XXXX",
    template=_text(
        {
            "type": "message",
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "contentUrl": None,
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "body": [
                            {
                                "type": "TextBlock",
                                "size": "Large",
                                "weight": "Bolder",
                                "wrap": True,
                                "color": "{{ 'Attention' if data.status == 'error' else 'Warning'"
                                " if data.status == 'warning' else 'Good' }}",
                                "text": _cut(_TITLE, 200),
                            },
                            {"type": "TextBlock", "wrap": True, "text": _cut(_PARAGRAPHS, 3_000)},
                            {
                                "type": "FactSet",
                                "facts": [
                                    {"title": "Type", "value": "{{ data.type }}"},
                                    {"title": "Change", "value": _CHANGED},
                                    {"title": "Time", "value": "{{ event_time }}"},
                                ],
                            },
                        ],
                        "actions": [{"type": "Action.OpenUrl", "title": "Open in Crossdock", "url": "{{ data.url }}"}],
                    },
                }
            ],
        }
    ),
)

# PagerDuty, Events API v2: `summary` has 1,024 characters at most, `dedup_key` 255; `severity` is critical, error,
# warning or info. A trigger with the key of an open alert goes to that alert, a resolve closes it. The answer is 202
# with a `status`.
PAGERDUTY = ReadyMade(
    name="pagerduty",
    title="PagerDuty",
    help="Opens an alert when an integration breaks and resolves it when it works again. The service in PagerDuty needs"
    " an integration of the kind Events API v2.",
    url="https://events.pagerduty.com/v2/enqueue",
    secrets={"secrets.routing_key": "The integration key of the service: 32 characters."},
    response_validators=({"json_path": "$.data.status", "expected_values": ["success"]},),
    template=_text(
        {
            "routing_key": "{{ secrets.routing_key }}",
            "event_action": "{{ 'resolve' if data.status == 'active' else 'trigger' }}",
            "dedup_key": "{{ data.id }}",
            "client": "Crossdock",
            "client_url": "{{ data.url }}",
            "links": [{"href": "{{ data.url }}", "text": "Open in Crossdock"}],
            "payload": {
                "summary": _cut(_FIRST, 1_024),
                "source": _cut("data.name", 255),
                "severity": "{{ 'info' if data.status == 'active' else data.status }}",
                "timestamp": "{{ event_time }}",
                "component": "{{ data.id }}",
                "class": "{{ data.type }}",
                "custom_details": {
                    "status": "{{ data.status }}",
                    "previous_status": "{{ data.previous_status }}",
                    "issues": _cut(_ISSUES, 10_000),
                },
            },
        }
    ),
)

# Datadog, events API v1: `title` has 100 characters at most, `text` 4,000, `aggregation_key` 100; `alert_type` is
# error, warning, info, success or one of some more. The answer is 202 with a `status`.
DATADOG = ReadyMade(
    name="datadog",
    title="Datadog",
    help="An event in the event stream; those of one integration are grouped. The host depends on your Datadog site.",
    url="https://api.datadoghq.com/api/v1/events",
    authentication={"type": "custom", "headers": {"DD-API-KEY": ""}},
    secrets={"authentication.headers.dd-api-key": "An API key of your organization: 32 characters."},
    response_validators=({"json_path": "$.data.status", "expected_values": ["ok"]},),
    template=_text(
        {
            "title": _cut(_TITLE, 100),
            "text": _cut(f"({_ISSUES} ~ '\n' ~ data.url)", 4_000),
            "alert_type": "{{ 'success' if data.status == 'active' else data.status }}",
            "aggregation_key": _cut("data.id", 100),
            "source_type_name": "crossdock",
            "priority": "normal",
            "tags": [
                "source:crossdock",
                "integration:{{ data.id }}",
                "integration_type:{{ data.type }}",
                "status:{{ data.status }}",
            ],
        }
    ),
)

# Opsgenie, alert API: `message` has 130 characters at most, `alias` and `entity` 512, `description` 15,000, `source`
# 100, 20 tags of 50 each, `details` 8,000 in all; `priority` is P1 to P5. An open alert with that alias counts up.
OPSGENIE = ReadyMade(
    name="opsgenie",
    title="Opsgenie",
    help="Creates an alert, one for each integration while it is open. A recovery would have to go to another address,"
    " so the alert is closed by hand.",
    url="https://api.opsgenie.com/v2/alerts",
    authentication={"type": "custom", "headers": {"Authorization": ""}},
    secrets={"authentication.headers.authorization": "GenieKey, a space, and the key of an API integration."},
    notify_recovery=False,
    template=_text(
        {
            "message": _cut(_FIRST, 130),
            "alias": _cut("data.id", 512),
            "description": _cut(f"({_ISSUES} ~ '\n' ~ data.url)", 15_000),
            "entity": _cut("data.name", 512),
            "source": "Crossdock",
            "priority": "{{ 'P2' if data.status == 'error' else 'P3' }}",
            "tags": ["crossdock", "{{ data.status }}", _cut("data.type", 50)],
            "details": {
                "integration": "{{ data.id }}",
                "status": "{{ data.status }}",
                "previous_status": "{{ data.previous_status }}",
                "url": _cut("data.url", 2_000),
            },
        }
    ),
)

READY_MADE: tuple[ReadyMade, ...] = (PLAIN, SLACK, TEAMS, PAGERDUTY, DATADOG, OPSGENIE)
"""In the order in which they are offered."""
