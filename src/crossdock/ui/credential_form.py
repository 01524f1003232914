"""What forms with credentials have in common: connections and notification webhooks.

A secret that is kept stands as `[set]` in the document and as an empty field in the form.
"""

from __future__ import annotations

from crossdock.manage.fields import SET
from crossdock.model.outcome import Json
from crossdock.ui.forms import Form

_SECRETS = frozenset({"token", "client_secret", "password", "headers"})


def read_authentication(form: Form) -> Json:
    """The `authentication` of the document; what is wrong in it is found by whoever saves it."""
    match form.text("authentication.type", "none"):
        case "bearer_token":
            return {"type": "bearer_token", "token": form.text("authentication.token") or SET}
        case "basic":
            return {
                "type": "basic",
                "username": form.text("authentication.username"),
                "password": form.raw("authentication.password") or SET,
            }
        case "oauth":
            return {
                "type": "oauth",
                "client_id": form.text("authentication.client_id"),
                "client_secret": form.raw("authentication.client_secret") or SET,
                "token_endpoint_url": form.text("authentication.token_endpoint_url"),
                "scopes": form.text("authentication.scopes").split(),
            }
        case "custom":
            return {"type": "custom", "headers": read_pairs(form, "authentication.headers")}
        case other:
            return {"type": other}


def read_pairs(form: Form, name: str) -> Json:
    """Rows of key and value as a mapping; an empty value keeps the one that is there."""
    return {row["key"].strip(): row["value"] or SET for row in form.rows(f"{name}.key", f"{name}.value")}


def pair_rows(pairs: Json) -> list[dict[str, str]]:
    """A mapping as rows of a form; what is kept stands empty."""
    return [{"key": name, "value": "" if value == SET else str(value or "")} for name, value in pairs.items()]


def patch_of_pairs(given: Json, present: Json) -> Json:
    """A mapping as a patch of the present one: what it does not have any more is taken out by name."""
    return {**dict.fromkeys(present), **given}


def patch_of_authentication(given: Json, present: Json) -> Json:
    """The same for headers in an `authentication`."""
    if given["type"] == present["type"] == "custom":
        return {**given, "headers": patch_of_pairs(given["headers"], present["headers"])}
    return given


def without_secrets(authentication: Json) -> Json:
    """As people may compare two of them: a typed secret is shown to nobody."""
    return {name: SET if name in _SECRETS else value for name, value in authentication.items()}
