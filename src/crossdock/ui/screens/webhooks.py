"""Notification webhooks: the list, the form with its test and live rendering, and what was delivered."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from crossdock.manage.integrations import external_systems
from crossdock.model.errors import Conflict, CrossdockError, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.conflicts import differences
from crossdock.ui.credential_form import pair_rows
from crossdock.ui.forms import NO_ERRORS, Errors
from crossdock.ui.screens.webhook_form import (
    DEFAULTS,
    LABELS,
    as_patch,
    comparable,
    fields_of,
    read_webhook_form,
    validator_rows,
)
from crossdock.ui.visit import Visit, reads, writes

LIST, FORM, DELIVERIES = "webhooks/list.html", "webhooks/form.html", "webhooks/deliveries.html"
MOST_CHOICES = 200
"""Integrations that the filter offers at once; those that are chosen already are always among them."""


async def show_list(visit: Visit) -> Response:
    wanted = {"active": True, "inactive": False}.get(visit.query("status"))
    page = await visit.cases.webhooks.page(visit.actor, q=visit.query("q"), active=wanted, cursor=visit.cursor)
    return visit.show(LIST, "list", webhooks=page.items, next=page.next, fields=visit.fields)


async def show_new(visit: Visit) -> Response:
    """First what to begin with, then the form."""
    visit.actor.require("admin")
    ready_made = visit.cases.webhooks.templates(visit.actor)
    chosen = visit.query("template")
    if not chosen:
        return visit.page("webhooks/choose.html", ready_made=ready_made)
    found = next((one for one in ready_made if one["name"] == chosen), None)
    document = DEFAULTS if found is None else {**DEFAULTS, **found["document"], "name": found["title"]}
    return await _form(visit, document, chosen=found)


async def create(visit: Visit) -> Response:
    document = read_webhook_form(visit.sent)
    try:
        made = await visit.cases.webhooks.create(visit.actor, document)
    except Invalid as error:
        return await _form(visit, document, 422, errors=Errors.of(error))
    return visit.go(visit.path("notification-webhooks"), f"{made['name']} was created.")


async def show_one(visit: Visit) -> Response:
    return await _form(visit, await visit.cases.webhooks.show(visit.actor, visit.parameter("webhook_id")))


async def save(visit: Visit) -> Response:
    webhook_id = visit.parameter("webhook_id")
    document = read_webhook_form(visit.sent)
    present = await visit.cases.webhooks.show(visit.actor, webhook_id)
    shown = {**present, **document}
    patch = as_patch(document, present, visit.sent.whole("revision"))
    try:
        saved = await visit.cases.webhooks.change(visit.actor, webhook_id, patch)
    except Invalid as error:
        return await _form(visit, shown, 422, errors=Errors.of(error))
    except Conflict:
        differing = differences(comparable(document), comparable(present), LABELS)
        return await _form(visit, shown, 409, differing=differing)
    return visit.go(visit.path("notification-webhooks"), f"{saved['name']} was saved.")


async def delete(visit: Visit) -> Response:
    webhook_id = visit.parameter("webhook_id")
    name = (await visit.cases.webhooks.show(visit.actor, webhook_id))["name"]
    await visit.cases.webhooks.delete(visit.actor, webhook_id)
    return visit.go(visit.path("notification-webhooks"), f"{name} was deleted.")


async def switch(visit: Visit) -> Response:
    """Active or not, from the list; the other way round takes it back."""
    webhook_id, active = visit.parameter("webhook_id"), visit.sent.is_on("active")
    saved = await visit.cases.webhooks.change(visit.actor, webhook_id, {"active": active})
    words = "is active now" if active else "is not told anything any more"
    undo = visit.path("notification-webhooks", webhook_id, "switch")
    back = "" if active else "on"
    return visit.go(visit.path("notification-webhooks"), f"{saved['name']} {words}.", undo=undo, active=back)


async def test(visit: Visit) -> Response:
    """Send made-up data as the form says now, saved or not."""
    document = read_webhook_form(visit.sent)
    webhook_id = visit.request.path_params.get("webhook_id")
    shown = document
    try:
        if webhook_id is None:
            tried = await visit.cases.webhooks.test_unsaved(visit.actor, document)
        else:
            present = await visit.cases.webhooks.show(visit.actor, webhook_id)
            shown = {**present, **document, "revision": visit.sent.whole("revision")}
            patch = as_patch(document, present, present["revision"])
            tried = await visit.cases.webhooks.test(visit.actor, webhook_id, patch)
    except Invalid as error:
        tried = {"outcome": "failed", "error": str(error), "errors": Errors.of(error).by_field, "invocation": None}
    if visit.is_partial:
        return visit.part(FORM, "outcome", tried=_outcome(tried))
    return await _form(visit, shown, tried=_outcome(tried))


async def test_saved(visit: Visit) -> Response:
    """The same for whoever may test but not change."""
    webhook_id = visit.parameter("webhook_id")
    tried = await visit.cases.webhooks.test(visit.actor, webhook_id)
    if visit.is_partial:
        return visit.part(FORM, "outcome", tried=_outcome(tried))
    return await _form(visit, await visit.cases.webhooks.show(visit.actor, webhook_id), tried=_outcome(tried))


async def preview(visit: Visit) -> Response:
    """What the template makes of an example or of a real change."""
    document = read_webhook_form(visit.sent)
    try:
        rendered = await visit.cases.webhooks.preview(
            visit.actor, document["body_template"], visit.sent.text("example", "change"), document["secrets"]
        )
    except CrossdockError as error:
        rendered = {"body": None, "error": str(error)}
    return visit.part(FORM, "rendering", rendered=rendered)


async def show_deliveries(visit: Visit) -> Response:
    webhook_id = visit.parameter("webhook_id")
    webhook = await visit.cases.webhooks.show(visit.actor, webhook_id)
    page = await visit.cases.webhooks.deliveries(visit.actor, webhook_id, cursor=visit.cursor)
    return visit.show(DELIVERIES, "list", webhook=webhook, deliveries=page.items, next=page.next, fields=visit.fields)


async def resend(visit: Visit) -> Response:
    await visit.cases.deliveries.resend(visit.actor, visit.parameter("delivery_id"))
    path = visit.path("notification-webhooks", visit.parameter("webhook_id"), "deliveries")
    return visit.go(path, "It is sent again.")


async def _form(visit: Visit, webhook: Json, status: int = 200, **names: Any) -> Response:
    cases, webhook = visit.cases, {**DEFAULTS, **webhook}
    offered = await cases.integrations.page(visit.actor, limit=MOST_CHOICES)
    chosen = webhook["filters"]["integrations"]
    names_by_id = {one["id"]: one["name"] for one in [*offered.items, *webhook.get("filtered_integrations", ())]}
    integrations = [
        (each, names_by_id.get(each) or f"{each} (gone)") for each in dict.fromkeys([*chosen, *names_by_id])
    ]
    schema = cases.webhooks.payload_schema(visit.actor)
    given: dict[str, Any] = {"errors": NO_ERRORS, "tried": None, "chosen": None, "differing": None, **names}
    return visit.page(
        FORM,
        status,
        webhook=webhook,
        integrations=integrations,
        types=[(one["type"], one["title"]) for one in external_systems()],
        schema_fields=fields_of(schema["schema"]),
        rendered=None,
        header_rows=pair_rows(webhook["authentication"].get("headers", {})),
        more_rows=pair_rows(webhook["headers"]),
        secret_rows=pair_rows(webhook["secrets"]),
        validator_rows=validator_rows(webhook["response_validators"]),
        **given,
    )


def _outcome(tried: Json) -> Json:
    return {"error": None, "errors": {}, **tried}


routes = (
    reads("/notification-webhooks", show_list),
    reads("/notification-webhooks/new", show_new),
    writes("/notification-webhooks", create),
    writes("/notification-webhooks/test", test),
    writes("/notification-webhooks/preview", preview),
    reads("/notification-webhooks/{webhook_id}", show_one),
    writes("/notification-webhooks/{webhook_id}", save),
    writes("/notification-webhooks/{webhook_id}/test", test),
    writes("/notification-webhooks/{webhook_id}/test-saved", test_saved),
    writes("/notification-webhooks/{webhook_id}/switch", switch),
    writes("/notification-webhooks/{webhook_id}/delete", delete),
    reads("/notification-webhooks/{webhook_id}/deliveries", show_deliveries),
    writes("/notification-webhooks/{webhook_id}/deliveries/{delivery_id}/resend", resend),
)
