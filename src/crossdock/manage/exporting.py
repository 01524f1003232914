"""What is set up as documents to be applied: without what is default, secrets as placeholders."""

from __future__ import annotations

from collections.abc import Mapping

from crossdock.manage.connection_documents import default_settings, settings_places
from crossdock.manage.documents import default_document
from crossdock.manage.fields import is_secret_header
from crossdock.manage.placeholders import PlaceholderNames, escape
from crossdock.manage.secrets import BASIC_PASSWORD, PLATFORM_TOKEN
from crossdock.manage.webhook_documents import default_settings as default_webhook
from crossdock.manage.webhook_documents import webhook_places
from crossdock.manage.written import editable_document
from crossdock.model.outcome import Json
from crossdock.outbound.database_url import KEPT
from crossdock.store.connections import StoredConnection
from crossdock.store.integrations import StoredIntegration
from crossdock.store.webhooks import StoredWebhook

_PARAMETER = {"required": False, "default": None}


def export_integration(stored: StoredIntegration, names: PlaceholderNames) -> Json:
    """The document of an integration."""
    row = stored.row
    written = escape(editable_document(row, stored.workflow))
    parameters = [_without_defaults(one, _PARAMETER) for one in written["trigger"]["query_parameters"]]
    written["trigger"]["query_parameters"] = parameters
    spec = _without_defaults(written, default_document(row.type))
    spec = {"name": written["name"], "type": row.type, "status": written["status"], "path": row.path, **spec}
    if PLATFORM_TOKEN in stored.secrets:
        spec["platform_token"] = names.new(row.path, "platform_token")
    if BASIC_PASSWORD in stored.secrets:
        authentication = spec.setdefault("trigger", {}).setdefault("authentication", {})
        authentication["password"] = names.new(row.path, "password")
    headers = spec.get("reply", {}).get("headers", {})
    for name in headers:
        if is_secret_header(name):
            headers[name] = names.new(row.path, "reply", name)
    return {"kind": "Integration", "spec": spec}


def export_connection(stored: StoredConnection, names: PlaceholderNames) -> Json:
    """The document of a connection."""
    row = stored.row
    settings = escape(row.document)
    for place in settings_places(row.kind, row.document):
        settings = place.replace(settings, names.new(row.name, place.path[-1]))
    if row.kind == "sql" and f":{KEPT}@" in settings["url"]:
        password = names.new(row.name, "password")
        settings["url"] = settings["url"].replace(f":{KEPT}@", f":{password}@", 1)
    spec = {"name": escape(row.name), "kind": row.kind, **_without_defaults(settings, default_settings(row.kind))}
    return {"kind": "Connection", "spec": spec}


def export_webhook(stored: StoredWebhook, names: PlaceholderNames, integrations: Mapping[str, str]) -> Json:
    """The document of a notification webhook; `integrations` are their names by id. One that is gone keeps its id."""
    row = stored.row
    settings = escape(row.document)
    for place in webhook_places(row.document):
        settings = place.replace(settings, names.new(row.name, place.path[-1]))
    spec = {"name": row.name, "url": settings["url"], **_without_defaults(settings, default_webhook())}
    wanted = row.document["filters"]["integrations"]
    if wanted:
        spec["filters"]["integrations"] = [escape(integrations.get(one, one)) for one in wanted]
    return {"kind": "NotificationWebhook", "spec": spec if row.active else {**spec, "active": False}}


def _without_defaults(tree: Json, default: Json) -> Json:
    """What differs from the defaults. Trees that the defaults do not describe are kept whole."""
    if not isinstance(tree, dict) or not isinstance(default, dict):
        return tree
    return {key: _without_defaults(value, default.get(key)) for key, value in tree.items() if value != default.get(key)}
