"""The form of a connection as a document, and a document as the form shows it.

A secret that is kept stands as `[set]` in the document (`***` in a database's URL) and as an empty field in the form.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from crossdock.manage.connection_documents import default_settings
from crossdock.manage.fields import SET, is_secret_header
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.credential_form import (
    patch_of_authentication,
    patch_of_pairs,
    read_authentication,
    without_secrets,
)
from crossdock.ui.durations import as_iso
from crossdock.ui.forms import Form

KINDS = ("http", "sql")
LABELS = {
    "name": "Name",
    "base_url": "Base URL",
    "authentication": "Authentication Type",
    "headers": "Headers",
    "timeout": "Timeout",
    "verify_tls": "Check the server’s certificate",
    "ca_certificate": "Authority’s certificate",
    "client_certificate": "Client certificate",
    "follow_redirects": "Follow redirects",
    "test_path": "Path that a test asks for",
    "url": "URL",
    "read_only": "Read only",
    "pool_size": "Connections at once",
    "statement_timeout": "Timeout of a statement",
}
"""What fields are called on the page."""


def empty_document(kind: str) -> Json:
    """What a new connection's form begins with."""
    place = {"base_url": ""} if kind == "http" else {"url": ""}
    return {"name": "", "kind": kind, **place, **default_settings(kind), "used_by": [], "warnings": []}


def read_connection_form(form: Form, kind: str) -> Json:
    """The document that the form says; what is wrong in it is found by whoever saves it."""
    if kind == "sql":
        return {
            "name": form.text("name"),
            "kind": "sql",
            "url": form.text("url"),
            "read_only": form.is_on("read_only"),
            "pool_size": form.number("pool_size", "5"),
            "statement_timeout": as_iso(form.text("statement_timeout", "PT30S")),
        }
    return {
        "name": form.text("name"),
        "kind": "http",
        "base_url": form.text("base_url"),
        "authentication": read_authentication(form),
        "headers": {row["key"].strip(): _header(row) for row in form.rows("headers.key", "headers.value")},
        "timeout": as_iso(form.text("timeout", "PT30S")),
        "verify_tls": form.is_on("verify_tls"),
        "ca_certificate": form.raw("ca_certificate").strip() or None,
        "client_certificate": _read_certificate(form),
        "follow_redirects": form.is_on("follow_redirects"),
        "test_path": form.text("test_path") or None,
    }


def with_password(document: Json, form: Form) -> Json:
    """The document to be saved: with the password of a database, which the form has apart, in its URL."""
    password = form.raw("password")
    if document["kind"] != "sql" or not password:
        return document
    parts = urlsplit(document["url"])
    person, at, place = parts.netloc.rpartition("@")
    if not at:
        raise Invalid("the password needs a user", (FieldError("url", "needs a user for the password: user@host"),))
    netloc = f"{person.partition(':')[0]}:{quote(password, safe='')}@{place}"
    return {**document, "url": urlunsplit(parts._replace(netloc=netloc))}


def as_patch(document: Json, present: Json, revision: Json) -> Json:
    """The form as a patch: headers that it does not have any more are taken out by name."""
    patch = {**document, "revision": revision}
    if document["kind"] == "http":
        patch["headers"] = patch_of_pairs(document["headers"], present["headers"])
        patch["authentication"] = patch_of_authentication(document["authentication"], present["authentication"])
    return patch


def comparable(document: Json) -> Json:
    """The fields that people compare when two of them changed it; a typed secret is shown to nobody."""
    shown = {name: document[name] for name in LABELS if name in document}
    if "authentication" in shown:
        shown["authentication"] = without_secrets(shown["authentication"])
        shown["headers"] = {name: SET if is_secret_header(name) else value for name, value in shown["headers"].items()}
        own = shown["client_certificate"]
        shown["client_certificate"] = own and {"certificate": own["certificate"], "key": SET}
    return shown


def _header(row: dict[str, str]) -> str:
    """An empty value keeps the one that is there where that is a secret, which was not shown."""
    name, written = row["key"].strip(), row["value"]
    return SET if not written and is_secret_header(name) else written


def _read_certificate(form: Form) -> Json:
    certificate = form.raw("client_certificate.certificate").strip()
    if not certificate:
        return None
    return {"certificate": certificate + "\n", "key": form.raw("client_certificate.key").strip() or SET}


def outcome_in_words(tried: Json, document: Json) -> str:
    """What came of a test."""
    details = tried["details"]
    took = f" in {details['duration_ms']} ms" if details.get("duration_ms") is not None else ""
    if tried["outcome"] != "successful":
        return str(tried.get("error") or "no reason was given")
    if document["kind"] == "sql":
        return f"The database answered{took}: {details.get('server_version') or 'without a version'}"
    fetched = "A token was fetched, and the" if document["authentication"]["type"] == "oauth" else "The"
    return f"{fetched} system answered {details.get('status')}{took}."
