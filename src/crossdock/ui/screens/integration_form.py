"""New integrations, and the settings of one that is there: one form, filled in twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from crossdock.connectors import EXTERNAL_SYSTEMS
from crossdock.manage.documents import default_document
from crossdock.manage.fields import is_secret_header
from crossdock.manage.integrations import external_systems
from crossdock.model.errors import Conflict, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.conflicts import Difference, differences, label_of
from crossdock.ui.forms import NO_ERRORS, Errors, Form
from crossdock.ui.integration_form.filling import fill, fill_new
from crossdock.ui.integration_form.keys import WantedKey, add_keys, wanted_keys
from crossdock.ui.integration_form.summary import Summary, path_of, sample_call, summarise
from crossdock.ui.integration_form.writing import parameter_rows, patch_of, read_document
from crossdock.ui.visit import Visit, reads, writes

NEW = "integrations/form.html"
SETTINGS = "integrations/settings.html"
PREVIEW = "integrations/preview.html"
KEYS_MADE = "integrations/keys_made.html"
_LIST = "integrations"
_SECRETS = ("platform_token", "trigger.authentication.password")
_FIELDS = {one["name"]: one for one in external_systems()[-1]["fields"]}
"""Label, help and default of every field: the last type of the catalog has them all."""
LABELS = {
    **{name: str(one["label"]) for name, one in _FIELDS.items()},
    "trigger.authentication.mode": "Authentication Type",
    "trigger.authentication.username": "User name",
    "trigger.authentication.password": "Password",
    "trigger.deduplicate": "Duplicate key",
    "trigger.cors": "Allowed web origins",
    "trigger.query_parameters": "Query parameters",
    "new_keys": "API keys",
    "reply": "Reply",
}
"""How fields are called on the page, by their paths in the document."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as it is shown: what is in it, what is wrong with it, and what it belongs to."""

    type: str
    typed: Form
    errors: Errors = NO_ERRORS
    current: Json = None
    """The integration as it is saved; None for a new one."""
    conflict: Sequence[Difference] | None = None
    key_count: int = 0
    status: int = 200


async def show_new(visit: Visit) -> Response:
    """The empty form of a type; to the panel of types where none is named, or one that there is not."""
    type_ = visit.query("type")
    if type_ not in EXTERNAL_SYSTEMS:
        return visit.go(visit.path(_LIST) + "?panel=external-systems")
    visit.actor.require("admin")
    return _page(visit, Filled(type_, fill_new(type_, visit.query("name"))))


async def change_type(visit: Visit) -> Response:
    """The same form for another type: what the type brings along replaces what the former one brought."""
    visit.actor.require("admin")
    before, after = visit.sent.text("former_type"), visit.sent.text("type")
    if after not in EXTERNAL_SYSTEMS:
        return visit.go(visit.path(_LIST) + "?panel=external-systems")
    return _page(visit, Filled(after, _with_presets(visit.sent, before, after)))


async def create(visit: Visit) -> Response:
    """Make the integration and its keys; the form again, with all that was typed, where something is wrong."""
    sent = visit.sent
    type_ = sent.text("type")
    if type_ not in EXTERNAL_SYSTEMS:
        raise Invalid("choose an external system first")
    try:
        document, wanted = read_document(sent), wanted_keys(sent)
        made = await visit.cases.integrations.create(visit.actor, {**document, "type": type_})
    except Invalid as error:
        return _page(visit, Filled(type_, sent, _errors(error), status=422))
    return await _add_and_show(visit, made, wanted, f"{made['name']} was created.", 201)


async def show_settings(visit: Visit) -> Response:
    """The form of an integration that is there."""
    current = await visit.cases.integrations.show(visit.actor, visit.parameter("integration_id"))
    keys = await _key_count(visit, current["id"])
    return _page(visit, Filled(current["type"], fill(current), current=current, key_count=keys))


async def save_settings(visit: Visit) -> Response:
    """Save the form; with what differs, where somebody else has saved another since it was opened."""
    sent, cases = visit.sent, visit.cases.integrations
    current = await cases.show(visit.actor, visit.parameter("integration_id"))
    shown = Filled(current["type"], sent, current=current, key_count=await _key_count(visit, current["id"]))
    try:
        document, wanted = read_document(sent), wanted_keys(sent)
        patch = patch_of(document, current)
        saved = await cases.change(visit.actor, current["id"], patch, sent.whole("revision"))
    except Invalid as error:
        return _page(visit, _again(shown, _errors(error), 422))
    except Conflict:
        now = await cases.show(visit.actor, current["id"])
        return _page(visit, _in_conflict(shown, now))
    return await _add_and_show(visit, saved, wanted, f"{saved['name']} was saved.", 200)


async def preview(visit: Visit) -> Response:
    """The summary beside the form, of what is typed at the moment."""
    sent = visit.sent
    summary = _summary(visit, sent, sent.whole("key_count"))
    return visit.part(PREVIEW, "summary", summary=summary)


# --- what is shown ---------------------------------------------------------------------------------------------------


def _page(visit: Visit, shown: Filled) -> Response:
    system = EXTERNAL_SYSTEMS[shown.type]
    return visit.page(
        NEW if shown.current is None else SETTINGS,
        shown.status,
        shown=shown,
        typed=shown.typed,
        errors=shown.errors,
        current=shown.current,
        integration=shown.current,
        system=system,
        systems=[(one.type, one.title) for one in EXTERNAL_SYSTEMS.values()],
        fields=_FIELDS,
        defaults=default_document(shown.type),
        is_simple=shown.type != "webhook-trigger",
        parameters=parameter_rows(shown.typed),
        parameters_error=_in_rows(shown.errors, "trigger.query_parameters"),
        new_keys=shown.typed.rows("new_keys.label", "new_keys.key"),
        summary=_summary(visit, shown.typed, shown.key_count),
        shown_paths=tuple(LABELS),
    )


def _errors(refused: Invalid) -> Errors:
    """The errors of the fields; above the form their labels, where all of them have one."""
    by_field = Errors.of(refused).by_field
    if not by_field:
        return Errors({}, str(refused))
    labels = dict.fromkeys(label_of(name.partition("[")[0], LABELS) for name in by_field)
    return Errors(by_field, f"Nothing was saved yet. Look again at: {', '.join(labels)}.")


def _in_rows(errors: Errors, path: str) -> str:
    """What is wrong with a list as a whole or with a row of it, which is told by its number."""
    found = next(((name, text) for name, text in errors.by_field.items() if name.startswith(f"{path}[")), None)
    if found is None:
        return errors.at(path)
    number, _, inner = found[0].removeprefix(f"{path}[").partition("]")
    return f"Row {int(number) + 1}: {inner.removeprefix('.')} {found[1]}"


def _summary(visit: Visit, sent: Form, key_count: int) -> Summary:
    try:
        document = read_document(sent)
    except Invalid:  # the body schema is not JSON yet; that is told when the form is sent
        document = read_document(sent.without("trigger.body_schema"))
    keys = key_count + len(sent.rows("new_keys.label", "new_keys.key"))
    url = visit.cases.integrations.address(visit.actor, path_of(document))
    return summarise(document, sent, url, keys=keys)


async def _add_and_show(visit: Visit, made: Json, wanted: Sequence[WantedKey], said: str, status: int) -> Response:
    """On to the integration; its new keys are shown first, because they are told only once."""
    keys, refused = await add_keys(visit.cases.keys, visit.actor, made["id"], wanted)
    path = visit.path(_LIST, made["id"])
    if not keys and not refused:
        return visit.go(path, said)
    curl = sample_call(made["trigger"]).curl(made["url"])
    if keys:
        curl = curl.replace("$API_KEY", keys[0]["key"])
    return visit.page(KEYS_MADE, status, made=made, keys=keys, refused=refused, said_here=said, curl=curl, onward=path)


async def _key_count(visit: Visit, integration_id: str) -> int:
    page = await visit.cases.keys.page(visit.actor, integration_id)
    return len(page.items)


def _with_presets(sent: Form, before: str, after: str) -> Form:
    """The form with the presets of the new type where it still has those of the former one."""
    if before not in EXTERNAL_SYSTEMS:
        return sent
    was, now = fill_new(before), fill_new(after)
    replaced = {
        name
        for name in ("trigger.methods", "trigger.authentication.mode", "trigger.response_mode")
        if sent.all(name) == was.all(name)
    }
    kept = sent.without(*replaced)
    return Form([*kept.fields, *(each for each in now.fields if each[0] in replaced)])


def _again(shown: Filled, errors: Errors, status: int) -> Filled:
    return Filled(shown.type, shown.typed, errors, shown.current, key_count=shown.key_count, status=status)


def _in_conflict(shown: Filled, now: Json) -> Filled:
    """The form with what differs from what is saved now; sent again, it is saved over that."""
    mine, theirs = read_document(shown.typed), read_document(fill(now))
    hidden = [f"reply.headers.{name}" for name in (mine["reply"] or {}).get("headers", {}) if is_secret_header(name)]
    found = differences(mine, theirs, LABELS, secrets=(*_SECRETS, *hidden))
    return Filled(shown.type, shown.typed, current=now, conflict=found, key_count=shown.key_count, status=409)


routes = (
    reads("/integrations/new", show_new),
    writes("/integrations/new", create),
    writes("/integrations/new/type", change_type),
    writes("/integrations/new/preview", preview),
    reads("/integrations/{integration_id}/settings", show_settings),
    writes("/integrations/{integration_id}/settings", save_settings),
)
