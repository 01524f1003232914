"""The form of a notification webhook as a document, and a document as the form shows it.

A secret that is kept stands as `[set]` in the document and as an empty field in the form.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from crossdock.manage.fields import SET, is_secret_header
from crossdock.manage.webhook_documents import default_settings
from crossdock.model.outcome import Json
from crossdock.ui.credential_form import (
    patch_of_authentication,
    patch_of_pairs,
    read_authentication,
    read_pairs,
    without_secrets,
)
from crossdock.ui.forms import Form

DEFAULTS: Json = {"name": "", "active": True, **default_settings(), "warnings": [], "filtered_integrations": []}

LABELS = {
    "name": "Integration Webhook Name",
    "active": "Status",
    "method": "Method",
    "url": "URL",
    "body_template": "Body Template",
    "authentication": "Authentication Type",
    "headers": "More headers",
    "secrets": "Secrets for the template",
    "signing_secret": "Signing secret",
    "filters": "Filters",
    "timeout_seconds": "Timeout in seconds",
    "response_validators": "Response Validators",
    "notify_recovery": "Tell when it is well again",
    "digest": "Digest",
    "quiet_hours": "Quiet hours",
}
"""What fields are called on the page."""


def read_webhook_form(form: Form) -> Json:
    """The document that the form says; what is wrong in it is found by whoever saves it."""
    return {
        "name": form.text("name"),
        "active": form.is_on("active"),
        "type": form.text("type", "http_webhook"),
        "method": form.text("method", "POST"),
        "url": form.text("url"),
        "body_template": form.raw("body_template").strip() or None,
        "authentication": read_authentication(form),
        "headers": read_pairs(form, "headers"),
        "secrets": read_pairs(form, "secrets"),
        "signing_secret": _read_signing_secret(form),
        "filters": {name: form.all(f"filters.{name}") for name in ("integrations", "types", "statuses")},
        "timeout_seconds": form.number("timeout_seconds", "10"),
        "response_validators": [_read_validator(row) for row in form.rows("validators.json_path", "validators.values")],
        "notify_recovery": form.is_on("notify_recovery"),
        "digest": form.text("digest") or None,
        "quiet_hours": _read_quiet_hours(form),
    }


def comparable(document: Json) -> Json:
    """The fields that people compare when two of them changed it; a typed secret is shown to nobody."""
    shown = {name: document[name] for name in LABELS}
    return {
        **shown,
        "authentication": without_secrets(document["authentication"]),
        "headers": {name: SET if is_secret_header(name) else value for name, value in document["headers"].items()},
        "secrets": dict.fromkeys(document["secrets"], SET),
        "signing_secret": document["signing_secret"] and SET,
    }


def as_patch(document: Json, present: Json, revision: Json) -> Json:
    """The form as a patch: what it does not have any more is taken out by name."""
    pairs = {name: patch_of_pairs(document[name], present[name]) for name in ("headers", "secrets")}
    authentication = patch_of_authentication(document["authentication"], present["authentication"])
    return {**document, **pairs, "authentication": authentication, "revision": revision}


def _read_signing_secret(form: Form) -> str | None:
    given = form.text("signing_secret")
    if given:
        return given
    is_kept = form.is_on("signing_secret_is_set") and not form.is_on("signing_secret_removed")
    return SET if is_kept else None


def _read_validator(row: dict[str, str]) -> Json:
    """Values divided by commas: `ok` is text, `200` a number. As a JSON list without its brackets all is possible."""
    return {"json_path": row["json_path"].strip(), "expected_values": _read_values(row["values"])}


def _read_values(text: str) -> list[Json]:
    try:
        written: list[Json] = json.loads(f"[{text}]")
    except ValueError:
        return [_value(each) for each in text.split(",") if each.strip()]
    return written


def _value(text: str) -> Json:
    stripped = text.strip()
    try:
        value: Json = json.loads(stripped)
    except ValueError:
        return stripped
    return stripped if isinstance(value, dict | list) else value


def validator_rows(validators: list[Json]) -> list[dict[str, str]]:
    return [
        {"json_path": str(one.get("json_path", "")), "values": write_expected(one.get("expected_values", []))}
        for one in validators
    ]


def write_expected(values: list[Json]) -> str:
    """Expected values as the form has them: a JSON list without brackets where plain words would be misread."""
    plain = ", ".join(value if isinstance(value, str) else json.dumps(value) for value in values)
    return plain if _read_values(plain) == values else json.dumps(values, ensure_ascii=False)[1:-1]


def _read_quiet_hours(form: Form) -> Json:
    start, end = form.text("quiet_hours.from"), form.text("quiet_hours.until")
    if not (start or end):
        return None
    return {
        "from": start,
        "until": end,
        "time_zone": form.text("quiet_hours.time_zone", "UTC"),
        "days": form.all("quiet_hours.days"),
        "except_statuses": form.all("quiet_hours.except_statuses"),
    }


@dataclass(frozen=True, slots=True)
class SchemaField:
    """A field of the payload as people pick it. `depth` is how far inside it lies, from 0."""

    path: str
    expression: str
    type: str
    description: str
    depth: int


def fields_of(schema: Json, prefix: str = "", depth: int = 0) -> list[SchemaField]:
    """The fields of a JSON Schema, each before those inside it."""
    found = []
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        is_list = field.get("type") == "array"
        inner = field.get("items", {}) if is_list else field
        written = f"{{{{ {path} }}}}"
        found.append(SchemaField(path, written, str(field.get("type", "")), field.get("description", ""), depth))
        found += fields_of(inner, f"{path}.", depth + 1)
    return found
