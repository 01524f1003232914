"""The integration document as it is given out: all defaults filled in, no secret, with what else is known about it."""

from __future__ import annotations

from crossdock.manage.fields import SET, is_secret_header
from crossdock.manage.secrets import BASIC_PASSWORD, PLATFORM_TOKEN, SIGNING_SECRET, unseal, write_signing_secret
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant
from crossdock.store.integrations import IntegrationRow, StoredIntegration
from crossdock.vault import Vault, VaultError

READ_ONLY = frozenset(
    {
        "id",
        "url",
        "platform_token_set",
        "current_health",
        "workflow_version",
        "signing_secret_hint",
        "revision",
        "created_at",
        "updated_at",
        "warnings",
    }
)
"""Fields that Crossdock sets; a change that carries them, as one made from a GET does, may leave them in."""


def redact_headers(settings: Json) -> Json:
    """The settings with `[set]` in the place of reply headers that are credentials."""
    reply = settings.get("reply")
    if not reply:
        return settings
    headers = {name: SET if is_secret_header(name) else value for name, value in reply["headers"].items()}
    return {**settings, "reply": {**reply, "headers": headers}}


def editable_document(row: IntegrationRow, workflow: Json) -> Json:
    """What a change starts from: the complete document without secrets and read-only fields."""
    return {
        "name": row.name,
        "type": row.type,
        "status": "enabled" if row.enabled else "disabled",
        "path": row.path,
        **row.document,
        "workflow": workflow,
    }


def public_document(stored: StoredIntegration, vault: Vault, public_url: str) -> Json:
    """The document for people and programs."""
    row = stored.row
    document = editable_document(row, stored.workflow)
    authentication = {**row.document["trigger"]["authentication"], "password_set": BASIC_PASSWORD in stored.secrets}
    document["trigger"] = {**row.document["trigger"], "authentication": authentication}
    hint, trouble = _signing_secret_hint(stored, vault)
    return {
        "id": row.id,
        **document,
        "url": f"{public_url}/hooks/{row.workspace}/{row.path}",
        "platform_token_set": PLATFORM_TOKEN in stored.secrets,
        "workflow_version": row.workflow_number,
        "signing_secret_hint": hint,
        "revision": row.revision,
        "created_at": format_instant(row.created_at),
        "updated_at": format_instant(row.updated_at),
        "warnings": [*trouble, *warnings(stored)],
    }


def short_document(stored: StoredIntegration, public_url: str) -> Json:
    """What tells most of an integration: for lists of many, and without opening a secret."""
    row = stored.row
    trigger = row.document["trigger"]
    return {
        "id": row.id,
        "name": row.name,
        "type": row.type,
        "status": "enabled" if row.enabled else "disabled",
        "path": row.path,
        "url": f"{public_url}/hooks/{row.workspace}/{row.path}",
        "warnings": warnings(stored),
        "revision": row.revision,
        "created_at": format_instant(row.created_at),
        "updated_at": format_instant(row.updated_at),
        "response_mode": trigger["response_mode"],
        "ordered_delivery": trigger["ordered_delivery"],
        "authentication": trigger["authentication"]["mode"],
    }


def warnings(stored: StoredIntegration) -> list[str]:
    """What is allowed but probably not meant."""
    trigger, reply = stored.row.document["trigger"], stored.row.document.get("reply")
    mode = trigger["authentication"]["mode"]
    checks = (
        (mode == "none", "The endpoint is open: anyone who knows its address can start runs. Add authentication."),
        (mode == "api_keys" and not stored.usable_keys, "No API key can be used yet, so every call is refused."),
        (
            mode == "platform_token" and PLATFORM_TOKEN not in stored.secrets,
            "No platform token is set; set one before enabling the integration.",
        ),
        (
            mode != "platform_token" and PLATFORM_TOKEN in stored.secrets,
            "A platform token is set, but the authentication mode does not use it.",
        ),
        (
            trigger["response_mode"] == "sync" and bool(reply),
            "Callers get the result in the answer, and the reply URL gets it as well.",
        ),
        (
            bool(trigger["ordering_key"]) and not trigger["ordered_delivery"],
            "The ordering key has no effect while ordered_delivery is false.",
        ),
        (
            "*" in trigger["cors"]["origins"] and mode == "none",
            "Every web page may call this open endpoint from its visitors' browsers.",
        ),
        (
            bool(reply) and reply["url"].lower().startswith("http:"),
            "Replies are sent over plain HTTP, readable to whoever is on the way.",
        ),
    )
    return [text for applies, text in checks if applies]


def _signing_secret_hint(stored: StoredIntegration, vault: Vault) -> tuple[str | None, list[str]]:
    row = stored.secrets.get(SIGNING_SECRET)
    if row is None:
        return None, ["The signing secret is missing; rotate it."]
    try:
        return "..." + write_signing_secret(unseal(vault, row))[-4:], []
    except VaultError as error:
        return None, [f"The integration can't be used: {error}"]
